import { idempotentCall } from '../rpc/call.js';
import { KVService } from '../rpc/generated/etcdserverpb/methods.js';
import { RangeRequest, type ResponseHeader } from '../rpc/generated/etcdserverpb/rpc.js';
import type { Rpc } from '../rpc/rpc.js';
import { isReplaced, type Store } from '../rpc/store.js';
import type { ByteStream } from '../transport/transport.js';

/** Longest time for the read, in ms: the stream isn't read meanwhile. */
const LONGEST_MS = 5_000;

const linearizableRead = idempotentCall(KVService.range, ({ header }) => header);

/** Whether a member that has made a watch is behind what was seen before: it lags, or its store has gone back. */
export function isBehind(store: Store, header: ResponseHeader | undefined, relied: bigint): boolean {
  if (header === undefined || header.clusterId === 0n) return false;
  const seen = store.seenWith(header.memberId);
  const revision = relied < seen.revision ? relied : seen.revision;
  return isReplaced({ ...seen, revision }, header);
}

/**
 * Has the member at the other end of a stream catch up with its cluster, by a linearizable read. A store that still is
 * behind what was seen before has gone back: then whoever remembers a revision of it is notified.
 *
 * @param key may be read by who may watch it.
 */
export async function confirmStore(
  rpc: Rpc,
  store: Store,
  stream: ByteStream,
  key: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  // As the read is sent: others may come to later revisions before it is answered.
  const { revision } = store;
  const request = RangeRequest.fromPartial({ key, keysOnly: true });
  const timeoutMs = Math.min(rpc.timeoutOf({}), LONGEST_MS);
  const now = await rpc.callBeside(stream, linearizableRead, request, {
    timeoutMs,
    requireLeader: true,
    signal,
  });
  if (now !== undefined && isReplaced({ ...store.seenWith(now.memberId), revision }, now))
    store.replacedBy(now);
}
