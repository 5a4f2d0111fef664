import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from './temporary-directory.js';

let folder: string | undefined;
let count = 0;

/** A folder for files of programs, gone after the tests. */
export function programFolder(): string {
  // Not among temporary files: Deno resolves packages from where the program is.
  folder ??= temporaryDirectory(fileURLToPath(new URL('.', import.meta.url)));
  return folder;
}

/**
 * A file with a program, an ES module, for a process of its own: `[process.execPath, program(source)]` works on each
 * host, whereas `-e` means something else on each. It is gone after the tests.
 */
export function program(source: string): string {
  const file = join(programFolder(), `${++count}.mjs`);
  writeFileSync(file, source);
  return file;
}
