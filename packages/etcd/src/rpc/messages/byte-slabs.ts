// rpc/messages/ encodes and decodes fast what comes by the hundred thousand: keys and values. All other messages are as
// they are in rpc/generated/.

import { markAsUntransferable } from './untransferable.js';

// To make a buffer takes most JavaScript engines about half a microsecond, and to collect it as much again; a view of a
// buffer costs a tenth of that. So short byte strings share slabs, as those of Node's `Buffer` do. A slab lives for as
// long as one of its strings does, so it is small: a key that is kept for long keeps no more than this alive.
const SLAB_BYTES = 4096;

/** The most that is copied into a slab at once. */
export const longestInSlab = SLAB_BYTES / 4;

/** The one empty byte string. */
export const noBytes = new Uint8Array(0);

/**
 * The first slab is a part of the pool of Node's `Buffer`s, which Node has marked itself: a program that gets a few keys and ends
 * doesn't load what marks the others. A host without such a pool gives a buffer of its own, which isn't used.
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
    // To transfer the buffer of one string to a worker would take it from all others. Now that is an error, or a copy.
    markAsUntransferable(slab);
  }
  const copy = new Uint8Array(slab, used, bytes.length);
  copy.set(bytes);
  used += bytes.length;
  return copy;
}
