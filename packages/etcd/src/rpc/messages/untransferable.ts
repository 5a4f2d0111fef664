import nodeModule from 'node:module';

let mark: ((buffer: ArrayBufferLike) => void) | undefined;

/** Marks a buffer that no worker may take. Loads `node:worker_threads` only now: that takes 3 ms, of a program's start. */
export function markAsUntransferable(buffer: ArrayBufferLike): void {
  mark ??= load().markAsUntransferable;
  mark(buffer);
}

/** What Node has built in is found from anywhere. */
function load(): typeof import('node:worker_threads') {
  return nodeModule.createRequire(process.execPath)('node:worker_threads');
}
