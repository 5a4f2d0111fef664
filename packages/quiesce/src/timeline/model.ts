/** What a thread did for a while. `waited`: it wanted to run, and had no CPU. `held`: the exit amplifier delayed it. */
export type ThreadState = 'ran' | 'waited' | 'slept' | 'held';

/** A part of the exit. */
export interface TimelinePhase {
  /**
   * `exit`: from its call to the end. `python`: the interpreter finalizes. `handler`: an exit handler or static destructor
   * of a library. `library`: the loader takes one down. `unload`: dlclose unloads one.
   */
  readonly what: 'exit' | 'python' | 'handler' | 'library' | 'unload';
  /** File of the library; of an exit, the function that was called, where it is known. */
  readonly name: string | null;
  readonly tid: number;
  readonly fromMs: number;
  /** `null` when it had not ended when the timeline did. */
  readonly toMs: number | null;
  /** How many handlers ran one right after the other; otherwise 1. */
  readonly count: number;
}

/** A thread that was there at some time of the timeline. */
export interface TimelineThread {
  readonly tid: number;
  readonly name: string;
  /** File of the library or program that started it; `null` when that isn't known. */
  readonly library: string | null;
  /** It is the process's first thread. */
  readonly main: boolean;
  /** When it began; negative if it was before the timeline, `null` if that isn't known. */
  readonly fromMs: number | null;
  /** When it ended; `null` when it was there until the end. */
  readonly toMs: number | null;
  /** In the order of time. Empty if nobody looked at the thread. */
  readonly spans: readonly { readonly state: ThreadState; readonly fromMs: number; readonly toMs: number }[];
}

/** A crash that ended the process. */
export interface TimelineCrash {
  readonly atMs: number;
  readonly tid: number;
  readonly signal: string;
  /** File of the library whose code was run, or called, last; `null` when that isn't known. */
  readonly library: string | null;
}

/** The exit of one run. Times are milliseconds. */
export interface Timeline {
  /** Number of the run. */
  readonly run: number;
  /** What time 0 is: the program's "work done", the beginning of the exit where it doesn't say that, otherwise its start. */
  readonly zero: 'work-done' | 'exit' | 'start';
  readonly endMs: number;
  /** How the process ended: `killed` when it hung. */
  readonly end: 'gone' | 'crashed' | 'killed';
  readonly crash: TimelineCrash | null;
  /** In the order of their begin. At most 400. */
  readonly phases: readonly TimelinePhase[];
  /** The first thread first. At most 64. */
  readonly threads: readonly TimelineThread[];
  /** What the timeline shows, in a sentence. */
  readonly says: string;
  /** What had been torn down when the thread of that sentence still ran, and when that began. */
  readonly tornDown: TornDown | null;
  /** Events that are missing, since there were more than are kept. */
  readonly lostEvents: number;
}

/** Something that had been torn down. */
export interface TornDown {
  readonly what: TimelinePhase['what'];
  readonly name: string | null;
  readonly atMs: number;
}
