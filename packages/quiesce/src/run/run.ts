import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { BoundedOutput } from '../process/bounded-output.js';
import { listProc, procProblem, readProc } from '../process/proc.js';
import { type GroupMember, type ProcessGroup, spawnGroup } from '../process/process-group.js';
import {
  ancestorsOf,
  commandLine,
  haltOf,
  hasEnded,
  innermostNumber,
  isRunning,
  procFolder,
} from '../process/processes.js';
import { signalName } from '../process/signal-names.js';
import type { ExitStatus } from '../process/started-program.js';
import { startTimer } from '../process/timer.js';
import type { Timeline } from '../timeline/model.js';
import { record as recordExit } from '../timeline/recorder.js';
import type { AmplifierReport } from './amplifier-report.js';
import { type Stacks, threadStacks } from './diagnose.js';
import { unwantedThreads } from './host-threads.js';
import { type Expect, isFailure, type Outcome, outcomeOf } from './outcome.js';
import { OutputFilter } from './output-filter.js';
import type { RunDirectories } from './run-directory.js';
import { type SignatureMatch, SignatureScanner } from './signatures.js';
import { isHashed, isMapped, type ThreadStack } from './stack-trace.js';
import { EXITING, names as frameNames, raises } from './waiting.js';
import {
  type CrashReport,
  DONE_FD,
  type LeftSocket,
  type LeftThread,
  type WitnessLine,
  WitnessLines,
  witnessProblem,
  witnessVariables,
} from './witness.js';

/** What to do in one run. */
export interface RunSpec {
  readonly command: readonly string[];
  readonly cwd: string;
  /** The whole environment, except for what `runOnce` adds. */
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
  readonly expect: Expect;
  /** A thread that is left at exit, other than the host's own, makes a run fail. */
  readonly strict: boolean;
  /** Names and libraries (patterns) of threads that may be left; docs/diagnosis/thread-left-at-exit.md. */
  readonly allowThreads: readonly string[];
  /** Whether the exit witness is loaded, if it was built. */
  readonly witness: boolean;
  /** Whether the timeline of the exit is taken, by the witness. */
  readonly timeline: boolean;
  /** Whether a fatal signature in the output counts. */
  readonly signatures: boolean;
  /** Regular expressions: output lines that match one are ignored. */
  readonly ignoreOutput: readonly string[];
}

/** What was left when the main process ended. */
export interface LeftAtExit {
  /**
   * Threads that still ran after all exit handlers and destructors, at most 64; `null` if unknown: the process was killed,
   * or the witness couldn't be loaded.
   */
  readonly threads: readonly LeftThread[] | null;
  /** How many further threads there were; absent if there were none. */
  readonly moreThreads?: number;
  /** Internet sockets that were still open then. */
  readonly sockets: readonly LeftSocket[];
  /** Entries of the run's own temporary directory (`TMPDIR`). At most 20. */
  readonly files: readonly string[];
  /** Why processes that outlived it can't be found on this machine; absent if they can. `leaked` may then lack some. */
  readonly unseenProcesses?: string;
  /** Why the witness can't be used on this machine; absent if it can, or if it wasn't wanted. */
  readonly unwitnessed?: string;
}

/** What is kept of every run. */
export interface RunRecord {
  /** Counted from 1. */
  readonly run: number;
  readonly outcome: Outcome;
  /** Whether it did not end as expected, or, if `'any'` end is expected, was not clean. */
  readonly failed: boolean;
  /** Milliseconds from start to the end of its main process, or to the timeout. */
  readonly durationMs: number;
  /** Whether the program reported that its work was done. */
  readonly workDone: boolean;
  /** Milliseconds from "work done" to the end of its main process; `null` if it didn't report "work done", or hung. */
  readonly exitMs: number | null;
  /** The fatal signature in its output, whatever the outcome; `null` if there is none. */
  readonly signature: SignatureMatch | null;
  /** Command lines of processes that outlived it and were killed. Empty for a hang, whose processes are all killed. */
  readonly leaked: readonly string[];
  /**
   * The name of the thread that died from a signal, if the witness saw it. The thread belongs to the main process, or
   * else to a child.
   */
  readonly diedIn: string | null;
  /** Processes other than the main one that died from a signal while the witness watched, in order. At most 20. */
  readonly childCrashes: readonly ChildCrash[];
  readonly left: LeftAtExit;
  /** How it was perturbed, in the form that `--perturb` takes to repeat it; `null` for a plain run. */
  readonly perturbation: string | null;
  /** What the exit amplifier did; `null` if this run wasn't amplified, or if that is unknown. */
  readonly amplifier: AmplifierReport | null;
}

