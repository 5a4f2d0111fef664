import { closeSync, openSync, readSync } from 'node:fs';

/** Bytes of a process's memory; fewer, or none, if it may not be read. */
export function memoryOf(pid: number, address: bigint, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let file: number | undefined;
  try {
    file = openSync(`/proc/${pid}/mem`, 'r');
    return bytes.subarray(0, readSync(file, bytes, 0, length, address));
  } catch {
    return bytes.subarray(0, 0);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
