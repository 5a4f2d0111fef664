import { types } from '../built-in.js';
import { invalidArgument } from '../errors.js';
import { jsonOf } from '../json.js';
import { isOfOtherCopy, markAsOurs } from '../util/copies.js';
import { shown, wellFormed } from '../util/kinds.js';
import { refuseMore } from '../util/methods.js';

/** A key or a value that is passed to a call: bytes, or a string that is sent as UTF-8. */
export type Bytes = string | Uint8Array;

/** One key, or a range of keys: see {@link prefix}, {@link fromKey}, {@link keyRange} and {@link allKeys}. */
export type Keys = Bytes | KeyRange;

/** etcd uses this byte for "from `key` on, without an end" and for "all keys". */
const zero = Uint8Array.of(0);

/**
 * The keys from `key` (included) to `rangeEnd` (excluded), in byte order: `key` and `range_end` of etcd's
 * `RangeRequest`. {@link prefix}, {@link fromKey}, {@link keyRange} and {@link allKeys} make it.
 */
export class KeyRange {
  /** First key of the range. */
  readonly key: Uint8Array;
  /** First key after the range; a single zero byte stands for no end. Empty for a single key. */
  readonly rangeEnd: Uint8Array;

  static {
    markAsOurs(KeyRange.prototype);
  }

  /** @internal */
  constructor(key: Uint8Array, rangeEnd: Uint8Array) {
    this.key = key;
    this.rangeEnd = rangeEnd;
  }

  /** For `JSON.stringify`: both keys, as text where they are UTF-8. */
  toJSON(): unknown {
    return jsonOf({ key: this.key, rangeEnd: this.rangeEnd });
  }
}

/** All keys that start with `start`. An empty prefix means all keys. */
export function prefix(start: Bytes): KeyRange;
export function prefix(start: Bytes, ...more: readonly unknown[]): KeyRange {
  refuseMore('prefix()', [start], more);
  const key = ownBytes(start);
  if (key.length === 0) return allKeys();
  return new KeyRange(key, prefixEnd(key));
}

/** All keys from `start` on, `start` itself included. */
export function fromKey(start: Bytes): KeyRange;
export function fromKey(start: Bytes, ...more: readonly unknown[]): KeyRange {
  refuseMore('fromKey()', [start], more);
  const key = ownBytes(start);
  return new KeyRange(key.length === 0 ? zero : key, zero);
}

/**
 * The keys from `start` (included) to `end` (excluded).
 *
 * @throws InvalidArgumentError when `end` isn't after `start`: such a range would be empty.
 */
export function keyRange(start: Bytes, end: Bytes): KeyRange;
export function keyRange(start: Bytes, end: Bytes, ...more: readonly unknown[]): KeyRange {
  refuseMore('keyRange()', [start, end], more);
  const key = ownBytes(start);
  const rangeEnd = ownBytes(end);
  if (Buffer.compare(key, rangeEnd) >= 0) {
    throw invalidArgument(
      'keyRange(start, end): end must be after start in byte order; for one key give the key itself',
    );
  }
  return new KeyRange(key.length === 0 ? zero : key, rangeEnd);
}

/** All keys. */
export function allKeys(): KeyRange;
export function allKeys(...more: readonly unknown[]): KeyRange {
  refuseMore('allKeys()', [], more);
  return new KeyRange(zero, zero);
}

const noEnd = new Uint8Array(0);

/**
 * One key as bytes, for calls of any view: a codec for keys doesn't apply to ranges.
 * @internal
 */
export function asRange(key: Uint8Array): KeyRange {
  return new KeyRange(key, noEnd);
}

/**
 * `key` and `range_end` in etcd's form.
 * @internal
 */
export interface RangeBytes {
  readonly key: Uint8Array;
  readonly rangeEnd: Uint8Array;
}

/** @internal */
export function toRange(keys: Keys): RangeBytes {
  if (!(keys instanceof KeyRange)) return { key: toKey(keys), rangeEnd: noEnd };
  if (types.isUint8Array(keys.key) && types.isUint8Array(keys.rangeEnd)) return keys;
  throw invalidArgument('a KeyRange is made by prefix(), fromKey(), keyRange() or allKeys()');
}

/**
 * Refuses a range, for calls that take only a single key by their types.
 * @internal
 */
export function oneKey<Key>(key: Key): Key {
  if (key instanceof KeyRange)
    throw invalidArgument('get() reads one key; range(keys) reads the keys of a range');
  return key;
}

/**
 * Whether a range continues to the last key there is.
 * @internal
 */
export function isEndless({ rangeEnd }: Pick<RangeBytes, 'rangeEnd'>): boolean {
  return rangeEnd.length === 1 && rangeEnd[0] === 0;
}