/** A process of a run, other than its main one, that died from a signal. */
export interface ChildCrash {
  /** Its name, such as `SIGSEGV`. */
  readonly signal: string;
  /** Name of the thread that died. */
  readonly thread: string;
  /** Its command line, shortened. */
  readonly command: string;
}

/** A child that died. For a hang, the child that the main process waits for, directly or through others. */
export interface ExplainingChild {
  /** Name of the signal that it died from; `null` for a hang. */
  readonly signal: string | null;
  /** Name of the thread that died; for a hang, of its main thread. */
  readonly thread: string;
  /** Its command line, shortened. */
  readonly command: string;
  /** For a hang: its process number. */
  readonly pid?: number;
  /** For a hang: how many other children that the main process waits for hang in the same place; absent if none do. */
  readonly alike?: number;
}

/** What was seen of a crash, with or without a debugger. */
export interface CrashFacts {
  /** Whether the main thread died. */
  readonly main: boolean;
  /** Whether Python is loaded in the process. */
  readonly python: boolean;
  /** File of an unloaded library whose code or data the thread used; `null` if there is none. */
  readonly unloaded?: string | null;
  /** Whether the thread had run out of stack. */
  readonly overflow?: boolean;
  /** Whether the thread had called `pthread_exit`, which unwinds its frames by force. */
  readonly unwound?: boolean;
  /** Whether the process had called `exit` or `quick_exit`, or `main` had returned. */
  readonly exiting?: boolean;
  /** Whether Python was being finalized. */
  readonly finalizing?: boolean;
  /** What sent the signal, for example with `kill` or `raise`; `null` if the thread's own fault caused it. */
  readonly sender?: 'itself' | 'another' | null;
}

/** The evidence that a run leaves. */
export interface Evidence {
  /** At most 64 KiB each: the beginning and the end. */
  readonly stdout: string;
  readonly stderr: string;
  /** For a crash or hang: the stacks of its threads, if they were taken. */
  readonly stacks: string | null;
  /** The same as data; empty if no stacks were taken. */
  readonly threads: readonly ThreadStack[];
  /** For a crash that the witness saw; otherwise `null` or absent. */
  readonly crash?: CrashFacts | null;
  /** The process of these stacks and threads, if it isn't the main one. */
  readonly child?: ExplainingChild | null;
  /** The exit, if a timeline was requested and the exit was seen; otherwise `null` or absent. */
  readonly timeline?: Timeline | null;
}

const HALF_OUTPUT_BYTES = 32 * 1024;
const GROUP_GRACE_MS = 100;
/** The same for processes that end by themselves. Python's helper may first have to start, on a busy machine, too. */
const ENDING_GRACE_MS = 30_000;
const DRAIN_MS = 1_000;
const MOST_WITNESSED = 1_000;
const MOST_CHILD_CRASHES = 20;
const AFTER_CRASH_MS = 2_000;
/** A process that a debugger has held runs on at once. If it is dying, that shows by then. */
const AFTER_LOOK_MS = 500;
const LATE_MS = 50;
const AFTER_STOP_MS = 200;
const STOP_POLLS = 1_000;
const CONTINUE_POLLS = 100;
const CONTINUE_POLL_MS = 10;

/** What the caller provides for a run. */
export interface RunOnceOptions {
  /** Whether to take the stacks of a crash or hang, which needs seconds. Failures that look alike have the same `cause`. */
  readonly wantsStacks: (cause: string) => boolean;
  /** Provides its temporary directory. */
  readonly directories: RunDirectories;
  readonly signal?: AbortSignal | undefined;
  /** The sequence that its program belongs to. */
  readonly sequence?: number | undefined;
}

