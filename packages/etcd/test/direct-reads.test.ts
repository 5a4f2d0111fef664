// While few calls are in flight, JavaScript's thread reads their answers itself: crates/etcd-transport/src/direct.rs.
// Only Node's event loop can.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { type EtcdServer, startTcpProxy } from '@quiesce/test-services';
import { connect, type EtcdClient } from '../src/index.js';
import { nativeUnavailable } from '../src/transport/native/native.js';
import { withServer } from './support/clients.js';
import { OwnTime } from './support/own-time.js';
import { program } from './support/program.js';

const exec = promisify(execFile);
const library = JSON.stringify(new URL('../src/index.js', import.meta.url).href);

/** Enough calls for JavaScript's thread to begin, and then some. */
const CALLS = 300;

const skip =
  nativeUnavailable()?.message ??
  (process.versions.bun !== undefined || process.versions.deno !== undefined
    ? "this host's event loop isn't libuv's"
    : false);

/** How often the runtime's thread has slept and was woken. Linux only. */
function timesWoken(): number {
  const own = '/proc/self/task';
  for (const id of readdirSync(own)) {
    if (readFileSync(`${own}/${id}/comm`, 'utf8').trim() !== 'quiesce-etcd') continue;
    const count = /^voluntary_ctxt_switches:\s+(\d+)$/m.exec(
      readFileSync(`${own}/${id}/status`, 'utf8'),
    )?.[1];
    return Number(count);
  }
  throw new Error('there is no such thread');
}

async function oneAfterAnother(etcd: EtcdClient, calls = CALLS): Promise<void> {
  for (let i = 0; i < calls; i++) {
    await etcd.put('direct', String(i));
    assert.equal((await etcd.get('direct'))?.text(), String(i));
  }
}

