// The native transport's lifetime in its host: the runtime's thread, the hold on the event loop, and the
// ways to the end.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { run as quiesce } from 'quiesce';
import { ClosedError } from '../src/errors.js';
import { nativeTransport, nativeUnavailable } from '../src/transport/native/native.js';
import { OwnTime } from './support/own-time.js';
import { program } from './support/program.js';
import { runtimeThreads } from './support/runtime-threads.js';
import { type ScriptedServer, startScriptedServer } from './support/scripted-server.js';

const exec = promisify(execFile);
const nativeModule = JSON.stringify(new URL('../src/transport/native/native.js', import.meta.url).href);

/** Checks how many runtime threads this process has. Linux lists a thread for a moment after it was joined. */
async function assertRuntimeThreads(expected: number): Promise<void> {
  for (let i = 0; runtimeThreads() > expected && i < 1_000; i++) await sleep(1);
  assert.equal(runtimeThreads(), expected);
}

const skip = nativeUnavailable()?.message ?? false;

const LONG_BYTES = 1024 * 1024;

/** A worker that says when it holds long answers, and goes on to ask for others. */
const holdsLongAnswers = `
  import { parentPort, workerData } from 'node:worker_threads';
  import { nativeTransport } from ${nativeModule};
  const transport = nativeTransport({ endpoint: workerData });
  const long = () => transport.unary('/test.Script/long', new Uint8Array());
  globalThis.kept = await Promise.all([long(), long(), long()]);
  parentPort.postMessage('holding');
  for (;;) await Promise.all([long(), long(), long()]);`;

