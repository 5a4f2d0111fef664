// What keeps a hung Node alive, according to its inspector: workers by their files, but not what it has printed.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { run } from '../src/index.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('node-state');
const skip = process.platform !== 'linux' && 'Node is asked on Linux';

async function keptAliveBy(program: string, wrapper: string[] = []): Promise<readonly string[]> {
  const file = join(dir, 'program.cjs');
  writeFileSync(file, program);
  const { failures } = await run({ command: [...wrapper, process.execPath, file], runs: 1, timeout: '3s' });
  const [failure] = failures;
  assert.equal(failure?.outcome.kind, 'hang');
  const main = failure?.evidence.threads.find((thread) => thread.main);
  return main?.keptAliveBy ?? [failure?.evidence.stacks ?? 'no stacks'];
}

test('workers are named with their files, and what they do or wait for', { skip }, async () => {
  const worker = join(dir, 'worker.cjs');
  writeFileSync(
    worker,
    `const { workerData } = require('node:worker_threads');
if (workerData === 'spin') (function spin() { for (;;); })();
else setInterval(() => {}, 1e3);
`,
  );
  const kept = await keptAliveBy(`const { Worker } = require('node:worker_threads');
for (let i = 0; i < 2; i++) new Worker(${JSON.stringify(worker)});
new Worker(${JSON.stringify(worker)}, { name: 'pool', workerData: 'spin' });
new Worker('setInterval(() => {}, 1e3)', { eval: true });
new Worker(${JSON.stringify(worker)}, { name: 'not waited for' }).unref();
`);
  assert.deepEqual([...kept].sort(), [
    `worker "pool" ${worker} (runs spin, ${worker}:2)`,
    `worker ${worker} (timer) x2`,
    'worker with code that is not a file (timer)',
  ]);
});

test('what it has printed keeps nothing alive', { skip }, async () => {
  assert.deepEqual(await keptAliveBy("console.log('a'); console.error('b'); setInterval(() => {}, 1e3);"), [
    'timer',
  ]);
});

test('a port that another process has for a while is waited for', { skip }, async () => {
  const other = createServer();
  const listens = (): Promise<boolean> =>
    new Promise((resolve) => {
      other.once('listening', () => resolve(true)).once('error', () => resolve(false));
      other.listen(9229, '127.0.0.1');
    });
  while (!(await listens())) await delay(20); // a test in another file asks a Node
  const kept = keptAliveBy('setInterval(() => {}, 1e3);');
  await delay(8_000);
  other.close();
  assert.deepEqual(await kept, ['timer']);
});

test('a port that is never free is the reason that there are no frames', { skip }, async () => {
  // In a network of its own it doesn't keep other tests waiting.
  const listens = "require('node:net').createServer().listen(9229, '0.0.0.0');";
  const [reason] = await keptAliveBy(listens, ['unshare', '--net']);
  assert.match(reason ?? '', /port 9229, which its inspector needs, is in use/);
});
