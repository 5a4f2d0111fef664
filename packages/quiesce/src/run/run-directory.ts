import { lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EnvironmentError, messageOf } from '../errors.js';
import { onProcessExit } from '../process/exit-guard.js';

/** The temporary directory of one run. */
export interface RunDirectory {
  readonly path: string;
  /** Ends its use, and tells what the run left in it: at most 20 names. Idempotent. */
  end(): readonly string[];
}

const MOST_FILES = 20;

/**
 * The temporary directories of runs, each used by one at a time. To make and remove one can cost more than the run
 * itself where the file system is busy, so one that is as it was made goes to the next run.
 */
export class RunDirectories implements Disposable {
  readonly #idle: string[] = [];
  readonly #used = new Set<string>();
  readonly #release = onProcessExit(() => this.#removeAll());

  /** @throws EnvironmentError when none can be made. */
  take(): RunDirectory {
    const path = this.#idle.pop() ?? create();
    this.#used.add(path);
    let left: readonly string[] | undefined;
    return {
      path,
      end: () => {
        if (left !== undefined) return left;
        // The program may have removed it, or put something else in its place, or changed who may use it.
        const found = lstatSync(path, { throwIfNoEntry: false });
        left = found?.isDirectory() ? list(path) : [];
        this.#used.delete(path);
        if (found?.isDirectory() && (found.mode & 0o7777) === 0o700 && left.length === 0)
          this.#idle.push(path);
        else remove(path);
        return left;
      },
    };
  }

  /** Removes all of them. */
  [Symbol.dispose](): void {
    this.#removeAll();
    this.#release();
  }

  #removeAll(): void {
    for (const path of [...this.#idle.splice(0), ...this.#used]) remove(path);
    this.#used.clear();
  }
}

function create(): string {
  try {
    return mkdtempSync(join(tmpdir(), 'quiesce-run-'));
  } catch (error) {
    throw new EnvironmentError(`can't make a temporary directory: ${messageOf(error)}`);
  }
}

function remove(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
}

function list(path: string): string[] {
  try {
    return readdirSync(path).slice(0, MOST_FILES);
  } catch {
    return []; // it may not be read any more
  }
}
