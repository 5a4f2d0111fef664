import { types } from 'node:util';
import type { Bytes } from '../kv/key-range.js';
import { compare, op } from '../kv/txn.js';
import { restOfTime } from '../rpc/rest-of-time.js';
import type { CallControl } from '../rpc/rpc.js';
import { type Kind, kind } from '../util/kinds.js';
import { inDoubt, type OwnedKey, OwnershipLostError } from './owned-key.js';
import type { Session } from './session.js';

/** What is known of a key that is resumed: of an {@link OwnedKey}, or as its program has stored it. */
export type KeptKey = Pick<OwnedKey, 'key' | 'revision'>;

/** @internal */
export const keptKey: Kind<KeptKey> = kind(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    types.isUint8Array((value as KeptKey).key) &&
    typeof (value as KeptKey).revision === 'bigint',
  'the key (a Uint8Array) and the revision (a bigint) of what was held: { key, revision }',
);

/**
 * Attaches an existing key to this session's lease.
 *
 * @param undone what wasn't done when the time is over, for the message.
 * @returns the revision of that change.
 * @throws OwnershipLostError when there is no such key any more.
 */
export async function hangOn(
  session: Session,
  { key, revision }: KeptKey,
  options: CallControl,
  undone: string,
): Promise<bigint> {
  const { space, leaseId } = session;
  const { signal } = options;
  const control = restOfTime(options, undone);
  const attach = op.put<Bytes, Bytes>(key, '', { ignoreValue: true, lease: leaseId });
  for (;;) {
    session.signal.throwIfAborted();
    const now = await space.get(key, control());
    // The key as it was seen: a copy of this that comes late doesn't take it from who resumed it after that.
    const seen = now?.createRevision === revision ? now.modRevision : undefined;
    if (seen === undefined) throw new OwnershipLostError(key, 'deleted');
    const unchanged = compare.modRevision<Bytes>(key, '=', seen);
    const result = await space
      .txn({ compare: [unchanged], success: [attach] }, control())
      .catch((error: unknown) => {
        throw error === session.signal.reason ? inDoubt(error) : error;
      });
    if (result.succeeded) return result.revision;
    signal?.throwIfAborted();
  }
}
