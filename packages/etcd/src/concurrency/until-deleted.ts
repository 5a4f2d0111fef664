import { isHistoryLost } from '../errors.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import type { Namespace } from '../views/namespace.js';
import type { WatchOptions } from '../watch/request.js';
import { backOff, mayPass, persist } from './persist.js';

/**
 * Waits until a key that existed at a revision is deleted. Continues after broken connections and compactions.
 *
 * @throws the signal's reason once it aborts.
 */
export async function untilDeleted(
  space: Namespace,
  key: Uint8Array,
  revision: bigint,
  signal: AbortSignal,
): Promise<void> {
  await follow(space, key, { revision, signal, filters: ['put'], until: () => false });
}

/**
 * Waits until a key is deleted, or fulfils the condition. Continues after broken connections and compactions.
 *
 * @param revision a revision at which the key is known not to fulfil the condition. If it is `undefined`, the key is
 * read first.
 * @returns the key at that time, or `undefined` if it is deleted.
 * @throws the signal's reason once it aborts.
 */
export function untilKey(
  space: Namespace,
  key: Uint8Array,
  revision: bigint | undefined,
  until: (kv: KeyValue) => boolean,
  signal: AbortSignal,
): Promise<KeyValue | undefined> {
  return follow(space, key, { revision, signal, filters: [], until });
}

interface Following {
  readonly revision: bigint | undefined;
  readonly signal: AbortSignal;
  readonly filters: NonNullable<WatchOptions['filters']>;
  readonly until: (kv: KeyValue) => boolean;
}

async function follow(
  space: Namespace,
  key: Uint8Array,
  { revision, signal, filters, until }: Following,
): Promise<KeyValue | undefined> {
  let from = revision === undefined ? undefined : revision + 1n;
  for (let failures = 0; ; failures++) {
    try {
      if (from !== undefined) {
        // A member that is cut off would see no change, so such a member is left.
        const options = { startRevision: from, filters, requireLeader: 'wait', signal } as const;
        for await (const { type, kv } of space.watch(key, options)) {
          if (type === 'delete') return undefined;
          if (until(kv)) return kv;
        }
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!isHistoryLost(error) && !mayPass(error)) throw error;
      if (failures > 0) await backOff(failures, signal);
    }
    const now = await persist(
      (bound) => space.range(key, { ...bound, keysOnly: true, requireLeader: 'wait', signal }),
      signal,
    );
    const [kv] = now.kvs;
    // If it was created later, it is another key of the same name.
    if (kv === undefined || (from !== undefined && kv.createRevision >= from) || until(kv)) return kv;
    from = now.revision + 1n;
  }
}
