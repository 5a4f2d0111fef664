import { types } from '../built-in.js';
import type { JsonBytes } from '../json.js';
import { type Bytes, ownBytes, toKey } from '../kv/key-range.js';
import { compare, op } from '../kv/txn.js';
import { restOfTime } from '../rpc/rest-of-time.js';
import type { CallControl } from '../rpc/rpc.js';
import { type Int64, int64 } from '../util/int64.js';
import { type Kind, kind, withFields } from '../util/kinds.js';
import { lossOf, type OwnedKey, OwnershipLostError, throwIfLost } from './owned-key.js';
import type { Session } from './session.js';

/**
 * What is known about a key that is resumed: an {@link OwnedKey}, or the data that its program has stored, for instance
 * as JSON. Other fields are ignored.
 */
export interface KeptKey {
  /** As text or as bytes. May also be `{ base64 }`, as in the JSON of a key that isn't UTF-8. */
  readonly key: Bytes | JsonBytes;
  /** May also be decimal text, as in JSON. */
  readonly revision: Int64 | string;
}

const keyBytes = kind<Bytes | JsonBytes>(
  (value) => typeof value === 'string' || types.isUint8Array(value) || isBase64(value),
  'a string, a Uint8Array, or { base64 } from JSON',
);
const isBase64 = (value: unknown): value is Exclude<JsonBytes, string> =>
  typeof value === 'object' && value !== null && typeof (value as { base64?: unknown }).base64 === 'string';

const revisionNumber = kind<Int64 | string>(
  (value) => int64.fits(value) || (typeof value === 'string' && /^\d{1,18}$/.test(value)),
  'a revision: a bigint, or its decimal text',
);

/** @internal */
export const keptKey: Kind<KeptKey> = withFields<KeptKey>(
  { key: keyBytes, revision: revisionNumber },
  'the key and the revision of what was held: { key, revision }',
);

/** The key's bytes and its revision. */
export function ofKept({ key, revision }: KeptKey): { readonly key: Uint8Array; readonly revision: bigint } {
  const isText = typeof key === 'string' || types.isUint8Array(key);
  return {
    key: ownBytes(toKey(isText ? key : Buffer.from(key.base64, 'base64'))),
    revision: BigInt(revision),
  };
}

/**
 * Attaches an existing key to this session's lease.
 *
 * @param undone what wasn't done when the time ran out, for the message.
 * @returns the revision of that change.
 * @throws OwnershipLostError when the key no longer exists.
 */
export async function hangOn(
  session: Session,
  { key, revision }: Pick<OwnedKey, 'key' | 'revision'>,
  options: CallControl,
  undone: string,
): Promise<bigint> {
  const { space, leaseId } = session;
  const { signal } = options;
  const control = restOfTime(options, undone);
  const attach = op.put<Bytes, Bytes>(key, '', { ignoreValue: true, lease: leaseId });
  for (;;) {
    throwIfLost(session.over);
    const now = await space.get(key, control());
    // Compares with the key as it was seen, so that a late copy of this write doesn't take it from a session that
    // resumed it afterwards.
    const seen = now?.createRevision === revision ? now.modRevision : undefined;
    if (seen === undefined) throw new OwnershipLostError(key, 'deleted');
    const unchanged = compare.modRevision<Bytes>(key, '=', seen);
    const result = await space
      .txn({ compare: [unchanged], success: [attach] }, control())
      .catch((error: unknown) => {
        throw lossOf(error, [session.over], true);
      });
    if (result.succeeded) return result.revision;
    signal?.throwIfAborted();
  }
}
