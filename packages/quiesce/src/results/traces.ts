// What a failed run left, made ready for the rules of failure-kinds.ts: who died where, and who waits for what.
import { isAllowedThread } from '../run/allowed-threads.js';
import type { Outcome } from '../run/outcome.js';
import type { CrashFacts } from '../run/run.js';
import { FAULTHANDLER, type SignatureMatch } from '../run/signatures.js';
import type { InterpretedFrame, StackFrame, ThreadStack } from '../run/stack-trace.js';
import { EXITING, names, polls, raises, WAITING_FRAMES, type Wait, waitOf } from '../run/waiting.js';

/** The traces of a failed run. */
export interface FailureTraces {
  readonly outcome: Outcome;
  readonly signature: SignatureMatch | null;
  /** Empty when none were taken. */
  readonly threads: readonly ThreadStack[];
  /** What was kept of its standard error. */
  readonly stderr?: string;
  /** What the witness saw of a crash; `null` if it saw none. */
  readonly crash?: CrashFacts | null;
  /** Name of the thread that died, where the witness saw it. */
  readonly diedIn?: string | null;
  /** The program had said that its work was done. */
  readonly workDone?: boolean;
  readonly command?: readonly string[];
  /** Milliseconds: how long the slowest clean run of its scenario took, and after what time this one was a hang. */
  readonly slowestCleanMs?: number;
  readonly durationMs?: number;
}

/** The traces, made ready for the rules. */
export interface Traces {
  readonly outcome: Outcome['kind'];
  readonly signature: string;
  /** The line that the signature was found on. */
  readonly line: string;
  readonly stderr: string;
  readonly crashed: boolean;
  readonly hung: boolean;
  /** Who sent that signal, where it is not for what the thread did, nor sent again by who had looked at it. */
  readonly sender: 'itself' | 'another' | undefined;
  /** Signal that ended it, or ''. */
  readonly signal: string;
  /** Which thread died, where that is known. */
  readonly died: 'main' | 'background' | undefined;
  /** The stack of the thread that died is there. */
  readonly seen: boolean;
  /** The process was being taken down: a stack or the witness says so. */
  readonly ending: boolean;
  /** The same, or a worker's environment was. */
  readonly anyEnding: boolean;
  /** The thread that died was in an exit handler, destructor or the like. */
  readonly diedExiting: boolean;
  /** The program had begun to exit: it said so, or it was being taken down. */
  readonly exited: boolean;
  /** The thread that died is by its name of a pool that a library keeps, which mostly die while their host ends. */
  readonly pooled: boolean;
  /** Thread that died in the background, and the library whose code it ran. */
  readonly culprit: string | undefined;
  /** The thread that died, or that of a hang's main thread, called this, over and over. */
  readonly recursion: string | undefined;
  /** Function names of the thread that died, joined by newlines. */
  readonly faulting: string;
  /** What the thread that died ran is Python's own code, called from whatever. */
  readonly inPython: boolean;
  /** It is a native thread: no interpreter is below what it ran. */
  readonly native: boolean;
  /** Another thread than the one that died runs Python's own code, and doesn't wait there. */
  readonly othersInPython: boolean;
  /** The same, of a native thread: while an interpreter runs, one of both lacks the GIL. */
  readonly nativeInPython: boolean;
  /** That thread, and the library that called Python in it. */
  readonly nativeCaller: string | undefined;
  /** What died is Python's own code, called by a library that ctypes or cffi had called: these let go of the GIL before. */
  readonly throughForeign: boolean;
  /** Function names of the main thread. */
  readonly main: string;
  /** Whether it is a Python process, where that is known. */
  readonly python: boolean | undefined;
  /** Python itself said, as it died, that it wasn't finalizing. */
  readonly pythonRan: boolean;
  /** The witness asked Python, and it wasn't: it ran, or was finalized already. */
  readonly notFinalizing: boolean;
  /** The frames of the thread that died were being left by force. */
  readonly unwound: boolean;
  /** It had run out of stack. */
  readonly outOfStack: boolean;
  /** It called Node-API, but the thread has no environment. */
  readonly offThread: boolean;
  /** Something called abort(), other than a runtime that died: a program in its own language, other code, or whatever. */
  readonly aborted: 'by the program' | 'by code' | 'by nobody knows' | undefined;
  /** File name of the library whose code or data it used though it had been unloaded, or ''. */
  readonly unloaded: string;
  /** A destructor of thread-local data was called where nothing is: the library that it was in is gone. */
  readonly lostDestructor: boolean;
  /** Of a hang: its main thread has ended, or a signal stopped the process. */
  readonly halted: 'ended' | 'stopped' | undefined;
  /** It was stopped in a call that sends a signal. */
  readonly sendsSignal: boolean;
  /** Another thread than the main one, by its name. */
  readonly goesOn: string | undefined;
  /** What the main thread waits for, where it is in a call that waits. */
  readonly mainWaits: Wait | undefined;
  /** The main thread waits in its event loop. */
  readonly mainPolls: boolean;
  /** The process has no other thread. */
  readonly alone: boolean;
  /** Its children, with their commands. */
  readonly children: readonly string[];
  /** What keeps the event loop alive, where it said so. */
  readonly keptAliveBy: readonly string[];
  /** No debugger looked at the main thread. */
  readonly mainUnseen: boolean;
  /** Where the main thread is in its program's own language, where a tool of that showed it. */
  readonly place: string | undefined;
  /** Who waits in the main thread: the innermost function of the program or a library of it. */
  readonly waiter: string | undefined;
  /** The thread whose end the main one waits for, and where it is; of several that it may be, how many and where. */
  readonly awaited: string | undefined;
  /** The same, where that is certain. */
  readonly joined: string | undefined;
  /** How to see where its own code is, where gdb can't show that. */
  readonly ownStacks: string | undefined;
  /** The function that a signal's handler interrupted which called exit(), unless that function only waited. */
  readonly exitInterrupted: string | undefined;
  /** Library of the addon that was being loaded. */
  readonly loading: string | undefined;
  /** The thread that burnt most CPU while it was looked at, where one did. */
  readonly busy: ThreadStack | undefined;
  /** In ms; 0 where no run was clean. */
  readonly slowestClean: number;
  /** In ms. */
  readonly timeout: number;
}

