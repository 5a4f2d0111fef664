// @quiesce/etcd/testing: an etcd for a user's tests serves, and leaves nothing behind however the tests end.
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createCertificates, etcdBinary } from '@quiesce/test-services';
import { connect, DeadlineExceededError, InvalidArgumentError, op } from '../src/index.js';
import { isStopped } from '../src/testing/stopped.js';
import { type EtcdServer, EtcdStartError, startEtcd, startEtcdCluster } from '../src/testing/testing.js';
import { eventually } from './support/eventually.js';
import { program, programFolder } from './support/program.js';
import { temporaryDirectory } from './support/temporary-directory.js';

process.env.ETCD_BIN = etcdBinary();
const exec = promisify(execFile);
const url = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
const imports = `
  import { connect } from ${url('../src/index.js')};
  import { startEtcd } from ${url('../src/testing/testing.js')};
`;

const isThere = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

/** The command lines that hold these words, of all processes. */
const commandsWith = (words: string): string[] =>
  execFileSync('ps', ['-A', '-ww', '-o', 'args='], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(words));
const kill = async (server: EtcdServer): Promise<void> => server.kill();
const disposal = (server: EtcdServer): Promise<void> => Promise.resolve(server[Symbol.asyncDispose]());

/** Runs with a variable of the environment that has another value, or none. */
async function withEnv(values: Record<string, string | undefined>, run: () => Promise<void>): Promise<void> {
  const before = Object.keys(values).map((name) => [name, process.env[name]] as const);
  const set = ([name, value]: readonly [string, string | undefined]): void => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  Object.entries(values).forEach(set);
  try {
    await run();
  } finally {
    before.forEach(set);
  }
}

