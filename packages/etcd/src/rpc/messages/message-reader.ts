import { BinaryReader } from '@bufbuild/protobuf/wire';
import { COPIED_BYTES, copyIntoSlab, LONGEST_IN_SLAB, noBytes } from './byte-slabs.js';
import type { KeyValue } from './key-value.js';
import { markAsUntransferable } from './untransferable.js';

/** Makes what a caller gets of a key with its value. */
export interface EntryMaker<Entry> {
  entry(kv: KeyValue): Entry;
  /** The same, straight from a message. Key and value are these parts of it. */
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
  ): Entry;
}

/** Field 1 of every response of etcd, and the tags of its fields, in the order in which etcd writes them. */
const HEADER_TAG = 0x0a;
const CLUSTER_ID_TAG = 0x08;
const MEMBER_ID_TAG = 0x10;
const REVISION_TAG = 0x18;
const RAFT_TERM_TAG = 0x20;

/** What a {@link MessageReader} makes of the header of an answer. */
export interface Header {
  clusterId: bigint;
  memberId: bigint;
  revision: bigint;
  raftTerm: bigint;
}

/** Tags of `mvccpb.KeyValue`'s fields, in the order in which etcd writes them. */
const KEY_TAG = 0x0a;
const CREATE_REVISION_TAG = 0x10;
const MOD_REVISION_TAG = 0x18;
const VERSION_TAG = 0x20;
const VALUE_TAG = 0x2a;
const LEASE_TAG = 0x30;

/** The longest `mvccpb.KeyValue` that is read in order. So each length in it has at most two bytes. */
const LONGEST_IN_ORDER = 0x80 * 0x7f;

/** What the last of seven bytes of a number counts. Up to that the value is below 2^49, and exact as a number. */
const LARGEST_SCALE = 0x80 ** 6;

/** The one-byte integers, which most versions and leases are. */
const small = Array.from({ length: 0x80 }, (_, value) => BigInt(value));

// The keys of one transaction have equal revisions, and so do both revisions of a key that was put once.
let lastNumber = 0;
let lastBigInt = 0n;

/** Both ids of the header that was read last, in it and as bigints. Nearly all answers come from one member. */
let idBytes = noBytes;
let clusterId = 0n;
let memberId = 0n;

/** How many bigints are kept for later messages: a power of two. */
const KEPT = 2048;

// Who reads a range again mostly reads the same revisions again. A kept bigint is one object less for the garbage collector. A
// number has to come twice, or a list with more revisions would only replace them.
const seenNumbers = new Float64Array(KEPT);
const keptNumbers = new Float64Array(KEPT);
const keptBigInts: bigint[] = Array.from({ length: KEPT }, () => 0n);

const int64 = new BigInt64Array([1n]);
const words = new Uint32Array(int64.buffer);
/** The index of the low word on this host. */
const low = words[0] === 1 ? 0 : 1;

/**
 * Reads a message that holds keys and values, from its beginning to its end. It does what its base does in fewer steps,
 * and copies byte strings: a message is a view of a buffer with many others, which a view would keep alive. A long byte
 * string that makes up most of its buffer is still a view.
 */
export class MessageReader extends BinaryReader {
  /** The whole message that it reads: a view of a buffer with others. */
  readonly message: Uint8Array;
  /** That of the key which {@link keyValue} has read last. */
  modRevision = 0n;
  /** Whether no byte string is a view of the message, however long: the message is read again. */
  copiesAll = false;
  readonly #uint32: () => number;
  /** The part of the message that was copied last, and where it ends in the message. Short strings are views of it. */
  #copy: ArrayBufferLike = noBytes.buffer;
  #copyEnd = 0;
  /** The distance from a place in the message to the same place in the copy's buffer. */
  #shift = 0;

  constructor(message: Uint8Array) {
    super(message);
    this.message = message;
    // The base has `uint32` as a property of each reader.
    this.#uint32 = this.uint32;
    this.uint32 = this.#shortUint32;
  }

  /** Continues from an earlier position. */
  goBack(pos: number): void {
    this.pos = pos;
    // The copy may begin after it.
    this.#copyEnd = 0;
  }

