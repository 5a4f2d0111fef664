import { SchedulerStatistics } from './scheduler-statistics.js';

/** The longest delay of the event loop, in ms. */
export interface Lateness {
  readonly maxStallMs: number;
  /** The same without the time when its thread was ready to run but another had the CPU; 0 if that isn't known. */
  readonly maxOwnStallMs: number;
}

/** How often the delay is measured, in ms, and so the precision of both figures. */
const TICK_MS = 1;

/** Watches the delay of the event loop from now on until the returned function is called. Main thread only. */
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
