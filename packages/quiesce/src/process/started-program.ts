/** How a process ended, as the operating system reports it: exactly one of the two is set. */
export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A program to start, as the leader of its own session and process group, without standard input. */
export interface Start {
  readonly command: readonly string[];
  readonly cwd: string;
  /** The environment without `added`. A frozen object that is passed again is prepared only once. */
  readonly env: NodeJS.ProcessEnv;
  /** Variables for this program alone, which may replace others. */
  readonly added?: Readonly<Record<string, string>>;
  /**
   * Name of an abstract socket, through which what the program starts can also write to its descriptor 3; empty for
   * none. Only for a starter that listens.
   */
  readonly socket: string;
  /** How many of its streams are read: none, standard output and error, or these and descriptor 3. */
  readonly outputs: 0 | 2 | 3;
  /**
   * Number of a sequence, of `newSequence`: its programs run one after another. Each starts when the one before has
   * exited with code 0 and nothing is left of it, or else when that one's `over` is called. Default: none.
   */
  readonly sequence?: number | undefined;
}

/** One of a program's streams. */
export interface Output {
  /** Passes on what the program has written to it, and what it will write. `at` is a time of `performance.now()`. */
  read(listener: (chunk: Buffer, at: number) => void): void;
  /** Closes it for the program, since it is no longer read. Idempotent. */
  close(): void;
}

/** A program that has been started. */
export interface StartedProgram {
  readonly pid: number;
  /** When it was started: a time of `performance.now()`. */
  readonly startedAt: number;
  /** Its streams that are read, in the order of their descriptors. */
  readonly output: readonly Output[];
  /** How it ended. Its output may still be on its way then. Rejects if that can no longer be known. */
  readonly exited: Promise<ExitStatus>;
  /** When it ended: a time of `performance.now()`. Until then, the present time. */
  endedAt(): number;
  /** Resolves when it has ended and every holder of its streams has closed them. */
  readonly closed: Promise<void>;
  /** Whether it has ended, and the starter knows that nothing it started is left. */
  leftNothing(): boolean;
  /** Lets the next program of its sequence start. */
  over(): void;
}

/** Starts programs: the spawner, or Node if there is none. */
export interface Starter {
  /** The process that makes the programs' sockets. Debuggers must descend from it. */
  readonly pid: number;
  /** Whether programs can be given a `socket`. */
  readonly listens: boolean;
  /** @throws the system's error when it can't start it. */
  start(what: Start): Promise<StartedProgram>;
}
