// perturb/: disturbs runs so that races show: the parts of a perturbation, a perturbed run, and the checkers that
// programs run under. The run itself is in run/.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { findExecutable } from '../process/executable.js';

/** Exit code of a program in which valgrind found an error. */
export const VALGRIND_EXIT_CODE = 99;

/** How many times as long a run takes under each checker. */
const SLOWNESS = { valgrind: 50, asan: 3 } as const;

/** A command that runs under a checker. */
export interface CheckedCommand {
  readonly command: readonly string[];
  /** Added to its environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Factor for the timeout of each run. */
  readonly slowness: number;
}

/**
 * A command under valgrind's memcheck, or with AddressSanitizer's library in its processes. The library lets programs
 * start that were built without it, such as an interpreter that loads an addon built with it. With neither checker, the
 * command itself. Both print what they find, and `signatures.ts` recognizes it.
 * `checkerProblem` says whether they can be used.
 */
export function underChecker(
  { valgrind, asan }: { readonly valgrind: boolean; readonly asan: boolean },
  command: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): CheckedCommand {
  if (valgrind) return underValgrind(command);
  return asan ? withAsan(command, env) : { command, env: {}, slowness: 1 };
}

/** Why programs can't run under these checkers here; `undefined` if they can. */
export function checkerProblem({
  valgrind,
  asan,
}: {
  readonly valgrind: boolean;
  readonly asan: boolean;
}): { readonly problem: string; readonly hint: string } | undefined {
  if (valgrind && asan) {
    return { problem: 'valgrind and asan exclude each other', hint: 'use one of them' };
  }
  if (valgrind && valgrindPath() === undefined) {
    return {
      problem: 'valgrind is not installed here',
      hint: 'install it, for example by apt-get install valgrind',
    };
  }
  if (asan && asanLibrary() === undefined) {
    return { problem: "AddressSanitizer's library was not found", hint: 'install gcc, which includes it' };
  }
  return undefined;
}

const valgrindPath = (): string | undefined => findExecutable('valgrind', process.cwd()).path;

function underValgrind(command: readonly string[]): CheckedCommand {
  const options = [
    '-q',
    `--error-exitcode=${VALGRIND_EXIT_CODE}`,
    '--trace-children=yes',
    '--child-silent-after-fork=yes',
  ];
  return {
    command: [valgrindPath() ?? 'valgrind', ...options, ...command],
    env: {},
    slowness: SLOWNESS.valgrind,
  };
}

function withAsan(
  command: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): CheckedCommand {
  const library = asanLibrary();
  const join = (separator: string, ...parts: (string | undefined)[]): string =>
    parts.filter(Boolean).join(separator);
  return {
    command,
    env: {
      LD_PRELOAD: join(':', library, env.LD_PRELOAD),
      // Interpreters deliberately leave memory to the system when they end.
      ASAN_OPTIONS: join(':', 'detect_leaks=0', env.ASAN_OPTIONS),
    },
    slowness: SLOWNESS.asan,
  };
}

/** Path of the library, if gcc has it. */
export function asanLibrary(): string | undefined {
  const { stdout } = spawnSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' });
  const file = stdout?.trim();
  return file?.startsWith('/') && existsSync(file) ? file : undefined;
}
