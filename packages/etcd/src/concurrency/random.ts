/** How many random bytes are fetched at once. Each fetch takes some microseconds. */
const POOL_BYTES = 512;

let pool = new Uint8Array(0);

/**
 * Random bytes. `node:crypto` has them too, but importing it takes longer than everything else that a small program
 * imports.
 */
export function randomBytes(length: number): Buffer {
  if (pool.length < length) pool = globalThis.crypto.getRandomValues(new Uint8Array(POOL_BYTES));
  const bytes = Buffer.from(pool.subarray(0, length));
  pool = pool.subarray(length);
  return bytes;
}
