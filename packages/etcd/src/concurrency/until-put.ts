import { isHistoryLost } from '../errors.js';
import type { Bytes, Keys } from '../kv/key-range.js';
import type { Namespace } from '../views/namespace.js';
import type { WatchOptions } from '../watch/request.js';
import { backOff, mayPass } from './persist.js';

/** Watches the puts after a revision. It leaves a member that is cut off, which would see no change. */
export function putsAfter(revision: bigint, signal: AbortSignal): WatchOptions {
  return { startRevision: revision + 1n, filters: ['delete'], requireLeader: 'wait', signal };
}

/**
 * Waits until a key of a range is put after a revision. It may also return without a put, after a broken connection or
 * a compaction, so read the keys again.
 *
 * @throws the signal's reason once it aborts.
 */
export async function untilPut(
  space: Namespace,
  keys: Keys | Bytes,
  revision: bigint,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const _ of space.watch(keys, putsAfter(revision, signal))) return;
  } catch (error) {
    signal.throwIfAborted();
    if (!isHistoryLost(error) && !mayPass(error)) throw error;
    await backOff(0, signal);
  }
}
