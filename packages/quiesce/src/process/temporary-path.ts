import { spawnSync } from 'node:child_process';
import { lstatSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { onProcessExit } from './exit-guard.js';

/** Something that outlives this process, and then removes the paths that it remembers. */
export interface Survivor {
  /** From now on, `path`, which is absolute, must be removed when this process is gone. */
  remember(path: string): void;
  /** This process has removed it. */
  forget(path: string): void;
}

const paths = new Set<string>();
let survivor: Survivor | undefined;

/**
 * Makes sure that a file or directory that only this process uses is removed when this process ends, at the latest. The exit
 * guards do that. If this process is killed outright, the survivor does.
 * @returns the function that removes it now. Idempotent.
 */
export function removeAtEnd(file: string): () => void {
  // The survivor has another working directory.
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

/**
 * Removes a file or directory with everything in it. Retries while a process that is ending still adds to it.
 *
 * @throws Error of Node where something in it can't be removed, such as a mount point.
 */
export function removeTree(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  } catch (error) {
    // A program may have made a directory that its owner can't write to, as Go's module cache, or paths that are longer
    // than one system call takes.
    spawnSync('chmod', ['-R', 'u+rwX', '--', path], { stdio: 'ignore' });
    spawnSync('rm', ['-rf', '--', path], { stdio: 'ignore' });
    if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) throw error;
  }
}

/**
 * From now on, `next` remembers the paths to remove, beginning with the present ones.
 * @returns the function that ends that. The survivor then forgets all of them.
 */
export function shareWith(next: Survivor): () => void {
  survivor = next;
  for (const path of paths) next.remember(path);
  return () => {
    if (survivor === next) survivor = undefined;
    for (const path of paths) next.forget(path);
  };
}
