import { isHistoryLost } from '../errors.js';
import type { Namespace } from '../views/namespace.js';
import { backOff, mayPass, persist } from './persist.js';

/**
 * Waits until a key that existed at a revision is deleted, over broken connections and compactions.
 *
 * @param createRevision where it is given, another key of that name doesn't count.
 * @throws the signal's reason once it aborts.
 */
export async function untilDeleted(
  space: Namespace,
  key: Uint8Array,
  revision: bigint,
  signal: AbortSignal,
  createRevision?: bigint,
): Promise<void> {
  // Not from a member that is cut off: it would know of no change.
  const options = (startRevision: bigint) =>
    ({ startRevision, filters: ['put'], requireLeader: 'wait', signal }) as const;
  let from = revision + 1n;
  for (let failures = 0; ; failures++) {
    try {
      for await (const { type } of space.watch(key, options(from))) {
        if (type === 'delete') return;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!isHistoryLost(error) && !mayPass(error)) throw error;
      if (failures > 0) await backOff(failures, signal);
    }
    const now = await persist(
      (bound) => space.range(key, { ...bound, keysOnly: true, requireLeader: true, signal }),
      signal,
    );
    const [kv] = now.kvs;
    // Created later, it is another key of that name.
    if (kv === undefined || kv.createRevision >= from) return;
    if (createRevision !== undefined && kv.createRevision !== createRevision) return;
    from = now.revision + 1n;
  }
}
