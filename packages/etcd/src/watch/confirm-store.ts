import { idempotentCall } from '../rpc/call.js';
import { KVService } from '../rpc/generated/etcdserverpb/methods.js';
import { RangeRequest, type ResponseHeader } from '../rpc/generated/etcdserverpb/rpc.js';
import type { Rpc } from '../rpc/rpc.js';
import { isReplaced, type Store } from '../rpc/store.js';
import type { ByteStream } from '../transport/transport.js';

/** The longest time for the read, in ms. The stream isn't read meanwhile. */
const LONGEST_MS = 5_000;

const linearizableRead = idempotentCall(KVService.range, ({ header }) => header);

/**
 * Whether a member that has made a watch is behind the revision that was seen before. Then it lags, or its store has
 * gone back.
 */
export function isBehind(store: Store, header: ResponseHeader | undefined, relied: bigint): boolean {
  if (header === undefined || header.clusterId === 0n) return false;
  const seen = store.seenWith(header.memberId);
  const revision = relied < seen.revision ? relied : seen.revision;
  return isReplaced({ ...seen, revision }, header);
}

/**
 * Makes the member at the other end of a stream catch up with its cluster, through a linearizable read. A store that is
 * still behind the revision seen before has gone back. In that case everyone who remembers a revision of it is
 * notified.
 *
 * @param key a key that the user who may watch it may also read.
 */
export async function confirmStore(
  rpc: Rpc,
  store: Store,
  stream: ByteStream,
  key: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  // Taken when the read is sent: others may see later revisions before it is answered.
  const { revision } = store;
  const request = RangeRequest.fromPartial({ key, keysOnly: true });
  const timeoutMs = Math.min(rpc.timeoutOf({}), LONGEST_MS);
  const now = await rpc.callBeside(stream, linearizableRead, request, {
    timeoutMs,
    requireLeader: 'wait',
    signal,
  });
  if (now !== undefined && isReplaced({ ...store.seenWith(now.memberId), revision }, now))
    store.replacedBy(now);
}