describe('direct reads', { skip }, () => {
  let server: EtcdServer;
  // Else etcd ends connections that PING more often than each 5 s.
  withServer(
    (started) => {
      server = started;
    },
    { extraArgs: ['--grpc-keepalive-min-time=100ms'] },
  );
  const open = (): Promise<EtcdClient> => connect({ endpoints: server.endpoint, transport: 'native' });

  test("the runtime's thread sleeps while calls are made one after another, and works for many", {
    skip: process.platform === 'linux' ? false : 'threads are looked at in /proc',
  }, async () => {
    await using etcd = await open();
    await oneAfterAnother(etcd);
    // It looks at each tenth of a second whether anything was read. On a busy machine it may also take over for a while,
    // but not in each round.
    for (let round = 1, asleep = false; !asleep; round++) {
      const before = timesWoken();
      const start = performance.now();
      await oneAfterAnother(etcd);
      const woken = timesWoken() - before;
      asleep = woken < 2 * CALLS * 0.2 + (performance.now() - start) / 50;
      assert.ok(asleep || round < 10, `${woken} times for ${2 * CALLS} calls`);
    }

    const keys = Array.from({ length: 64 }, (_, i) => `direct/${i}`);
    const many = timesWoken();
    for (let round = 0; round < 20; round++)
      await Promise.all(keys.map((key) => etcd.put(key, String(round))));
    assert.ok(timesWoken() - many >= 20);
    await oneAfterAnother(etcd, 50);
  });

  test('answers of all lengths arrive whole', async () => {
    await using etcd = await open();
    await oneAfterAnother(etcd, 20);
    for (const bytes of [0, 1, 60, 4096, 16_384, 65_536, 300_000, 1_000_000]) {
      const value = Buffer.alloc(bytes, 'v');
      for (let i = 0; i < 12; i++) {
        await etcd.put('long', value);
        assert.ok(value.equals((await etcd.get('long'))?.value ?? Buffer.from('missing')), `${bytes} bytes`);
      }
    }
  });

  test("keepalive doesn't depend on JavaScript's thread", async () => {
    const blocked = program(`
      import { connect } from ${library};
      const etcd = await connect(JSON.parse(process.argv[2]));
      for (let i = 0; i < 20; i++) await etcd.get('direct');
      const watch = etcd.watch('other');
      await watch.ready;
      watch.on('disconnected', () => process.exit(3));
      for (let i = 0; i < 20; i++) await etcd.get('direct');
      const end = performance.now() + 2_500;
      while (performance.now() < end);
      await etcd.get('direct');
      await new Promise((resolve) => setTimeout(resolve, 100));
      await etcd.close();`);
    const options = {
      endpoints: server.endpoint,
      transport: 'native',
      keepAlive: { intervalMs: 200, timeoutMs: 500 },
    };
    await exec(process.execPath, [blocked, JSON.stringify(options)], {
      timeout: 240_000,
      killSignal: 'SIGKILL',
    });
  });

  // Each ends, in another way, while the event loop calls JavaScript for an answer that it has read.
  for (const [what, end, expected] of [
    ['the end of the program', 'return', { code: 0 }],
    ['process.exit()', 'process.exit(7)', { code: 7 }],
    [
      'an exception',
      "process.nextTick(() => { throw new Error('expected') })",
      { code: 1, stderr: /expected/ },
    ],
    [
      'a rejection that nobody handles',
      "void Promise.reject(new Error('expected'))",
      { code: 1, stderr: /expected/ },
    ],
    ['the end of the client', 'await etcd.close(); return', { code: 0 }],
    [
      'a new client for each few calls',
      'await etcd.close(); rounds += 1; if (rounds < 15) return work(options); if (leaks()) process.exit(9); return',
      { code: 0 },
    ],
  ] as const) {
    test(`${what} is as clean as ever`, async () => {
      const calls = `
        import { readdirSync } from 'node:fs';
        import { connect } from ${library};
        let rounds = 0;
        let files = 0;
        const leaks = () => process.platform === 'linux' && readdirSync('/proc/self/fd').length > files + 3;
        const work = async (options) => {
          const etcd = await connect(options);
          for (let i = 0; ; i++) {
            await etcd.get('direct');
            if (files === 0 && process.platform === 'linux') files = readdirSync('/proc/self/fd').length;
            if (i > 20 && i % 20 === 0) { ${end}; }
          }
        };`;
      const main = program(`${calls} await work(JSON.parse(process.argv[2]));`);
      const options = JSON.stringify({ endpoints: server.endpoint, transport: 'native' });
      await ends(main, options, expected);
      const inWorker = program(`
        import { Worker, isMainThread, workerData } from 'node:worker_threads';
        import { fileURLToPath } from 'node:url';
        ${calls}
        if (isMainThread) {
          const worker = new Worker(fileURLToPath(import.meta.url), { workerData: process.argv[2] });
          worker.on('exit', (code) => process.exit(code));
        } else await work(JSON.parse(workerData));`);
      await ends(inWorker, options, expected);
    });
  }

  test('terminate() is as clean as ever', async () => {
    const main = program(`
      import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
      import { fileURLToPath } from 'node:url';
      import { connect } from ${library};
      if (isMainThread) {
        for (let round = 0; round < 10; round++) {
          const worker = new Worker(fileURLToPath(import.meta.url), { workerData: process.argv[2] });
          await new Promise((resolve) => worker.once('message', resolve));
          await worker.terminate();
        }
      } else {
        const etcd = await connect(JSON.parse(workerData));
        for (let i = 0; ; i++) {
          await etcd.get('direct');
          if (i === 30) parentPort.postMessage('busy');
        }
      }`);
    await ends(main, JSON.stringify({ endpoints: server.endpoint, transport: 'native' }), { code: 0 });
  });

  test('a server that goes away is noticed at once', async () => {
    await using proxy = await startTcpProxy({ port: server.port });
    await using etcd = await connect({ endpoints: `http://127.0.0.1:${proxy.port}`, transport: 'native' });
    for (let round = 0; round < 5; round++) {
      await oneAfterAnother(etcd, 20);
      proxy.cut();
      using time = new OwnTime();
      await etcd.get('direct');
      assert.ok(time.ms < 10_000, `${time.ms} ms`);
    }
  });

  async function ends(
    file: string,
    options: string,
    expected: { code: number; stderr?: RegExp },
  ): Promise<void> {
    const { code, stderr } = await exec(process.execPath, [file, options], {
      timeout: 240_000,
      killSignal: 'SIGKILL',
    }).then(
      ({ stderr }) => ({ code: 0 as unknown, stderr }),
      (error: { code: unknown; signal: unknown; stderr: string }) => ({
        code: error.code ?? error.signal,
        stderr: error.stderr,
      }),
    );
    assert.equal(code, expected.code, stderr);
    if (expected.stderr === undefined) assert.equal(stderr, '');
    else assert.match(stderr, expected.stderr);
  }
});
