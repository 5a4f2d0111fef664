import { constants } from 'node:os';
import type { Command } from 'commander';

/** One subcommand of `quiesce`. Each is a file in this directory, and is listed in `cli.ts`. */
export interface Subcommand {
  readonly name: string;
  /** Describes its arguments and options. Its action calls `finish` with the exit code (`EXIT`), or throws. */
  define(command: Command, finish: (exitCode: number) => void): void;
}

/** Exit codes of the command line. A signal that stopped it is reported as 128 + its number. */
export const EXIT = { ok: 0, unexpected: 1, usage: 2, environment: 3 } as const;

/** The exit code of a tester that was stopped by a signal. */
export function signalExitCode(name: NodeJS.Signals): number {
  return 128 + constants.signals[name];
}

/** Text for the help of subcommands that run programs. */
export const EXIT_HELP = `
Exit codes:
  0  every run ended as expected
  1  some did not
  2  wrong usage, or a wrong plan
  3  the environment failed: a service couldn't start or died, a report couldn't be written
  130, 143, 129  stopped by SIGINT, SIGTERM, SIGHUP; the table shows what was run`;
