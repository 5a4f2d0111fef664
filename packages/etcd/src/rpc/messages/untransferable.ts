import { builtIn } from '../../built-in.js';

let mark: ((buffer: ArrayBufferLike) => void) | undefined;

/** Marks a buffer, so that it can't be transferred to a worker. */
export function markAsUntransferable(buffer: ArrayBufferLike): void {
  mark ??= builtIn('node:worker_threads').markAsUntransferable;
  mark(buffer);
}
