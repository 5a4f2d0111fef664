// node leave.mjs ADDON: workers are terminated in the middle of calls.
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const server = createServer((socket) => {
    const ticking = setInterval(() => socket.write('tick\n'.repeat(20)), 1);
    socket.on('error', () => {}).on('close', () => clearInterval(ticking));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const at = { addon: resolve(process.argv[2]), port: server.address().port };
  const workers = Array.from({ length: 3 }, () => new Worker(new URL(import.meta.url), { workerData: at }));
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  await sleep(30);
  await Promise.all(workers.map((worker) => worker.terminate()));
  process.exit();
} else {
  const addon = createRequire(import.meta.url)(workerData.addon);
  const follow = async (watch) => {
    while ((await watch.next()) !== null);
  };
  for (let number = 0; number < 10; number++) follow(addon.watch(workerData.port, 300));
  parentPort.postMessage('at work');
}
