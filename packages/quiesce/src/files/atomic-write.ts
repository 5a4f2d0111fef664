// files/: how files are written whole, locked between processes, and made for a limited time. The layers above decide
// what is written, and where.
import { realpath, rename, writeFile } from 'node:fs/promises';
import { removeAtEnd } from '../process/temporary-path.js';

/**
 * Writes a file whole or not at all: a reader sees the old content or the new one, and an error leaves the old one. Through a
 * symbolic link, the file that it leads to is replaced.
 * @throws a system error when it can't be written.
 */
export async function writeAtomically(file: string, content: string | Uint8Array): Promise<void> {
  const target = await realpath(file).catch(() => file);
  const draft = `${target}.${process.pid}.tmp`;
  const remove = removeAtEnd(draft);
  try {
    await writeFile(draft, content);
    await rename(draft, target);
  } finally {
    remove();
  }
}
