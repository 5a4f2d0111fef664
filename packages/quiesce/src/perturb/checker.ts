// perturb/: disturbs runs so that races show: the parts of a perturbation, a perturbed run, and the checkers that
// programs run under. The run itself is in run/.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { UsageError } from '../errors.js';
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
 * @throws UsageError for both at once, or when one isn't installed.
 */
export function underChecker(
  { valgrind, asan }: { readonly valgrind: boolean; readonly asan: boolean },
  command: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): CheckedCommand {
  if (valgrind && asan) {
    throw new UsageError('valgrind and asan exclude each other', 'give --valgrind or --asan, not both');
  }
  if (valgrind) return underValgrind(command);
  return asan ? withAsan(command, env) : { command, env: {}, slowness: 1 };
}

function underValgrind(command: readonly string[]): CheckedCommand {
  const found = findExecutable('valgrind', process.cwd());
  if (found.path === undefined) {
    throw new UsageError(
      '--valgrind: valgrind is not installed here',
      'install it, for example by apt-get install valgrind',
    );
  }
  const options = [
    '-q',
    `--error-exitcode=${VALGRIND_EXIT_CODE}`,
    '--trace-children=yes',
    '--child-silent-after-fork=yes',
  ];
  return { command: [found.path, ...options, ...command], env: {}, slowness: SLOWNESS.valgrind };
}

function withAsan(
  command: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): CheckedCommand {
  const library = asanLibrary();
  if (library === undefined) {
    throw new UsageError(
      "--asan: AddressSanitizer's library was not found",
      'install gcc, which includes it',
    );
  }
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
