/**
 * The host's timers and ticks as they were when this client was loaded. Tests replace the global ones by clocks of their own
 * (`vi.useFakeTimers()`, `mock.timers`), on which no answer of a real server is ever read.
 */
export const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, queueMicrotask } =
  globalThis;

/** As above: `process.nextTick`. */
export const nextTick = process.nextTick.bind(process);
/** The longest that a timer runs, in ms. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Runs code of the program's, such as its listeners. What that throws is an uncaught exception, and not a failure of what the
 * client was about to do.
 */
export function runApart(run: () => void): void {
  try {
    run();
  } catch (error) {
    nextTick(() => {
      throw error;
    });
  }
}