/** What a run has shown. */
export interface EndedRun {
  readonly record: RunRecord;
  readonly evidence: Evidence;
  /** Lets the next program of its sequence start. */
  over(): void;
}

/**
 * Runs a command once, in its own process group, and decides how it ended. Whatever is left of it afterwards is
 * killed. The program gets `QUIESCE_DONE_FD`, `QUIESCE_RUN` (the run's number) and `QUIESCE_RUN_ID` (unique).
 * @throws the signal's reason when aborted; EnvironmentError when the system can't start a process.
 */
export async function runOnce(spec: RunSpec, run: number, options: RunOnceOptions): Promise<EndedRun> {
  const { signal, sequence } = options;
  signal?.throwIfAborted();
  const directory = options.directories.take();
  const recorder = spec.timeline && spec.witness ? recordExit() : undefined;
  const group = await spawnGroup(spec.command, {
    cwd: spec.cwd,
    env: spec.env,
    added: (way) => ({
      ...(spec.witness && witnessVariables(spec.env, way)),
      TMPDIR: directory.path,
      QUIESCE_DONE_FD: String(DONE_FD),
      QUIESCE_RUN: String(run),
      QUIESCE_RUN_ID: randomUUID(),
      ...recorder?.env,
    }),
    outputs: 3,
    sequence,
  }).catch((error: unknown) => {
    directory.end();
    recorder?.release();
    signal?.throwIfAborted();
    throw error;
  });
  const { startedAt } = group;
  const kill = (): void => group.kill('SIGKILL');
  signal?.addEventListener('abort', kill);
  if (signal?.aborted) kill();
  try {
    const crashes: Crash[] = [];
    const looks = new Looks();
    // Two debuggers can't look at once.
    let hangSeen: Promise<unknown> = Promise.resolve();
    const output = collect(group, spec, {
      crash: (report, at) => {
        const crash = lookAt(report, at, { group, options, after: hangSeen });
        crashes.push(crash);
        looks.during(crash.seen);
      },
      exiting: (pid) => {
        if (recorder !== undefined && isMember(group, pid)) recorder.exiting(pid);
      },
    });
    const ended = group.exited.then((status) => ({ status, at: group.endedAt() }));
    const timeout = startTimer(startedAt + spec.timeoutMs - performance.now());
    let hung = await Promise.race([ended.then(() => false), timeout.passed.then(() => true)]);
    timeout.stop();
    if (hung && (hasEnded(group.pid) || performance.now() - startedAt > spec.timeoutMs + LATE_MS)) {
      // The program may have ended in time, and the notice of that hasn't been read yet: the tester was stopped, or got
      // no CPU time.
      hung = await Promise.race([ended.then(() => false), delay(AFTER_STOP_MS, true)]);
    }
    while (hung && crashes.length > 0) {
      // The process may be in time, and only wait for the debugger. More crashes may follow.
      await Promise.all(crashes.map(({ seen }) => seen));
      const end = startedAt + spec.timeoutMs + looks.ms + AFTER_CRASH_MS;
      const rest = end - performance.now();
      if (rest <= 0) break;
      hung = await Promise.race([ended.then(() => false), delay(rest, true)]);
    }
    let stacks: Stacks | null = null;
    // Node's inspector writes to stderr when the hung process is asked. A test runner copies that to its own stdout.
    const untilHung = hung
      ? { stdout: output.stdout.toString(), stderr: output.stderr.toString() }
      : undefined;
    const hungAt = performance.now();
    const before = new Set(crashes);
    const signatureThen = output.signature();
    let names: ReadonlyMap<number, string> = new Map();
    let mainEnded = false;
    if (hung) {
      if (recorder !== undefined) {
        names = threadNames(group.members());
        mainEnded = haltOf(group.pid, group.pid) === 'ended';
      }
      if (options.wantsStacks('hang')) {
        const seeing = threadStacks(group.members(), { signal });
        hangSeen = seeing.catch(() => {});
        stacks = await seeing;
      }
      // It may have died by itself meanwhile, as it would have before the timeout.
      if (stacks !== null) await Promise.race([ended, delay(AFTER_LOOK_MS)]);
      const died = crashes.find((one) => one.report.pid === group.pid && !before.has(one));
      if (died !== undefined) {
        await died.seen;
        hung = await Promise.race([ended.then(() => false), delay(AFTER_CRASH_MS, true)]);
        if (!hung) stacks = null;
      }
      if (hung) kill();
    }
    const end = await ended;
    // What came as it was killed doesn't count for a hang.
    const crash = crashes.find((one) => one.report.pid === group.pid && (!hung || before.has(one)));
    const children = crashes.filter((one) => one.report.pid !== group.pid && one.command !== undefined);
    // Its other threads ran for a moment after it was continued, and may have ended it differently.
    const status = crash === undefined || hung ? end.status : { code: null, signal: crash.report.signal };
    const at = crash?.at ?? end.at;
    const original = crash !== undefined && !(await isPassedOn(crash, crashes));
    const reported = original ? crash : hung ? undefined : ((await reportedBy(status, children)) ?? crash);
    stacks ??= (await reported?.seen) ?? null;
    const leaked = await endGroup(group, output.closed);
    signal?.throwIfAborted();

    const signature = hung ? signatureThen : output.signature();
    const left = { ...output.left(group.pid), files: directory.end(), ...unknownHere(spec) };
    const seen = {
      status,
      hung,
      signature,
      stderrBytes: output.stderrBytes(),
      threadsLeft: spec.strict ? threadsLeft(left, spec.allowThreads) : 0,
    };
    const outcome = outcomeOf(seen, spec.expect);
    const failed = isFailure(outcome, status, spec.expect);
    // The death of a child is never why threads of the main process are left.
    const explains = outcome.kind === 'threads-left' && reported !== crash ? undefined : reported;
    if (explains !== reported) stacks = null;
    const doneAt = output.doneAt();
    const record: RunRecord = {
      run,
      outcome,
      failed,
      durationMs: (hung ? hungAt : at) - startedAt,
      // For a quick exit, both are seen in one turn of the event loop, in either order.
      exitMs: hung || doneAt === undefined ? null : Math.max(0, at - doneAt),
      workDone: doneAt !== undefined,
      signature: signature ?? null,
      leaked: hung ? [] : leaked,
      diedIn: (failed ? explains : crash)?.report.thread ?? null,
      childCrashes: children.slice(0, MOST_CHILD_CRASHES).map(ofChild),
      left,
      perturbation: null,
      amplifier: null,
    };
    const evidence = {
      ...((hung ? untilHung : undefined) ?? {
        stdout: output.stdout.toString(),
        stderr: output.stderr.toString(),
      }),
      stacks: [stacks?.text ?? [], hung ? await deathsOf(children) : []].flat().join('\n\n') || null,
      threads: stacks?.threads ?? [],
      crash: (await explains?.facts) ?? null,
      child: hung
        ? hungChild(stacks)
        : explains === undefined || explains === crash
          ? null
          : ofChild(explains),
      timeline:
        recorder?.ended({
          ...{ run, pid: group.pid, hung, at: hung ? hungAt : at, mainEnded },
          names: new Map([...output.names(), ...names, ...ownNames(stacks)]),
          exiting: stacks === null ? null : exits(stacks, hung),
          signal: crash?.report.signal ?? null,
          // An unloaded library is in no frame. A hash is not a name.
          stack: [
            crash?.report.unloaded?.library ?? null,
            ...librariesOf(stacks?.threads.find(({ faulting }) => faulting)),
          ],
        }) ?? null,
    };
    return { record, evidence, over: group.over };
  } catch (error) {
    kill();
    throw error;
  } finally {
    signal?.removeEventListener('abort', kill);
    group.release();
    directory.end();
    recorder?.release();
  }
}

