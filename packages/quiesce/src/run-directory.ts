import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EnvironmentError, messageOf } from './errors.js';
import { onProcessExit } from './exit-guard.js';

/** The temporary directory of one run. */
export interface RunDirectory {
  readonly path: string;
  /** Removes it, and tells what the run left in it: at most 20 names. Idempotent. */
  end(): readonly string[];
}

const MOST_FILES = 20;

/** @throws EnvironmentError when it can't be made. */
export function createRunDirectory(): RunDirectory {
  let path: string;
  try {
    path = mkdtempSync(join(tmpdir(), 'quiesce-run-'));
  } catch (error) {
    throw new EnvironmentError(`can't make a temporary directory: ${messageOf(error)}`);
  }
  const remove = (): void => rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  const release = onProcessExit(remove);
  let left: readonly string[] | undefined;
  return {
    path,
    end() {
      if (left !== undefined) return left;
      left = list(path);
      remove();
      release();
      return left;
    },
  };
}

function list(path: string): string[] {
  try {
    return readdirSync(path).slice(0, MOST_FILES);
  } catch {
    return []; // the program removed it
  }
}
