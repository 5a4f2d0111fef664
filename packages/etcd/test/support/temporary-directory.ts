import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

const made: string[] = [];

after(() => {
  for (const dir of made) rmSync(dir, { recursive: true, force: true });
});

/**
 * Makes a directory that is removed after the tests, with everything in it.
 *
 * @param parent where to make it. Default: the system's temporary directory.
 */
export function temporaryDirectory(parent = tmpdir()): string {
  const dir = mkdtempSync(join(parent, 'quiesce-etcd-'));
  made.push(dir);
  return dir;
}
