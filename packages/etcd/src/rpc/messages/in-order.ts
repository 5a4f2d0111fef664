import { PutResponse, RangeResponse } from '../generated/etcdserverpb/rpc.js';
import type { KeyValue } from './key-value.js';
import type { MessageReader } from './message-reader.js';
import { inBytes } from './mvccpb.js';

// The answers to single calls, read without the generated code where their fields are in the order in which etcd writes
// them. The generated code is many functions. While a program is young, V8 compiles each of them by itself, and then again
// into each of its callers. It does so on a CPU that the server may need. That was half of all that it compiled for gets.

/** Fields of `RangeResponse`. */
const KVS_TAG = 0x12;
const MORE_TAG = 0x18;
const COUNT_TAG = 0x20;

/** A `RangeResponse`. */
export const RangeInOrder = {
  decode(reader: MessageReader): RangeResponse {
    const message = rangeInOrder(reader);
    if (message !== undefined) return message;
    reader.goBack(0);
    return RangeResponse.decode(reader);
  },
};

/** A `PutResponse`. */
export const PutInOrder = {
  decode(reader: MessageReader): PutResponse {
    const header = reader.header();
    if (header !== undefined && reader.pos === reader.len) return { header, prevKv: undefined };
    reader.goBack(0);
    return PutResponse.decode(reader);
  },
};

/** `undefined` for a message whose fields are in another order, or that is damaged. */
function rangeInOrder(reader: MessageReader): RangeResponse | undefined {
  const header = reader.header();
  if (header === undefined) return undefined;
  const { message } = reader;
  const kvs: KeyValue[] = [];
  let more = false;
  let count = 0n;
  while (message[reader.pos] === KVS_TAG) {
    reader.pos += 1;
    const length = reader.uint32();
    const kv = reader.keyValue(reader.pos + length, inBytes);
    if (kv === undefined) return undefined;
    kvs.push(kv);
  }
  if (message[reader.pos] === MORE_TAG) {
    if (message[reader.pos + 1] !== 1) return undefined;
    more = true;
    reader.pos += 2;
  }
  if (message[reader.pos] === COUNT_TAG) {
    reader.pos += 1;
    count = reader.int64() as bigint;
  }
  return reader.pos === reader.len ? { header, kvs, more, count } : undefined;
}
