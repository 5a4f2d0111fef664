import { BinaryReader } from '@bufbuild/protobuf/wire';
import { copyIntoSlab, longestInSlab, noBytes } from './byte-slabs.js';
import { markAsUntransferable } from './untransferable.js';

/** The integers of one byte, which versions and leases mostly are. */
const small = Array.from({ length: 0x80 }, (_, value) => BigInt(value));

// Keys of one transaction, and both revisions of a key that was put once, are equal.
let lastNumber = 0;
let lastBigInt = 0n;

const int64 = new BigInt64Array([1n]);
const words = new Uint32Array(int64.buffer);
/** Which of the words is the low one, on this host. */
const low = words[0] === 1 ? 0 : 1;

/**
 * Reads a message that holds keys and values, from its beginning to its end. As its base does, but in fewer steps, and
 * byte strings are copies: a message is a view of a buffer with many others, which they would keep alive. But a long
 * one that makes up most of that buffer is a view of it.
 */
export class MessageReader extends BinaryReader {
  /** What it reads, whole: a view of a buffer with others. */
  readonly message: Uint8Array;
  readonly #uint32: () => number;
  /** A part of the message as it was copied last, and where in the message that is: short strings are views of it. */
  #copy: ArrayBufferLike = noBytes.buffer;
  #copyEnd = 0;
  /** From a place in the message to that in the copy's buffer. */
  #shift = 0;

  constructor(message: Uint8Array) {
    super(message);
    this.message = message;
    // The base has it as a property of each reader.
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
      // With what follows, which mostly are short strings, too.
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
    // What else is in it may not have been read yet.
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
    // In half the time that V8 takes for BigInt(value).
    words[low] = value;
    words[1 - low] = value / 2 ** 32;
    lastBigInt = int64[0] as bigint;
  }
  return lastBigInt;
}
