// What a failed run left, prepared for the rules in failure-kinds.ts: what died where, and what waits for what.

import { hostOf, isHostThread } from '../hosts.js';
import { isAllowedThread } from '../run/allowed-threads.js';
import { unwantedThreads } from '../run/host-threads.js';
import { OF_JAVA } from '../run/languages/java-frames.js';
import type { Outcome } from '../run/outcome.js';
import type { CrashFacts, LeftAtExit } from '../run/run.js';
import { FAULTHANDLER, type SignatureMatch } from '../run/signatures.js';
import {
  type InterpretedFrame,
  isHashed,
  libraryName,
  type StackFrame,
  type ThreadStack,
} from '../run/stack-trace.js';
import { EXITING, names, polls, raises, WAITING_FRAMES, type Wait, waitOf } from '../run/waiting.js';
import { leftThreadLabel } from '../run/witness.js';

/** The traces of a failed run. */
export interface FailureTraces {
  readonly outcome: Outcome;
  readonly signature: SignatureMatch | null;
  /** Empty if none were taken. */
  readonly threads: readonly ThreadStack[];
  /** The part of its standard error that was kept. */
  readonly stderr?: string;
  /** What the witness saw of a crash; `null` if it saw none. */
  readonly crash?: CrashFacts | null;
  /** Name of the thread that died, if the witness saw it. */
  readonly diedIn?: string | null;
  /** Whether the program had reported that its work was done. */
  readonly workDone?: boolean;
  readonly command?: readonly string[];
  /** What was left at exit. */
  readonly left?: LeftAtExit;
  /** Names and libraries of threads that may be left. */
  readonly allowThreads?: readonly string[];
  /** Milliseconds: the duration of the slowest clean run of its scenario, and the time after which this run was a hang. */
  readonly slowestCleanMs?: number;
  readonly durationMs?: number;
}

/** The traces, prepared for the rules. */
export interface Traces {
  readonly outcome: Outcome['kind'];
  readonly signature: string;
  /** The line that the signature was found on. */
  readonly line: string;
  readonly stderr: string;
  readonly crashed: boolean;
  readonly hung: boolean;
  /** What sent that signal. `undefined` if the signal came from what the thread did, or from a handler that sent it again. */
  readonly sender: 'itself' | 'another' | undefined;
  /** Signal that ended it, or ''. */
  readonly signal: string;
  /** Which thread died, where that is known. */
  readonly died: 'main' | 'background' | undefined;
  /** Whether the stack of the thread that died is known. */
  readonly seen: boolean;
  /** Whether the process was being taken down, by a stack or by the witness. */
  readonly ending: boolean;
  /** The same, or a worker's environment was being taken down. */
  readonly anyEnding: boolean;
  /** Whether the thread that died was in an exit handler, destructor or the like. */
  readonly diedExiting: boolean;
  /** Whether the program had begun to exit: it reported so, or it was being taken down. */
  readonly exited: boolean;
  /** Whether the name of the thread that died is that of a library's pool. Such threads mostly die while their host ends. */
  readonly pooled: boolean;
  /** Thread that died in the background, and the library whose code it ran. */
  readonly culprit: string | undefined;
  /** The same for a thread that called Python too late: the library that called Python, whatever Python ran for it. */
  readonly intruder: string | undefined;
  /** Whether Python itself had started the thread that died. */
  readonly startedByPython: boolean;
  /** Where the thread that died was in Python, as faulthandler printed it. */
  readonly printedAt: string | undefined;
  /** The same, as a tool for its language showed it. */
  readonly diedAt: string | undefined;
  /** Why that isn't known, if the thread may have been there. */
  readonly notDiedAt: string | undefined;
  /** What the thread that died, or the main thread of a hang, called over and over. */
  readonly recursion: string | undefined;
  /** Function names of the thread that died, joined by newlines. */
  readonly faulting: string;
  /** Whether the thread that died ran Python's own code, whatever called it. */
  readonly inPython: boolean;
  /** Whether it ran code of the program's own language, whatever that had called. */
  readonly interpreted: boolean;
  /** Whether it is a native thread: no interpreter is below what it ran. */
  readonly native: boolean;
  /** Whether a thread other than the one that died runs Python's own code, and doesn't wait there. */
  readonly othersInPython: boolean;
  /** The same for a native thread. If an interpreter runs as well, one of the two lacks the GIL. */
  readonly nativeInPython: boolean;
  /** That thread, and the library that called Python in it. */
  readonly nativeCaller: string | undefined;
  /**
   * Whether Python's own code died in a call by ctypes or cffi: of a library that called Python, or of Python itself. Both release
   * the GIL before such a call.
   */
  readonly foreignCall: 'of a library' | 'of Python' | undefined;
  /**
   * For a hang: which thread exits, if it isn't the main one: it has called exit, or is a worker that takes down its
   * environment while the main thread waits for its end. It counts as the main thread here.
   */
  readonly exits: string | undefined;
  /** Whether that thread, or the main one, burns CPU. */
  readonly busyExit: boolean;
  /** Function names of the main thread. */
  readonly main: string;
  /** Whether it is a Python process, if that is known. */
  readonly python: boolean | undefined;
  /** Whether Python itself reported, as it died, that it wasn't finalizing. */
  readonly pythonRan: boolean;
  /** Whether the witness asked Python, and it wasn't finalizing: it ran, or had finished finalizing. */
  readonly notFinalizing: boolean;
  /** Whether the frames of the thread that died were being unwound by force. */
  readonly unwound: boolean;
  /** Whether it had run out of stack. */
  readonly outOfStack: boolean;
  /** Whether it called Node-API in a thread without an environment. */
  readonly offThread: boolean;
  /** Whether a thread died in a call that any thread may make, because the thread-safe function no longer exists. */
  readonly functionGone: boolean;
  /**
   * Whether an addon's call of Node-API was refused, which node-addon-api turns into a C++ exception that nobody caught.
   * `undefined` if there was no such exception, or a running environment's.
   */
  readonly refused: 'surely' | 'maybe' | undefined;
  /** Whether an addon in Rust panicked because a function of Node-API had failed. */
  readonly failedStatus: boolean;
  /**
   * What called abort(), if that wasn't a runtime that died: a program in its own language, other code, or something
   * unknown.
   */
  readonly aborted: 'by the program' | 'by code' | 'by nobody knows' | undefined;
  /** File name of the unloaded library whose code or data it used, or ''. */
  readonly unloaded: string;
  /** Whether a destructor of thread-local data was called at an address without code: its library was unloaded. */
  readonly lostDestructor: boolean;
  /** The function whose write beyond its buffer the C library noticed. */
  readonly overran: string | undefined;
  /** For a hang: the main thread has ended, or a signal stopped the process. */
  readonly halted: 'ended' | 'stopped' | undefined;
  /** Whether it was stopped in a call that sends a signal. */
  readonly sendsSignal: boolean;
  /** Name of a thread other than the main one. */
  readonly goesOn: string | undefined;
  /** What the main thread waits for, if it is in a call that waits. */
  readonly mainWaits: Wait | undefined;
  /** Whether the main thread waits in its event loop. */
  readonly mainPolls: boolean;
  /** Whether the process has no other thread. */
  readonly alone: boolean;
  /** How many threads the process that it was forked from has beside the main one. `undefined` if it wasn't, or that has none. */
  readonly forkedFrom: number | undefined;
  /** Its children, with their commands. */
  readonly children: readonly string[];
  /** What keeps the event loop alive, if the process reported it. */
  readonly keptAliveBy: readonly string[];
  /** Whether no debugger saw the main thread. */
  readonly mainUnseen: boolean;
  /** Where the main thread is in its program's own language, if a tool for that language showed it. */
  readonly place: string | undefined;
  /** The function that waits in the main thread: the innermost function of the program or of one of its libraries. */
  readonly waiter: string | undefined;
  /** The thread whose end the main thread waits for, and where it is. If several are possible, how many and where. */
  readonly awaited: string | undefined;
  /** Whether the main thread surely waits for the end of a thread, not for something that a thread may do. */
  readonly awaitsEnd: boolean;
  /** The same as `awaited`, if it is certain which thread it is. */
  readonly joined: string | undefined;
  /** Whether the main thread waits for a lock, event or queue of Python. Any thread may be the one that never ends that wait, or none. */
  readonly waitsInPython: boolean;
  /** Whether the main thread waits in asyncio's event loop for the threads of its default executor, as `asyncio.run()` does. */
  readonly joinsExecutor: boolean;
  /** Whether the main thread drops a tokio runtime, and waits for the threads that run blocking code for it. */
  readonly dropsRuntime: boolean;
  /** How a JVM ends that waits for threads of the program: Java's own main has returned, or its shutdown hooks run. */
  readonly javaEnds: string | undefined;
  /** Why it isn't known where the main thread is in its program's own language, or how to see that. */
  readonly unplaced: string | undefined;
  /**
   * Whether the main thread waits for the one that calls Java's `main`, as in every program of Java. If it is known what
   * that one does, it counts as the main thread.
   */
  readonly launchesJava: boolean;
  /** Names of the program's own threads in Java, beside that one. */
  readonly ofJava: readonly string[];
  /** The function that was interrupted by a signal whose handler called exit(). `undefined` if the function only waited. */
  readonly exitInterrupted: string | undefined;
  /** Library of the addon that was being loaded. */
  readonly loading: string | undefined;
  /** Threads that were left at exit and must not be, and what may come of it. */
  readonly left: string | undefined;
  /** The thread that used most CPU time while the tester looked, if one did, and if the main thread may wait for it. */
  readonly busy: ThreadStack | undefined;
  /** In ms; 0 if no run was clean. */
  readonly slowestClean: number;
  /** In ms. */
  readonly timeout: number;
}

