import type { Command } from 'commander';

/** One subcommand of `quiesce`: each is a file of this directory, and is listed in `cli.ts`. */
export interface Subcommand {
  readonly name: string;
  /** Describes its arguments and options. Its action calls `finish` with the exit code (`EXIT`), or throws. */
  define(command: Command, finish: (exitCode: number) => void): void;
}
