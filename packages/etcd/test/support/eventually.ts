import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What a test waits for at most, in ms, where it waits for something to happen: not for how long that may take, but only
 * so that a test ends. It is long, since on a busy machine all takes as long as others let it.
 */
export const PATIENCE_MS = 60_000;

/** Waits until a condition holds, and fails when it doesn't within the bound, in ms. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  boundMs = PATIENCE_MS,
): Promise<void> {
  const start = performance.now();
  while (!(await holds())) {
    if (performance.now() - start > boundMs) assert.fail(`${what}: not within ${boundMs} ms`);
    await sleep(10);
  }
}

/** Resolves with the reason once a signal aborts, and fails when it doesn't within the bound, in ms. */
export async function aborted(signal: AbortSignal, boundMs = PATIENCE_MS): Promise<unknown> {
  await eventually('the signal aborts', () => signal.aborted, boundMs);
  return signal.reason;
}