// A thread that is ended, from within or from outside, has its stack unwound as if by an exception. An exception that
// nothing catches ends the program before any frame is left. So a thread that dies while it leaves frames was unwound
// by force.
const UNWINDING =
  /^(?:PyThread_exit_thread|(?:__)?pthread_exit|__pthread_unwind|unwind_(?:stop|cleanup)|_Unwind_(?:ForcedUnwind|Resume)\w*|__do_cancel|__pthread_cancel\w*|sigcancel_handler)(?!\w)/m;
/** At a thread's end, when all its frames are gone. */
const THREAD_ENDS = /^(?:__GI_)?(?:__nptl_deallocate_tsd|__call_tls_dtors)(?!\w)/m;
export const ADDON_LOAD = /^(?:napi_register_module_v\d+|node_register_module_v\d+)(?!\w)/m;
// Except where Node calls the addon, to finalize what it made.
export const NODE_API = /^(?:napi_|node_api_|v8impl::(?!.*(?:Reference|RefTracker|Finaliz)))/m;
const POOL = /^(?:tokio-|rayon|async-std\/|smol-|blocking-|jemalloc_bg|grpc_|ev_|IoThread|CpuThread)/;

const EXITS = /^(?:exit|quick_exit|__run_exit_handlers)$/m;

const WORKER_ENDS = /^node::FreeEnvironment(?!\w)/m;
/** As node-state.ts names a worker. */
const WORKER = /^worker(?: |$)/;

/** The worker of a hung Node that takes down its environment, if nothing but workers keeps the event loop alive. */
function endingWorker(
  first: ThreadStack | undefined,
  threads: readonly ThreadStack[],
): ThreadStack | undefined {
  const { keptAliveBy } = first ?? {};
  if (!polls(first) || keptAliveBy?.every((one) => WORKER.test(one)) !== true) return undefined;
  return threads.find(({ main, frames }) => {
    const functions = names(frames);
    return !main && IN_WORKER.test(functions) && WORKER_ENDS.test(functions);
  });
}

/** The only worker that keeps the event loop alive, as Node names it. */
const workerOf = (first: ThreadStack | undefined): string | undefined =>
  first?.keptAliveBy?.length === 1 ? first.keptAliveBy.find((one) => one !== 'worker') : undefined;

