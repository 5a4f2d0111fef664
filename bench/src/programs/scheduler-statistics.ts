import { closeSync, openSync, readSync } from 'node:fs';

/**
 * Linux's counters for a thread of this process: time on a CPU and time waited for one, in ns, and turns
 * (sched-stats.rst).
 */
export class SchedulerStatistics {
  readonly #file: number | undefined;
  readonly #buffer = Buffer.alloc(64);

  /** @param thread its number; default: that of the main thread. */
  constructor(thread = process.pid) {
    try {
      this.#file = openSync(`/proc/self/task/${thread}/schedstat`, 'r');
    } catch {
      // Not on Linux, or a kernel without these counters.
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
