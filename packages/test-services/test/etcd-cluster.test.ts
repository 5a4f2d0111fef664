import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type EtcdServer, startEtcdCluster } from '../src/index.js';

/** A call of etcd's JSON gateway: real work without a client of our own. */
async function call(server: EtcdServer, path: string, body: object, timeoutMs = 10_000): Promise<unknown> {
  const sent = request(`${server.endpoint}/v3/${path}`, {
    method: 'POST',
    agent: false,
    signal: AbortSignal.timeout(timeoutMs),
  });
  sent.end(JSON.stringify(body));
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const reply = await text(response);
  if (response.statusCode !== 200) throw new Error(reply);
  return JSON.parse(reply);
}

const put = (server: EtcdServer, key: string, value: string, timeoutMs?: number): Promise<unknown> =>
  call(server, 'kv/put', { key: btoa(key), value: btoa(value) }, timeoutMs);

async function get(server: EtcdServer, key: string, serializable = false): Promise<string | undefined> {
  const reply = (await call(server, 'kv/range', { key: btoa(key), serializable })) as {
    kvs?: { value: string }[];
  };
  const value = reply.kvs?.[0]?.value;
  return value === undefined ? undefined : atob(value);
}

/** A call until it succeeds: while leaders change, etcd refuses or drops some. */
async function eventually<T>(attempt: () => Promise<T>, timeoutMs = 15_000): Promise<T> {
  for (const deadline = performance.now() + timeoutMs; ; ) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() >= deadline) throw error;
      await delay(20);
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function until(what: string, condition: () => Promise<boolean>, timeoutMs = 15_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, `not in ${timeoutMs} ms: ${what}`);
    await delay(20);
  }
}

describe('startEtcdCluster', () => {
  it('starts members that share their data, and leaves nothing behind', async () => {
    const cluster = await startEtcdCluster();
    const [a, b, c] = cluster.members;
    assert.ok(a && b && c);
    assert.equal(new Set(cluster.members.map(({ id }) => id)).size, 3);
    await put(a, 'k', 'v');
    assert.equal(await get(b, 'k'), 'v');
    const leader = await cluster.leader();
    assert.equal((await cluster.followers()).length, 2);
    assert.ok(!(await cluster.followers()).includes(leader));
    await cluster.stop();
    for (const { pid, dir } of cluster.members) {
      assert.equal(isAlive(pid), false);
      assert.equal(existsSync(dir), false);
    }
  });

  it('elects another leader when one is killed or frozen, and takes it back', async () => {
    await using cluster = await startEtcdCluster();
    const first = await cluster.leader();
    first.kill();
    await first.exited;
    const second = await cluster.leader();
    assert.notEqual(second, first);
    await eventually(() => put(second, 'k', '1', 1_000));
    await first.restart();
    assert.equal(await eventually(() => get(first, 'k')), '1');

    second.pause();
    const third = await cluster.leader();
    assert.notEqual(third, second);
    await eventually(() => put(third, 'k', '2', 1_000));
    second.resume();
    await until(
      'the member that was frozen reads what it missed',
      async () => (await get(second, 'k').catch(() => undefined)) === '2',
    );
  });

  it('splits the members, in both directions, until healed', async () => {
    await using cluster = await startEtcdCluster({ partitionable: true });
    const old = await cluster.leader();
    await put(old, 'k', 'before');
    cluster.partition(old);
    await until('another leader', async () => (await cluster.leader()) !== old);
    const leader = await cluster.leader();
    await eventually(() => put(leader, 'k', 'after', 1_000));
    await assert.rejects(put(old, 'k', 'lost', 1_000), 'no majority on that side');
    assert.equal(await get(old, 'k', true), 'before', 'clients reach it, and it knows of nothing new');
    cluster.heal();
    await until('it catches up', async () => (await get(old, 'k', true)) === 'after');
  });

  it('recovers from whatever a test has left behind', async () => {
    await using cluster = await startEtcdCluster({ partitionable: true });
    const [a, b, c] = cluster.members;
    assert.ok(a && b && c);
    await put(a, 'k', 'v');
    cluster.partition(a);
    b.pause();
    for (const member of [a, c]) member.kill();
    await Promise.all([a.exited, c.exited]);
    assert.deepEqual(
      cluster.members.map(({ running }) => running),
      [false, true, false],
    );
    await cluster.recover();
    for (const member of cluster.members) assert.equal(await eventually(() => get(member, 'k')), 'v');
  });

  it('puts proxies before the client ports', async () => {
    await using cluster = await startEtcdCluster({ size: 1, clientProxies: true });
    const [member] = cluster.members;
    assert.ok(member?.proxy);
    assert.equal(member.port, member.proxy.port);
    await put(member, 'k', 'v');
    assert.ok(member.proxy.accepted > 0);
  });

  it('adds a member', async () => {
    // etcd refuses it until its members have been up for five seconds.
    await using cluster = await startEtcdCluster({ extraArgs: ['--strict-reconfig-check=false'] });
    const { peerUrl, start } = await cluster.newMember();
    await call(await cluster.leader(), 'cluster/member/add', { peerURLs: [peerUrl] });
    const member = await start();
    await put(member, 'k', 'v');
    assert.equal(cluster.members.length, 4);
  });

  it('goes with its process on Ctrl-C', async () => {
    const index = new URL('../src/index.js', import.meta.url).href;
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `const { startEtcdCluster } = await import(${JSON.stringify(index)});
         const { members } = await startEtcdCluster();
         console.log(JSON.stringify(members.map(({ pid, dir }) => ({ pid, dir }))));
         setInterval(() => {}, 1000);`,
      ],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        cwd: dirname(fileURLToPath(import.meta.url)),
        timeout: 240_000,
      },
    );
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const members = JSON.parse(String(line)) as { pid: number; dir: string }[];
    assert.equal(members.length, 3);
    child.kill('SIGINT');
    const [, signal] = await once(child, 'exit');
    assert.equal(signal, 'SIGINT');
    for (const { pid, dir } of members) {
      await until('the process is gone', async () => !isAlive(pid));
      await until('its data is gone', async () => !existsSync(dir));
    }
  });
});