// A thread that is ended from within or from outside: its stack is unwound as if by an exception. One that nobody catches
// ends the program before any frame is left, so a thread that dies while it leaves frames was unwound by force.
const UNWINDING =
  /^(?:PyThread_exit_thread|(?:__)?pthread_exit|__pthread_unwind|unwind_(?:stop|cleanup)|_Unwind_(?:ForcedUnwind|Resume)\w*|__do_cancel|__pthread_cancel\w*|sigcancel_handler)(?!\w)/m;
/** At a thread's end, where nothing of its frames is left. */
const THREAD_ENDS = /^(?:__GI_)?(?:__nptl_deallocate_tsd|__call_tls_dtors)(?!\w)/m;
export const ADDON_LOAD = /^(?:napi_register_module_v\d+|node_register_module_v\d+)(?!\w)/m;
// Not where Node calls the addon: to finalize what it made.
export const NODE_API = /^(?:napi_|node_api_|v8impl::(?!.*(?:Reference|RefTracker|Finaliz)))/m;
const POOL = /^(?:tokio-|rayon|async-std\/|smol-|blocking-|jemalloc_bg|grpc_|ev_|IoThread|CpuThread)/;

/** Makes the traces ready for the rules. */
export function prepare(traces: FailureTraces): Traces {
  const { outcome, signature, threads, stderr = '', crash = null, command = [] } = traces;
  const faulting = threads.find((thread) => thread.faulting);
  const main = threads.find((thread) => thread.main);
  const crashed = outcome.kind === 'signal';
  const diedInMain = faulting?.main ?? crash?.main;
  const mainNames = waitsForPythonThreads(main) && crashed ? '' : names(main?.frames);
  const diedIn = faulting?.name ?? traces.diedIn ?? '';
  const stacksOfPython = threads.some(({ frames }) => frames.some(isPython));
  const seen = (faulting?.frames.length ?? 0) > 0;
  const faultingNames = names(faulting?.frames);
  const takenDown = crash?.exiting === true || crash?.finalizing === true;
  const ending = takenDown || EXITING.test(mainNames);
  const others = threads.filter((thread) => !thread.faulting && !waitOf(thread) && runsPython(thread));
  const nativeInPython = others.find((thread) => !thread.main && isNative(thread));
  const ended = THREAD_ENDS.test(faultingNames);
  const joined = joinedBy(main, threads);
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
    recursion: recursionOf(faulting?.frames),
    faulting: faultingNames,
    inPython: faulting !== undefined && runsPython(faulting),
    native: faulting !== undefined && isNative(faulting),
    othersInPython: others.some((thread) => !thread.main),
    nativeInPython: nativeInPython !== undefined,
    nativeCaller: nativeInPython && culpritOf(nativeInPython, nativeInPython.name),
    throughForeign: throughForeign(faulting),
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
    offThread: crashed && diedInMain === false && callsNodeApiFromOutside(faulting),
    aborted:
      crashed && outcome.signal === 'SIGABRT' && diedInMain !== undefined ? abortedBy(faulting) : undefined,
    unloaded: crash?.unloaded?.replace(/^.*\//, '') ?? '',
    lostDestructor: isLostDestructor(faulting?.frames),
    halted: main?.halted,
    sendsSignal: main?.frames.slice(0, WAITING_FRAMES).some(raises) ?? false,
    goesOn: threads.find((thread) => !thread.main)?.name,
    mainWaits: waitOf(main),
    mainPolls: polls(main),
    alone: threads.length === 1,
    children: main?.children ?? [],
    keptAliveBy: main?.keptAliveBy ?? [],
    mainUnseen: main === undefined || main.frames.length === 0,
    place: placeOf(main),
    waiter: waiterOf(main),
    awaited: joined ?? awaitedOf(threads),
    joined,
    ownStacks: ownStacksOf(main),
    exitInterrupted: exitInterrupted(crashed ? faulting : main),
    loading: faulting?.frames.find(({ name }) => ADDON_LOAD.test(name ?? ''))?.library ?? undefined,
    busy: threads.find((thread) => thread.busy),
    slowestClean: traces.slowestCleanMs ?? 0,
    timeout: traces.durationMs ?? Number.POSITIVE_INFINITY,
  };
}

