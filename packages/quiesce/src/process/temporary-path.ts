import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { onProcessExit } from './exit-guard.js';

/** What outlives this process, and then removes what it was told of. */
export interface Survivor {
  /** From now on, `path`, which is absolute, is to be removed when this process is gone. */
  remember(path: string): void;
  /** This process has removed it. */
  forget(path: string): void;
}

const paths = new Set<string>();
let survivor: Survivor | undefined;

/**
 * Has a file or directory of this process alone removed when this process ends, at the latest. The exit guards do that. Where this
 * process is killed outright, the survivor does.
 * @returns the function that removes it now. Idempotent.
 */
export function removeAtEnd(file: string): () => void {
  // Whoever outlives this process works elsewhere.
  const path = resolve(file);
  paths.add(path);
  survivor?.remember(path);
  const release = onProcessExit(() => removeTree(path));
  return () => {
    removeTree(path);
    release();
    if (paths.delete(path)) survivor?.forget(path);
  };
}

/** Removes a file or directory with everything in it. Retries while a process that is ending still adds to it. */
export function removeTree(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
}

/**
 * From now on, `next` is told what is to be removed, beginning with what is there already.
 * @returns the function that ends that. The survivor is told to forget all of it then.
 */
export function shareWith(next: Survivor): () => void {
  survivor = next;
  for (const path of paths) next.remember(path);
  return () => {
    if (survivor === next) survivor = undefined;
    for (const path of paths) next.forget(path);
  };
}
