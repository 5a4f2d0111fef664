import { accessSync, constants, statSync } from 'node:fs';
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
