// owned-runtime-napi in real processes, by the addon beside this file: on Node, and what hosts do differently on Bun and Deno.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { provided } from '@quiesce/test-services';

const ADDON = provided('addons')?.['owned-runtime-napi-tests'];
const RUNTIMES = provided('runtimes');

/** A program that hangs is ended. */
const LIMIT_MS = 60_000;

/** How each host runs a file. */
const HOSTS = { node: [process.execPath] };
if (RUNTIMES !== undefined) {
  const { node26, bun, deno } = RUNTIMES;
  HOSTS.node26 = [node26];
  HOSTS.bun = [bun];
  HOSTS.deno = [deno, 'run', '--allow-all', '--quiet'];
}

const PRELUDE = `const addon = require(${JSON.stringify(ADDON)});
  const { Worker, parentPort } = require('node:worker_threads');
  const { readdirSync, readFileSync } = require('node:fs');
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  // Linux' list may lack a thread while others end.
  const tasks = () => {
    for (let before = ''; ; ) {
      const now = readdirSync('/proc/self/task');
      if (now.join() === before) return now;
      before = now.join();
    }
  };
  // It has a thread for a moment after that was joined. PF_EXITING (4) is among its flags then.
  const threads = () => tasks().filter((task) => {
    let stat;
    try { stat = readFileSync('/proc/self/task/' + task + '/stat', 'utf8'); } catch { return false; }
    const [name, fields] = [stat.slice(stat.indexOf('(') + 1), stat.slice(stat.lastIndexOf(')') + 2).split(' ')];
    return name.startsWith('napi-test') && (fields[6] & 4) === 0;
  }).length;
  // Not every host's terminate() waits for the runtime's end.
  const threadsLeft = async () => { for (let i = 0; threads() > 0 && i < 2_000; i++) await sleep(5); return threads(); };
  const settled = [];
  const look = (call, promise) => promise.then(
    () => settled.push(call + ' resolved'), (error) => settled.push(call + ' rejected: ' + error.message));
  // All kinds of calls, of which none is answered before long, and some are again and again.
  const busy = () => {
    addon.subscribe(300, () => {});
    addon.ask(() => 0, 1);
    (async () => { for await (const _ of addon.ticks(300, 1e9)); })();
    addon.sleep(60_000);
    addon.ticks(60_000_000, 1).next();
    const again = () => { for (let i = 0; i < 20; i++) { addon.soon(i); addon.later(i); } setImmediate(again); };
    again();
  };
`;

/** Workers in mid-call, then the end. A worker is ready once its runtime has answered: a thread gets its name only when it runs. */
const withWorkers = (work, end) => `
  const workers = [1, 2, 3].map(() => new Worker(${JSON.stringify(`${PRELUDE}addon.soon(0).then(() => {
    ${work}
    parentPort.postMessage('ready');
  });`)}, { eval: true }));
  (async () => {
    await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
    await sleep(10);
    ${end}
  })();`;