/** What can't be known on this machine of what a run leaves. */
function unknownHere({ witness }: RunSpec): Pick<LeftAtExit, 'unseenProcesses' | 'unwitnessed'> {
  const [processes, threads] = [procProblem(), witness ? witnessProblem() : undefined];
  return {
    ...(processes !== undefined && { unseenProcesses: processes }),
    ...(threads !== undefined && { unwitnessed: threads }),
  };
}

const threadNames = (members: readonly GroupMember[]): ReadonlyMap<number, string> =>
  new Map(
    members.flatMap(({ pid }) =>
      listProc(`/proc/${pid}/task`).map((tid): [number, string] => [
        Number(tid),
        readProc(`/proc/${pid}/task/${tid}/comm`).trim(),
      ]),
    ),
  );

/** Files on a stack, from the code on that faulted. One that a hash names comes last. */
function librariesOf(thread: ThreadStack | undefined): (string | null)[] {
  const all = (thread?.frames.slice(thread.faultedIn ?? 0) ?? []).map(({ library }) => library);
  const hashed = (library: string | null): boolean => library !== null && isHashed(library);
  return [...all.filter((library) => !hashed(library)), ...all.filter(hashed)];
}

/** Names that the program gave its threads. */
const ownNames = (stacks: Stacks | null): [number, string][] =>
  (stacks?.threads ?? []).flatMap(({ tid, ownName }): [number, string][] =>
    ownName === undefined ? [] : [[tid, ownName]],
  );

