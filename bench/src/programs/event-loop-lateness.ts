import { SchedulerStatistics } from './scheduler-statistics.js';

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
