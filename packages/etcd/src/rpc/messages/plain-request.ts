import type { BinaryWriter } from '@bufbuild/protobuf/wire';
import { ZERO } from '../../util/int64.js';
import { PutRequest, RangeRequest } from '../generated/etcdserverpb/rpc.js';

// Requests of which only the first two fields are set, as most are. They are encoded by one function, for the reason that is
// in in-order.ts.

const KEY_TAG = 0x0a;
/** `range_end` of a `RangeRequest`, `value` of a `PutRequest`. */
const SECOND_TAG = 0x12;

/** Encodes a `RangeRequest`. */
export const PlainRange = {
  encode: (message: RangeRequest, writer: BinaryWriter): BinaryWriter => RangeRequest.encode(message, writer),
  /** `undefined` for a request with further fields. */
  plain(message: RangeRequest): Uint8Array | undefined {
    return message.limit === ZERO &&
      message.revision === ZERO &&
      message.sortOrder === 0 &&
      message.sortTarget === 0 &&
      !message.serializable &&
      !message.keysOnly &&
      !message.countOnly &&
      message.minModRevision === ZERO &&
      message.maxModRevision === ZERO &&
      message.minCreateRevision === ZERO &&
      message.maxCreateRevision === ZERO
      ? twoFields(message.key, message.rangeEnd)
      : undefined;
  },
};

/** Encodes a `PutRequest`. */
export const PlainPut = {
  encode: (message: PutRequest, writer: BinaryWriter): BinaryWriter => PutRequest.encode(message, writer),
  /** `undefined` for a request with further fields. */
  plain(message: PutRequest): Uint8Array | undefined {
    return message.lease === ZERO && !message.prevKv && !message.ignoreValue && !message.ignoreLease
      ? twoFields(message.key, message.value)
      : undefined;
  },
};

/** `undefined` where a length would take more than two bytes, or the key's more than one. */
function twoFields(key: Uint8Array, second: Uint8Array): Uint8Array | undefined {
  const { length } = key;
  const more = second.length;
  if (length >= 0x80 || more >= 0x80 * 0x80) return undefined;
  const start = length === 0 ? 0 : 2 + length;
  const long = more >= 0x80 ? 1 : 0;
  const bytes = new Uint8Array(start + (more === 0 ? 0 : 2 + long + more));
  if (length > 0) {
    bytes[0] = KEY_TAG;
    bytes[1] = length;
    bytes.set(key, 2);
  }
  if (more > 0) {
    bytes[start] = SECOND_TAG;
    if (long === 0) bytes[start + 1] = more;
    else {
      bytes[start + 1] = (more & 0x7f) | 0x80;
      bytes[start + 2] = more >> 7;
    }
    bytes.set(second, start + 2 + long);
  }
  return bytes;
}
