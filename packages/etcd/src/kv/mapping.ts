import { KeyValue } from '../rpc/messages/key-value.js';
import type { EntryMaker, MessageReader } from '../rpc/messages/message-reader.js';
import { inBytes } from '../rpc/messages/mvccpb.js';
import {
  type Bytes,
  type KeyRange,
  type RangeBytes,
  rangeBelow,
  toBytes,
  toKey,
  toRange,
} from './key-range.js';

/**
 * Maps between what the caller of a view writes and reads, and what etcd stores: with the prefix of a namespace, and
 * with a codec. All messages with keys or values go through a mapping.
 * @internal
 */
export interface Mapping<Key, Value, Entry> extends EntryMaker<Entry> {
  /** Throws InvalidArgumentError for a value that can't be a key. */
  key(key: Key): Uint8Array;
  /** The same as {@link key}, for a key or a range. */
  range(keys: Key | KeyRange): RangeBytes;
  value(value: Value): Uint8Array;
}

/**
 * The mapping of the client itself, and of its namespaces: bytes and text, below a prefix that may be empty.
 * @internal
 */
export class PrefixMapping implements Mapping<Bytes, Bytes, KeyValue> {
  readonly prefix: Uint8Array;

  constructor(prefix: Uint8Array) {
    this.prefix = prefix;
  }

  key(key: Bytes): Uint8Array {
    const bytes = toKey(key);
    return this.prefix.length === 0 ? bytes : Buffer.concat([this.prefix, bytes]);
  }

  range(keys: Bytes | KeyRange): RangeBytes {
    const range = toRange(keys);
    return this.prefix.length === 0 ? range : rangeBelow(this.prefix, range);
  }

  value(value: Bytes): Uint8Array {
    return toBytes(value);
  }

  entry(kv: KeyValue): KeyValue {
    const { length } = this.prefix;
    if (length === 0) return kv;
    // Not spread: V8 takes about 4 µs for a spread followed by further properties.
    const { key, value, createRevision, modRevision, version, lease } = kv;
    return new KeyValue(key.subarray(length), value, createRevision, modRevision, version, lease);
  }

  entryAt(
    reader: MessageReader,
    key: number,
    keyEnd: number,
    value: number,
    valueEnd: number,
    createRevision: bigint,
    modRevision: bigint,
    version: bigint,
    lease: bigint,
  ): KeyValue {
    return inBytes.entryAt(
      reader,
      key + this.prefix.length,
      keyEnd,
      value,
      valueEnd,
      createRevision,
      modRevision,
      version,
      lease,
    );
  }

  /** The key without the prefix, or `undefined` when it isn't below the prefix. */
  strip(key: Uint8Array): Uint8Array | undefined {
    const { length } = this.prefix;
    if (key.length <= length || Buffer.compare(key.subarray(0, length), this.prefix) !== 0) return undefined;
    return new Uint8Array(key.subarray(length));
  }
}
