import { workDone } from 'quiesce/work-done';

/** How a scenario's program can end. None of them closes anything. */
export type Ending = 'exit' | 'natural' | 'exception' | 'rejection' | 'SIGTERM' | 'SIGINT';

/**
 * Says that the work is done, and ends the program as its first argument tells; `process.exit()` without one. Of the
 * others, the natural end, a rejection and a signal come when the caller has returned to the event loop.
 */
export function leave(): void {
  workDone();
  const ending = (process.argv[2] ?? 'exit') as Ending;
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
      throw new Error(`unknown ending ${JSON.stringify(ending)}`);
  }
}
