import { isMainThread, parentPort } from 'node:worker_threads';
import { workDone } from 'quiesce/work-done';
import type { LeaveEnding } from '../endings.js';

/**
 * Says that the work is done, and ends the program as its first argument asks (scenarios/endings.ts), without closing anything; `process.exit()` without one. Of the
 * others, the natural end, a rejection and a signal come when the caller has returned to the event loop. In a worker the
 * end is not the program's to make: it says that it is done and continues (see in-workers.ts).
 */
export function leave(): void {
  if (!isMainThread) {
    parentPort?.postMessage('done');
    setInterval(() => {}, 60_000);
    return;
  }
  workDone();
  const ending = (process.argv[2] ?? 'exit') as LeaveEnding;
  switch (ending) {
    case 'exit':
      process.exit();
      break;
    case 'natural':
      break;
    case 'exception':
      throw new Error('leaving by an exception');
    case 'rejection':
      void Promise.reject(new Error('leaving by a rejection'));
      break;
    case 'SIGTERM':
    case 'SIGINT':
      process.kill(process.pid, ending);
      break;
    default:
      throw new Error(`unknown ending ${JSON.stringify(ending satisfies never)}`);
  }
}
