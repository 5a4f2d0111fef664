import { spawnSync } from 'node:child_process';
import { lstatSync, realpathSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { onProcessExit } from './exit-guard.js';
import { readProc } from './proc.js';

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
 * @throws Error where something in it can't be removed, or is mounted: then nothing is removed.
 */
export function removeTree(path: string): void {
  const mounted = mountedIn(path);
  if (mounted !== undefined) {
    throw new Error(
      `${mounted} is a mount point, and what is mounted there must stay; unmount it, and remove ${path}`,
    );
  }
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

/** Where something is mounted in a directory, or on it. */
function mountedIn(path: string): string | undefined {
  // The kernel writes real paths, and blanks in them as octal numbers.
  const points = readProc('/proc/self/mountinfo')
    .split('\n')
    .flatMap((line) => line.split(' ')[4] ?? [])
    .map((point) =>
      point.replace(/\\(\d{3})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 8))),
    );
  if (points.length === 0) return undefined;
  const real = join(realParent(path), basename(path));
  return points.find((point) => point === real || point.startsWith(`${real}/`));
}

function realParent(path: string): string {
  try {
    return realpathSync(dirname(path));
  } catch {
    return dirname(path); // it is gone
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
