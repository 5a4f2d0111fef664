/** What a thread did for a while. `waited`: it was ready to run, but had no CPU. `held`: the exit amplifier delayed it. */
export type ThreadState = 'ran' | 'waited' | 'slept' | 'held';

/** A part of the exit. */
export interface TimelinePhase {
  /**
   * `exit`: from its call to the end. `python`: the interpreter finalizes. `handler`: an exit handler or static destructor
   * of a library. `library`: the loader takes one down. `unload`: dlclose unloads one.
   */
  readonly what: 'exit' | 'python' | 'handler' | 'library' | 'unload';
  /** File of the library; for an exit, the function that was called, if it is known. */
  readonly name: string | null;
  readonly tid: number;
  readonly fromMs: number;
  /** `null` if it had not ended when the timeline did. */
  readonly toMs: number | null;
  /** How many handlers ran one right after another; otherwise 1. */
  readonly count: number;
}

/** A thread that existed at some time of the timeline. */
export interface TimelineThread {
  readonly tid: number;
  readonly name: string;
  /** File of the library or program that started it; `null` if that isn't known. */
  readonly library: string | null;
  /** It is the process's first thread. */
  readonly main: boolean;
  /** When it began; negative if that was before the timeline, `null` if it isn't known. */
  readonly fromMs: number | null;
  /** When it ended; `null` if it existed until the end. */
  readonly toMs: number | null;
  /** In order of time. Empty if the thread wasn't sampled. */
  readonly spans: readonly { readonly state: ThreadState; readonly fromMs: number; readonly toMs: number }[];
}

/** A crash that ended the process. */
export interface TimelineCrash {
  readonly atMs: number;
  readonly tid: number;
  readonly signal: string;
  /** File of the library whose code was run or called last; `null` if that isn't known. */
  readonly library: string | null;
}

/** The exit of one run. Times are in milliseconds. */
export interface Timeline {
  /** Number of the run. */
  readonly run: number;
  /**
   * What time 0 is: the program's "work done", or if it doesn't report that, the beginning of the exit, or else the
   * program's start.
   */
  readonly zero: 'work-done' | 'exit' | 'start';
  readonly endMs: number;
  /** How the process ended: `killed` when it hung. */
  readonly end: 'gone' | 'crashed' | 'killed';
  readonly crash: TimelineCrash | null;
  /** In the order in which they began. At most 400. */
  readonly phases: readonly TimelinePhase[];
  /** The first thread first. At most 64. */
  readonly threads: readonly TimelineThread[];
  /** What the timeline shows, in one sentence. */
  readonly says: string;
  /** What had been torn down while the thread in that sentence still ran, and when that began. */
  readonly tornDown: TornDown | null;
  /** Number of missing events, because there were more than are kept. */
  readonly lostEvents: number;
}

/** Something that had been torn down. */
export interface TornDown {
  readonly what: TimelinePhase['what'];
  readonly name: string | null;
  readonly atMs: number;
}