/** Prepares the traces for the rules. */
export function prepare(traces: FailureTraces): Traces {
  const { outcome, signature, threads, stderr = '', crash = null, command = [] } = traces;
  const faulting = withoutHandler(threads.find((thread) => thread.faulting));
  const first = threads.find((thread) => thread.main);
  const crashed = outcome.kind === 'signal';
  const running = crashed || EXITING.test(names(first?.frames));
  const exiter = running
    ? undefined
    : threads.find((thread) => !thread.main && EXITS.test(names(thread.frames)));
  const worker = running || exiter !== undefined ? undefined : endingWorker(first, threads);
  const hooks = crashed ? undefined : threads.find(runsHooks);
  // The thread that ends the process, or whose end the first thread waits for. What the first thread does no longer
  // matters then.
  const main = exiter ?? worker ?? hooks ?? (crashed ? undefined : mainOfJava(first, threads)) ?? first;
  const diedInMain = faulting?.main ?? crash?.main;
  const mainNames = waitsForPythonThreads(main) && crashed ? '' : names(main?.frames);
  const diedIn = faulting?.ownName ?? faulting?.name ?? traces.diedIn ?? '';
  const stacksOfPython = threads.some(({ frames }) => frames.some(isPython));
  const seen = (faulting?.frames.length ?? 0) > 0;
  const faultingNames = names(faulting?.frames);
  const takenDown = crash?.exiting === true || crash?.finalizing === true;
  const ending = takenDown || EXITING.test(mainNames);
  const inPython = threads.filter((thread) => !thread.faulting && !waitOf(thread) && runsPython(thread));
  const nativeInPython = inPython.find((thread) => !thread.main && isNative(thread));
  const ended = THREAD_ENDS.test(faultingNames);
  const others = threads.filter((thread) => thread !== main);
  const joined = joinedBy(main, threads);
  const workers = joinedWorkers(main, threads);
  const returned = threads.some(hasReturned) ? "Java's main has returned" : undefined;
  const javaEnds = hooks === undefined ? returned : 'Java runs its shutdown hooks';
  const goesOn = threads.find((thread) => !thread.main);
  return {
    outcome: outcome.kind,
    signature: signature === null || signature.id === FAULTHANDLER ? '' : signature.id,
    line: signature?.line ?? '',
    stderr,
    crashed,
    hung: outcome.kind === 'hang',
    sender: crashed ? senderOf(crash, faulting) : undefined,
    signal: crashed ? outcome.signal : '',
    died: diedInMain === undefined ? undefined : diedInMain ? 'main' : 'background',
    seen,
    ending,
    diedExiting: EXITING.test(faultingNames) || (!seen && takenDown && diedInMain === true),
    exited: traces.workDone === true || ending,
    anyEnding: ending || threads.some((thread) => thread !== main && EXITING.test(names(thread.frames))),
    pooled: diedInMain === false && POOL.test(diedIn),
    culprit: culpritOf(faulting, diedInMain === false ? diedIn : undefined),
    intruder: intruderOf(faulting, diedInMain === false ? diedIn : undefined),
    startedByPython: diedInMain === false && isStartedByPython(faulting),
    printedAt: printedAt(stderr),
    diedAt: placeOf(faulting),
    notDiedAt: faulting?.notInterpreted,
    recursion: recursionOf(faulting?.frames),
    faulting: faultingNames,
    inPython: faulting !== undefined && runsPython(faulting),
    interpreted: faulting?.frames.some(isInterpreter) === true,
    native: faulting !== undefined && isNative(faulting),
    othersInPython: inPython.some((thread) => !thread.main),
    nativeInPython: nativeInPython !== undefined,
    nativeCaller: nativeInPython && culpritOf(nativeInPython, nativeInPython.name),
    foreignCall: foreignCallOf(faulting),
    main: mainNames,
    python:
      stacksOfPython || crash?.python === true || (crash === null && command.some(isPythonProgram))
        ? true
        : crash?.python,
    notFinalizing: crash?.finalizing === false,
    pythonRan: /^Python runtime state: (?:core )?initialized/m.test(stderr),
    unwound:
      crashed &&
      !ended &&
      (crash?.unwound === true || (UNWINDING.test(faultingNames) && !isTyped(signature))),
    outOfStack: crash?.overflow === true,
    functionGone: crashed && diedInMain === false && usesThreadsafeFunction(faulting?.frames ?? []),
    refused: crashed
      ? refusedCall(traces, {
          taken: ending || EXITING.test(faultingNames),
          worker: diedInMain === false && (!seen || IN_WORKER.test(faultingNames)),
        })
      : undefined,
    failedStatus: crashed && signature?.id === 'rust-panic' && FAILED_STATUS.test(stderr),
    offThread: crashed && diedInMain === false && callsNodeApiFromOutside(faulting),
    aborted:
      crashed && outcome.signal === 'SIGABRT' && diedInMain !== undefined ? abortedBy(faulting) : undefined,
    unloaded: libraryName(crash?.unloaded ?? ''),
    lostDestructor: isLostDestructor(faulting?.frames),
    overran: overran(faulting),
    halted: first?.halted,
    sendsSignal: main?.frames.slice(0, WAITING_FRAMES).some(raises) ?? false,
    goesOn: goesOn && nameOf(goesOn),
    mainWaits: waitOf(main),
    mainPolls: polls(main),
    alone: threads.length === 1,
    forkedFrom: first?.forkedFrom,
    children: first?.children ?? [],
    exits:
      exiter !== undefined
        ? `thread ${JSON.stringify(exiter.name)} exits`
        : worker && `${workerOf(first) ?? 'a worker'} ends`,
    keptAliveBy: main?.keptAliveBy ?? [],
    mainUnseen: main === undefined || main.frames.length === 0,
    place: placeOf(main),
    waiter: waiterOf(main),
    awaited: joined ?? (javaEnds === undefined ? awaitedOf(main, others) : awaitedInJava(others)),
    joinsExecutor: polls(main) && threads.some(({ interpreted }) => interpreted?.some(isExecutorShutdown)),
    joined,
    awaitsEnd:
      joined !== undefined ||
      javaEnds !== undefined ||
      workers !== undefined ||
      joinsInPython(main) ||
      waitsForPythonThreads(main) ||
      JOINS.test(names(main?.frames.slice(0, WAITING_FRAMES))) ||
      DROPS_RUNTIME.test(names(main?.frames)),
    waitsInPython: workers === undefined && joined === undefined && waitsInPython(main),
    dropsRuntime: DROPS_RUNTIME.test(names(main?.frames)),
    javaEnds,
    unplaced: unplacedOf(main),
    ofJava: inJava(main) ? threadsOfJava(threads) : [],
    launchesJava: inJava(main),
    exitInterrupted: exitInterrupted(crashed ? faulting : main),
    loading: loadingOf(faulting),
    left: leftOf(traces),
    busy: threads.find((thread) => thread.busy && (thread === main || workers?.includes(thread) !== false)),
    busyExit: main?.busy === true,
    slowestClean: traces.slowestCleanMs ?? 0,
    timeout: traces.durationMs ?? Number.POSITIVE_INFINITY,
  };
}

