import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

const made: string[] = [];

after(() => {
  for (const dir of made) rmSync(dir, { recursive: true, force: true });
});

/**
 * Makes a directory that is gone, with all that is in it, after the tests.
 *
 * @param parent where it lies; default: among the system's temporary files.
 */
export function temporaryDirectory(parent = tmpdir()): string {
  const dir = mkdtempSync(join(parent, 'quiesce-etcd-'));
  made.push(dir);
  return dir;
}
