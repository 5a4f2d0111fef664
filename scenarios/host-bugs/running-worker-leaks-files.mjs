// Workers that are terminated while they run. Deno 2.9.6 leaves an epoll and an event descriptor open for each; Node and
// Bun leave none. The exit code is 1 if descriptors are left.
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

const delay = (ms) => new Promise((done) => setTimeout(done, ms));
const round = async () => {
  const worker = new Worker(new URL(import.meta.url));
  await once(worker, 'message');
  await worker.terminate();
};
const openFiles = async () => {
  await delay(300);
  return readdirSync('/proc/self/fd').length;
};
if (!isMainThread) {
  parentPort.postMessage('running');
  for (;;) await delay(1);
}
await round();
const before = await openFiles();
for (let i = 0; i < 5; i++) await round();
const left = (await openFiles()) - before;
console.log(`${left} descriptors are left of 5 workers`);
process.exit(left > 2 ? 1 : 0);
