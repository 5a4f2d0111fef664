import { PutResponse, RangeResponse } from '../generated/etcdserverpb/rpc.js';
import type { KeyValue } from './key-value.js';
import type { MessageReader } from './message-reader.js';
import { inBytes } from './mvccpb.js';

// The answers to single calls, read without the generated code where their fields are in the order in which etcd writes
// them. The generated code is many functions. While a program is young, V8 compiles each of them by itself, and then again
// into each of its callers. It does so on a CPU that the server may need. That was a third of all that it compiled for gets.

/** Fields of `RangeResponse`. */
const KVS_TAG = 0x12;
const MORE_TAG = 0x18;
const COUNT_TAG = 0x20;

/** A `RangeResponse`. */
export const RangeInOrder = {
  decode(reader: MessageReader): RangeResponse {
    const { message } = reader;
    const header = reader.header();
    const kvs: KeyValue[] = [];
    let more = false;
    let count = 0n;
    let inOrder = header !== undefined;
    while (inOrder && message[reader.pos] === KVS_TAG) {
      reader.pos += 1;
      const length = reader.uint32();
      const kv = reader.keyValue(reader.pos + length, inBytes);
      if (kv === undefined) inOrder = false;
      else kvs.push(kv);
    }
    if (inOrder && message[reader.pos] === MORE_TAG) {
      more = message[reader.pos + 1] === 1;
      inOrder = more;
      reader.pos += 2;
    }
    if (inOrder && message[reader.pos] === COUNT_TAG) {
      reader.pos += 1;
      count = reader.int64() as bigint;
    }
    if (inOrder && reader.pos === reader.len) return { header, kvs, more, count };
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
