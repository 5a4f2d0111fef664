// One program for all cells of the grid. Arguments: the ending and the situation. With `no client`, it is the same
// program without the client.
import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { workDone } from 'quiesce/work-done';
import type { GridEnding } from '../endings.js';
import type { Reached } from './situations.js';

const WORKERS = 2;

async function reach(situation: string, threads: number, impatient: boolean): Promise<Reached> {
  if (situation === 'no client') return { close: async () => {}, settle: async () => {} };
  // Not loaded without a client.
  const { situations } = await import('./situations.js');
  const enter = situations[situation as keyof typeof situations];
  if (enter === undefined) throw new Error(`unknown situation ${JSON.stringify(situation)}`);
  return await enter({ threads, impatient });
}

async function startWorkers(count: number, situation: string): Promise<Worker[]> {
  const workers = Array.from(
    { length: count },
    () => new Worker(new URL(import.meta.url), { workerData: { situation, threads: count } }),
  );
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  return workers;
}

async function leave(ending: GridEnding, situation: string): Promise<void> {
  if (ending === 'terminate') {
    const [worker] = await startWorkers(1, situation);
    workDone();
    await worker?.terminate();
    return;
  }
  if (ending === 'exit with workers') {
    await startWorkers(WORKERS, situation);
    workDone();
    process.exit();
  }
  const reached = await reach(situation, 1, ending === 'natural');
  switch (ending) {
    case 'natural':
      await reached.settle();
      workDone();
      return;
    case 'close':
      workDone();
      await reached.close();
      return;
    case 'exit':
      workDone();
      process.exit();
      return;
    case 'exception':
      setImmediate(() => {
        workDone();
        throw new Error('leaving by an exception');
      });
      return;
    case 'rejection':
      workDone();
      void Promise.reject(new Error('leaving by a rejection'));
      return;
    case 'SIGTERM':
    case 'SIGINT':
      workDone();
      process.kill(process.pid, ending);
      return;
    default:
      throw new Error(`unknown ending ${JSON.stringify(ending satisfies never)}`);
  }
}

if (isMainThread) {
  const [ending = '', situation = ''] = process.argv.slice(2);
  await leave(ending as GridEnding, situation);
} else {
  const { situation, threads } = workerData as { situation: string; threads: number };
  await reach(situation, threads, false);
  parentPort?.postMessage('reached');
  setInterval(() => {}, 60_000);
}