/** An exception of C++: its cleanups unwind, too. */
const isTyped = (signature: SignatureMatch | null): boolean =>
  signature?.id === 'cxx-terminate' && /instance of './.test(signature.line);

/** glibc calls these destructors at a thread's end. Generated code isn't registered for that. */
function isLostDestructor([top, caller]: readonly StackFrame[] = []): boolean {
  if (top === undefined || top.name !== null || top.library !== null) return false;
  return /^(?:__GI_)?(?:__nptl_deallocate_tsd|__call_tls_dtors)$/.test(caller?.name ?? '');
}

/**
 * Of a thread that died, its name where it is not the main one, and the library that its innermost own code is in: not that of
 * the host or of a foreign-function interface that carried the call, unless nobody else is there. What an interpreter ran
 * isn't the fault of whoever called the interpreter.
 */
function culpritOf(faulting: ThreadStack | undefined, name: string | undefined): string | undefined {
  const frames = faulting?.frames ?? [];
  const interpreter = frames.findIndex(isInterpreter);
  const own = frames
    .slice(0, interpreter < 0 ? undefined : interpreter)
    .filter((frame) => frame.library !== null && !isRuntime(frame));
  const first = own.find((frame) => !isHost(frame) && !TRAMPOLINE.test(frame.library ?? ''));
  // A thread of the host's own has no other.
  const library = (first ?? (interpreter < 0 && name !== undefined ? own[0] : undefined))?.library;
  const thread = name === undefined || name === '' ? undefined : `thread ${JSON.stringify(name)}`;
  const parts = [thread, library && `in ${library}`].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : parts.join(' ');
}

function senderOf(crash: CrashFacts | null, faulting: ThreadStack | undefined): Traces['sender'] {
  if (crash?.sender !== 'itself') return crash?.sender ?? undefined;
  // Runtimes raise signals, too, after they have said why. What handles a fault sends it again, and its frames may be left out.
  const frames = faulting?.frames ?? [];
  if (!frames.slice(0, 2).some(raises)) return undefined;
  const callers = frames.filter((frame) => !raises(frame)).slice(0, 2);
  const own = callers.every(({ name }) => !/abort|signal/i.test(name ?? ''));
  return own && !frames.some(({ name }) => name === '<signal handler called>') ? 'itself' : undefined;
}

