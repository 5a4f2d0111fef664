import { markAsUntransferable } from 'node:worker_threads';

/**
 * Most JavaScript engines need about a microsecond to make a buffer, and garbage collection as much again for each
 * that outlives it; a view of a buffer costs a fortieth. So short byte strings share slabs, as Node's `Buffer` has it.
 *
 * A slab lives for as long as one of its strings does, so it is small: a key that is kept for long keeps no more alive
 * than this.
 */
const slabBytes = 2048;
const longestInSlab = slabBytes / 4;

/** The one empty byte string. */
export const noBytes = new Uint8Array(0);

let slab = noBytes;
let used = 0;

/** A copy of a part of `source`, which is not kept alive. */
export function copyBytes(source: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length === 0) return noBytes;
  if (length > longestInSlab) return new Uint8Array(source.subarray(start, end));
  if (used + length > slab.length) {
    slab = new Uint8Array(slabBytes);
    used = 0;
    // To give one string's buffer to a worker would take the others away. This makes that an error, or a copy.
    markAsUntransferable(slab.buffer);
  }
  const copy = new Uint8Array(slab.buffer, used, length);
  used += length;
  if (length > 64) copy.set(source.subarray(start, end));
  else for (let i = 0; i < length; i++) copy[i] = source[start + i] as number;
  return copy;
}
