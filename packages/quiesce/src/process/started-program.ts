import type { Readable } from 'node:stream';

/** How a process ended, as the operating system reports it: exactly one of the two is set. */
export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What is to be started, as the leader of its own session and process group, with nothing on its standard input. */
export interface Start {
  readonly command: readonly string[];
  readonly cwd: string;
  /** The whole environment. */
  readonly env: NodeJS.ProcessEnv;
  /**
   * Name of an abstract socket on which what it starts can write to its descriptor 3, too; empty for none. Only where the
   * starter listens.
   */
  readonly socket: string;
  /** How many of its streams are read: none, standard output and error, or those and descriptor 3. */
  readonly outputs: 0 | 2 | 3;
}

/** A program that has been started. */
export interface StartedProgram {
  readonly pid: number;
  /** Its streams that are read, in the order of their descriptors. To destroy one closes it. */
  readonly output: readonly Readable[];
  /** How it ended. Its output may still be on its way then. Rejects if that can't be known any more. */
  readonly exited: Promise<ExitStatus>;
  /** Resolves when it has ended and every holder of its streams has closed them. */
  readonly closed: Promise<void>;
}

/** Starts programs: the spawner, or Node where there is none. */
export interface Starter {
  /** The process that makes the sockets of the programs, and of which debuggers have to come. */
  readonly pid: number;
  /** Whether programs can be given a `socket`. */
  readonly listens: boolean;
  /** @throws the system's error when it can't start it. */
  start(what: Start): Promise<StartedProgram>;
}