function throughForeign(faulting: ThreadStack | undefined): boolean {
  if (faulting === undefined || !runsPython(faulting)) return false;
  const own = faulting.frames.filter((frame) => frame.library !== null && !isRuntime(frame));
  const caller = own.findIndex((frame) => !isPython(frame));
  const next = own.slice(caller + 1).find(({ library }) => library !== own[caller]?.library);
  const foreign = (frame: StackFrame | undefined): boolean => TRAMPOLINE.test(frame?.library ?? '');
  return caller > 0 && !foreign(own[caller]) && foreign(next);
}

/** Functions that call each other without end, at the top of a stack: `a` or `a < b`. */
function recursionOf(frames: readonly StackFrame[] = []): string | undefined {
  // Rust's own handler looks at the fault, and aborts.
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

/** It is in Node-API, and its caller is not a thread with an environment: neither the main thread nor a worker. */
function callsNodeApiFromOutside(faulting: ThreadStack | undefined): boolean {
  const frames = faulting?.frames ?? [];
  const outermost = frames.findLastIndex(({ name }) => NODE_API.test(name ?? ''));
  const callers = frames.slice(outermost + 1);
  const called = frames.some(({ name }) => name?.startsWith('v8impl::') && name.includes('CallbackWrapper'));
  return outermost >= 0 && callers.length > 0 && !called && !callers.some(isInterpreter);
}

/** Who called abort() in a thread that died from it, where no runtime did that after printing why. */
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

/** Where a thread burns CPU: its innermost frames that have a name, and their libraries. */
export function busyDetail(busy: ThreadStack | undefined): string | undefined {
  if (busy === undefined) return undefined;
  const named = busy.frames.filter(({ name }) => name !== null).slice(0, 3);
  const place = placeOf(busy);
  const where = named.map(({ name, library }) => `${name}${library === null ? '' : ` [${library}]`}`);
  const thread = `thread ${JSON.stringify(busy.name)} burns CPU`;
  return [thread, where.length > 0 && `in ${where.join(' < ')}`, place].filter(Boolean).join(' ');
}

/** Where a thread is in its program's own language, and where the program called the language's own library. */
function placeOf(thread: ThreadStack | undefined): string | undefined {
  const frames = thread?.interpreted ?? [];
  const [innermost] = frames;
  if (innermost === undefined) return undefined;
  const own = frames.find(({ file }) => !STANDARD_LIBRARY.test(file)) ?? innermost;
  const place = ({ name, file, line }: InterpretedFrame): string => `${name} (${file}:${line})`;
  return `at ${place(innermost)}${own === innermost ? '' : `, called in ${place(own)}`}`;
}

/** Whoever a thread joins, or that one in turn. */
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
  return [`thread ${last.tid} ${JSON.stringify(last.name)}`, library, placeOf(last)]
    .filter(Boolean)
    .join(' ');
}

function awaitedOf(threads: readonly ThreadStack[]): string | undefined {
  // Nobody waits for one that is never to end.
  const [other, ...more] = threads.filter(
    ({ main, name }) => !main && !isAllowedThread({ name, library: null }, []),
  );
  if (other === undefined) return undefined;
  if (more.length === 0)
    return [culpritOf(other, other.name), placeOf(other)].filter(Boolean).join(' ') || undefined;
  const places = new Set([other, ...more].flatMap((thread) => culpritOf(thread, undefined) ?? []));
  const [place] = places;
  return places.size === 1 ? `one of ${more.length + 1} threads ${place}` : undefined;
}

/** How a program shows its own stacks that runs on threads of a runtime. */
function ownStacksOf({ frames } = NO_THREAD): string | undefined {
  if (frames.some(({ name }) => /^runtime\.(?:mcall|mstart|rt0_go|goexit)/.test(name ?? '')))
    return 'SIGQUIT makes Go print where its goroutines are';
  if (frames.some(({ library }) => /^lib(?:jli|jvm)\./.test(library ?? '')))
    return 'jcmd PID Thread.print shows where the threads of Java are';
  return undefined;
}

const NO_THREAD: Pick<ThreadStack, 'frames'> = { frames: [] };

/** Who waits: the innermost function that isn't of a runtime, a language's library or a host. */
function waiterOf(thread: ThreadStack | undefined): string | undefined {
  const own = thread?.frames.find(
    (frame) => frame.name !== null && !isRuntime(frame) && !LANGUAGE_LIBRARY.test(frame.name),
  );
  if (own === undefined || isHost(own) || own.library === null) return undefined;
  return own.name === '_start' || EXITING.test(own.name ?? '') ? undefined : `${own.name} [${own.library}]`;
}