/**
 * Whether a range, which must not be a single key, holds this key.
 * @internal
 */
export function holds(range: RangeBytes, key: Uint8Array): boolean {
  return Buffer.compare(range.key, key) <= 0 && (isEndless(range) || Buffer.compare(key, range.rangeEnd) < 0);
}

/**
 * A range without some keys: the ranges between them.
 * @internal
 */
export function rangesWithout(range: RangeBytes, keys: readonly Uint8Array[]): KeyRange[] {
  const ranges: KeyRange[] = [];
  let { key: start } = range;
  for (const key of keys.filter((key) => holds(range, key)).sort(Buffer.compare)) {
    if (Buffer.compare(start, key) < 0) ranges.push(new KeyRange(start, key));
    // The next key after this one, in byte order.
    start = Buffer.concat([key, zero]);
  }
  if (isEndless(range) || Buffer.compare(start, range.rangeEnd) < 0) {
    ranges.push(new KeyRange(start, range.rangeEnd));
  }
  return ranges;
}

/**
 * The same range among the keys that start with `start`, like that of clientv3's namespace package.
 * @internal
 */
export function rangeBelow(start: Uint8Array, { key, rangeEnd }: RangeBytes): RangeBytes {
  if (rangeEnd.length === 0) return { key: Buffer.concat([start, key]), rangeEnd };
  return {
    key: Buffer.concat([start, key]),
    rangeEnd: isEndless({ rangeEnd }) ? prefixEnd(start) : Buffer.concat([start, rangeEnd]),
  };
}

/**
 * A copy of bytes that are used later. The caller may reuse the buffer once the call has returned.
 * @internal
 */
export function ownBytes(bytes: Bytes): Uint8Array {
  const theirs = toBytes(bytes);
  return typeof bytes === 'string' ? theirs : Buffer.from(theirs);
}

/**
 * The same for a key or a range. A `KeyRange` has copies already.
 * @internal
 */
export function ownKeys(keys: Keys): Keys {
  return keys instanceof KeyRange ? keys : ownBytes(keys);
}

/**
 * A copy of a range, for the same reason as {@link ownBytes}.
 * @internal
 */
export function ownRange({ key, rangeEnd }: RangeBytes): RangeBytes {
  return { key: Buffer.from(key), rangeEnd: rangeEnd.length === 0 ? noEnd : Buffer.from(rangeEnd) };
}

/**
 * The bytes of one key, which can't be empty.
 * @internal
 */
export function toKey(key: Bytes): Uint8Array {
  const bytes = toBytes(key);
  if (bytes.length === 0) throw invalidArgument('the key is empty; a key has at least one byte');
  return bytes;
}

/** @internal */
export function toBytes(bytes: Bytes): Uint8Array {
  if (typeof bytes === 'string') {
    if (wellFormed(bytes)) return Buffer.from(bytes);
    throw invalidArgument("the text has a lone surrogate, which UTF-8 can't encode");
  }
  // Accepts also an array of a vm context, in which Jest runs tests. It is not an instance of this realm's class.
  if (types.isUint8Array(bytes)) {
    if (bytes.length === 0) checkAttached(bytes);
    return bytes;
  }
  throw invalidArgument(`keys and values are strings or Uint8Arrays, not ${otherThanBytes(bytes)}`);
}

function otherThanBytes(given: unknown): string {
  if (given instanceof KeyRange)
    return 'a KeyRange: for the keys of a range, use range(), delete() or watch()';
  if (types.isPromise(given)) return 'a Promise: await it first';
  if (typeof given === 'object' && given !== null && isOfOtherCopy(given)) return shown(given);
  const what =
    typeof given === 'object' && given !== null ? shown(given) : given === null ? 'null' : typeof given;
  return given === undefined || given === null
    ? what
    : `${what}; numbers and objects need String() or JSON.stringify()`;
}

/** If a buffer was transferred to another thread, or made smaller, its bytes look empty. */
function checkAttached(bytes: Uint8Array): void {
  try {
    bytes.keys();
  } catch (cause) {
    throw invalidArgument('the bytes are gone: their buffer was transferred or made smaller', cause);
  }
}

/** The first key after all those with this prefix: its last byte below 0xff, plus one. */
function prefixEnd(prefix: Uint8Array): Uint8Array {
  for (let last = prefix.length - 1; last >= 0; last--) {
    const byte = prefix[last] as number;
    if (byte < 0xff) {
      // A copy: slice() of a Buffer would be a view.
      const end = Uint8Array.from(prefix.subarray(0, last + 1));
      end[last] = byte + 1;
      return end;
    }
  }
  return zero;
}
