// The end of a process whose workers still run JavaScript: Deno and Bun don't end them before the C library's exit handlers,
// which close the workers' runtimes. Runs on each of Node, Bun and Deno (npm run runtimes). EXIT_RACE_RUNS says how often.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { connect } from '../src/index.js';
import { withEtcd } from './support/clients.js';
import { program } from './support/program.js';
import { transports } from './support/transports.js';

const library = JSON.stringify(new URL('../src/index.js', import.meta.url).href);
const exec = promisify(execFile);
const runs = Number(process.env.EXIT_RACE_RUNS ?? 5);

const native = transports.find(({ name }) => name === 'native');

describe('exit race', { skip: native?.skip }, () => {
  let endpoints: string;
  withEtcd(connect, ({ server }) => {
    endpoints = server.endpoint;
  });

  // Each runtime that is closed gives the workers after it time to make calls on theirs, closed or not.
  test('calls of workers that outlive their runtime stay unsettled, and so do those of new clients', async () => {
    const options = JSON.stringify({ endpoints, transport: 'native' });
    const worker = program(`
      import { parentPort } from 'node:worker_threads';
      import { connect } from ${library};
      const etcd = await connect(${options});
      await etcd.put('race', 'ready');
      let calls = 0;
      let clients = 0;
      const work = () => {
        for (let i = 0; i < 20 && calls < 400; i++, calls++) etcd.get('race').then(() => calls--);
        if (clients++ < 10) {
          connect(${options}).then((another) => another.get('race').then(() => another.close())).then(() => clients--);
        } else clients--;
        setImmediate(work);
      };
      parentPort.once('message', () => {
        work();
        parentPort.postMessage('busy');
      });
      parentPort.postMessage('ready');`);
    const main = program(`
      import { once } from 'node:events';
      import { Worker } from 'node:worker_threads';
      const workers = Array.from({ length: 4 }, () => new Worker(${JSON.stringify(worker)}));
      const all = () => Promise.all(workers.map((worker) => once(worker, 'message')));
      await all();
      for (const worker of workers) worker.postMessage('work');
      await all();
      process.exit();`);
    for (let run = 0; run < runs; run++) {
      const { stderr } = await exec(process.execPath, [main], { timeout: 240_000, killSignal: 'SIGKILL' });
      assert.equal(stderr, '', `run ${run}`);
    }
  });
});
