import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until a condition holds, and fails when it doesn't within the bound, in ms. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  boundMs = 10_000,
): Promise<void> {
  const start = performance.now();
  while (!(await holds())) {
    if (performance.now() - start > boundMs) assert.fail(`${what}: not within ${boundMs} ms`);
    await sleep(10);
  }
}

/** Resolves with the reason once a signal aborts, and fails when it doesn't within the bound, in ms. */
export async function aborted(signal: AbortSignal, boundMs = 10_000): Promise<unknown> {
  await eventually('the signal aborts', () => signal.aborted, boundMs);
  return signal.reason;
}
