import { types } from 'node:util';
import type { Bytes } from '../kv/key-range.js';
import { compare, op } from '../kv/txn.js';
import { restOfTime } from '../rpc/rest-of-time.js';
import type { CallControl } from '../rpc/rpc.js';
import { int64 } from '../util/int64.js';
import { type Kind, kind } from '../util/kinds.js';
import { inDoubt, type OwnedKey, OwnershipLostError } from './owned-key.js';
import type { Session } from './session.js';

/** What is known of a key that is resumed: of an {@link OwnedKey}, or as its program has stored it. */
export type KeptKey = Pick<OwnedKey, 'key' | 'revision'>;

/** @internal */
export const keptKey: Kind<KeptKey> = {
  fits: (value) =>
    typeof value === 'object' &&
    value !== null &&
    keyBytes.fits((value as KeptKey).key) &&
    revisionNumber.fits((value as KeptKey).revision),
  explain: (name, value) => {
    if (typeof value !== 'object' || value === null) return anObject.explain(name, value);
    const { key, revision } = value as Record<keyof KeptKey, unknown>;
    if (!keyBytes.fits(key)) return keyBytes.explain(`${name}.key`, key);
    return typeof revision === 'bigint' || typeof revision === 'string'
      ? int64.explain(`${name}.revision`, revision)
      : revisionNumber.explain(`${name}.revision`, revision);
  },
};

const anObject = kind(
  () => false,
  'the key (a Uint8Array) and the revision (a bigint) of what was held: { key, revision }',
);
const keyBytes = kind(types.isUint8Array, 'a Uint8Array: Buffer.from(text) makes one');
const revisionNumber = kind<bigint>(
  (value) => typeof value === 'bigint' && int64.fits(value),
  'a bigint: write BigInt(value)',
);

/**
 * Attaches an existing key to this session's lease.
 *
 * @param undone what wasn't done when the time ran out, for the message.
 * @returns the revision of that change.
 * @throws OwnershipLostError when the key no longer exists.
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
    // The key as it was seen: a late copy of this write doesn't take it from a session that resumed it afterwards.
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