/** Whether stacks show that the main process exits, or in a crash that a worker's environment does. */
const exits = ({ threads, child }: Stacks, hung: boolean): boolean =>
  child === null && threads.some(({ main, frames }) => (main || !hung) && EXITING.test(frameNames(frames)));

/** Whether a process number that the program sent belongs to the run. */
const isMember = (group: ProcessGroup, pid: number): boolean =>
  pid === group.pid || group.members().some((member) => member.pid === pid);

/** A process of the run that is dying. */
interface Crash {
  readonly report: CrashReport;
  /** Whether it is process 1 of a PID namespace. */
  readonly isFirst: boolean;
  /** `undefined` for a process that isn't part of the run. */
  readonly command: string | undefined;
  readonly at: number;
  /** Its stacks, if they were wanted. The process has been continued by then. */
  readonly seen: Promise<Stacks | null>;
  /** Known once `seen` is. */
  readonly facts: Promise<CrashFacts | null>;
}

/**
 * Among the children that died, the one whose end the main process passed on, or the last one. If several died like it,
 * the first whose stacks were taken.
 */
async function reportedBy({ code, signal }: ExitStatus, all: readonly Crash[]): Promise<Crash | undefined> {
  const passers = await Promise.all(all.map((one) => isPassedOn(one, all)));
  const children = all.filter((_, i) => !passers[i]);
  const passedOn = signal ?? signalName((code ?? 0) - 128);
  const last = children.findLast(({ report }) => report.signal === passedOn) ?? children.at(-1);
  const alike = children.filter(
    ({ report, command }) =>
      command === last?.command &&
      report.signal === last?.report.signal &&
      report.thread === last.report.thread,
  );
  for (const child of alike) if ((await child.seen) !== null) return child;
  return last;
}

/** The stacks of children that died before their run hung: their deaths may be why another process still waits. */
async function deathsOf(children: readonly Crash[]): Promise<string[]> {
  const texts: string[] = [];
  for (const { report, seen } of children) {
    const { text } = (await seen) ?? {};
    if (text !== undefined) texts.push(`died from ${report.signal} before: ${text}`);
  }
  return texts;
}

/**
 * Whether a process sent itself a signal that another had died from, as `timeout` and Node launchers do. A handler that
 * examines a fault, such as faulthandler's, also sends the signal again, and `abort()` does, too.
 */
