// rpc/messages/ encodes and decodes quickly what comes by the hundred thousand: keys and values. All other messages use
// the code in rpc/generated/.

import { markAsUntransferable } from './untransferable.js';

// Most JavaScript engines need about half a microsecond to make a buffer, and as much again to collect it. A view of a
// buffer costs a tenth of that. So short byte strings share slabs, as in Node's `Buffer`. A slab lives as long as one
// of its strings. It is small, so that a key that is kept for long keeps little else alive.
const SLAB_BYTES = 8192;

/** The longest byte string that is copied into a slab. */
export const LONGEST_IN_SLAB = 1024;

/** As much is copied at once: what follows a short string is mostly short strings, too. */
export const COPIED_BYTES = SLAB_BYTES / 2 - 8;

/** The only empty byte string. */
export const noBytes = new Uint8Array(0);

/**
 * So many slabs are parts of the pools of Node's `Buffer`s, which Node itself has marked. So a program that gets some
 * hundred keys and ends doesn't load the module that marks other slabs, which takes 2 ms.
 */
let pooled = 16;

let slab: ArrayBufferLike = noBytes.buffer;
let used = 0;
let end = 0;

/** A copy of at most {@link COPIED_BYTES} bytes, which doesn't keep their buffer alive. */
export function copyIntoSlab(bytes: Uint8Array): Uint8Array {
  if (used + bytes.length > end) takeSlab();
  const copy = new Uint8Array(slab, used, bytes.length);
  copy.set(bytes);
  used += bytes.length;
  return copy;
}

function takeSlab(): void {
  if (pooled > 0) {
    pooled -= 1;
    const part = Buffer.allocUnsafe(COPIED_BYTES);
    slab = part.buffer;
    used = part.byteOffset;
    end = used + part.length;
    // A host without such a pool has returned a separate buffer.
    if (slab.byteLength > part.length) return;
  }
  slab = new ArrayBuffer(SLAB_BYTES);
  used = 0;
  end = SLAB_BYTES;
  // Transferring the buffer of one string to a worker would take it from all others. The mark makes that an error, or a
  // copy.
  markAsUntransferable(slab);
}
