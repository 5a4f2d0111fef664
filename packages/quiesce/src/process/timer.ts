/** A wait that can be called off, without the exception that an aborted one of `node:timers/promises` makes. */
export interface Timer {
  /** Resolves once the time has passed; never when it was called off before. */
  readonly passed: Promise<void>;
  /** Calls it off. Idempotent. */
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
