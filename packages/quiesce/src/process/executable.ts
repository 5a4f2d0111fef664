import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

/** Where a command was found, or why it can't be run. */
export type Lookup =
  | { readonly path: string }
  | { readonly path: undefined; readonly problem: string; readonly hint: string };

/**
 * Finds the file that `command` names as `execvp` would: a name with a slash relative to `cwd`, any other name
 * in the directories of `searchPath`.
 */
export function findExecutable(command: string, cwd: string, searchPath = process.env.PATH ?? ''): Lookup {
  const named = JSON.stringify(command);
  if (command.includes('/')) {
    const state = fileState(resolve(cwd, command));
    if (state === 'executable') return { path: resolve(cwd, command) };
    return state === 'absent'
      ? {
          path: undefined,
          problem: `command ${named} doesn't exist`,
          hint: `looked for ${resolve(cwd, command)}`,
        }
      : notExecutable(named, state, command);
  }
  let seen: string | undefined;
  for (const directory of searchPath.split(delimiter)) {
    const candidate = join(directory === '' ? cwd : resolve(cwd, directory), command);
    const state = fileState(candidate);
    if (state === 'executable') return { path: candidate };
    // A directory of that name is not a program. It doesn't end the search.
    if (state === 'not-executable') seen ??= candidate;
  }
  if (seen !== undefined) return notExecutable(named, 'not-executable', seen);
  const here = fileState(resolve(cwd, command));
  if (/^\.\.?$/.test(command)) return notExecutable(named, 'directory', command);
  return {
    path: undefined,
    problem: `command ${named} was not found in PATH`,
    hint: here === 'executable' ? `did you mean ./${command}?` : 'check its spelling, or give its path',
  };
}

const notExecutable = (named: string, state: 'directory' | 'not-executable', path: string): Lookup => ({
  path: undefined,
  problem: `command ${named} is ${state === 'directory' ? 'a directory' : 'not executable'}`,
  hint: state === 'directory' ? 'give the program in it' : `chmod +x ${path}, or name its interpreter first`,
});

function fileState(path: string): 'executable' | 'not-executable' | 'directory' | 'absent' {
  try {
    if (statSync(path).isDirectory()) return 'directory';
  } catch {
    return 'absent';
  }
  try {
    accessSync(path, constants.X_OK);
    return 'executable';
  } catch {
    return 'not-executable';
  }
}

/**
 * Whether the system might not be able to run a file: it is a program for another machine, or a damaged one, or what
 * loads it is missing. Only the system itself knows: it may have an emulator.
 */
export function mayNotRun(file: string, cwd: string): boolean {
  const head = beginningOf(file);
  const interpreter = interpreterOf(head) ?? (isOfThisMachine(head) ? loaderOf(head) : undefined);
  if (interpreter !== undefined) return !existsSync(resolve(cwd, interpreter));
  // As for a shell, a script has no NUL in its first line.
  return head.startsWith(ELF) ? !isOfThisMachine(head) : head.split('\n', 1)[0]?.includes('\0') === true;
}

/** The interpreter that the first line of a script names. */
export const interpreterOf = (head: string): string | undefined => /^#! *(\S+)/.exec(head)?.[1];

/** The beginning of a file, a character for each byte; empty if it can't be read. */
export function beginningOf(path: string): string {
  const bytes = Buffer.alloc(BEGINNING_BYTES);
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    return bytes.toString('latin1', 0, readSync(file, bytes));
  } catch {
    return '';
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** More than the header of a program, and the name of its loader, which is right behind that. */
const BEGINNING_BYTES = 4_096;

const ELF = '\x7fELF';
/** Where a header has the word size and byte order, the machine, and the size of the entries that follow it. */
const KIND = [
  [4, 6],
  [18, 20],
  [54, 56],
] as const;

let ownHead: string | undefined;

function isOfThisMachine(head: string): boolean {
  ownHead ??= beginningOf(process.execPath);
  const own = ownHead;
  return head.startsWith(ELF) && KIND.every(([from, to]) => head.slice(from, to) === own.slice(from, to));
}

const LOADER = 3;

/** The file that loads a program's libraries; `undefined` for a static program. */
function loaderOf(head: string): string | undefined {
  const bytes = Buffer.from(head, 'latin1');
  if (bytes.length < 64 || bytes[4] !== 2 || bytes[5] !== 1) return undefined;
  const [size, count] = [bytes.readUInt16LE(54), bytes.readUInt16LE(56)];
  for (let i = 0; i < count; i++) {
    const entry = Number(bytes.readBigUInt64LE(32)) + i * size;
    if (size < 56 || entry + 56 > bytes.length) return undefined;
    if (bytes.readUInt32LE(entry) !== LOADER) continue;
    const from = Number(bytes.readBigUInt64LE(entry + 8));
    return /^\/[^\0]+(?=\0)/.exec(head.slice(from))?.[0];
  }
  return undefined;
}
