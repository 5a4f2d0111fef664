import { jsonFields } from '../json.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import type { EntryMaker, MessageReader } from '../rpc/messages/message-reader.js';
import { Event, Event_EventType } from '../rpc/messages/mvccpb.js';

/** One change of a key. */
export interface WatchEvent<Entry = KeyValue> {
  readonly type: 'put' | 'delete';
  /** The key after the change. For a delete, it has only the key and the revision. */
  readonly kv: Entry;
  /** The key before the change, if `prevKv` was given and that revision is not compacted. */
  readonly prevKv: Entry | undefined;
  /** Revision of the change. Changes of one transaction share it. */
  readonly revision: bigint;
}

/**
 * Changes that came together: clientv3's `WatchResponse`. A revision, and so a transaction, is never split over two
 * batches, but one batch can hold several revisions.
 */
export interface WatchBatch<Entry = KeyValue> {
  /** In the order in which they were made; empty in a progress notification. */
  readonly events: readonly WatchEvent<Entry>[];
  /** All changes up to this revision were in this batch or an earlier one. */
  readonly revision: bigint;
}

/** Tags of `mvccpb.Event`'s fields, in the order in which etcd writes them. */
const TYPE_TAG = 0x08;
const KV_TAG = 0x12;
const PREV_KV_TAG = 0x1a;

/**
 * Reads an event of a response, whose tag is next. Returns `undefined` for an event without a key. Most events have a
 * length of one or two bytes and their fields in order. `MessageReader.keyValue()` says why this is one function.
 * @internal
 */
export function readEvent<Entry>(
  reader: MessageReader,
  maker: EntryMaker<Entry>,
): WatchEvent<Entry> | undefined {
  const { message, pos: start } = reader;
  let at = start + 1;
  let length = message[at++] as number;
  if (length >= 0x80) length += ((message[at++] as number) - 1) * 0x80;
  const end = at + length;
  if (end - start > LONGEST) return readAny(reader, maker);
  const isDelete = message[at] === TYPE_TAG;
  if (isDelete) {
    if (message[at + 1] !== Event_EventType.DELETE) return readAny(reader, maker);
    at += 2;
  }
  if (message[at++] !== KV_TAG) return readAny(reader, maker);
  length = message[at++] as number;
  if (length >= 0x80) length += ((message[at++] as number) - 1) * 0x80;
  reader.pos = at;
  at += length;
  const kv = reader.keyValue(at, maker);
  const revision = reader.modRevision;
  let prevKv: Entry | undefined;
  if (kv !== undefined && at < end && message[at++] === PREV_KV_TAG) {
    length = message[at++] as number;
    if (length >= 0x80) length += ((message[at++] as number) - 1) * 0x80;
    reader.pos = at;
    at += length;
    prevKv = reader.keyValue(at, maker);
    if (prevKv === undefined) at = -1;
  }
  if (kv === undefined || at !== end) {
    reader.goBack(start);
    return readAny(reader, maker);
  }
  return new Change(isDelete ? 'delete' : 'put', kv, prevKv, revision);
}

/** A length of more than two bytes is above this. */
const LONGEST = 0x80 * 0x80;

function readAny<Entry>(reader: MessageReader, maker: EntryMaker<Entry>): WatchEvent<Entry> | undefined {
  reader.uint32();
  const { type, kv, prevKv } = Event.decode(reader, reader.uint32());
  if (kv === undefined) return undefined;
  const name = type === Event_EventType.DELETE ? 'delete' : 'put';
  return new Change(name, maker.entry(kv), prevKv && maker.entry(prevKv), kv.modRevision);
}

class Change<Entry> implements WatchEvent<Entry> {
  declare readonly type: 'put' | 'delete';
  declare readonly kv: Entry;
  declare readonly prevKv: Entry | undefined;
  declare readonly revision: bigint;

  constructor(type: 'put' | 'delete', kv: Entry, prevKv: Entry | undefined, revision: bigint) {
    this.type = type;
    this.kv = kv;
    this.prevKv = prevKv;
    this.revision = revision;
  }

  toJSON(): Record<string, unknown> {
    return jsonFields(this);
  }
}
