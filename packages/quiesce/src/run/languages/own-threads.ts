import type { InterpretedFrame } from '../stack-trace.js';

/** What a program's own language knows of a thread. */
export interface OwnThread {
  /** As the program named it; `undefined` if the language doesn't say. */
  readonly name?: string | undefined;
  readonly frames: readonly InterpretedFrame[];
  /** What is known instead of frames. */
  readonly instead?: string;
  /** For the main thread of Node: what keeps its event loop alive. */
  readonly keptAliveBy?: readonly string[];
  /** For a thread of Java: whether the program's end doesn't wait for it. */
  readonly daemon?: boolean;
}

/** What a language knows of the threads of a process. */
export interface OwnThreads {
  /** By their numbers. */
  readonly threads: ReadonlyMap<number, OwnThread>;
  /** Why there are none, and what to do if something can be done; `null` if there are some, or it isn't in the process. */
  readonly problem: string | null;
}

/** Nothing to say. */
export const NOTHING: OwnThreads = { threads: new Map(), problem: null };

/** A process to ask, and when it is asked. */
export interface Questioned {
  readonly pid: number;
  /** Whether it hangs; otherwise a thread of it is about to die. It then can't answer. */
  readonly hung: boolean;
  /** The signal that the thread is about to die from, if that is known. */
  readonly diedFrom?: NodeJS.Signals | undefined;
  /** Whether a signal has stopped it. It then can't answer. */
  readonly stopped: boolean;
  /** Whether a debugger may attach to it. */
  readonly traced: boolean;
  /** The thread that burns CPU, if one does. */
  readonly busy: number | undefined;
  readonly signal: AbortSignal | undefined;
}
