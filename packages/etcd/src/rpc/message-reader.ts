import { BinaryReader } from '@bufbuild/protobuf/wire';
import { copyBytes } from './byte-slabs.js';

/** The integers of one byte, which versions and leases mostly are. */
const small = Array.from({ length: 0x80 }, (_, value) => BigInt(value));

// Keys of one transaction, and both revisions of a key that was put once, are equal.
let lastNumber = 0;
let lastBigInt = 0n;

/**
 * Reads the messages that hold keys and values. As its base does, but the byte strings are copies, since a message is
 * a view of a buffer with many other answers, which they would keep alive; and numbers of few bytes take fewer steps.
 */
export class MessageReader extends BinaryReader {
  readonly #message: Uint8Array;

  constructor(message: Uint8Array) {
    super(message);
    this.#message = message;
    // The base has it as a property of each reader.
    const general = this.uint32;
    this.uint32 = () => {
      const byte = message[this.pos];
      if (byte === undefined || byte >= 0x80) return general.call(this);
      this.pos += 1;
      return byte;
    };
  }

  override bytes(): Uint8Array {
    const length = this.uint32();
    const start = this.pos;
    const end = start + length;
    if (end > this.len) throw new RangeError('premature EOF');
    this.pos = end;
    return copyBytes(this.#message, start, end);
  }

  override int64(): bigint | string {
    const message = this.#message;
    let value = 0;
    let scale = 1;
    // Up to seven bytes, the value is below 2^49 and exact as a number.
    for (let at = this.pos; at < this.pos + 7; at++) {
      const byte = message[at];
      if (byte === undefined) break;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.pos = at + 1;
        if (value < 0x80) return small[value] as bigint;
        if (value !== lastNumber) {
          lastNumber = value;
          lastBigInt = BigInt(value);
        }
        return lastBigInt;
      }
      scale *= 0x80;
    }
    return super.int64();
  }
}
