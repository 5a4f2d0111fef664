import { builtIn } from '../../built-in.js';

let mark: ((buffer: ArrayBufferLike) => void) | undefined;

/** Marks a buffer that no worker may take. */
export function markAsUntransferable(buffer: ArrayBufferLike): void {
  mark ??= builtIn('node:worker_threads').markAsUntransferable;
  mark(buffer);
}
