import { LeaseService } from '../rpc/generated/etcdserverpb/methods.js';
import { LeaseKeepAliveResponse } from '../rpc/generated/etcdserverpb/rpc.js';
import { readable } from '../rpc/messages/readable.js';

/** Tags of `LeaseKeepAliveResponse`: `header`, `ID`, `TTL`. */
const HEADER_TAG = 0x0a;
const ID_TAG = 0x10;
const TTL_TAG = 0x18;

const int64 = new BigInt64Array([1n]);
const words = new Uint32Array(int64.buffer);
/** The index of the low word on this host. */
const low = words[0] === 1 ? 0 : 1;

/** The server's answer to a renewal. `ttlSeconds` is 0 for a lease that the server doesn't have. */
export interface RenewalAnswer {
  readonly id: bigint;
  readonly ttlSeconds: number;
}

/**
 * Decodes the answer to a renewal. An answer arrives for each lease every third of its TTL, and the generated decoder
 * makes a reader and a header that nobody uses. So that decoder reads only answers whose fields aren't in the order in
 * which etcd writes them.
 */
export function decodeRenewal(message: Uint8Array): RenewalAnswer {
  return inOrder(message) ?? decodeAny(message);
}

function inOrder(message: Uint8Array): RenewalAnswer | undefined {
  const headerLength = message[1];
  if (message[0] !== HEADER_TAG || headerLength === undefined || headerLength >= 0x80) return undefined;
  let at = 2 + headerLength;
  if (message[at++] !== ID_TAG) return undefined;
  let lowWord = 0;
  let highWord = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = message[at++];
    if (byte === undefined || shift > 63) return undefined;
    const bits = byte & 0x7f;
    if (shift < 32) lowWord |= bits << shift;
    if (shift === 28) highWord = bits >>> 4;
    else if (shift > 28) highWord |= bits << (shift - 32);
    if (byte < 0x80) break;
  }
  let ttlSeconds = 0;
  if (at < message.length) {
    if (message[at++] !== TTL_TAG) return undefined;
    // A longer number isn't the TTL of a lease, the longest of which has 5 bytes, or it is negative.
    for (let scale = 1, byte = 0x80; byte >= 0x80; scale *= 0x80) {
      byte = message[at++] ?? 0xff;
      if (scale > 0x80 ** 5) return undefined;
      ttlSeconds += (byte & 0x7f) * scale;
    }
    if (at !== message.length) return undefined;
  }
  words[low] = lowWord;
  words[1 - low] = highWord;
  return { id: int64[0] as bigint, ttlSeconds };
}

function decodeAny(message: Uint8Array): RenewalAnswer {
  const { ID, TTL } = readable(LeaseService.leaseKeepAlive.path, () =>
    LeaseKeepAliveResponse.decode(message),
  );
  return { id: ID, ttlSeconds: Number(TTL) };
}
