import { closeSync, openSync, readSync } from 'node:fs';

/** How late the event loop was at worst, in ms. */
export interface Lateness {
  readonly maxStallMs: number;
  /** The same without the time that its thread was ready to run and another one had the CPU; 0 where that isn't known. */
  readonly maxOwnStallMs: number;
}

/** What is later than this was held up, in ms; both figures are exact to as much. */
const TICK_MS = 1;

/** Watches how late the event loop is, from now on until the returned function is called. Of the main thread alone. */
export function watchLateness(): () => Lateness {
  const scheduler = new SchedulerStatistics();
  let maxStallMs = 0;
  let maxOwnStallMs = 0;
  let last = performance.now();
  let lastWaitedMs = scheduler.waitedMs();
  const timer = setInterval(() => {
    const now = performance.now();
    const waitedMs = scheduler.waitedMs();
    const lateMs = now - last - TICK_MS;
    maxStallMs = Math.max(maxStallMs, lateMs);
    if (scheduler.known) maxOwnStallMs = Math.max(maxOwnStallMs, lateMs - (waitedMs - lastWaitedMs));
    last = now;
    lastWaitedMs = waitedMs;
  }, TICK_MS);
  return () => {
    clearInterval(timer);
    scheduler.close();
    return { maxStallMs, maxOwnStallMs };
  };
}

/** What Linux counts for the main thread: time on a CPU and time waited for one, in ns, and turns (sched-stats.rst). */
class SchedulerStatistics {
  readonly #file: number | undefined;
  readonly #buffer = Buffer.alloc(64);

  constructor() {
    try {
      this.#file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
    } catch {
      // Not on Linux, or a kernel without them.
    }
  }

  get known(): boolean {
    return this.#file !== undefined;
  }

  /** How long the thread has waited for a CPU since it began, in ms. */
  waitedMs(): number {
    if (this.#file === undefined) return 0;
    const length = readSync(this.#file, this.#buffer, 0, this.#buffer.length, 0);
    return Number(this.#buffer.toString('latin1', 0, length).split(' ')[1]) / 1e6;
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
  }
}