function leftOf({ left, allowThreads = [] }: FailureTraces): string | undefined {
  const threads = unwantedThreads(left?.threads ?? [], allowThreads);
  const labels = [...new Set(threads.map(leftThreadLabel))];
  const more = labels.length - MOST_PLACES;
  const shown = [...labels.slice(0, MOST_PLACES), ...(more > 0 ? [`${more} more`] : [])].join(', ');
  const worst =
    threads.some(({ unloaded }) => unloaded) && 'without its code a thread dies as soon as it runs on';
  return [shown, worst].filter(Boolean).join('; ') || undefined;
}

/** A handler that reports a fault, and then ends the process by another signal, has no part in the fault. */
const withoutHandler = (thread: ThreadStack | undefined): ThreadStack | undefined =>
  thread?.faultedIn === undefined ? thread : { ...thread, frames: thread.frames.slice(thread.faultedIn) };

/** The addon that was being loaded: the innermost, unless its file's name says nothing, and another one loaded it. */
function loadingOf(faulting: ThreadStack | undefined): string | undefined {
  const loading = (faulting?.frames ?? []).filter(({ name }) => ADDON_LOAD.test(name ?? ''));
  return namedFirst(loading)?.library ?? undefined;
}

/** The first of some frames whose library has a name that says something, or else the first. */
const namedFirst = (frames: readonly StackFrame[]): StackFrame | undefined =>
  frames.find(({ library }) => library !== null && !isHashed(library)) ?? frames[0];

const nameOf = ({ name, ownName }: ThreadStack): string => ownName ?? name;

/** A C++ exception, whose cleanups unwind, too. */
const isTyped = (signature: SignatureMatch | null): boolean =>
  signature?.id === 'cxx-terminate' && /instance of './.test(signature.line);