describe('startEtcd', () => {
  test('refuses certificates that no server could use', async () => {
    await assert.rejects(startEtcd({ tls: { cert: 'a', key: 'b' } }), (error) => {
      assert.ok(error instanceof InvalidArgumentError, String(error));
      assert.match(error.message, /^tls\.cert is not a PEM certificate/);
      return true;
    });
  });

  test('refuses one port for both', async () => {
    await assert.rejects(startEtcd({ port: 23_791, peerPort: 23_791 }), {
      name: 'InvalidArgumentError',
      message: 'port and peerPort are both 23791; etcd listens on two ports, so give two',
    });
  });

  test('fails with the function that waits for it in the stack', async () => {
    async function myTest(): Promise<void> {
      await startEtcd({ binary: '/bin/true' });
    }
    await assert.rejects(myTest(), (error) => {
      assert.ok(error instanceof EtcdStartError, String(error));
      assert.match(error.stack ?? '', /\bmyTest\b/);
      return true;
    });
  });

  test('serves, is restarted with its data, and is gone with all it had', async () => {
    const server = await startEtcd();
    await using etcd = await connect(server.endpoint);
    await etcd.put('a', '1');
    const { pid } = server;
    server.kill();
    assert.deepEqual(await server.exited, { code: null, signal: 'SIGKILL' });
    assert.equal(server.running, false);
    await server.restart();
    assert.equal((await etcd.get('a'))?.text(), '1');
    server.pause();
    await assert.rejects(etcd.get('a', { timeoutMs: 200 }));
    server.resume();
    assert.equal((await etcd.get('a'))?.text(), '1');
    assert.match(server.log(), /ready to serve client requests/);
    await Promise.all([server.stop(), server.stop()]);
    assert.deepEqual([pid, server.pid].map(isThere), [false, false]);
    assert.equal(existsSync(server.dir), false);
    await assert.rejects(server.restart(), EtcdStartError);
  });

  test('answers nothing once pause() has returned, however busy it was', async () => {
    await using server = await startEtcd();
    await using etcd = await connect(server.endpoint);
    await using busy = await connect(server.endpoint);
    const ending = new AbortController();
    const load = Array.from({ length: 32 }, async () => {
      while (!ending.signal.aborted) await busy.get('a');
    });
    try {
      for (let round = 0; round < 30; round++) {
        await etcd.get('a');
        server.pause();
        assert.equal(isStopped(server.pid), true);
        await assert.rejects(etcd.get('a', { timeoutMs: 30 }), DeadlineExceededError);
        server.resume();
      }
    } finally {
      ending.abort();
      server.resume();
      await Promise.all(load);
    }
  });

  test('keeps its ports while it is down, and gives them back with its end', {
    skip: process.platform !== 'linux' && 'ports are kept on Linux',
  }, async () => {
    // Linux gives the port of a connection to nobody who asks for any free port.
    const isKept = (port: number): boolean => {
      const address = `: 0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} `;
      return readFileSync('/proc/net/tcp', 'utf8')
        .split('\n')
        .some((line) => line.includes(address) && / 01 /.test(line));
    };
    const server = await startEtcd();
    server.kill();
    await server.exited;
    assert.equal(isKept(server.port), true);
    await server.restart();
    await server.stop();
    await eventually('the port is free', () => !isKept(server.port));
  });

  describe('leaves no process and no directory, however its calls meet:', () => {
    const meetings: [string, (server: EtcdServer) => Promise<unknown>[]][] = [
      ['restart and stop', (server) => [server.restart(), server.stop()]],
      ['two restarts and stop', (server) => [server.restart(), server.restart(), server.stop()]],
      ['stop and restart', (server) => [server.stop(), server.restart()]],
      ['stop while it restarts', (server) => [server.restart(), pause(200).then(() => server.stop())]],
      ['pause and stop', (server) => [Promise.resolve(server.pause()), server.stop()]],
      ['stop and pause', (server) => [server.stop(), Promise.resolve(server.pause())]],
      ['kill, restart and disposal', (server) => [kill(server), server.restart(), disposal(server)]],
      ['two stops', (server) => [server.stop(), server.stop()]],
    ];
    for (const [meeting, begin] of meetings) {
      test(meeting, { timeout: 240_000 }, async () => {
        const server = await startEtcd();
        const outcomes = await Promise.allSettled(begin(server));
        for (const outcome of outcomes) {
          if (outcome.status === 'fulfilled') continue;
          assert.ok(outcome.reason instanceof EtcdStartError, String(outcome.reason));
          assert.match(outcome.reason.message, /this etcd was stopped, and its data removed/);
        }
        await server.stop();
        assert.equal(existsSync(server.dir), false);
        await eventually('all of it goes', () => commandsWith(server.dir).length === 0);
        assert.equal(server.running, false);
      });
    }

    test('two restarts: it serves in the end', async () => {
      await using server = await startEtcd();
      await Promise.all([server.restart(), server.restart()]);
      assert.equal(commandsWith(`--data-dir=${server.dir}`).length, 1);
      await using etcd = await connect(server.endpoint);
      await etcd.put('a', '1');
    });

    test('a start that is aborted', async () => {
      const dir = temporaryDirectory();
      await withEnv({ TMPDIR: dir }, async () => {
        for (const ms of [0, 5, 50, 150]) {
          const control = new AbortController();
          const starting = startEtcd({ signal: control.signal });
          setTimeout(() => control.abort(new Error('no longer')), ms);
          const started = await starting.catch((error: unknown) => {
            assert.match(String(error), /no longer/);
          });
          // A fast machine has started it in the longer times.
          assert.ok(started === undefined || ms > 5, `started within ${ms} ms`);
          await started?.stop();
          assert.deepEqual(readdirSync(dir), []);
          await eventually('all of it goes', () => commandsWith(dir).length === 0);
        }
      });
    });

    test('a restart that fails, as its directory is gone', async () => {
      await using server = await startEtcd();
      rmSync(server.dir, { recursive: true });
      await assert.rejects(server.restart(), /quiesce-etcd-data-\w+ is gone, and this etcd's data with it/);
      assert.deepEqual([server.running, existsSync(server.dir)], [false, false]);
      await server.stop();
      await eventually('all of it goes', () => commandsWith(server.dir).length === 0);
    });
  });

  test('takes flags, and none of the settings of a shell', async () => {
    await withEnv({ ETCD_NAME: 'of the shell', ETCD_AUTH_TOKEN: 'nonsense' }, async () => {
      await using server = await startEtcd({ args: ['--max-txn-ops=200'] });
      await using etcd = await connect(server.endpoint);
      assert.deepEqual(
        (await etcd.cluster.memberList()).map(({ name }) => name),
        ['default'],
      );
      await etcd.txn({ success: Array.from({ length: 200 }, (_, i) => op.get(`k${i}`)) });
    });
  });

  test('serves over TLS, with client certificates where they are wanted', async () => {
    const { ca, serverCert: cert, serverKey: key, clientCert, clientKey } = await createCertificates();
    await using server = await startEtcd({ tls: { cert, key, clientCa: ca } });
    assert.match(server.endpoint, /^https:/);
    await using etcd = await connect({
      endpoints: server.endpoint,
      tls: { ca, cert: clientCert, key: clientKey },
    });
    await etcd.put('a', '1');
  });

  test('says why there is no etcd, and leaves nothing where it does not start', async () => {
    const dir = temporaryDirectory();
    await withEnv({ TMPDIR: dir, PATH: dir, ETCD_BIN: undefined }, async () => {
      await assert.rejects(startEtcd(), /no etcd was found: install one .*ETCD_BIN/);
      const binary = join(dir, 'none');
      await assert.rejects(
        startEtcd({ binary }),
        /option binary names ".*none", which is not an executable file/,
      );
    });
    await withEnv({ TMPDIR: join(dir, 'none') }, async () => {
      await assert.rejects(startEtcd(), (error) => {
        assert.ok(error instanceof EtcdStartError, String(error));
        return /no directory for the data of an etcd: ENOENT.*; check TMPDIR/.test(error.message);
      });
    });
    await withEnv({ ETCD_BIN: '/nowhere/etcd' }, async () => {
      await assert.rejects(startEtcd(), /ETCD_BIN names "\/nowhere\/etcd"/);
    });
    await withEnv({ TMPDIR: dir }, async () => {
      await assert.rejects(startEtcd({ args: ['--no-such-flag'] }), (error: unknown) => {
        assert.ok(error instanceof EtcdStartError);
        assert.match(
          error.message,
          /exited with code 2 before it was ready: flag provided but not defined: -no-such-flag; its last lines:/,
        );
        assert.match(error.log, /no-such-flag/);
        return true;
      });
      await using server = await startEtcd();
      await assert.rejects(
        startEtcd({ port: server.port }),
        new RegExp(
          `exited with code 1 before it was ready, as 127.0.0.1:${server.port} is in use by another process`,
        ),
      );
      await assert.rejects(startEtcd({ args: ['a\0b'] }), /can't be run: .*null bytes/);
      const text = join(dir, 'text');
      writeFileSync(text, 'no program', { mode: 0o755 });
      await assert.rejects(startEtcd({ binary: text }), (error) => error instanceof EtcdStartError);
      rmSync(text);
      await assert.rejects(startEtcd({ timeoutMs: 1 }), /not ready within 1 ms/);
      const signal = AbortSignal.timeout(20);
      await assert.rejects(startEtcd({ signal }), { name: 'TimeoutError' });
      await server.stop();
      assert.deepEqual(readdirSync(dir), []);
    });
  });

  test('has the PATH searched', async () => {
    await withEnv({ PATH: dirname(etcdBinary()), ETCD_BIN: undefined }, async () => {
      const dir = temporaryDirectory();
      writeFileSync(join(dir, 'etcd'), `#!/bin/sh\nexec ${etcdBinary()} "$@"\n`, { mode: 0o755 });
      process.env.PATH = `${dir}:/bin`;
      await using server = await startEtcd();
      assert.ok(server.running);
    });
  });

  for (const [end, how] of [
    ['SIGKILL', (child: ChildProcess) => child.kill('SIGKILL')],
    ['SIGINT, as Ctrl-C', (child: ChildProcess) => child.kill('SIGINT')],
    ['process.exit()', (child: ChildProcess) => child.stdin?.end('exit\n')],
    ['its end', (child: ChildProcess) => child.stdin?.end()],
  ] as const) {
    test(`leaves nothing when its process ends by ${end}`, { timeout: 240_000 }, async () => {
      const file = program(`${imports}
        const server = await startEtcd();
        console.log(JSON.stringify([server.pid, server.dir]));
        for await (const line of process.stdin) process.exit(0);
      `);
      const child = spawn(process.execPath, [file], { stdio: ['pipe', 'pipe', 'inherit'], timeout: 240_000 });
      const [line] = (await once(child.stdout, 'data')) as [Buffer];
      const [pid, dir] = JSON.parse(String(line)) as [number, string];
      assert.ok(isThere(pid) && existsSync(dir));
      how(child);
      await once(child, 'exit');
      await eventually('the server goes', () => !isThere(pid));
      await eventually('its directory goes', () => !existsSync(dir));
    });
  }
});

test('startEtcdCluster has members that are one store', { timeout: 240_000 }, async () => {
  await using cluster = await startEtcdCluster();
  assert.equal(cluster.members.length, 3);
  await using etcd = await connect({ endpoints: cluster.endpoints });
  await etcd.put('a', '1');
  const [first, ...others] = cluster.members;
  first?.kill();
  assert.equal((await etcd.get('a', { timeoutMs: 20_000 }))?.text(), '1');
  await first?.restart();
  for (const { endpoint } of [first ?? assert.fail(), ...others]) {
    await using one = await connect(endpoint);
    assert.equal((await one.get('a'))?.text(), '1');
  }
  await cluster.stop();
  assert.deepEqual(
    cluster.members.map(({ dir, pid }) => [existsSync(dir), isThere(pid)]),
    Array(3).fill([false, false]),
  );
});

test('wrong options are errors at once', async () => {
  const wrong = (options: object, message: RegExp) =>
    assert.rejects(
      startEtcd(options),
      (error) => error instanceof InvalidArgumentError && message.test(error.message),
    );
  await wrong({ prot: 2379 }, /no option prot; did you mean port\?/);
  await wrong({ port: '2379' }, /port is '2379'; it must be a port, from 1 to 65535/);
  await wrong({ args: '--debug' }, /args is '--debug'; it must be an array of strings/);
  await wrong({ tls: { cert: 'a' } }, /tls\.key is missing/);
  await assert.rejects(startEtcdCluster({ size: 0 }), InvalidArgumentError);
});

describe('under a test runner', () => {
  const body = `
    let server;
    before(async () => { server = await startEtcd(); });
    after(() => server.stop());
    test('a test with an etcd', async () => {
      const etcd = await connect(server.endpoint);
      await etcd.put('a', '1');
      if ((await etcd.get('a'))?.text() !== '1') throw new Error('another value');
      await etcd.close();
    });
    test('one that forgets to stop its own', async () => { await startEtcd(); });
  `;

  const { bun, deno } = process.versions;
  const otherRunner = (bun || deno) && 'this host has a runner of its own, under which this file runs';
  test('node:test', { timeout: 240_000, skip: otherRunner ?? false }, async () => {
    const file = program(`import { after, before, test } from 'node:test'; ${imports} ${body}`);
    // A runner in a runner would report to that one.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { stdout } = await exec(process.execPath, ['--test', file], { env, timeout: 240_000 });
    assert.match(stdout, /pass [23]/);
  });

  test('vitest', { timeout: 240_000 }, async () => {
    const dir = join(programFolder(), 'vitest-testing');
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'package.json'), '{ "type": "module" }');
    const names = "import { afterAll as after, beforeAll as before, test } from 'vitest';";
    writeFileSync(join(dir, 'a.test.mjs'), `${names} ${imports} ${body}`);
    const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
    const args = [vitest, 'run', '--root', dir, '--no-color'];
    const { stdout } = await exec(process.execPath, args, { timeout: 240_000, killSignal: 'SIGKILL' });
    assert.match(stdout, /Tests\s+2 passed \(2\)/);
  });
});