suite('owned-runtime-napi', { skip: ADDON !== undefined ? false : 'cargo is missing' }, () => {
  let dir;
  let count = 0;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'owned-runtime-napi-'));
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  /** Runs a program to its end. */
  async function run(source, { host = 'node', env = {} } = {}) {
    const file = join(dir, `${++count}.cjs`);
    writeFileSync(file, PRELUDE + source);
    const [binary, ...args] = HOSTS[host];
    const start = performance.now();
    const child = spawn(binary, [...args, file], {
      env: { ...process.env, NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = { stdout: '', stderr: '' };
    for (const name of Object.keys(output)) child[name].on('data', (data) => (output[name] += data));
    const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
    const [code, signal] = await new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (...ended) => resolve(ended));
    });
    clearTimeout(limit);
    return { ...output, code: signal ?? code, ms: performance.now() - start };
  }

  /** Runs a program to its end, which must be quiet and with code 0, and returns its lines. */
  async function lines(source, options) {
    const { code, stdout, stderr } = await run(source, options);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' }, stdout);
    return stdout.split('\n').filter(Boolean);
  }

  for (const host of Object.keys(HOSTS)) {
    suite(`on ${host}`, () => {
      test('calls, callbacks and streams work, and the process ends by itself', async () => {
        const source = `(async () => {
          console.log(await addon.soon(7), await addon.later(8), await addon.ask((n) => n + 1, 8));
          await addon.fail().catch(({ message }) => console.log(message));
          await addon.panicLater().catch(({ message }) => console.log(message));
          for await (const tick of addon.ticks(100, 9)) { console.log('tick', tick); if (tick === 3) break; }
          const hold = setTimeout(() => {}, 60_000);
          await new Promise((resolve) => addon.subscribe(100, (n) => { if (n === 2) resolve(); }));
          clearTimeout(hold);
          addon.ticks(60_000_000, 1);
          console.log('end');
        })();`;
        const { code, stdout, stderr } = await run(source);
        assert.deepEqual(
          { code, stdout: stdout.split('\n') },
          {
            code: 0,
            stdout: [
              '7 8 9',
              'as the test wishes',
              'panic in async Rust: as the test wishes',
              'tick 1',
              'tick 2',
              'tick 3',
              'end',
              '',
            ],
          },
          stderr,
        );
      });

      test('a dozen addons leave room for as many listeners to exit as the program may add', async () => {
        const source = `const { copyFileSync } = require('node:fs');
          for (let i = 0; i < 12; i++) {
            const copy = __dirname + '/${host}-copy' + i + '.node';
            copyFileSync(${JSON.stringify(ADDON)}, copy);
            require(copy);
          }
          // Two, as the host or the addon's first copy may have some.
          for (let i = 0; i < 2; i++) process.on('exit', () => {});
          setTimeout(() => console.log('no warning'), 50);`;
        assert.deepEqual(await lines(source, { host }), ['no warning']);
      });

      test('a stop by the addon rejects what is under way, and the process ends by itself', async () => {
        const source = `(async () => {
          const rejected = ({ message }) => console.log(message);
          await addon.later(1);
          const ticks = addon.ticks(60_000_000, 1);
          const all = [addon.sleep(60_000), addon.sleepLater(60_000), ticks.next()].map((one) => one.catch(rejected));
          setTimeout(addon.stop, 20);
          await Promise.all(all);
          await ticks.next().catch(rejected);
          console.log(await addon.soon(1), await addon.later(2));
        })();`;
        const stopped = 'the runtime was stopped before the call had ended';
        const said = await lines(source, { host });
        assert.equal(said.at(-1), '1 2');
        // napi itself rejects an async fn.
        assert.equal(said.filter((line) => line === stopped).length, 3, said.join('\n'));
        assert.equal(said.length, 5, said.join('\n'));
      });

      test('a close by the addon rejects later calls, and the process ends by itself', async () => {
        const source = `(async () => {
          await addon.soon(1);
          const before = addon.sleepLater(60_000).catch(({ message }) => console.log('before:', message));
          addon.close();
          await before;
          for (const call of [() => addon.soon(1), () => addon.later(1), () => addon.ticks(1, 1).next(), () => addon.subscribe(1, () => {})])
            try { await call(); console.log('settled'); } catch ({ message }) { console.log(/clos/.test(message) || message); }
        })();`;
        assert.deepEqual(await lines(source, { host }), [
          'before: the runtime was stopped before the call had ended',
          ...['true', 'true', 'true', 'true'],
        ]);
      });

      test('process.exit() with all of it in flight is quiet, and later calls stay unsettled', async () => {
        const source = `busy();
          setTimeout(() => process.exit(0), 20);
          process.on('exit', () => {
            look('soon', addon.soon(1)); look('later', addon.later(1)); busy();
            console.log(threads());
          });`;
        for (let i = 0; i < 3; i++) assert.deepEqual(await lines(source, { host }), ['0']);
      });

      test('what begins after the runtime was closed stays unsettled, while JavaScript goes on', async () => {
        // The runtime takes the event for the process's end.
        const source = `(async () => {
          await addon.soon(1);
          look('later before', addon.ask(() => 0, 1).then(() => sleep(60_000)));
          const waiting = addon.ticks(60_000_000, 1);
          look('next before', waiting.next());
          process.emit('exit', 0);
          for (let i = 0; i < 5; i++) {
            look('soon', addon.soon(i)); look('later', addon.later(i)); look('next', addon.ticks(10, 10).next());
            look('next of an old one', waiting.next());
            addon.subscribe(10, () => settled.push('called'));
            await sleep(10);
          }
          console.log(settled.length, threads(), addon.streams());
          process.exit(0);
        })();`;
        assert.deepEqual(await lines(source, { host }), ['0 0 0']);
      });

      test("a worker's runtime ends with it", async () => {
        const end = `const during = threads();
          await Promise.all(workers.map((worker) => worker.terminate()));
          console.log(during, await threadsLeft(), addon.streams());`;
        for (let i = 0; i < 3; i++) {
          assert.deepEqual(await lines(withWorkers('busy();', end), { host }), ['3 0 0']);
        }
      });

      test('process.exit() while workers are in mid-call settles nothing, prints nothing and keeps its code', async () => {
        // Their JavaScript goes on on Bun and Deno, beside the handlers that close their runtimes.
        for (let i = 0; i < 10; i++) {
          const { code, stdout, stderr } = await run(withWorkers('busy();', 'busy(); process.exit(7);'), {
            host,
          });
          assert.deepEqual({ code, stdout, stderr }, { code: 7, stdout: '', stderr: '' });
        }
      });

      test('process.exit() while a blocked worker has calls waiting is quiet', async () => {
        // The last reference of the function is the queued call's. Where the host leaves the end to libc, the exiting thread has
        // no thread-locals any more.
        const blocked = `addon.callOnce(() => {});
          parentPort.postMessage('ready');
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30_000);`;
        const source = `const worker = new Worker(${JSON.stringify(PRELUDE)} + ${JSON.stringify(blocked)}, { eval: true });
          addon.callOnce(() => {});
          worker.once('message', () => setTimeout(() => process.exit(7), 100));`;
        const { code, stdout, stderr } = await run(source, { host });
        assert.deepEqual({ code, stdout, stderr }, { code: 7, stdout: '', stderr: '' });
      });

      test('a thread that does not end is reported once, after its bound', async () => {
        const env = { OWNED_RUNTIME_NAPI_TEST_BOUND: '300' };
        const source = `addon.block(60_000);
          setInterval(() => { if (addon.blocked() === 1) process.exit(0); }, 5);`;
        const { code, stderr, ms } = await run(source, { host, env });
        assert.equal(code, 0);
        assert.match(
          stderr,
          /^owned-runtime-napi: runtime thread `napi-test` has not ended within 300ms [^\n]*\n$/,
        );
        assert.ok(ms > 300 && ms < 30_000, `${ms} ms`);
      });
    });
  }

  // Node ends its workers one after another, each by its own hook.
  for (const host of Object.keys(HOSTS).filter((name) => !name.startsWith('node'))) {
    test(`the bounds of all threads that don't end pass together at the process's end on ${host}`, async () => {
      const env = { OWNED_RUNTIME_NAPI_TEST_BOUND: '2000' };
      const end = `while (addon.blocked() < 3) await sleep(5);
        process.on('exit', () => require('node:fs').writeSync(1, String(Date.now()) + ' '));
        process.exit(0);`;
      const { code, stdout, stderr } = await run(
        withWorkers('addon.block(60_000); setInterval(() => {}, 1000);', end),
        { host, env },
      );
      const took = Date.now() - Number(stdout);
      assert.equal(code, 0);
      const report = 'owned-runtime-napi: runtime thread `napi-test` has not ended within 2s';
      assert.deepEqual(
        stderr.split('\n').map((line) => line.slice(0, report.length)),
        [report, report, report, ''],
      );
      assert.ok(took >= 2000 && took < 4000, `${took} ms`);
    });
  }

  test('a stream is read as fast as its reader takes; return() ends it and what waits', async () => {
    const source = `(async () => {
      const ticks = addon.ticks(100, 100);
      console.log(addon.streams());
      console.log(JSON.stringify(await Promise.all([ticks.next(), ticks.next()])));
      const slow = addon.ticks(60_000_000, 1);
      const pending = slow.next();
      console.log((await slow.return()).done, (await pending).done, (await slow.next()).done);
      console.log(addon.streams(), ticks[Symbol.asyncIterator]() === ticks);
      await sleep(50);
      console.log(JSON.stringify(await ticks.next()));
    })();`;
    assert.deepEqual(await lines(source), [
      '1',
      '[{"done":false,"value":1},{"done":false,"value":2}]',
      'true true true',
      '1 true',
      '{"done":false,"value":3}',
    ]);
  });

  test('an error of a stream rejects once, and ends it', async () => {
    const source = `(async () => {
      const ticks = addon.ticks(100, 1);
      await ticks.next();
      await ticks.next().catch((error) => console.log(error.message));
      console.log((await ticks.next()).done, addon.streams());
    })();`;
    assert.deepEqual(await lines(source), ['after the last', 'true 0']);
  });

  test('what a callback throws is an uncaught exception, and callbacks go on', async () => {
    const source = `let calls = 0;
      process.on('uncaughtException', (error) => console.log(error.message));
      setTimeout(() => {}, 60_000);
      addon.subscribe(100, () => {
        if (++calls === 1) throw new Error('thrown');
        if (calls === 3) { console.log('third'); process.exit(0); }
      });`;
    assert.deepEqual(await lines(source), ['thrown', 'third']);
  });

  test('an env has one thread-safe function, and loading the addon again makes no other', async () => {
    const source = `const { createHook } = require('node:async_hooks');
      const made = [];
      createHook({ init: (_, type) => made.push(type) }).enable();
      const file = ${JSON.stringify(ADDON)};
      const ours = () => made.filter((type) => /runtime-napi|napi_/i.test(type)).length;
      const own = (addon) => Promise.all([
        ...Array.from({ length: 100 }, (_, i) => addon.later(i)),
        ...[1, 2, 3].map((i) => addon.ask((n) => n, i)), addon.ticks(10, 10).next(), addon.ticks(10, 10).next(),
      ]);
      const listeners = process.listenerCount('exit');
      (async () => {
        await own(addon);
        delete require.cache[require.resolve(file)];
        const again = require(file);
        await own(again);
        console.log(ours(), threads(), process.listenerCount('exit') - listeners);
        const worker = new Worker(\`const { createHook } = require('node:async_hooks');
          const made = [];
          createHook({ init: (_, type) => made.push(type) }).enable();
          const addon = require(\${JSON.stringify(file)});
          Promise.all([addon.later(1), addon.ask((n) => n, 1), addon.ticks(10, 10).next()]).then(() =>
            console.log(made.filter((type) => type === 'owned-runtime-napi').length));\`, { eval: true });
      })();`;
    assert.deepEqual(await lines(source), ['0 1 0', '1']);
  });

  test('works in a vm context', async () => {
    const source = `const { createContext, runInContext } = require('node:vm');
      runInContext('addon.soon(5).then(console.log)', createContext({ addon, console }));`;
    assert.deepEqual(await lines(source), ['5']);
  });
});
