/**
 * The host's timers and ticks as they were when this client was loaded. Tests may replace the global ones with fake
 * clocks (`vi.useFakeTimers()`, `mock.timers`). The answer of a real server would never be read on a fake clock.
 */
export const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, queueMicrotask } =
  globalThis;

/** The same for `process.nextTick`. */
export const nextTick = process.nextTick.bind(process);
const { hrtime } = process;

/** Resolves once the calls that were made before have been sent, which happens when no microtasks are left. */
export const endOfTurn = (): Promise<void> => new Promise<void>((resolve) => nextTick(resolve));

/**
 * A time in ms on the host's monotonic clock. The first use of `performance` makes Node load its module with ten
 * others, which takes 1 ms.
 */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}

/** The longest time that a timer can run, in ms. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Runs the program's own code, such as its listeners. What that code throws becomes an uncaught exception, and not a
 * failure of the client.
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
