/**
 * Random bytes. `node:crypto` has them too, but importing it takes longer than everything else that a small program
 * imports.
 */
export function randomBytes(length: number): Buffer {
  return Buffer.from(globalThis.crypto.getRandomValues(new Uint8Array(length)));
}
