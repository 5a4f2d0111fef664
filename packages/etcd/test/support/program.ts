import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from './temporary-directory.js';

let folder: string | undefined;
let count = 0;

/** A folder for the files of programs. It is removed after the tests. */
export function programFolder(): string {
  // Not in the temporary directory: Deno resolves packages from where the program is.
  folder ??= temporaryDirectory(fileURLToPath(new URL('.', import.meta.url)));
  return folder;
}

/**
 * A file with a program, an ES module, that is run in a separate process. `[process.execPath, program(source)]` works
 * on each host, whereas `-e` means something different on each. The file is removed after the tests.
 */
export function program(source: string): string {
  const file = join(programFolder(), `${++count}.mjs`);
  writeFileSync(file, source);
  return file;
}
