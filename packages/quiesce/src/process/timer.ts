/** A wait that can be cancelled without an exception, unlike those of `node:timers/promises`. */
export interface Timer {
  /** Resolves once the time has passed; never if it was cancelled before. */
  readonly passed: Promise<void>;
  /** Cancels it. Idempotent. */
  stop(): void;
}

/** Starts a timer. */
export function startTimer(ms: number): Timer {
  let timeout: NodeJS.Timeout | undefined;
  const passed = new Promise<void>((resolve) => {
    timeout = setTimeout(resolve, ms);
  });
  return { passed, stop: () => clearTimeout(timeout) };
}