  #shortUint32(): number {
    const { pos } = this;
    const byte = this.message[pos];
    if (byte === undefined || byte >= 0x80) return this.#uint32();
    this.pos = pos + 1;
    return byte;
  }

  override bytes(): Uint8Array {
    const length = this.uint32();
    const start = this.pos;
    const end = start + length;
    if (end > this.len) throw new RangeError('premature EOF');
    this.pos = end;
    return this.copied(start, end);
  }

  /** Those bytes of the message. */
  copied(start: number, end: number): Uint8Array {
    if (start >= end) return noBytes;
    if (end > this.#copyEnd) {
      if (end - start > LONGEST_IN_SLAB) return this.#long(start, end);
      this.#copyFrom(start);
    }
    return new Uint8Array(this.#copy, start + this.#shift, end - start);
  }

  /** Copies the bytes from there on, with those that follow, as those are mostly short strings, too. */
  #copyFrom(start: number): void {
    const copy = copyIntoSlab(this.message.subarray(start, start + COPIED_BYTES));
    this.#copy = copy.buffer;
    this.#copyEnd = start + copy.length;
    this.#shift = copy.byteOffset - start;
  }

  /**
   * Reads the header with which a message begins, whose fields are in the order in which etcd writes them. Returns `undefined` for
   * any other, and for one that is damaged; then {@link goBack}. It is long for the same reason as {@link keyValue}.
   */
  header(): Header | undefined {
    const message = this.message;
    const length = message[1] as number;
    const end = 2 + length;
    if (message[0] !== HEADER_TAG || length >= 0x80 || end > this.len) return undefined;
    const known = idBytes;
    let at = 2;
    let same = 0;
    while (same < known.length && message[at] === known[same]) {
      same += 1;
      at += 1;
    }
    if (same < known.length || same === 0) at = this.#newIds();
    let revision = 0n;
    let raftTerm = 0n;
    let number = 0;
    let byte = 0;
    let scale = 0;
    if (message[at] === REVISION_TAG) {
      number = message[++at] as number;
      if (number >= 0x80) {
        number -= 0x80;
        scale = 0x80;
        byte = message[++at] as number;
        while (byte >= 0x80) {
          number += (byte - 0x80) * scale;
          scale *= 0x80;
          byte = message[++at] as number;
        }
        if (scale > LARGEST_SCALE) return undefined;
        number += byte * scale;
      }
      at += 1;
      revision = toBigInt(number);
    }
    if (message[at] === RAFT_TERM_TAG) {
      number = message[++at] as number;
      if (number >= 0x80) return undefined;
      at += 1;
      raftTerm = small[number] as bigint;
    }
    if (at !== end) return undefined;
    this.pos = end;
    return { clusterId, memberId, revision, raftTerm };
  }

  /** Reads and keeps both ids of the header with which a message begins. Returns where they end; 0 where one is missing. */
  #newIds(): number {
    const { message } = this;
    idBytes = noBytes;
    if (message[2] !== CLUSTER_ID_TAG) return 0;
    this.pos = 3;
    clusterId = this.uint64() as bigint;
    if (message[this.pos] !== MEMBER_ID_TAG) return 0;
    this.pos += 1;
    memberId = this.uint64() as bigint;
    idBytes = message.slice(2, this.pos);
    return this.pos;
  }

  /**
   * Reads a `mvccpb.KeyValue` up to this position whose fields are in the order in which etcd writes them. Returns
   * `undefined` for any other, and for one that is damaged, and reads nothing then.
   *
   * It is one long function on purpose. V8 runs the first thousands of calls step by step, in which a call costs more than what it
   * does. It then compiles a function together with the short ones that it calls, and does so again for each of its callers. That
   * takes longer than to decode ten thousand keys.
   */
  keyValue<Entry>(end: number, maker: EntryMaker<Entry>): Entry | undefined {
    const message = this.message;
    const start = this.pos;
    if (end - start > LONGEST_IN_ORDER || end > this.len) return undefined;
    let key = 0;
    let keyEnd = 0;
    let value = 0;
    let valueEnd = 0;
    let createRevision = 0n;
    let modRevision = 0n;
    let version = 0n;
    let lease = 0n;
    let at = start;
    let tag = at < end ? message[at] : 0;
    // What is read: a number, or the length of a string.
    let number = 0;
    let byte = 0;
    let scale = 0;
    if (tag === KEY_TAG) {
      number = message[++at] as number;
      if (number >= 0x80) number += ((message[++at] as number) - 1) * 0x80;
      key = ++at;
      at += number;
      if (at > end) return undefined;
      keyEnd = at;
      tag = at < end ? message[at] : 0;
    }
    if (tag === CREATE_REVISION_TAG) {
      number = message[++at] as number;
      if (number >= 0x80) {
        number -= 0x80;
        scale = 0x80;
        byte = message[++at] as number;
        while (byte >= 0x80) {
          number += (byte - 0x80) * scale;
          scale *= 0x80;
          byte = message[++at] as number;
        }
        if (scale > LARGEST_SCALE) return undefined;
        number += byte * scale;
      }
      createRevision = toBigInt(number);
      tag = ++at < end ? message[at] : 0;
    }
    if (tag === MOD_REVISION_TAG) {
      number = message[++at] as number;
      if (number >= 0x80) {
        number -= 0x80;
        scale = 0x80;
        byte = message[++at] as number;
        while (byte >= 0x80) {
          number += (byte - 0x80) * scale;
          scale *= 0x80;
          byte = message[++at] as number;
        }
        if (scale > LARGEST_SCALE) return undefined;
        number += byte * scale;
      }
      modRevision = toBigInt(number);
      tag = ++at < end ? message[at] : 0;
    }
    if (tag === VERSION_TAG) {
      number = message[++at] as number;
      if (number < 0x80) {
        version = small[number] as bigint;
        at += 1;
      } else {
        this.pos = at;
        version = this.int64() as bigint;
        at = this.pos;
        this.pos = start;
      }
      tag = at < end ? message[at] : 0;
    }
    if (tag === VALUE_TAG) {
      number = message[++at] as number;
      if (number >= 0x80) number += ((message[++at] as number) - 1) * 0x80;
      value = ++at;
      at += number;
      if (at > end) return undefined;
      valueEnd = at;
      tag = at < end ? message[at] : 0;
    }
    if (tag === LEASE_TAG) {
      number = message[++at] as number;
      if (number < 0x80) {
        lease = small[number] as bigint;
        at += 1;
      } else {
        this.pos = at;
        lease = this.int64() as bigint;
        at = this.pos;
        this.pos = start;
      }
    }
    if (at !== end) return undefined;
    this.pos = end;
    this.modRevision = modRevision;
    return maker.entryAt(this, key, keyEnd, value, valueEnd, createRevision, modRevision, version, lease);
  }

  #long(start: number, end: number): Uint8Array {
    const { buffer, byteOffset } = this.message;
    if (this.copiesAll || 2 * (end - start) <= buffer.byteLength)
      return new Uint8Array(this.message.subarray(start, end));
    // The rest of the buffer may not have been read yet.
    markAsUntransferable(buffer);
    return new Uint8Array(buffer, byteOffset + start, end - start);
  }

  override int64(): bigint | string {
    const message = this.message;
    let value = 0;
    let scale = 1;
    // Up to seven bytes the value is below 2^49, and exact as a number.
    for (let at = this.pos; at < this.pos + 7; at++) {
      const byte = message[at];
      if (byte === undefined) break;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.pos = at + 1;
        return value < 0x80 ? (small[value] as bigint) : toBigInt(value);
      }
      scale *= 0x80;
    }
    return super.int64();
  }
}

/** The bigint of a number that is below 2^53 and not negative. */
export function toBigInt(value: number): bigint {
  return value === lastNumber ? lastBigInt : another(value);
}

// What is read and written in nearly each call is so in each: V8 throws away what it has compiled when it comes to a read of an
// array that it has never seen done.
function another(value: number): bigint {
  lastNumber = value;
  const place = value & (KEPT - 1);
  lastBigInt = keptBigInts[place] as bigint;
  if (keptNumbers[place] === value) return lastBigInt;
  const kept = lastBigInt;
  // This takes half the time that V8 needs for BigInt(value).
  words[low] = value;
  words[1 - low] = value / 2 ** 32;
  lastBigInt = int64[0] as bigint;
  const again = seenNumbers[place] === value;
  keptNumbers[place] = again ? value : (keptNumbers[place] as number);
  keptBigInts[place] = again ? lastBigInt : kept;
  seenNumbers[place] = value;
  return lastBigInt;
}
