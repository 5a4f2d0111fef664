import { lstatSync, readdirSync } from 'node:fs';
import { makeTemporaryDirectory, type TemporaryDirectory } from '../files/temporary-directory.js';

/** The temporary directory of one run. */
export interface RunDirectory {
  readonly path: string;
  /** Ends its use, and reports what the run left in it: at most 20 names. Idempotent. */
  end(): readonly string[];
}

const MOST_FILES = 20;

/**
 * The temporary directories of runs. One run at a time uses each. On a busy file system, making and removing a
 * directory can cost more than the run itself, so a directory that is unchanged is passed to the next run.
 */
export class RunDirectories implements Disposable {
  readonly #idle: TemporaryDirectory[] = [];
  readonly #used = new Set<TemporaryDirectory>();

  /** @throws EnvironmentError when none can be made. */
  take(): RunDirectory {
    const directory = this.#idle.pop() ?? makeTemporaryDirectory('quiesce-run');
    const { path } = directory;
    this.#used.add(directory);
    let left: readonly string[] | undefined;
    return {
      path,
      end: () => {
        if (left !== undefined) return left;
        // The program may have removed it, replaced it, or changed its permissions.
        const found = lstatSync(path, { throwIfNoEntry: false });
        left = found?.isDirectory() ? list(path) : [];
        this.#used.delete(directory);
        if (found?.isDirectory() && (found.mode & 0o7777) === 0o700 && left.length === 0)
          this.#idle.push(directory);
        else directory.remove();
        return left;
      },
    };
  }

  /** Removes all of them. */
  [Symbol.dispose](): void {
    for (const directory of [...this.#idle.splice(0), ...this.#used]) directory.remove();
    this.#used.clear();
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path).slice(0, MOST_FILES);
  } catch {
    return []; // the program may have made it unreadable
  }
}