const LOCKS = /^(?:__|___|__GI_)*(?:lll_\w*lock_wait\w*|pthread_(?:mutex|rwlock)_\w*lock\w*)(?!\w)/m;

/** Names of C++'s, Rust's and Go's own libraries, which are compiled into programs. */
const LANGUAGE_LIBRARY = /^<?(?:std|core|alloc|__gnu_cxx)::|^(?:internal\/)?runtime[./]/;

/** What code that isn't finished was interrupted by a signal's handler that called exit(); `undefined` where it only waited. */
function exitInterrupted(thread: ThreadStack | undefined): string | undefined {
  const frames = thread?.frames ?? [];
  const exit = frames.findIndex(({ name }) => /^(?:__GI_)?exit$/.test(name ?? ''));
  const handler = frames.findIndex(({ name }, i) => i > exit && name === '<signal handler called>');
  if (exit < 0 || handler < 0) return undefined;
  // Who sends itself a signal was interrupted there.
  const interrupted = frames.slice(handler + 1).filter((frame) => frame.name !== null && !raises(frame));
  if (waitOf({ frames: interrupted }) === undefined) return interrupted[0]?.name ?? undefined;
  // Who waits may hold a lock meanwhile.
  if (!LOCKS.test(names(frames.slice(0, Math.min(exit, WAITING_FRAMES))))) return undefined;
  return interrupted.find((frame) => !isRuntime(frame))?.name ?? undefined;
}

const STANDARD_LIBRARY = /\/lib\/python\d[\d.]*t?\/(?!(?:site|dist)-packages\/)|^node:|^<frozen /;

/** The program has come to its end, but its threads continue, as they may: Python has not begun to take anything down. */
const waitsForPythonThreads = (main: ThreadStack | undefined): boolean =>
  /^wait_for_thread_shutdown(?!\w)/m.test(names(main?.frames)) ||
  main?.interpreted?.some(({ name, file }) => name === '_shutdown' && file.endsWith('/threading.py')) ===
    true;

// Of the C and C++ runtimes, and the tester's own: whoever called them is who matters.
const RUNTIME_LIBRARY =
  /^(?:libc|libpthread|libstdc\+\+|libgcc_s|libm|ld-linux[\w-]*|libc\+\+\w*|(?:lib)?exit[-_](?:amplifier|witness))[.-]/;

const HOST = /^(?:node(?:js)?|bun|deno|libnode\.so.*)$/;
// Foreign-function interfaces, which carry calls between a host and a library.
const TRAMPOLINE = /^(?:libffi[.-]|_ctypes\.|_cffi_backend\.|ffi_bindings\.node$|koffi)/;
const INTERPRETER =
  /^(?:_?PyEval_EvalFrame\w*|_PyEval_Vector|Builtins_\w+|v8::internal::(?:Execution|\(anonymous namespace\))::\w*(?:Invoke|Call)\w*|uv_run|node::(?:SpinEventLoop\w*|worker::Worker|NodeMainInstance)\b.*)/;

/** Its innermost code, except for the C runtime's, is Python's own. */
function runsPython({ frames }: ThreadStack): boolean {
  const own = frames.find((frame) => (frame.name !== null || frame.library !== null) && !isRuntime(frame));
  return own !== undefined && isPython(own);
}

const isRuntime = ({ library }: StackFrame): boolean => RUNTIME_LIBRARY.test(library ?? '');

/** What runs a program in its own language, or code of that which was compiled while it ran. */
const isInterpreter = ({ name, library }: StackFrame): boolean =>
  INTERPRETER.test(name ?? '') || (library === null && name === '[JIT code]');

const isNative = ({ frames }: ThreadStack): boolean => frames.length > 0 && !frames.some(isInterpreter);

/** A language's host: who called it is who matters. */
const isHost = (frame: StackFrame): boolean => HOST.test(frame.library ?? '') || isPython(frame);

const isPython = ({ name, library }: StackFrame): boolean =>
  /^(?:lib)?python\d/.test(library ?? '') ||
  /^_?Py[A-Z_]\w*/.test(name ?? '') ||
  /^<?pyo3::/.test(name ?? '');

const isPythonProgram = (word: string): boolean => /(?:^|\/)python[\d.]*$/.test(word);
