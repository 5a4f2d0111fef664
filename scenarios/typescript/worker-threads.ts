// Scenario 7, threads: four workers, each with a client and a watch; the main thread exits while they run.
import { once } from 'node:events';
import { isMainThread, parentPort, threadId, Worker } from 'node:worker_threads';
import { connect } from '@quiesce/etcd';
import { workDone } from 'quiesce/work-done';

if (isMainThread) {
  const workers = Array.from({ length: 4 }, () => new Worker(new URL(import.meta.url)));
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  workDone();
  process.exit();
} else {
  const etcd = await connect({ endpoints: process.env.ETCD_ENDPOINTS ?? 'http://127.0.0.1:2379' });
  const key = `scenario/worker-threads/${process.pid}/${threadId}`;
  const watch = etcd.watch(key);
  await watch.ready;
  for (let i = 0; i < 10; i++) await etcd.put(key, `${i}`);
  let seen = 0;
  for await (const _event of watch) {
    if (++seen === 10) parentPort?.postMessage('done');
  }
}
