import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startService } from 'quiesce';
import { type EtcdServer, etcdService, startEtcd } from '../src/index.js';

/** A call of etcd's JSON gateway: real work without a client of our own. */
async function call(server: EtcdServer, path: string, body: object): Promise<unknown> {
  const response = await fetch(`${server.endpoint}/v3/${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  return response.json();
}

const put = (server: EtcdServer, key: string, value: string): Promise<unknown> =>
  call(server, 'kv/put', { key: btoa(key), value: btoa(value) });

async function get(server: EtcdServer, key: string): Promise<string | undefined> {
  const reply = (await call(server, 'kv/range', { key: btoa(key) })) as { kvs?: { value: string }[] };
  const value = reply.kvs?.[0]?.value;
  return value === undefined ? undefined : atob(value);
}

/** GET /version over TLS: the server's version. */
function version(server: EtcdServer, client?: { cert: string; key: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request(
      `${server.endpoint}/version`,
      { ca: server.certificates?.ca, ...client, agent: false },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          body += chunk;
        });
        response.on('end', () => resolve((JSON.parse(body) as { etcdserver: string }).etcdserver));
      },
    );
    call.on('error', reject);
    call.end();
  });
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe('startEtcd', () => {
  it('serves, then leaves neither process nor data', async () => {
    const server = await startEtcd();
    await put(server, 'a', 'b');
    assert.equal(await get(server, 'a'), 'b');
    assert.equal(isAlive(server.pid), true);
    assert.equal(existsSync(server.dir), true);
    await server.stop();
    await server.stop();
    assert.equal(isAlive(server.pid), false);
    assert.equal(existsSync(server.dir), false);
    await assert.rejects(server.restart(), /its data removed/);
  });

  it('keeps port and data over a restart, also after kill -9', async () => {
    await using server = await startEtcd();
    const { endpoint, pid } = server;
    await put(server, 'kept', '1');
    await server.restart();
    assert.notEqual(server.pid, pid);
    assert.equal(server.endpoint, endpoint);
    assert.equal(await get(server, 'kept'), '1');

    server.kill();
    assert.equal((await server.exited).signal, 'SIGKILL');
    await assert.rejects(get(server, 'kept'));
    await server.restart();
    assert.equal(await get(server, 'kept'), '1');
  });

  it('answers nothing while paused', async () => {
    await using server = await startEtcd();
    await put(server, 'a', 'b');
    server.pause();
    let answered = false;
    const late = get(server, 'a').then((value) => {
      answered = true;
      return value;
    });
    await delay(300);
    assert.equal(answered, false);
    server.resume();
    assert.equal(await late, 'b');
  });

  it('has stopped with all its threads once it is paused', {
    skip: process.platform !== 'linux' && 'only Linux reports the state of threads',
  }, async () => {
    await using server = await startEtcd();
    const threads = (): string[] => readdirSync(`/proc/${server.pid}/task`);
    const state = (thread: string): string | undefined =>
      /^State:\s+(\w)/m.exec(readFileSync(`/proc/${server.pid}/task/${thread}/status`, 'utf8'))?.[1];
    for (let round = 0; round < 50; round++) {
      // So that several threads have work when it is paused.
      const busy = Array.from({ length: 8 }, () => get(server, 'a'));
      await delay(1);
      server.pause();
      const states = threads().map(state);
      server.resume();
      await Promise.all(busy);
      assert.deepEqual(new Set(states), new Set(['T']), `round ${round}`);
    }
  });

  it('stops quickly when paused', async () => {
    const server = await startEtcd();
    server.pause();
    const start = performance.now();
    await server.stop();
    assert.ok(performance.now() - start < 4_000);
    assert.equal(isAlive(server.pid), false);
  });

  it('speaks TLS with a certificate that its authority signed', async () => {
    await using server = await startEtcd({ tls: {} });
    assert.match(server.endpoint, /^https:/);
    assert.match(await version(server), /^3\./);
    await assert.rejects(fetch(`${server.endpoint}/version`), 'an authority nobody trusts');
  });

  it('demands a client certificate when asked to', async () => {
    await using server = await startEtcd({ tls: { requireClientCert: true } });
    assert.ok(server.certificates);
    const { clientCert: cert, clientKey: key } = server.certificates;
    assert.match(await version(server, { cert, key }), /^3\./);
    await assert.rejects(version(server));
  });

  it('leaves nothing behind when etcd refuses to start', async () => {
    const { TMPDIR } = process.env;
    const dir = mkdtempSync(join(tmpdir(), 'quiesce-test-'));
    process.env.TMPDIR = dir;
    try {
      await assert.rejects(startEtcd({ extraArgs: ['--no-such-flag'] }), /exited with code 2/);
      assert.deepEqual(readdirSync(dir), []);
    } finally {
      if (TMPDIR === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = TMPDIR;
      rmSync(dir, { recursive: true });
    }
  });
});

describe('etcdService', () => {
  it('lets programs know where it listens', async () => {
    await using service = await startService('etcd', etcdService());
    const endpoint = service.env.ETCD_ENDPOINTS;
    assert.equal(endpoint, `http://127.0.0.1:${service.ports.client}`);
    assert.equal((await fetch(`${endpoint}/health`)).status, 200);
  });
});
