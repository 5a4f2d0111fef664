import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EnvironmentError, messageOf } from '../errors.js';
import { removeAtEnd, removeTree } from '../process/temporary-path.js';
import { temporaryRoot } from './temporary-directory.js';

/** A file for one reader. It is removed when this process ends, at the latest. */
export interface TemporaryFile {
  readonly path: string;
  /** Idempotent. */
  remove(): void;
}

/**
 * Makes a file in the system's directory for temporary files.
 * @param content written at once, which reserves that much room on the disk.
 * @throws EnvironmentError when it can't be written.
 */
export function makeTemporaryFile(prefix: string, content: string | Uint8Array): TemporaryFile {
  const path = join(temporaryRoot(), `${prefix}-${randomUUID()}`);
  try {
    writeFileSync(path, content, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    removeTree(path); // it may be there, without all of its content
    throw new EnvironmentError(
      `can't make a temporary file in ${temporaryRoot()}: ${messageOf(error)}`,
      'set TMPDIR to a directory with room',
      { cause: error },
    );
  }
  return { path, remove: removeAtEnd(path) };
}
