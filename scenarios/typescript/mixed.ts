// Scenario 7, mixed: async tasks and a watch on the main thread, workers with calls in flight; one worker is
// terminated, then the main thread exits while the other still runs.
import { once } from 'node:events';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { connect, prefix } from '@quiesce/etcd';
import { workDone } from 'quiesce/work-done';

const etcd = await connect({ endpoints: process.env.ETCD_ENDPOINTS ?? 'http://127.0.0.1:2379' });
const root = `scenario/mixed/${process.pid}`;

if (isMainThread) {
  const watch = etcd.watch(prefix(`${root}/`));
  await watch.ready;
  const workers = [new Worker(new URL(import.meta.url)), new Worker(new URL(import.meta.url))];
  await Promise.all([
    ...workers.map((worker) => once(worker, 'message')),
    ...Array.from({ length: 50 }, (_, i) => etcd.put(`${root}/main/${i}`, 'value')),
  ]);
  await workers[0]?.terminate();
  for await (const _event of watch) {
    workDone();
    process.exit();
  }
} else {
  for (let i = 0; ; i++) {
    await Promise.all(Array.from({ length: 20 }, () => etcd.put(`${root}/worker`, `${i}`)));
    if (i === 0) parentPort?.postMessage('working');
  }
}
