import { EtcdError, StatusCode } from '../errors.js';
import { pause, reopenMs } from '../rpc/backoff.js';

const backoff = { firstMs: 50, longestMs: 1_000 };

/** Whether the same call may succeed later. */
export function mayPass(error: unknown): boolean {
  return (
    error instanceof EtcdError &&
    (error.code === StatusCode.UNAVAILABLE || error.code === StatusCode.DEADLINE_EXCEEDED)
  );
}

/** Makes a call that may be applied twice again and again, with back-off, while no server answers it. */
export async function persist<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let failures = 0; ; failures++) {
    signal.throwIfAborted();
    try {
      return await call();
    } catch (error) {
      signal.throwIfAborted();
      if (!mayPass(error)) throw error;
    }
    await backOff(failures, signal);
  }
}

/** Waits before the next attempt, after so many failures. */
export async function backOff(failures: number, signal: AbortSignal): Promise<void> {
  // Whoever waits in vain for a server has a keepalive running, which holds the process if it may.
  await pause(reopenMs(failures, backoff), signal, { ref: false });
}
