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

/**
 * Does work with a signal that aborts once a time has passed, or when another signal aborts. `AbortSignal.any` isn't
 * enough: in Node 20 the garbage collector takes an `AbortSignal.timeout` that nothing else references, and then
 * nothing ever aborts.
 */
export async function within<T>(
  ms: number,
  signal: AbortSignal | undefined,
  work: (limit: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const stop = (): void => controller.abort(signal?.reason);
  const timeout = setTimeout(stop, ms);
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timeout);
    signal?.removeEventListener('abort', stop);
  }
}
