import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { EnvironmentError, messageOf } from '../errors.js';
import { removeAtEnd } from '../process/temporary-path.js';

/** A directory that only this process uses. It is removed when the process ends, at the latest. */
export interface TemporaryDirectory {
  readonly path: string;
  /**
   * Removes it with everything in it. Idempotent. What can't be removed, such as a mount point, is not a reason to lose
   * what was measured: it stays, with a warning of this process.
   */
  remove(): void;
}

/** The system's directory for temporary files. Programs get absolute paths in it, since they may run elsewhere. */
export const temporaryRoot = (): string => resolve(tmpdir());

/**
 * Makes an empty directory.
 * @param prefix beginning of its name; characters that can't be in a name are replaced.
 * @param parent where it is made; default: {@link temporaryRoot}.
 * @throws EnvironmentError when it can't be made.
 */
export function makeTemporaryDirectory(prefix: string, parent = temporaryRoot()): TemporaryDirectory {
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
  const remove = removeAtEnd(path);
  return {
    path,
    remove() {
      try {
        remove();
      } catch (error) {
        process.emitWarning(`a temporary directory can't be removed: ${messageOf(error)}`);
      }
    },
  };
}