async function isPassedOn({ report, seen }: Crash, crashes: readonly Crash[]): Promise<boolean> {
  const before = crashes.slice(
    0,
    crashes.findIndex((one) => one.report === report),
  );
  if (!report.states.includes('raised') || !before.some((one) => endsFrom(one, report.signal))) return false;
  const frames = (await seen)?.threads.find(({ faulting }) => faulting)?.frames ?? [];
  // The frames of a fault handler may be left out.
  const passesOn = frames.length === 0 || frames.slice(0, 2).some(raises);
  return passesOn && !frames.some(({ name }) => RAISES_ITS_OWN.test(name ?? ''));
}

/** Whether a process ends from this signal. `abort()` ends process 1 of a PID namespace, where its signal is ignored, by a fault. */
const endsFrom = ({ report, isFirst }: Crash, signal: NodeJS.Signals): boolean =>
  report.signal === signal ||
  (isFirst && report.signal === 'SIGABRT' && /^SIG(?:SEGV|ILL|TRAP)$/.test(signal));

/** In the stack of a thread that sends itself a signal for its own fault. */
const RAISES_ITS_OWN = /^(?:<signal handler called>|(?:__GI_)?abort)$/;

const ofChild = ({ report: { signal, thread }, command = '' }: Crash): ChildCrash => ({
  ...{ signal, thread, command },
});

/** How long processes of a run were stopped for the debugger. That time isn't theirs. */
class Looks {
  #passed = 0;
  #under = 0;
  #since = 0;

