import { BinaryReader } from '@bufbuild/protobuf/wire';
import { copyIntoSlab, longestInSlab, noBytes } from './byte-slabs.js';
import { markAsUntransferable } from './untransferable.js';

/** The one-byte integers, which most versions and leases are. */
const small = Array.from({ length: 0x80 }, (_, value) => BigInt(value));

// The keys of one transaction have equal revisions, and so do both revisions of a key that was put once.
let lastNumber = 0;
let lastBigInt = 0n;

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
    if (length === 0) return noBytes;
    if (end > this.#copyEnd) {
      const message = this.message;
      if (length > longestInSlab) return this.#long(start, end);
      // With the bytes that follow, as those are mostly short strings, too.
      const copy = copyIntoSlab(message.subarray(start, start + longestInSlab));
      this.#copy = copy.buffer;
      this.#copyEnd = start + copy.length;
      this.#shift = copy.byteOffset - start;
    }
    return new Uint8Array(this.#copy, start + this.#shift, length);
  }

  #long(start: number, end: number): Uint8Array {
    const { buffer, byteOffset } = this.message;
    if (2 * (end - start) <= buffer.byteLength) return new Uint8Array(this.message.subarray(start, end));
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

function toBigInt(value: number): bigint {
  if (value !== lastNumber) {
    lastNumber = value;
    // This takes half the time that V8 needs for BigInt(value).
    words[low] = value;
    words[1 - low] = value / 2 ** 32;
    lastBigInt = int64[0] as bigint;
  }
  return lastBigInt;
}
