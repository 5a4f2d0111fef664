// Deno 2.9.6 and Bun 1.4.4: when the main thread calls process.exit(), addons in workers get no cleanup hook, and their
// threads run on while the process is torn down. Prints `cleanup hook` on Node, and nothing on Deno and Bun.
//   cc -shared -fPIC -o /tmp/cleanup-hook.node scenarios/host-bugs/cleanup-hook.c
//   bun scenarios/host-bugs/exit-skips-cleanup-hooks.mjs /tmp/cleanup-hook.node
import { createRequire } from 'node:module';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { workerData: process.argv[2] });
  worker.once('message', () => process.exit());
} else {
  createRequire(import.meta.url)(workerData);
  setInterval(() => {}, 60_000);
  parentPort.postMessage('ready');
}
