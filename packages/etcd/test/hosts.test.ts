// What hosts offer beside a main thread: workers of two kinds and vm contexts. Runs on each of Node, Bun and Deno
// (npm run runtimes).
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { createContext, runInContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import type { EtcdServer } from '@quiesce/test-services';
import { compare, type EtcdClient, InvalidArgumentError, op, prefix } from '../src/index.js';
import { busy } from './support/busy.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { eventually } from './support/eventually.js';
import { program } from './support/program.js';
import { runtimeThreads } from './support/runtime-threads.js';

const library = JSON.stringify(new URL('../src/index.js', import.meta.url).href);
const exec = promisify(execFile);

/** Runs a program to its end, which must be quiet and with code 0. */
async function runQuietly(source: string): Promise<string> {
  const options = { timeout: 240_000, killSignal: 'SIGKILL' } as const;
  const { stdout, stderr } = await exec(process.execPath, [program(source)], options);
  assert.equal(stderr, '');
  return stdout;
}

overEachTransport('hosts', (connectHere) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  let options: { endpoints: string; transport: 'native' | 'grpc-js' };
  withEtcd(connectHere, (given) => {
    ({ server, etcd } = given);
    options = { endpoints: server.endpoint, transport: etcd.transport };
  });

  /** All is as before: this thread's client works, and of the runtime's threads there is its own alone. */
  async function assertUnharmed(): Promise<void> {
    await etcd.put('unharmed', 'yes');
    assert.equal((await etcd.get('unharmed'))?.text(), 'yes');
    if (process.platform !== 'linux') return;
    const own = etcd.transport === 'native' ? 1 : 0;
    await eventually('threads of workers are gone', () => runtimeThreads() === own);
  }

  test('several clients in several workers work side by side, and end with their worker, closed or not', async () => {
    const source = `
      import { parentPort, workerData } from 'node:worker_threads';
      import { connect, prefix } from ${library};
      const { options, name, close } = workerData;
      const clients = await Promise.all([0, 1, 2].map(() => connect(options)));
      const watch = clients[0].watch(prefix('workers/' + name + '/'));
      await watch.ready;
      const puts = clients.flatMap((etcd, c) =>
        Array.from({ length: 20 }, (_, i) => etcd.put('workers/' + name + '/' + c + '/' + i, name)));
      let seen = 0;
      for await (const event of watch) {
        if (event.kv.text() !== name) throw new Error('an event of another worker');
        if (++seen === puts.length) break;
      }
      await Promise.all(puts);
      if (close) await Promise.all(clients.map((etcd) => etcd.close()));
      parentPort.postMessage(seen);`;
    const file = program(source);
    const ends = [0, 1, 2, 3].map(async (n) => {
      const worker = new Worker(file, { workerData: { options, name: `w${n}`, close: n % 2 === 0 } });
      const exited = once(worker, 'exit');
      const [seen] = await once(worker, 'message');
      const [code] = await exited;
      return { seen, code };
    });
    assert.deepEqual(await Promise.all(ends), new Array(4).fill({ seen: 60, code: 0 }));
    assert.equal((await etcd.range(prefix('workers/'))).kvs.length, 4 * 60);
    await assertUnharmed();
  });

  test('workers terminated in mid-call end, and harm neither each other nor the main thread', async () => {
    const file = program(`
      import { parentPort, workerData } from 'node:worker_threads';
      import { connect } from ${library};
      ${busy}
      await keepBusy(connect, workerData.options, workerData.name, 2);
      parentPort.postMessage('busy');`);
    const terminated = async (n: number): Promise<void> => {
      const worker = new Worker(file, { workerData: { options, name: n } });
      worker.on('error', (error) => assert.fail(error));
      await once(worker, 'message');
      await sleep(n);
      await worker.terminate();
    };
    for (let round = 0; round < 3; round++) {
      await Promise.all([0, 3, 7].map((n) => terminated(n)));
      await assertUnharmed();
    }
  });

  test('workers terminated while they connect end, too', async () => {
    const file = program(`
      import { parentPort, workerData } from 'node:worker_threads';
      import { connect } from ${library};
      parentPort.postMessage('connecting');
      for (;;) void await connect(workerData.options);`);
    for (const ms of [0, 1, 2, 5, 10]) {
      const worker = new Worker(file, { workerData: { options } });
      await once(worker, 'message');
      await sleep(ms);
      await worker.terminate();
    }
    await assertUnharmed();
  });

  for (const [ending, body] of [
    [
      'by itself, its workers terminated in mid-call',
      'for (const worker of workers) await worker.terminate();',
    ],
    ['by process.exit() while its workers are in mid-call', 'process.exit();'],
  ] as const) {
    test(`a process ends ${ending}`, async () => {
      const worker = program(`
        import { parentPort, workerData } from 'node:worker_threads';
        import { connect } from ${library};
        ${busy}
        await keepBusy(connect, workerData.options, workerData.name, 1);
        parentPort.postMessage('busy');`);
      const main = `
        import { once } from 'node:events';
        import { Worker } from 'node:worker_threads';
        const workers = [0, 1, 2].map((name) =>
          new Worker(${JSON.stringify(worker)}, { workerData: { options: ${JSON.stringify(options)}, name } }));
        await Promise.all(workers.map((worker) => once(worker, 'message')));
        console.log('busy');
        ${body}`;
      for (let i = 0; i < 2; i++) assert.equal(await runQuietly(main), 'busy\n');
    });
  }

  test('Web Workers terminated in mid-call end, and harm neither each other nor the main thread', {
    skip: 'Worker' in globalThis ? false : 'Node has no Web Workers',
  }, async () => {
    const file = program(`
      import { connect } from ${library};
      ${busy}
      self.onmessage = async ({ data }) => {
        await keepBusy(connect, data.options, data.name, 2);
        self.postMessage('busy');
      };`);
    const WebWorker = (globalThis as unknown as { Worker: WebWorkerConstructor }).Worker;
    const terminated = async (n: number): Promise<void> => {
      const worker = new WebWorker(pathToFileURL(file).href, { type: 'module' });
      const answered = new Promise((resolve, reject) => {
        worker.onmessage = resolve;
        worker.onerror = reject;
      });
      worker.postMessage({ options, name: n });
      await answered;
      await sleep(n);
      worker.terminate();
    };
    for (let round = 0; round < 3; round++) {
      await Promise.all([0, 3, 7].map((n) => terminated(n)));
      await assertUnharmed();
    }
  });

  test('a vm context uses the client with its own arrays, bytes, signals and errors', async () => {
    // Its Uint8Array, Array and Object aren't those of the client.
    const context = createContext({ etcd, compare, op, prefix, AbortController, InvalidArgumentError });
    const found = await runInContext(
      `(async () => {
        const key = new Uint8Array([118, 109, 47, 1]);
        await etcd.put(key, new Uint8Array([1, 2, 3]));
        const kv = await etcd.get(key);
        const { kvs } = await etcd.range(prefix('vm/'), { limit: 10 });
        const txn = await etcd.txn({
          compare: [compare.version(key, '=', 1n)],
          success: [op.put(key, 'changed'), op.get(key)],
        });
        const seen = [];
        const watch = etcd.watch(key, { startRevision: kv.modRevision });
        for await (const event of watch) { seen.push(event.kv.text()); if (seen.length === 2) break; }
        const controller = new AbortController();
        controller.abort(new Error('of the context'));
        const aborted = await etcd.get(key, { signal: controller.signal }).catch((error) => error.message);
        const refused = await etcd.put(key, 5).catch((error) => error instanceof InvalidArgumentError);
        return JSON.stringify({ value: [...kv.value], count: kvs.length, succeeded: txn.succeeded, seen, aborted, refused });
      })()`,
      context,
    );
    assert.deepEqual(JSON.parse(found), {
      value: [1, 2, 3],
      count: 1,
      succeeded: true,
      seen: ['\u0001\u0002\u0003', 'changed'],
      aborted: 'of the context',
      refused: true,
    });
  });
});

/** Bun's and Deno's, as far as it is used here; Node's types have none. */
type WebWorkerConstructor = new (
  url: string,
  options: { type: 'module' },
) => {
  onmessage: (event: unknown) => void;
  onerror: (event: unknown) => void;
  postMessage(message: unknown): void;
  terminate(): void;
};