describe('native transport', { skip }, () => {
  let server: ScriptedServer;
  let hello: (transport: ReturnType<typeof nativeTransport>) => Promise<unknown>;

  before(async () => {
    server = await startScriptedServer({
      unary: {
        hello: (_call, answer) => answer(null, Buffer.from('hello')),
        // Long enough to be handed over rather than copied.
        long: (_call, answer) => answer(null, Buffer.alloc(LONG_BYTES, 7)),
        wait: () => {},
      },
      stream: {
        ticks: (call) => {
          const timer = setInterval(() => call.write(Buffer.from('tick')), 1);
          call.on('cancelled', () => clearInterval(timer));
        },
      },
    });
    hello = (transport) => transport.unary('/test.Script/hello', new Uint8Array());
  });
  after(() => server[Symbol.asyncDispose]());

  describe('in one env', {
    skip: process.platform === 'linux' ? false : 'threads are counted in /proc',
  }, () => {
    test('has one thread for all open transports, from the first to the last', async () => {
      await assertRuntimeThreads(0);
      const one = nativeTransport({ endpoint: server.endpoint });
      const two = nativeTransport({ endpoint: server.endpoint });
      await Promise.all([hello(one), hello(two)]);
      await assertRuntimeThreads(1);
      await one.close();
      await hello(two);
      await assertRuntimeThreads(1);
      await two.close();
      await assertRuntimeThreads(0);
    });

    test('starts again after it has stopped, many times', async () => {
      for (let i = 0; i < 200; i++) {
        const transport = nativeTransport({ endpoint: server.endpoint });
        const answer = hello(transport);
        if (i % 2 === 0) await answer;
        else void assert.rejects(answer, ClosedError);
        await transport.close();
        await assertRuntimeThreads(0);
      }
    });

    test('closes within a callback of its own', async () => {
      const transport = nativeTransport({ endpoint: server.endpoint });
      await hello(transport).then(() => transport.close());
      await assertRuntimeThreads(0);
    });

    test('closes promptly in the middle of a TLS handshake', async () => {
      const silent = createServer((socket) => socket.on('error', () => {}));
      silent.listen(0, '127.0.0.1');
      await once(silent, 'listening');
      const accepted = once(silent, 'connection');
      const transport = nativeTransport({
        endpoint: `https://127.0.0.1:${(silent.address() as AddressInfo).port}`,
        connectTimeoutMs: 30_000,
      });
      const call = hello(transport);
      const rejected = assert.rejects(call, ClosedError);
      await accepted;
      using time = new OwnTime();
      await transport.close();
      // The handshake would go on for longer.
      assert.ok(time.ms < 5_000, `closing took ${time.ms} ms`);
      await rejected;
      silent.close();
    });

    test('hands over long answers, which outlive it', async () => {
      const expected = Buffer.alloc(LONG_BYTES, 7);
      const kept: Uint8Array[] = [];
      // More than are kept, so that the garbage collector frees some.
      for (let i = 0; i < 20; i++) {
        const transport = nativeTransport({ endpoint: server.endpoint });
        const long = () => transport.unary('/test.Script/long', new Uint8Array());
        const [first, second] = await Promise.all([long(), long(), hello(transport)]);
        await transport.close();
        kept.push((i % 2 === 0 ? first : second).message);
      }
      for (const message of kept) assert.equal(Buffer.compare(message, expected), 0);
    });

    test('adds no listener to the process but the one that its env has', async () => {
      await nativeTransport({ endpoint: server.endpoint }).close();
      const before = process.listenerCount('exit');
      const transports = [1, 2, 3].map(() => nativeTransport({ endpoint: server.endpoint }));
      assert.equal(process.listenerCount('exit'), before);
      await Promise.all(transports.map((transport) => transport.close()));
      assert.equal(process.listenerCount('exit'), before);
    });

    test('each worker has a thread of its own, which goes with the worker', async () => {
      const code = `
        const { parentPort, workerData } = require('node:worker_threads');
        import(${nativeModule}).then(async ({ nativeTransport }) => {
          const transport = nativeTransport({ endpoint: workerData });
          const stream = transport.stream('/test.Script/ticks');
          await stream.receive();
          parentPort.postMessage('ticking');
          while (await stream.receive());
        });`;
      const workers = [1, 2, 3].map(() => new Worker(code, { eval: true, workerData: server.endpoint }));
      await Promise.all(workers.map((worker) => once(worker, 'message')));
      await assertRuntimeThreads(3);
      for (const worker of workers) await worker.terminate();
      await assertRuntimeThreads(0);
    });

    test('a worker may end while it holds long answers, and others are under way', async () => {
      const file = program(holdsLongAnswers);
      for (let i = 0; i < 5; i++) {
        const worker = new Worker(file, { workerData: server.endpoint });
        await once(worker, 'message');
        await worker.terminate();
      }
      await assertRuntimeThreads(0);
    });
  });

  /** Runs a program with a transport's factory and the server's endpoint at hand. */
  async function run(body: string): Promise<{ stdout: string; stderr: string }> {
    const source = `
      import { nativeTransport } from ${nativeModule};
      const endpoint = ${JSON.stringify(server.endpoint)};
      ${body}`;
    // A program that didn't end would be killed, and fail here.
    const { stdout, stderr } = await exec(process.execPath, [program(source)], {
      timeout: 240_000,
      killSignal: 'SIGKILL',
    });
    return { stdout, stderr };
  }

  describe('and its process', () => {
    test('ends by itself with an idle transport open', async () => {
      const { stdout, stderr } = await run(`
        const transport = nativeTransport({ endpoint });
        await transport.unary('/test.Script/hello', new Uint8Array());
        process.on('exit', () => console.log('falls off the end'));`);
      assert.deepEqual({ stdout, stderr }, { stdout: 'falls off the end\n', stderr: '' });
    });

    for (const [end, statement] of [
      ['falls off the end', ''],
      ['exits', 'process.exit();'],
    ]) {
      test(`${end} while it holds long answers, and has given long requests`, async () => {
        const { stdout, stderr } = await run(`
          const transport = nativeTransport({ endpoint });
          const long = () => transport.unary('/test.Script/long', new Uint8Array(${LONG_BYTES}));
          globalThis.kept = await Promise.all([long(), long(), long()]);
          for (let i = 0; i < 3; i++) long().catch(() => {});
          process.on('exit', () => console.log(kept.every(({ message }) => message.at(-1) === 7)));
          ${statement}`);
        assert.deepEqual({ stdout, stderr }, { stdout: 'true\n', stderr: '' });
      });
    }

    test('exits while workers hold long answers, and others are under way', async () => {
      // Node 24 aborts here if those are buffers of the addon's memory: scenarios/host-bugs/untransferable-external-buffer.mjs
      const file = JSON.stringify(program(holdsLongAnswers));
      for (let i = 0; i < 3; i++) {
        const { stdout, stderr } = await run(`
          import { once } from 'node:events';
          import { Worker } from 'node:worker_threads';
          const workers = [1, 2].map(() => new Worker(${file}, { workerData: endpoint }));
          await Promise.all(workers.map((worker) => once(worker, 'message')));
          console.log('exits');
          process.exit();`);
        assert.deepEqual({ stdout, stderr }, { stdout: 'exits\n', stderr: '' });
      }
    });

    test('lives while a call is in flight, to its answer', async () => {
      const { stdout } = await run(`
        const transport = nativeTransport({ endpoint });
        transport.unary('/test.Script/wait', new Uint8Array(), { timeoutMs: 300 })
          .catch((error) => console.log(error.name));`);
      assert.equal(stdout, 'DeadlineExceededError\n');
    });

    test('lives while a stream is open', async () => {
      const { stdout } = await run(`
        const transport = nativeTransport({ endpoint });
        const stream = transport.stream('/test.Script/ticks');
        (async () => {
          for (let i = 0; i < 100; i++) await stream.receive();
          console.log('a hundred');
          stream.cancel();
        })();`);
      assert.equal(stdout, 'a hundred\n');
    });

    test('does not wait for calls of a transport that is unreferenced, nor fails for them', async () => {
      // Nobody handles that call's end: a rejection of it would be an exit code of 1.
      const { stdout, stderr } = await run(`
        const transport = nativeTransport({ endpoint });
        await transport.unary('/test.Script/hello', new Uint8Array());
        transport.unref();
        transport.unary('/test.Script/wait', new Uint8Array());
        process.on('exit', () => console.log('not waited'));`);
      assert.deepEqual({ stdout, stderr }, { stdout: 'not waited\n', stderr: '' });
    });

    test('does not wait for what an unreferenced transport has got and nobody has taken', async () => {
      const { stdout, stderr } = await run(`
        const transport = nativeTransport({ endpoint });
        const stream = transport.stream('/test.Script/ticks');
        await stream.receive();
        (async () => {
          for (;;) {
            await stream.receive();
            // Slower than they come, so that there always are more.
            for (const end = performance.now() + 10; performance.now() < end; );
          }
        })();
        setTimeout(() => transport.unref(), 300);
        process.on('exit', () => console.log('not waited'));`);
      assert.deepEqual({ stdout, stderr }, { stdout: 'not waited\n', stderr: '' });
    });

    test('waits again after ref()', async () => {
      const { stdout } = await run(`
        const transport = nativeTransport({ endpoint });
        transport.unref();
        transport.unary('/test.Script/wait', new Uint8Array(), { timeoutMs: 300 })
          .catch((error) => console.log(error.name));
        transport.ref();`);
      assert.equal(stdout, 'DeadlineExceededError\n');
    });

    test('has no thread left at its end, though no exit listener ran', {
      skip: whyThreadsAreNotSeen(),
    }, async () => {
      // As workers of Deno and Bun at the end of their process.
      const source = `
        import { nativeTransport } from ${nativeModule};
        const transport = nativeTransport({ endpoint: ${JSON.stringify(server.endpoint)} });
        const stream = transport.stream('/test.Script/ticks');
        await stream.receive();
        process.removeAllListeners('exit');
        process.exit();`;
      // Deno's own child_process puts that in for programs that it starts.
      const deno = 'Deno' in globalThis ? ['run', '--allow-all'] : [];
      const command = [process.execPath, ...deno, program(source)];
      const { runs } = await quiesce({ command, runs: 3, strict: true, expect: { stderr: 'empty' } });
      assert.deepEqual(
        runs.map(({ outcome }) => outcome.kind),
        ['clean', 'clean', 'clean'],
      );
    });

    test('leaves unsettled what is in flight or begun once it ends, until its owner closes it', async () => {
      // The env's listener takes this for the process's end, after which JavaScript goes on: as in workers of Deno and Bun.
      const { stdout, stderr } = await run(`
        const transport = nativeTransport({ endpoint });
        const stream = transport.stream('/test.Script/ticks');
        await stream.receive();
        const wait = transport.unary('/test.Script/wait', new Uint8Array());
        const settled = [];
        const look = (call, promise) =>
          promise.then(() => settled.push(call), (error) => settled.push(call + ': ' + error.name));
        look('in flight', wait);
        process.emit('exit', 0);
        const late = nativeTransport({ endpoint });
        for (const each of [transport, late]) {
          for (let i = 0; i < 40; i++) {
            look('begun', each.unary('/test.Script/hello', new Uint8Array()));
            // A few are carried out on this thread, more of them on the runtime's.
            if (i < 20) await new Promise(setImmediate);
          }
          look('stream', each.stream('/test.Script/ticks').receive());
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
        console.log(settled.join());
        await Promise.all([transport.close(), late.close()]);
        await new Promise(setImmediate);
        console.log([...new Set(settled)].join());
        // Node has taken the event for an end before its time.
        process.exit(0);`);
      const closed = ['in flight', 'begun', 'stream'].map((call) => `${call}: ClosedError`);
      assert.deepEqual(
        { stdout: stdout.replaceAll('\n', ' '), stderr },
        { stdout: ` ${closed} `, stderr: '' },
      );
    });
  });
});

function whyThreadsAreNotSeen(): string | false {
  if (process.platform !== 'linux') return 'left threads are seen on Linux only';
  // Also in a program that does nothing but exit.
  if (process.env.ASAN_OPTIONS !== undefined) return 'AddressSanitizer leaves a thread of its own';
  return false;
}
