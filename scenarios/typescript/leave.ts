import { isMainThread, parentPort } from 'node:worker_threads';
import { workDone } from 'quiesce/work-done';
import type { LeaveEnding } from '../endings.js';

/**
 * Reports that the work is done, and ends the program as its first argument says (scenarios/endings.ts), without
 * closing anything. Without an argument, it calls `process.exit()`. The natural end, a rejection and a signal come when
 * the caller has returned to the event loop. In a worker, the program doesn't end itself: it reports that it is done
 * and continues (see in-workers.ts).
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
