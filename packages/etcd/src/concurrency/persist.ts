import { setTimeout as sleep } from 'node:timers/promises';
import { EtcdError, StatusCode } from '../errors.js';

const shortestBackoffMs = 50;
const longestBackoffMs = 1_000;

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
  const ms = Math.min(shortestBackoffMs * 2 ** failures, longestBackoffMs) * (0.5 + Math.random() / 2);
  // Whoever waits in vain for a server has a keepalive running, which holds the process if it may.
  await sleep(ms, undefined, { signal, ref: false }).catch(() => signal.throwIfAborted());
}
