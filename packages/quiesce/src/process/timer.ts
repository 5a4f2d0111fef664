/** A wait that can be cancelled without an exception, unlike those of `node:timers/promises`. */
export interface Timer {
  /** Resolves once the time has passed; never if it was cancelled before. */
  readonly passed: Promise<void>;
  /** Cancels it. Idempotent. */
  stop(): void;
}

/** Starts a timer. It never ends too early: Node's own may, by a millisecond or two. */
export function startTimer(ms: number): Timer {
  const end = performance.now() + ms;
  let timeout: NodeJS.Timeout | undefined;
  const passed = new Promise<void>((resolve) => {
    const wait = (): void => {
      const rest = end - performance.now();
      timeout = setTimeout(() => (performance.now() < end ? wait() : resolve()), Math.ceil(rest));
    };
    wait();
  });
  return { passed, stop: () => clearTimeout(timeout) };
}

/** How many times as long as given a limit lasts at most, while other processes have the CPUs. */
const LONGEST = 10;

/**
 * Calls back once a time has passed, unless the returned function was called before.
 * @param kept how long those whom it limits have been kept from their work so far, in ms. That time doesn't count.
 */
export function startLimit(ms: number, over: () => void, kept: () => number): () => void {
  const start = performance.now();
  const keptBefore = kept();
  let timeout: NodeJS.Timeout | undefined;
  const wait = (): void => {
    const passed = performance.now() - start;
    const rest = Math.min(ms + kept() - keptBefore, LONGEST * ms) - passed;
    if (rest > 0) timeout = setTimeout(wait, Math.ceil(rest));
    else over();
  };
  wait();
  return () => clearTimeout(timeout);
}

/**
 * Does work with a signal that aborts once a time has passed, or when another signal aborts. `AbortSignal.any` isn't
 * enough: in Node 20 the garbage collector takes an `AbortSignal.timeout` that nothing else references, and then
 * nothing ever aborts.
 * @param kept as for {@link startLimit}.
 */
export async function within<T>(
  ms: number,
  signal: AbortSignal | undefined,
  work: (limit: AbortSignal) => Promise<T>,
  kept: () => number = () => 0,
): Promise<T> {
  const controller = new AbortController();
  const stop = (): void => controller.abort(signal?.reason);
  const end = startLimit(ms, stop, kept);
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  try {
    return await work(controller.signal);
  } finally {
    end();
    signal?.removeEventListener('abort', stop);
  }
}
