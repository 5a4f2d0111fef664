import { BinaryReader } from '@bufbuild/protobuf/wire';
import {
  type Event_EventType,
  Event as GeneratedEvent,
  KeyValue as GeneratedKeyValue,
  type MessageFns,
} from '../generated/mvccpb/kv.js';
import { noBytes } from './byte-slabs.js';
import { KeyValue as EtcdKeyValue } from './key-value.js';
import { type EntryMaker, MessageReader } from './message-reader.js';
import { checkEnd, skipUnknown } from './unknown-field.js';

// The messages of rpc/generated/etcdserverpb use these for keys and events (buf.gen.yaml maps mvccpb/kv.proto to this
// file). These two come by the hundred thousand, so they are decoded straight into what the user gets. The generated
// code would make a message and two empty arrays for each. Loops and errors are those of the generated code;
// test/message-decoding.test.ts compares the two.

/** What the generated code calls, with a different `decode`. */
type Decoded<T, Generated> = Pick<MessageFns<T>, 'decode' | 'fromPartial'> &
  Pick<Generated, 'encode' & keyof Generated>;

export { Event_EventType } from '../generated/mvccpb/kv.js';

/** Keys and values as bytes. */
export const inBytes: EntryMaker<EtcdKeyValue> = {
  entry: (kv) => kv,
  entryAt: (reader, key, keyEnd, value, valueEnd, createRevision, modRevision, version, lease) =>
    new EtcdKeyValue(
      reader.copied(key, keyEnd),
      reader.copied(value, valueEnd),
      createRevision,
      modRevision,
      version,
      lease,
    ),
};

/** A `mvccpb.KeyValue`, decoded as the client's own class. */
export type KeyValue = EtcdKeyValue;

export const KeyValue: Decoded<KeyValue, typeof GeneratedKeyValue> = {
  encode: GeneratedKeyValue.encode,
  fromPartial: (object) => {
    const { key, value, createRevision, modRevision, version, lease } = GeneratedKeyValue.fromPartial(object);
    return new EtcdKeyValue(key, value, createRevision, modRevision, version, lease);
  },
  decode(input, length) {
    const reader = input instanceof BinaryReader ? input : new BinaryReader(input);
    const end = length === undefined ? reader.len : reader.pos + length;
    const inOrder = reader instanceof MessageReader ? reader.keyValue(end, inBytes) : undefined;
    if (inOrder !== undefined) return inOrder;
    let key: Uint8Array = noBytes;
    let value: Uint8Array = noBytes;
    let createRevision = 0n;
    let modRevision = 0n;
    let version = 0n;
    let lease = 0n;
    while (reader.pos < end) {
      const tag = reader.uint32();
      if (tag === 10) key = reader.bytes();
      else if (tag === 16) createRevision = reader.int64() as bigint;
      else if (tag === 24) modRevision = reader.int64() as bigint;
      else if (tag === 32) version = reader.int64() as bigint;
      else if (tag === 42) value = reader.bytes();
      else if (tag === 48) lease = reader.int64() as bigint;
      else skipUnknown(reader, tag);
    }
    checkEnd(reader, end);
    return new EtcdKeyValue(key, value, createRevision, modRevision, version, lease);
  },
};

/** A `mvccpb.Event`. */
export interface Event {
  readonly type: Event_EventType;
  readonly kv: KeyValue | undefined;
  readonly prevKv: KeyValue | undefined;
}

export const Event: Decoded<Event, typeof GeneratedEvent> = {
  encode: GeneratedEvent.encode,
  fromPartial: ({ type = 0, kv, prevKv }) => ({
    type,
    kv: kv && KeyValue.fromPartial(kv),
    prevKv: prevKv && KeyValue.fromPartial(prevKv),
  }),
  decode(input, length) {
    const reader = input instanceof BinaryReader ? input : new BinaryReader(input);
    const end = length === undefined ? reader.len : reader.pos + length;
    let type: Event_EventType = 0;
    let kv: KeyValue | undefined;
    let prevKv: KeyValue | undefined;
    while (reader.pos < end) {
      const tag = reader.uint32();
      if (tag === 8) type = reader.int32();
      else if (tag === 18) kv = KeyValue.decode(reader, reader.uint32());
      else if (tag === 26) prevKv = KeyValue.decode(reader, reader.uint32());
      else skipUnknown(reader, tag);
    }
    checkEnd(reader, end);
    return { type, kv, prevKv };
  },
};
