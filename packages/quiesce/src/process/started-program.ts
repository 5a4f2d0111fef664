/** How a process ended, as the operating system reports it: exactly one of the two is set. */
export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What is to be started, as the leader of its own session and process group, with nothing on its standard input. */
export interface Start {
  readonly command: readonly string[];
  readonly cwd: string;
  /** The environment without `added`. One that is frozen, and given again, is prepared only once. */
  readonly env: NodeJS.ProcessEnv;
  /** Variables for this program alone, which may replace others. */
  readonly added?: Readonly<Record<string, string>>;
  /**
   * Name of an abstract socket on which what it starts can write to its descriptor 3, too; empty for none. Only where the
   * starter listens.
   */
  readonly socket: string;
  /** How many of its streams are read: none, standard output and error, or those and descriptor 3. */
  readonly outputs: 0 | 2 | 3;
}

/** One of the streams of a program. */
export interface Output {
  /** Passes on what the program has written to it, and what it will write. */
  read(listener: (chunk: Buffer) => void): void;
  /** Closes it for the program, which isn't read any more. Idempotent. */
  close(): void;
}

/** A program that has been started. */
export interface StartedProgram {
  readonly pid: number;
  /** Its streams that are read, in the order of their descriptors. */
  readonly output: readonly Output[];
  /** How it ended. Its output may still be on its way then. Rejects if that can't be known any more. */
  readonly exited: Promise<ExitStatus>;
  /** Resolves when it has ended and every holder of its streams has closed them. */
  readonly closed: Promise<void>;
  /** Whether it has ended, and the starter knows that nothing is left of what it started. */
  leftNothing(): boolean;
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
