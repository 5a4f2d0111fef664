// files/: how files are written whole, locked between processes, and made for a limited time. The layers above decide
// what is written, and where.
import { chmod, chown, realpath, rename, stat, writeFile } from 'node:fs/promises';
import { removeAtEnd } from '../process/temporary-path.js';

/**
 * Writes a file whole or not at all: a reader sees the old content or the new one, and an error leaves the old one. Through a
 * symbolic link, the file that it leads to is replaced. It keeps its permissions, and if possible its owner and group. Of
 * a file with several names (hard links), only this name gets the new content.
 * @throws a system error when it can't be written.
 */
export async function writeAtomically(file: string, content: string | Uint8Array): Promise<void> {
  const target = await realpath(file).catch(() => file);
  const draft = `${target}.${process.pid}.tmp`;
  const existing = await stat(target).catch(() => undefined);
  const remove = removeAtEnd(draft);
  try {
    // Meanwhile nobody else may read it: the file may be private.
    await writeFile(draft, content, existing && { mode: 0o600 });
    if (existing !== undefined) {
      await chown(draft, existing.uid, existing.gid).catch(() => {});
      await chmod(draft, existing.mode & 0o7777);
    }
    await rename(draft, target);
  } finally {
    remove();
  }
}
