import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EnvironmentError, messageOf } from '../errors.js';
import { removeAtEnd } from '../process/temporary-path.js';

/** A directory that only this process uses. It is removed when the process ends, at the latest. */
export interface TemporaryDirectory {
  readonly path: string;
  /** Removes it with everything in it. Idempotent. */
  remove(): void;
}

/**
 * Makes an empty directory.
 * @param prefix beginning of its name; characters that can't be in a name are replaced.
 * @param parent where it is made; default: the system's directory for temporary files.
 * @throws EnvironmentError when it can't be made.
 */
export function makeTemporaryDirectory(prefix: string, parent = tmpdir()): TemporaryDirectory {
  let path: string;
  try {
    path = mkdtempSync(join(parent, `${prefix.replace(/[^\w.-]+/g, '_')}-`));
  } catch (error) {
    throw new EnvironmentError(
      `can't make a temporary directory: ${messageOf(error)}`,
      'set TMPDIR to a directory that can be written to',
      { cause: error },
    );
  }
  return { path, remove: removeAtEnd(path) };
}
