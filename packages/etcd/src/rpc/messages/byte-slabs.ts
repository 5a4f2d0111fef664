// rpc/messages/ encodes and decodes quickly what comes by the hundred thousand: keys and values. All other messages use
// the code in rpc/generated/.

import { markAsUntransferable } from './untransferable.js';

// Most JavaScript engines need about half a microsecond to make a buffer, and as much again to collect it. A view of a
// buffer costs a tenth of that. So short byte strings share slabs, as in Node's `Buffer`. A slab lives as long as one
// of its strings. It is small, so that a key that is kept for long keeps little else alive.
const SLAB_BYTES = 4096;

/** The longest byte string that is copied into a slab at once. */
export const longestInSlab = SLAB_BYTES / 4;

/** The only empty byte string. */
export const noBytes = new Uint8Array(0);

/**
 * The first slab is a part of the pool of Node's `Buffer`s, which Node itself has marked. So a program that gets a few
 * keys and ends doesn't load the module that marks other slabs. A host without such a pool returns a separate buffer,
 * which isn't used.
 */
const pooled = Buffer.allocUnsafe(SLAB_BYTES / 2 - 1);
let slab: ArrayBufferLike = pooled.buffer;
let used = pooled.byteOffset;
let end = slab.byteLength > pooled.length ? used + pooled.length : used;

/** A copy of at most {@link longestInSlab} bytes, which doesn't keep their buffer alive. */
export function copyIntoSlab(bytes: Uint8Array): Uint8Array {
  if (used + bytes.length > end) {
    slab = new ArrayBuffer(SLAB_BYTES);
    used = 0;
    end = SLAB_BYTES;
    // Transferring the buffer of one string to a worker would take it from all others. The mark makes that an error, or
    // a copy.
    markAsUntransferable(slab);
  }
  const copy = new Uint8Array(slab, used, bytes.length);
  copy.set(bytes);
  used += bytes.length;
  return copy;
}
