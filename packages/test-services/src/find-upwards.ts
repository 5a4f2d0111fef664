import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The path, below this file's folder or the nearest one above it that has it. */
export function findUpwards(path: string): string | undefined {
  let dir = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(dir, path))) {
    if (dir === dirname(dir)) return undefined;
    dir = dirname(dir);
  }
  return join(dir, path);
}
