// queues/ has the queues. Each item goes to one consumer, in order of arrival or by priority.

import type { Bytes, KeyRange } from '../../kv/key-range.js';
import { compare, op } from '../../kv/txn.js';
import type { KeyValue } from '../../rpc/messages/key-value.js';
import { restOfTime } from '../../rpc/rest-of-time.js';
import { LinkedSignal } from '../../util/abort/linked-signal.js';
import type { Namespace } from '../../views/namespace.js';
import { type AcquireOptions, acquireOptions } from '../owned-key.js';
import { persist } from '../persist.js';
import { untilPut } from '../until-put.js';

/** This many keys are read at once, because others may be quicker to take the first. */
const CANDIDATES = 8;

/** Removes and returns the first key of a range, in the given order; waits for one while the range is empty. */
export async function dequeue(
  space: Namespace,
  keys: KeyRange,
  sortBy: 'key' | 'modRevision',
  options: AcquireOptions,
): Promise<KeyValue> {
  acquireOptions.check(options);
  using linked = new LinkedSignal([options.signal], { timeoutMs: options.timeoutMs, mayBeApplied: false });
  const { signal } = linked;
  const control = restOfTime({ timeoutMs: options.timeoutMs }, 'no item was taken');
  for (;;) {
    const { kvs, revision } = await persist(
      (bound) => space.range(keys, { ...bound, sortBy, limit: CANDIDATES, requireLeader: 'wait', signal }),
      signal,
    );
    for (const kv of kvs) {
      signal.throwIfAborted();
      // Not cancelled by the signal: an item that was taken must reach the caller.
      const txn = {
        compare: [compare.modRevision<Bytes>(kv.key, '=', kv.modRevision)],
        success: [op.delete<Bytes>(kv.key)],
      };
      const { succeeded } = await space.txn(txn, control());
      if (succeeded) return kv;
    }
    if (kvs.length === 0) await untilPut(space, keys, revision, signal);
  }
}