/** The exceptions of node-addon-api, as C++ runtimes print them, and whether there is a message. */
const NODE_ADDON_API_ERROR = /(?:instance of '|of type )Napi::\w*Error\b/;
const HAS_MESSAGE = /^ {2}what\(\): *\S|of type Napi::\w*Error: \S/m;
/**
 * In the thread of a worker: what runs it, or JavaScript. Where the stack was cut off, only the latter may be seen.
 */
const IN_WORKER = /^(?:node::worker::Worker::|v8::internal::Builtin_|Builtins_)/m;
/** What assertions of Rust print that found a Node-API function's status not to be napi_ok. */
const FAILED_STATUS =
  /assertion `left == right` failed: .*\bnapi\b.*\n\s+left: [1-9]\d*\n\s+right: 0$|assertion failed: `\(left == right\)`\n\s+left: `[1-9]\d*`,\n\s+right: `0`: .*\bnapi\b/m;

/**
 * The message is a property of the JavaScript error, and where Node-API refuses calls it can't be read. An error that
 * the addon made itself mostly has one.
 */
function refusedCall(
  { signature, stderr = '' }: FailureTraces,
  environment: { readonly taken: boolean; readonly worker: boolean },
): Traces['refused'] {
  if (signature?.id !== 'cxx-terminate' || !NODE_ADDON_API_ERROR.test(signature.line)) return undefined;
  const says = HAS_MESSAGE.test(stderr);
  if (environment.taken) return says ? 'maybe' : 'surely';
  return environment.worker && !says ? 'maybe' : undefined;
}

/** glibc calls these destructors at a thread's end. Generated code doesn't register any. */
function isLostDestructor([top, caller]: readonly StackFrame[] = []): boolean {
  if (top === undefined || top.name !== null || top.library !== null) return false;
  return /^(?:__GI_)?(?:__nptl_deallocate_tsd|__call_tls_dtors)$/.test(caller?.name ?? '');
}

/**
 * The name of the thread that died, unless it is the main one, and the library that its innermost own code is in. A
 * host, or a foreign-function interface that carried the call, is named only if nothing else is there. The caller of an
 * interpreter isn't blamed for what the interpreter ran.
 */
function culpritOf(faulting: ThreadStack | undefined, name: string | undefined): string | undefined {
  const frames = faulting?.frames ?? [];
  const interpreter = frames.findIndex(isInterpreter);
  const own = frames
    .slice(0, interpreter < 0 ? undefined : interpreter)
    .filter((frame) => frame.library !== null && !isRuntime(frame));
  const first = namedFirst(own.filter((frame) => !isHost(frame) && !isTrampoline(frame)));
  // A thread of the host has no other library.
  const host = interpreter < 0 && name !== undefined ? own[0] : undefined;
  const library = (first ?? host ?? own.find(isTrampoline))?.library;
  return culpritText(name, library);
}

const culpritText = (name: string | undefined, library: string | null | undefined): string | undefined => {
  const thread = name === undefined || name === '' ? undefined : `thread ${JSON.stringify(name)}`;
  const parts = [thread, library && `in ${library}`].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : parts.join(' ');
};

/** The same for a thread that Python ended: it had no right to be in Python any more, whatever it ran there. */
function intruderOf(faulting: ThreadStack | undefined, name: string | undefined): string | undefined {
  const frames = faulting?.frames ?? [];
  const [first, last] = [frames.findIndex(isInterpreter), frames.findLastIndex(isInterpreter)];
  const below = (interpreter: number): StackFrame | undefined =>
    namedFirst(
      frames
        .slice(interpreter + 1)
        .filter(
          (frame) => frame.library !== null && !isRuntime(frame) && !isHost(frame) && !isTrampoline(frame),
        ),
    );
  if (first < 0) return culpritOf(faulting, name);
  const caller = below(last);
  if (caller !== undefined) return culpritText(name, caller.library);
  // A thread of Python itself: a library in between called Python again.
  const called = culpritOf(faulting, undefined) === undefined ? below(first) : undefined;
  return called === undefined || STANDARD_MODULE.test(called.library ?? '')
    ? culpritOf(faulting, name)
    : culpritText(name, called.library);
}

/** Modules of Python's standard library that call Python. */
const STANDARD_MODULE =
  /^_?(?:asyncio|bisect|contextvars|csv|curses|datetime|elementtree|functools|heapq|json|lsprof|pickle|pyexpat|sqlite3|ssl|testcapi|tkinter|zoneinfo)\.(?:cpython|abi3|so)/;

/** `signal.raise_signal` of Python. */
const PYTHON_RAISES = /^signal_raise_signal(?:_impl)?$/;

function senderOf(crash: CrashFacts | null, faulting: ThreadStack | undefined): Traces['sender'] {
  if (crash?.sender !== 'itself') return crash?.sender ?? undefined;
  // Runtimes raise signals, too, after they have printed why. A fault handler sends the signal again, and its frames
  // may be left out.
  const frames = faulting?.frames ?? [];
  if (!frames.slice(0, 2).some((frame) => raises(frame) || frame.name === 'syscall')) return undefined;
  const callers = frames.filter((frame) => !raises(frame)).slice(0, 2);
  const own = callers.every(
    ({ name }) => PYTHON_RAISES.test(name ?? '') || !/abort|signal/i.test(name ?? ''),
  );
  // In a stack that ends too early, abort() may be missing.
  return own && callers.length > 0 && !frames.some(({ name }) => name === '<signal handler called>')
    ? 'itself'
    : undefined;
}

function foreignCallOf(faulting: ThreadStack | undefined): Traces['foreignCall'] {
  if (faulting === undefined || !runsPython(faulting)) return undefined;
  const own = faulting.frames.filter((frame) => frame.library !== null && !isRuntime(frame));
  const caller = own.findIndex((frame) => !isPython(frame));
  if (caller <= 0) return undefined;
  const next = own.slice(caller + 1).find(({ library }) => library !== own[caller]?.library);
  const foreign = (frame: StackFrame | undefined): boolean => frame !== undefined && isTrampoline(frame);
  if (foreign(own[caller])) return 'of Python';
  return foreign(next) ? 'of a library' : undefined;
}

/** Functions that call each other endlessly, at the top of a stack: `a` or `a < b`. */
function recursionOf(frames: readonly StackFrame[] = []): string | undefined {
  // Rust's own handler examines the fault, and aborts.
  const handled = frames.findLastIndex(({ name }) => name === '<signal handler called>');
  const own = frames
    .slice(handled + 1)
    .map(({ name, library }) => `${name ?? '??'}${library === null ? '' : ` [${library}]`}`);
  for (let skipped = 0; skipped < 4; skipped++) {
    for (let period = 1; period <= LONGEST_CYCLE; period++) {
      const cycles = Math.floor((own.length - skipped) / period);
      if (cycles < LEAST_CYCLES) break;
      const stretch = own.slice(skipped, skipped + LEAST_CYCLES * period);
      if (!stretch.every((frame, i) => frame === stretch[i % period])) continue;
      const cycle = stretch.slice(0, period);
      if (cycle.every((frame) => frame.startsWith('??'))) return undefined;
      return cycle.slice(0, 3).join(' < ');
    }
  }
  return undefined;
}

const LONGEST_CYCLE = 10;
const LEAST_CYCLES = 4;

/** Functions of Node-API that any thread may call, as long as the thread-safe function exists. */
const FROM_ANY_THREAD =
  /^napi_(?:(?:call|acquire|release)_threadsafe_function|get_threadsafe_function_context)(?!\w)/;

/** Whether it uses a thread-safe function, called from outside Node. */
const usesThreadsafeFunction = (frames: readonly StackFrame[]): boolean =>
  FROM_ANY_THREAD.test(frames.findLast(({ name }) => NODE_API.test(name ?? ''))?.name ?? '');

/** Whether it is in Node-API, and its caller is not a thread with an environment: neither the main thread nor a worker. */
function callsNodeApiFromOutside(faulting: ThreadStack | undefined): boolean {
  const frames = faulting?.frames ?? [];
  const outermost = frames.findLastIndex(({ name }) => NODE_API.test(name ?? ''));
  const callers = frames.slice(outermost + 1);
  if (usesThreadsafeFunction(frames)) return false;
  const called = frames.some(({ name }) => name?.startsWith('v8impl::') && name.includes('CallbackWrapper'));
  return outermost >= 0 && callers.length > 0 && !called && !callers.some(isInterpreter);
}

/** What called abort() in a thread that died from it, unless a runtime did that after printing why. */
function abortedBy(faulting: ThreadStack | undefined): Traces['aborted'] {
  const frames = faulting?.frames ?? [];
  if (frames.length === 0) return 'by nobody knows';
  const abort = frames.findLastIndex(({ name }) => /^(?:__GI_)?abort$/.test(name ?? ''));
  const caller = frames.slice(abort + 1).find(({ name }) => !/^(?:__GI_)?__assert_\w+$/.test(name ?? ''));
  if (abort < 0 || caller === undefined) return undefined;
  if (/^(?:node::(?:\S*::)?Abort\(v8::FunctionCallbackInfo|os_abort)/.test(caller.name ?? ''))
    return 'by the program';
  return isRuntime(caller) ? undefined : 'by code';
}

/**
 * Where a thread uses CPU time: its innermost functions, and their libraries. Code without symbols has its library alone,
 * and is left out if that is a host.
 */
export function busyDetail(busy: ThreadStack | undefined): string | undefined {
  if (busy === undefined) return undefined;
  const known = busy.frames.filter(
    (frame) => frame.name !== null || (frame.library !== null && !isHost(frame)),
  );
  const place = placeOf(busy);
  const where = known
    .map(({ name, library }) => [name, library && `[${library}]`].filter(Boolean).join(' '))
    .filter((text, i, all) => text !== all[i - 1])
    .slice(0, 3);
  const thread = `thread ${JSON.stringify(nameOf(busy))} burns CPU`;
  const all = [thread, where.length > 0 && `in ${where.join(' < ')}`, place].filter(Boolean).join(' ');
  return place === undefined && busy.notInterpreted !== undefined ? `${all}, ${busy.notInterpreted}` : all;
}

/** Where a thread is in its program's own language, and where the program called the library that this is in. */
function placeOf(thread: Pick<ThreadStack, 'interpreted'> | undefined): string | undefined {
  const frames = thread?.interpreted ?? [];
  const [innermost] = frames;
  if (innermost === undefined) return undefined;
  const foreign = frames.filter((frame) => !isStandard(frame));
  const own =
    foreign.find(({ file }) => !INSTALLED.test(file)) ??
    foreign[0] ??
    // A thread of the standard library, such as a timer or the feeder of a queue.
    frames.findLast((frame) => !isThreadStart(frame)) ??
    innermost;
  const place = ({ name, file, line }: InterpretedFrame): string => `${name} (${file}:${line})`;
  return `at ${place(innermost)}${own === innermost ? '' : `, called in ${place(own)}`}`;
}

/** Whether Python started a thread, as `threading.Thread` does. */
const isStartedByPython = ({
  frames,
  interpreted = [],
}: Pick<ThreadStack, 'frames' | 'interpreted'> = NO_THREAD): boolean =>
  frames.some(({ name }) => /^(?:pythread_wrapper|thread_run|t_bootstrap)$/.test(name ?? '')) ||
  interpreted.some((frame) => isThreadStart(frame) && frame.file.endsWith('/threading.py'));

/** How every thread of Python or Java begins. */
const isThreadStart = ({ name, file }: InterpretedFrame): boolean =>
  name === 'java.lang.Thread.run' ||
  (/^(?:Thread\.)?(?:_bootstrap|_bootstrap_inner|run)$/.test(name) && file.endsWith('/threading.py'));

/** In what faulthandler prints: the frames of the thread that died. */
const PRINTED = /^Current thread 0x[^\n]*\n((?: {2}File "[^\n]*\n)+)/m;

function printedAt(stderr: string): string | undefined {
  const [, text = ''] = PRINTED.exec(stderr) ?? [];
  const interpreted = [...text.matchAll(/^ {2}File "(.*)", line (\d+) in (.*)$/gm)].map(
    ([, file = '', line, name = '']) => ({ name, file, line: Number(line) }),
  );
  return placeOf({ interpreted });
}

/** The thread that a thread joins, or the one that this thread joins in turn. */
function joinedBy(thread: ThreadStack | undefined, threads: readonly ThreadStack[]): string | undefined {
  const seen = new Set<number>();
  let last = thread;
  while (last?.joins !== undefined && !seen.has(last.tid)) {
    seen.add(last.tid);
    const { joins } = last;
    last = threads.find(({ tid }) => tid === joins);
  }
  if (last === undefined || last === thread) return undefined;
  const library = culpritOf(last, undefined);
  return [`thread ${last.tid} ${JSON.stringify(nameOf(last))}`, library, placeOf(last)]
    .filter(Boolean)
    .join(' ');
}

function awaitedOf(main: ThreadStack | undefined, threads: readonly ThreadStack[]): string | undefined {
  const others = threads.filter(
    // Nothing waits for a thread that never ends.
    (thread) => !thread.main && !isAllowedThread({ name: thread.name, library: null }, []),
  );
  const workers = joinedWorkers(main, threads);
  const inPython = workers ?? (joinsInPython(main) ? others.filter(runsOwnPython) : []);
  const [other, ...more] = workers !== undefined || inPython.length > 0 ? inPython : others;
  if (other === undefined) return undefined;
  if (more.length === 0)
    return [culpritOf(other, nameOf(other)), placeOf(other)].filter(Boolean).join(' ') || undefined;
  const all = [other, ...more];
  if (inPython.length === 0) {
    const libraries = new Set(all.flatMap((thread) => culpritOf(thread, undefined) ?? []));
    return libraries.size === 1 ? `one of ${all.length} threads ${[...libraries].join('')}` : undefined;
  }
  // Workers of a pool are at the same place.
  const places = new Map<string, ThreadStack[]>();
  for (const thread of all) {
    const place = placeOf(thread);
    if (place !== undefined) places.set(place, [...(places.get(place) ?? []), thread]);
  }
  if (places.size > MOST_PLACES) return undefined;
  const texts = [...places].map(([place, [first, ...others]]) =>
    [culpritOf(first, others.length === 0 ? first?.ownName : undefined), place].filter(Boolean).join(' '),
  );
  // The stacks don't tell which threads are daemons.
  const kept = workers === undefined && waitsForPythonThreads(main) ? ', not a daemon' : '';
  return `one of ${all.length} threads${kept}, ${texts.join(' or ')}`;
}

/** More of them are no help. */
const MOST_PLACES = 3;

/** Executors of Python: what joins their workers, and how those begin. */
const EXECUTORS = [
  {
    file: '/concurrent/futures/thread.py',
    joins: /^(?:\w+\.)?(?:_python_exit|shutdown)$/,
    worker: /^_worker$/,
  },
  {
    file: '/concurrent/futures/process.py',
    joins: /^(?:\w+\.)?(?:_python_exit|shutdown|join_executor_internals)$/,
    worker: /^(?:(?:_ExecutorManagerThread\.)?run|_queue_management_worker)$/,
  },
];

/**
 * The workers of the executors whose end the main thread waits for, itself or by asyncio's helper; `undefined` if it waits
 * for none. No other thread can hold it up then.
 */
function joinedWorkers(
  main: ThreadStack | undefined,
  threads: readonly ThreadStack[],
): ThreadStack[] | undefined {
  const helper = polls(main)
    ? threads.find(({ interpreted }) => interpreted?.some(isExecutorShutdown))
    : undefined;
  const joining = (helper ?? main)?.interpreted ?? [];
  const executor = EXECUTORS.find(({ file, joins }) =>
    joining.some((frame) => joins.test(frame.name) && frame.file.endsWith(file)),
  );
  if (executor === undefined) return undefined;
  const { file, worker } = executor;
  return threads.filter(
    (thread) =>
      thread !== main &&
      thread.interpreted?.some((frame) => worker.test(frame.name) && frame.file.endsWith(file)),
  );
}

/** It runs Python code, apart from asyncio's helper, which is joined by the event loop. */
const runsOwnPython = ({ interpreted = [] }: ThreadStack): boolean =>
  interpreted.length > 0 && !interpreted.some(isExecutorShutdown);

const isExecutorShutdown = ({ name, file }: InterpretedFrame): boolean =>
  /^(?:\w+\.)?_do_shutdown$/.test(name) && file.endsWith('/asyncio/base_events.py');

/** Python joins its own threads only. */
function joinsInPython(main: ThreadStack | undefined): boolean {
  const frames = main?.interpreted ?? [];
  const inner = frames.find(({ file }) => file.endsWith('/threading.py'));
  return (
    (inner !== undefined && /^(?:\w+\.)?(?:_shutdown|join|_wait_for_tstate_lock)$/.test(inner.name)) ||
    frames.some(
      ({ name, file }) =>
        /^(?:\w+\.)?run_until_complete$/.test(name) && file.endsWith('/asyncio/base_events.py'),
    )
  );
}

/** Whether a thread waits for a lock of Python, below events and queues too, and not for a thread's end. */
function waitsInPython(main: ThreadStack | undefined): boolean {
  const [inner] = main?.interpreted ?? [];
  if (main === undefined || inner === undefined || joinsInPython(main)) return false;
  const interpreter = main.frames.findIndex(isInterpreter);
  return main.frames.length === 0
    ? inner.file.endsWith('/threading.py')
    : PYTHON_LOCK.test(names(main.frames.slice(0, interpreter < 0 ? undefined : interpreter)));
}

/** In a stack: Python waits for one of its own locks. */
const PYTHON_LOCK =
  /^(?:PyThread_acquire_lock\w*|_?PyMutex_Lock\w*|_PyParkingLot_Park|_PySemaphore_\w*Wait\w*)(?!\w)/m;

/** In a stack: the C library or a language waits for a thread's end. */
const JOINS =
  /^(?:__)*pthread_(?:timed|clock|try)?join\w*|^std::(?:__1::)?thread::join|^std::(?:sys|thread)::.*join/m;

/**
 * Why it isn't known where a thread is in its program's own language, or how to make a program print that which runs on
 * the threads of a runtime.
 */
function unplacedOf(thread: ThreadStack | undefined): string | undefined {
  const { frames, notInterpreted } = thread ?? NO_THREAD;
  if (notInterpreted !== undefined) return notInterpreted;
  if (frames.some(({ name }) => /^runtime\.(?:mcall|mstart|rt0_go|goexit)/.test(name ?? '')))
    return 'SIGQUIT makes Go print where its goroutines are';
  return undefined;
}

/** Whether it is the launcher's first thread. Many builds of Java have no symbols. */
const inJava = (thread: ThreadStack | undefined): boolean =>
  thread?.main === true && thread.frames.some(({ library }) => /^libjli\./.test(library ?? ''));

/** The thread that calls Java's `main` for the first one, if it is known what it does. */
function mainOfJava(
  first: ThreadStack | undefined,
  threads: readonly ThreadStack[],
): ThreadStack | undefined {
  if (first === undefined || (!inJava(first) && first.frames.length > 0)) return undefined;
  return threads.find(
    (thread) =>
      !thread.main &&
      thread.interpreted !== undefined &&
      (thread.tid === first.joins || OF_MAIN.test(nameOf(thread))),
  );
}

/** Java's names for that thread: the second one once `main` has returned. */
const OF_MAIN = /^(?:main|DestroyJavaVM)$/;

/** Whether it waits for the program's other threads, because `main` has returned. */
const hasReturned = (thread: ThreadStack): boolean =>
  /^(?:Threads::destroy_vm|jni_DestroyJavaVM)(?!\w)/m.test(names(thread.frames)) ||
  (nameOf(thread) === 'DestroyJavaVM' && thread.interpreted?.length === 0);

/** Whether it ends the JVM, and runs its shutdown hooks. */
const runsHooks = ({ interpreted }: ThreadStack): boolean =>
  interpreted?.some(({ name }) => name === 'java.lang.Shutdown.runHooks') === true;

/** The threads that the end of a JVM may wait for, and where they are, the latest first: hooks start last. */
function awaitedInJava(others: readonly ThreadStack[]): string | undefined {
  const all = others
    .filter((thread) => thread.interpreted !== undefined && thread.daemon !== true && !hasReturned(thread))
    .sort((a, b) => b.tid - a.tid)
    .map((thread) => [`thread ${JSON.stringify(nameOf(thread))}`, placeOf(thread)].filter(Boolean).join(' '));
  if (all.length < 2) return all[0];
  const more = all.length - MOST_PLACES;
  const shown = [...all.slice(0, MOST_PLACES), ...(more > 0 ? [`${more} more`] : [])];
  return `one of ${all.length} threads: ${shown.join('; ')}`;
}

function threadsOfJava(threads: readonly ThreadStack[]): string[] {
  const launched = threads.find(({ main }) => main)?.joins;
  return threads.flatMap(({ tid, name, main, frames }) => {
    const own = frames.some(({ library }) => /^libjvm\./.test(library ?? ''));
    return main || tid === launched || !own || isHostThread(name, '/libjvm.so') ? [] : [name];
  });
}

const NO_THREAD: Pick<ThreadStack, 'frames' | 'notInterpreted'> = { frames: [] };

function overran({ frames } = NO_THREAD): string | undefined {
  const check = frames.findLastIndex(({ name }) => CHECKS.test(name ?? ''));
  const caller = check < 0 ? undefined : frames[check + 1];
  if (caller === undefined || caller.name === null) return undefined;
  return caller.library === null ? caller.name : `${caller.name} [${caller.library}]`;
}

/** What the compiler calls instead of functions that write to buffers, and when a stack frame is broken. */
const CHECKS = /^(?:__GI_)?__(?:stack_chk_fail|fortify_fail|chk_fail|\w+_chk)\w*$/;

/** The function that waits: the innermost one that doesn't belong to a runtime, a language's library or a host. */
function waiterOf(thread: ThreadStack | undefined): string | undefined {
  const all = (thread?.frames ?? []).filter(
    (frame) => frame.name !== null && !isRuntime(frame) && !LANGUAGE_LIBRARY.test(frame.name),
  );
  const isProgram = (frame: StackFrame | undefined): frame is StackFrame =>
    frame !== undefined &&
    !isHost(frame) &&
    frame.library !== null &&
    frame.name !== '_start' &&
    !EXITING.test(frame.name ?? '');
  const beyond = all.find(({ name }) => !WAITING_LIBRARY.test(name ?? ''));
  const own = isProgram(beyond) ? beyond : all[0];
  return isProgram(own) ? `${own.name} [${own.library}]` : undefined;
}

const LOCKS = /^(?:__|___|__GI_)*(?:lll_\w*lock_wait\w*|pthread_(?:mutex|rwlock)_\w*lock\w*)(?!\w)/m;

/** In a stack: the end of a tokio runtime. */
const DROPS_RUNTIME =
  /^tokio::runtime::blocking::(?:pool::BlockingPool(?:>::|::)shutdown|shutdown::Receiver(?:>::|::)wait)/m;

/** Libraries of Rust that wait for others. */
const WAITING_LIBRARY = /^<?(?:parking_lot\w*|tokio|mio|crossbeam\w*|rayon_core)::/;

/** Names in the standard libraries of C++, Rust and Go, which are compiled into programs. */
const LANGUAGE_LIBRARY = /^<?(?:std|core|alloc|__gnu_cxx)::|^(?:internal\/)?runtime[./]/;

/** The unfinished code that was interrupted by a signal whose handler called exit(); `undefined` if that code only waited. */
function exitInterrupted(thread: ThreadStack | undefined): string | undefined {
  const frames = thread?.frames ?? [];
  const exit = frames.findIndex(({ name }) => /^(?:__GI_)?exit$/.test(name ?? ''));
  const handler = frames.findIndex(({ name }, i) => i > exit && name === '<signal handler called>');
  if (exit < 0 || handler < 0) return undefined;
  // A thread that sends itself a signal is interrupted in the function that sends it.
  const interrupted = frames.slice(handler + 1).filter((frame) => frame.name !== null && !raises(frame));
  if (waitOf({ frames: interrupted }) === undefined) return interrupted[0]?.name ?? undefined;
  // Code that waits may hold a lock meanwhile.
  if (!LOCKS.test(names(frames.slice(0, Math.min(exit, WAITING_FRAMES))))) return undefined;
  return interrupted.find((frame) => !isRuntime(frame))?.name ?? undefined;
}

/** Code that a package manager installed. */
const INSTALLED = /\/(?:(?:site|dist)-packages|node_modules)\//;
/** Code of a language's own library. Java's frames name their class, and no folder. */
const isStandard = ({ name, file }: InterpretedFrame): boolean =>
  STANDARD_LIBRARY.test(file) || (OF_JAVA.test(name) && !file.includes('/'));
const STANDARD_LIBRARY = /\/lib\/python\d[\d.]*t?\/(?!(?:site|dist)-packages\/)|^node:|^<frozen /;

/**
 * Whether the program has come to its end, but its threads legitimately continue: Python hasn't begun to take anything
 * down.
 */
const waitsForPythonThreads = (main: ThreadStack | undefined): boolean =>
  /^wait_for_thread_shutdown(?!\w)/m.test(names(main?.frames)) ||
  main?.interpreted?.some(({ name, file }) => name === '_shutdown' && file.endsWith('/threading.py')) ===
    true;

// Libraries of the C and C++ runtimes, and the tester's own: what matters is the code that called them.
const RUNTIME_LIBRARY =
  /^(?:libc|libpthread|libstdc\+\+|libgcc_s|libm|ld-linux[\w-]*|libc\+\+\w*|(?:lib)?exit[-_](?:amplifier|witness))[.-]/;

// Foreign-function interfaces, which carry calls between a host and a library.
const TRAMPOLINE = /^(?:libffi[.-]|_ctypes\.|_cffi_backend\.|(?:.*\/)?ffi_bindings\.node$|koffi)/;
const isTrampoline = ({ library }: StackFrame): boolean => TRAMPOLINE.test(library ?? '');
const INTERPRETER =
  /^(?:_?PyEval_EvalFrame\w*|_PyEval_Vector|Builtins_\w+|v8::internal::(?:Execution|\(anonymous namespace\))::\w*(?:Invoke|Call)\w*|uv_run|node::(?:SpinEventLoop\w*|worker::Worker|NodeMainInstance)\b.*)/;

/** Whether its innermost code, apart from the C runtime's, is Python's own. */
function runsPython({ frames }: ThreadStack): boolean {
  const own = frames.find((frame) => (frame.name !== null || frame.library !== null) && !isRuntime(frame));
  return own !== undefined && isPython(own);
}

const isRuntime = ({ library }: StackFrame): boolean => RUNTIME_LIBRARY.test(library ?? '');

/** A frame that runs a program in its own language, or code of the program that was compiled while it ran. */
const isInterpreter = ({ name, library }: StackFrame): boolean =>
  INTERPRETER.test(name ?? '') || (library === null && name === '[JIT code]');

const isNative = ({ frames }: ThreadStack): boolean => frames.length > 0 && !frames.some(isInterpreter);

/** A language's host: what matters is the code that called it. */
const isHost = (frame: StackFrame): boolean => {
  const library = frame.library ?? '';
  return hostOf(library) !== undefined || isPython(frame);
};

const isPython = ({ name, library }: StackFrame): boolean =>
  /^(?:lib)?python\d/.test(library ?? '') ||
  /^_?Py[A-Z_]\w*/.test(name ?? '') ||
  /^<?pyo3::/.test(name ?? '');

const isPythonProgram = (word: string): boolean => /(?:^|\/)python[\d.]*$/.test(word);