  during(look: Promise<unknown>): void {
    if (this.#under++ === 0) this.#since = performance.now();
    const over = (): void => {
      if (--this.#under === 0) this.#passed += performance.now() - this.#since;
    };
    look.then(over, over);
  }

  get ms(): number {
    return this.#passed + (this.#under > 0 ? performance.now() - this.#since : 0);
  }
}

/** The process that hangs, if the main process waits for it. A main process that dies, but doesn't end, explains itself. */
function hungChild(stacks: Stacks | null): ExplainingChild | null {
  if (!stacks?.child) return null;
  const main = stacks.threads.find((thread) => thread.main);
  const { pid, command, alike } = stacks.child;
  return { signal: null, thread: main?.name ?? '', command, pid, ...(alike > 0 && { alike }) };
}

function lookAt(
  said: CrashReport,
  at: number,
  {
    group,
    options,
    after,
  }: { readonly group: ProcessGroup; readonly options: RunOnceOptions; readonly after: Promise<unknown> },
): Crash {
  let facts: CrashFacts | null = null;
  // The report comes from the program. It must not affect processes outside the run.
  const members = group.members();
  const report = { ...said, ...numbersHere(said, members) };
  const member = members.find(({ pid }) => pid === report.pid);
  // A second signal, as `timeout` sends it, may have ended it before it could stop.
  const command = member?.command ?? (hasEnded(report.pid) ? report.thread || undefined : undefined);
  const waiters = ancestorsOf(report.pid, new Set(members.map(({ pid }) => pid)));
  const look = async (): Promise<Stacks | null> => {
    if (member === undefined) return null;
    await after;
    try {
      // If it were continued before it has stopped, it would then stop for good.
      await untilStopped(report.pid);
      facts = factsOf(report);
      if (!options.wantsStacks(`${report.signal} ${report.thread}`)) return null;
      return await threadStacks([member], {
        ...{ signal: options.signal, faultingTid: report.tid, diedFrom: report.signal },
      });
    } finally {
      // Something else may have continued it meanwhile. Then it stops again.
      if (member !== undefined) await untilStopped(report.pid);
      // Its other threads must not run when it is continued: one of them might end it with an exit code.
      if (member !== undefined && haltOf(report.pid, report.tid) === 'stopped')
        signalProcess(report.pid, report.signal);
      signalProcess(report.pid, 'SIGCONT');
      if (waiters.length > 0) void continueStopped(waiters, group.exited);
    }
  };
  const seen = look();
  const known = seen.then(() => facts);
  for (const promise of [seen, known]) promise.catch(() => {}); // the code that awaits them reports the error
  return {
    ...{ report, seen, command, isFirst: said.pid === 1, at },
    facts: known,
  };
}

/**
 * Some programs, such as su and script, stop themselves when their child stops. Here the child stopped only for the
 * debugger.
 */
async function continueStopped(waiters: readonly number[], exited: ProcessGroup['exited']): Promise<void> {
  let over = false;
  const end = (): void => {
    over = true;
  };
  exited.then(end, end);
  for (let i = 0; !over && i < CONTINUE_POLLS; i++) {
    for (const pid of waiters) if (haltOf(pid, pid) === 'stopped') signalProcess(pid, 'SIGCONT');
    await delay(CONTINUE_POLL_MS, undefined, { ref: false });
  }
}

/** Translates the numbers of a process and its thread, which may come from another PID namespace. */
function numbersHere(
  { pid, tid }: CrashReport,
  members: readonly GroupMember[],
): Pick<CrashReport, 'pid' | 'tid'> {
  if (members.some((member) => member.pid === pid)) return { pid, tid };
  const outer = members.find((member) => innermostNumber(member.pid, member.pid) === pid)?.pid;
  if (outer === undefined) return { pid, tid };
  const threads = listProc(`/proc/${outer}/task`).map(Number);
  return { pid: outer, tid: threads.find((thread) => innermostNumber(outer, thread) === tid) ?? outer };
}

interface Collected {
  readonly stdout: BoundedOutput;
  readonly stderr: BoundedOutput;
  /**
   * The fatal signature, if there is one that counts.
   * @throws EnvironmentError when a pattern of lines to ignore took too long.
   */
  signature(): SignatureMatch | undefined;
  /** Bytes of standard error, without ignored lines. */
  stderrBytes(): number;
  /** When the line `done` arrived. */
  doneAt(): number | undefined;
  /** What the witness in a process saw at its end. */
  left(pid: number): Omit<LeftAtExit, 'files'>;
  /** Names of the threads that it saw, by their numbers. */
  names(): [number, string][];
  /** Resolves when every holder of the pipes has closed them. */
  readonly closed: Promise<void>;
}

function collect(
  { output, closed, startedAt }: ProcessGroup,
  { signatures, ignoreOutput }: RunSpec,
  on: { readonly crash: (crash: CrashReport, at: number) => void; readonly exiting: (pid: number) => void },
): Collected {
  const stdout = new BoundedOutput(HALF_OUTPUT_BYTES, HALF_OUTPUT_BYTES);
  const stderr = new BoundedOutput(HALF_OUTPUT_BYTES, HALF_OUTPUT_BYTES);
  const prints = new SignatureScanner('stdout');
  const errors = new SignatureScanner('stderr');
  const ignored = ignoreOutput.map((pattern) => new RegExp(pattern));
  let stderrBytes = 0;
  const printed = new OutputFilter(ignored, (chunk) => {
    if (signatures) prints.push(chunk);
  });
  const complained = new OutputFilter(ignored, (chunk) => {
    stderrBytes += chunk.length;
    if (signatures) errors.push(chunk);
  });
  let doneAt: number | undefined;
  const lines = new WitnessLines();
  const witnessed: WitnessLine[] = [];
  const [out, err, done] = output;
  out?.read((chunk) => {
    stdout.push(chunk);
    printed.push(chunk);
  });
  err?.read((chunk) => {
    stderr.push(chunk);
    complained.push(chunk);
  });
  done?.read((chunk, earliest) => {
    // The spawner may have waited since before it started this program.
    const at = Math.max(earliest, startedAt);
    for (const line of lines.push(chunk)) {
      if (line.type === 'done') doneAt ??= at;
      else if (line.type === 'crash') on.crash(line, at);
      else if (line.type === 'exiting') on.exiting(line.pid);
      else if (witnessed.length < MOST_WITNESSED) witnessed.push(line);
    }
  });
  return {
    ...{ stdout, stderr, closed },
    signature() {
      printed.end();
      complained.end();
      return errors.match ?? prints.match;
    },
    stderrBytes() {
      complained.end();
      return stderrBytes;
    },
    doneAt: () => doneAt,
    left: (pid) => leftOf(pid, witnessed),
    names: () =>
      witnessed.flatMap((line): [number, string][] =>
        line.type === 'thread' ? [[line.tid, line.name]] : [],
      ),
  };
}

/** What can be seen of a stopped process without a debugger. */
function factsOf({ pid, tid, unloaded, states }: CrashReport): CrashFacts {
  // Empty if the process has gone, or may not be read.
  const maps = readProc(`${procFolder(pid)}/maps`);
  // Something else may be mapped there by now. Then that is what was used.
  const gone = unloaded !== undefined && maps !== '' && !isMapped(maps, unloaded.address);
  return {
    main: tid === pid,
    python: /\/(?:lib)?python\d[^/\n]*$/m.test(maps),
    unloaded: gone ? unloaded.library : null,
    overflow: states.includes('overflow'),
    unwound: states.includes('unwound'),
    exiting: states.includes('exiting'),
    finalizing: states.includes('finalizing'),
    sender: states.includes('raised') ? 'itself' : states.includes('sent') ? 'another' : null,
  };
}

async function untilStopped(pid: number): Promise<void> {
  // The first process of a PID namespace can't stop itself.
  if (innermostNumber(pid, pid) === 1) signalProcess(pid, 'SIGSTOP');
  for (let i = 0; i < STOP_POLLS && isRunning(pid); i++) await delay(1);
}

/** How many threads were left that may not be. */
function threadsLeft(
  { threads, moreThreads = 0 }: Pick<LeftAtExit, 'threads' | 'moreThreads'>,
  allowed: readonly string[],
): number {
  const bad = unwantedThreads(threads ?? [], allowed).length;
  // Threads that aren't listed are taken to be like those that are.
  return bad === 0 ? 0 : bad + moreThreads;
}

function leftOf(pid: number, lines: readonly WitnessLine[]): Omit<LeftAtExit, 'files'> {
  const threads: LeftThread[] = [];
  const sockets: LeftSocket[] = [];
  let count: number | undefined;
  for (const line of lines) {
    if (line.type === 'done' || line.pid !== pid) continue;
    if (line.type === 'thread') {
      const { type: _type, pid: _pid, tid: _tid, ...thread } = line;
      threads.push(thread);
    }
    if (line.type === 'socket') sockets.push({ state: line.state, address: line.address });
    if (line.type === 'threads') count = line.count;
  }
  const more = (count ?? 0) - threads.length;
  return { threads: count === undefined ? null : threads, ...(more > 0 && { moreThreads: more }), sockets };
}

/** Waits for the rest of the group and its output, kills what outlives both, and names it. */
async function endGroup(group: ProcessGroup, closed: Promise<void>): Promise<string[]> {
  if (await isGoneWithin(GROUP_GRACE_MS, group, closed)) return [];
  const rest = group.members();
  const ends = rest.length > 0 && rest.every(({ pid }) => endsByItself(pid));
  if (ends && (await isGoneWithin(ENDING_GRACE_MS, group, closed))) return [];
  const outliving = group.members();
  group.kill('SIGKILL');
  await group.gone(DRAIN_MS);
  await Promise.race([closed, delay(DRAIN_MS)]);
  for (const stream of group.output) stream.close();
  return outliving.map(({ command }) => command);
}

async function isGoneWithin(ms: number, group: ProcessGroup, closed: Promise<void>): Promise<boolean> {
  const quiet = Promise.all([closed, group.gone(ms)]).then(([, gone]) => gone);
  const patience = startTimer(ms);
  const gone = await Promise.race([quiet, patience.passed.then(() => false)]);
  patience.stop();
  return gone;
}

/** The helper of Python that removes what processes shared, once all of them have ended. */
const TRACKER = /\bfrom multiprocessing\.(?:resource|semaphore)_tracker import main\b/;

/** Whether a process is that helper, or has given its memory back and with it its command line. */
function endsByItself(pid: number): boolean {
  const command = commandLine(pid);
  if (command !== undefined) return TRACKER.test(command);
  return process.platform === 'linux' && procProblem() === undefined;
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself meanwhile.
  }
}
