// results/: the one model of results: what a session makes, what is written as JSON, read back, merged, resumed and
// reported. How a report looks to a reader is in report/, how runs are made in session/.
import { formatMs } from '../duration.js';
import type { Outcome } from '../run/outcome.js';
import type { CrashFacts } from '../run/run.js';
import type { SignatureMatch } from '../run/signatures.js';
import type { InterpretedFrame, StackFrame, ThreadStack } from '../run/stack-trace.js';

/** A cause of failures, in the words of a page of docs/diagnosis. */
export interface KindPage {
  /** Stable identifier, and the name of its page. */
  readonly id: string;
  /** The cause, as a phrase that goes on from "likely: ". */
  readonly title: string;
  /** Address of the page that says what it means, how to make sure, and how to cure it. */
  readonly page: string;
}

/** The likely cause of a failure. */
export interface FailureKind extends KindPage {
  /** What exactly, such as which library; `null` where nothing more is known. */
  readonly detail: string | null;
  /** Another cause that the traces fit, and what would decide between the two; `null` where there is none. */
  readonly or: (KindPage & { readonly decide: string }) | null;
}

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

interface Rule {
  readonly id: string;
  readonly title: string;
  matches(traces: Traces): boolean;
  detail?(traces: Traces): string | undefined;
  /** Another kind that the traces fit as well. */
  or?(traces: Traces): { readonly id: string; readonly decide: string } | undefined;
}

/** The traces, made ready for the rules. */
interface Traces {
  readonly outcome: Outcome['kind'];
  readonly signature: string;
  /** The line that the signature was found on. */
  readonly line: string;
  readonly stderr: string;
  readonly crashed: boolean;
  readonly hung: boolean;
  /** Signal that ended it, or ''. */
  readonly signal: string;
  /** Which thread died, where that is known. */
  readonly died: 'main' | 'background' | undefined;
  /** The stack of the thread that died is there. */
  readonly seen: boolean;
  /** The program had begun to exit: it said so, or its main thread's stack does. */
  readonly exited: boolean;
  /** The thread that died is by its name of a pool that a library keeps, which mostly die while their host ends. */
  readonly pooled: boolean;
  /** Thread that died in the background, and the library whose code it ran. */
  readonly culprit: string | undefined;
  /** Function names of the thread that died, joined by newlines. */
  readonly faulting: string;
  /** What the thread that died ran is Python's own code, called from whatever. */
  readonly inPython: boolean;
  /** Another thread than the one that died runs Python's own code, and doesn't wait there. */
  readonly othersInPython: boolean;
  /** Function names of the main thread. */
  readonly main: string;
  /** Function names of all threads. */
  readonly all: string;
  /** Whether it is a Python process, where that is known. */
  readonly python: boolean | undefined;
  /** File name of the library whose code or data it used though it had been unloaded, or ''. */
  readonly unloaded: string;
  /** A destructor of thread-local data was called where nothing is: the library that it was in is gone. */
  readonly lostDestructor: boolean;
  /** The main thread is in a call that waits. */
  readonly mainWaits: boolean;
  /** The main thread waits in its event loop. */
  readonly mainPolls: boolean;
  /** What keeps that alive, where it said so. */
  readonly keptAliveBy: readonly string[];
  /** No debugger looked at the main thread. */
  readonly mainUnseen: boolean;
  /** Where the main thread is in its program's own language, where a tool of that showed it. */
  readonly place: string | undefined;
  /** The thread that burnt most CPU while it was looked at, where one did. */
  readonly busy: ThreadStack | undefined;
  /** In ms; 0 where no run was clean. */
  readonly slowestClean: number;
  /** In ms. */
  readonly timeout: number;
  /** Python itself said, as it died, that it wasn't finalizing. */
  readonly pythonRan: boolean;
}

const PAGES = 'https://github.com/quiesce/quiesce/blob/main/docs/diagnosis';

// What is on the main thread's stack once a process has begun to exit.
const EXITING =
  /^(?:(?:__GI_)?exit|__run_exit_handlers|__cxa_finalize\w*|_dl_fini|_dl_call_fini|Py_(?:FinalizeEx|Finalize|EndInterpreter|Exit)|_Py_Finalize\w*|(?:__GI_)?_exit|__libc_exit|node::(?:Exit|DefaultProcessExitHandlerInternal|FreeEnvironment|Environment::(?:Exit|RunCleanup|~Environment)|NodeMainInstance::~\w+|TearDownOncePerProcess|DisposePlatform|EmitProcessExitInternal)|std::process::exit)(?!\w)/m;
const PYTHON_STATE =
  /^(?:PyGILState_\w+|PyEval_(?:RestoreThread|AcquireThread|AcquireLock)|take_gil|drop_gil|PyThreadState_\w+|_PyThreadState_\w+|tstate_\w+|new_threadstate|pyo3::(?:gil|internal|interpreter)\S*)/m;
// What a thread is in that waits: the C library's functions, with the names that they have inside it, and what leads
// there. Looked for in its innermost frames only.
const WAITING = new RegExp(
  `^(?:${[
    '(?:__|__libc_|__GI_|__new_)*(?:p?poll|p?select|pselect64|accept4?|connect|recv(?:from|mm?sg)?|send(?:to|mm?sg)?|readv?|pread(?:64)?|writev?',
    'wait[34]|waitid|waitpid|wait|(?:clock_)?nanosleep(?:_time64)?|u?sleep|pause|sigsuspend|sigwait(?:info)?|sigtimedwait',
    'epoll_p?wait2?|flock|lockf|fcntl(?:64)?|fsync|msgrcv|semop|mq_\\w*receive|sem_\\w*wait\\w*|syscall|io_getevents)',
    '_*pthread_(?:timed|clock|try)?join\\w*|_*pthread_cond_\\w*wait\\w*|_*pthread_(?:mutex|rwlock)_\\w*lock\\w*',
    '_*pthread_barrier_wait|_*futex_\\w*wait\\w*|__lll_\\w*lock_wait\\w*|__futex_lock\\w*|do_futex_wait\\w*|_*sem_wait\\w*',
    'poll_schedule|syscall_cancel\\w*|__syscall_cancel\\w*|__internal_syscall_cancel',
    'std::thread::.*join|std::sys::.*(?:futex|park|[Cc]ondvar|join).*|parking_lot_core::.*',
  ].join('|')})(?!\\w)`,
  'm',
);
// A thread that is ended from within or from outside: its stack is unwound as if by an exception. One that nobody catches
// ends the program before any frame is left, so what dies as it goes on to leave frames was unwound by force.
const UNWINDING =
  /^(?:PyThread_exit_thread|(?:__)?pthread_exit|__pthread_unwind|unwind_(?:stop|cleanup)|_Unwind_(?:ForcedUnwind|Resume)\w*|__do_cancel|__pthread_cancel\w*|sigcancel_handler)(?!\w)/m;
// Not where Node calls the addon: to finalize what it made.
const NODE_API = /^(?:napi_|node_api_|v8impl::(?!.*(?:Reference|RefTracker|Finaliz)))/m;
const NODE_API_REFUSES =
  /\b(?:PendingException|CannotRunJS|napi_(?:pending_exception|closing|cannot_run_js))\b/;
const ADDON_LOAD = /^(?:napi_register_module_v\d+|node_register_module_v\d+)(?!\w)/m;
const CRASHES = /^SIG(?:ABRT|SEGV|BUS|ILL|FPE|TRAP|SYS)$/;
const POOL = /^(?:tokio-|rayon|async-std\/|smol-|blocking-|jemalloc_bg|grpc_|ev_|IoThread|CpuThread)/;
const LOCK_HELD = /^Fatal Python error: (?:_enter_buffered_busy: )?could not acquire lock/;
const NOT_JOINED = /without an active exception/;

// The first that matches names the failure, so the particular stand before the general, and who died before what was
// printed: the same mistake prints this or that, or nothing, and dies of this or that signal.
const rules: readonly Rule[] = [
  {
    id: 'sanitizer-report',
    title: 'a sanitizer found a memory error, a data race or undefined behaviour',
    matches: ({ signature }) => /sanitizer$|^undefined-behaviour$|^valgrind$/.test(signature),
  },
  {
    id: 'library-unloaded',
    title: 'code of a library was called after the library had been unloaded, as when its worker ended',
    matches: ({ crashed, unloaded, lostDestructor }) => crashed && (unloaded !== '' || lostDestructor),
    detail: ({ unloaded }) => (unloaded === '' ? undefined : unloaded),
  },
  {
    id: 'addon-load',
    title: 'an addon died as it was loaded, as may happen when another thread had loaded it before',
    matches: ({ crashed, faulting, main }) =>
      crashed && ADDON_LOAD.test(faulting) && !EXITING.test(main) && !EXITING.test(faulting),
  },
  {
    id: 'napi-after-teardown',
    title: 'an addon called Node-API after its environment was torn down, or while that was being terminated',
    // A worker that is terminated within a call of the addon: Node-API refuses all from there on.
    matches: ({ signature, crashed, died, seen, faulting, main, all, stderr }) =>
      (signature === 'napi-fatal' && (!seen || died === 'background' || EXITING.test(all))) ||
      (signature === 'rust-panic' && died === 'background' && NODE_API_REFUSES.test(stderr)) ||
      (crashed && NODE_API.test(faulting) && EXITING.test(`${main}\n${faulting}`)),
  },
  {
    id: 'python-thread-unwound',
    title:
      'Python ended a native thread that asked for the GIL after finalization, by unwinding through frames that forbid it',
    matches: ({ signature, line, crashed, died, seen, faulting, python, stderr }) => {
      if (UNWINDING.test(faulting)) return crashed && python !== false;
      if (died === 'main' && EXITING.test(faulting)) return false;
      if (signature === 'forced-unwind' || /^FATAL: exception not rethrown/m.test(stderr)) return true;
      const fits =
        signature === 'rust-foreign-exception' || (signature === 'cxx-terminate' && NOT_JOINED.test(line));
      return fits && !seen && died !== 'main' && python === true;
    },
    or: ({ signature, stderr, seen, python }) => {
      if (signature === 'forced-unwind' || /^FATAL: exception not rethrown/m.test(stderr)) {
        return python === true ? undefined : { id: 'thread-unwound', decide: DECIDED_BY_PYTHON };
      }
      if (seen) return undefined;
      return signature === 'rust-foreign-exception'
        ? { id: 'uncaught-cxx-exception', decide: DECIDED_BY_UNWINDING }
        : { id: 'joinable-thread-destroyed', decide: DECIDED_BY_UNWINDING };
    },
  },
  {
    id: 'thread-unwound',
    title: 'a thread was ended by pthread_exit or cancellation, by unwinding through frames that forbid it',
    matches: ({ crashed, faulting }) => crashed && UNWINDING.test(faulting),
  },
  {
    id: 'joinable-thread-destroyed',
    title:
      'a C++ thread object (std::thread, QThread) was destroyed before its thread was joined or detached',
    matches: ({ signature, line }) =>
      signature === 'qthread-destroyed' || (signature === 'cxx-terminate' && NOT_JOINED.test(line)),
    or: ({ signature, seen, died, python }) =>
      seen || signature === 'qthread-destroyed' || died === 'main' || python === false
        ? undefined
        : { id: 'python-thread-unwound', decide: DECIDED_BY_UNWINDING },
  },
  {
    id: 'python-after-finalization',
    title: 'a native thread called Python (PyGILState_Ensure or the like) after finalization',
    matches: (traces) => {
      const { signature, crashed, died, seen, faulting, main, stderr, pythonRan } = traces;
      const exiting = EXITING.test(main);
      // The code that found the damage is not the code that did it.
      if (died === 'main') return crashed && exiting && traces.othersInPython;
      if (died === 'background' && exiting) {
        return crashed && (signature === 'python-gil' || traces.inPython || PYTHON_STATE.test(faulting));
      }
      if (signature === 'rust-panic' && /Python interpreter is not initialized/.test(stderr)) return true;
      if (pythonRan) return false;
      return (
        (signature === 'python-gil' && (!seen || died === 'background')) ||
        (crashed && died === 'background' && PYTHON_STATE.test(faulting))
      );
    },
  },
  {
    id: 'crash-in-destructor',
    title: 'an exit handler, finalizer or destructor used what was already gone',
    // Of a worker, too, whose environment ends in its own thread.
    matches: ({ crashed, died, seen, faulting, signature, line, pythonRan }) =>
      crashed &&
      !LOCK_HELD.test(line) &&
      (EXITING.test(faulting) || (died === 'main' && !seen && signature === 'python-gil' && !pythonRan)),
    detail: ({ culprit }) => culprit,
    or: ({ signature }) =>
      signature === 'heap-corruption'
        ? {
            id: 'heap-corruption',
            decide:
              'under valgrind or AddressSanitizer the first report shows who freed or overwrote it, and when',
          }
        : undefined,
  },
  {
    id: 'python-without-gil',
    title: 'Python was called by a thread that did not hold the GIL, while the interpreter ran',
    matches: ({ signature }) => signature === 'python-gil',
    or: ({ seen, pythonRan }) =>
      seen || !pythonRan
        ? undefined
        : {
            id: 'crash-in-destructor',
            decide: 'the stack of the thread that died has exit or __run_exit_handlers, or not (needs gdb)',
          },
  },
  {
    id: 'rust-panic',
    title: 'a Rust panic, which can not leave the thread or function it happened in',
    matches: ({ signature }) => signature === 'rust-panic' || signature === 'rust-abort',
  },
  {
    id: 'uncaught-cxx-exception',
    title: 'a C++ exception that nobody caught',
    matches: ({ signature }) => signature === 'cxx-terminate' || signature === 'rust-foreign-exception',
  },
  {
    id: 'thread-outlives-exit',
    title: 'a background thread still ran while the process was being taken down under it',
    matches: ({ crashed, died, main, all, seen, exited, pooled, line }) => {
      // Python's finalization found a lock held by a thread that runs no more.
      if (LOCK_HELD.test(line)) return true;
      if (!crashed || died !== 'background') return false;
      return EXITING.test(main) || EXITING.test(all) || (!seen && (exited || pooled));
    },
    detail: ({ culprit }) => culprit,
    or: ({ seen }) => (seen ? undefined : { id: 'native-crash', decide: DECIDED_BY_MAIN }),
  },
  {
    id: 'heap-corruption',
    title: 'memory was freed twice or overwritten, often by two threads that both clean up',
    matches: ({ signature }) => signature === 'heap-corruption' || signature === 'stack-smashing',
  },
  {
    id: 'native-crash',
    title: 'native code died while the program ran: nothing shows that it was exiting',
    matches: ({ crashed, seen, pooled, signal }) => crashed && (seen || pooled) && CRASHES.test(signal),
    detail: ({ culprit }) => culprit,
  },
  {
    id: 'slow',
    title: 'it was only slow: clean runs took almost as long as the timeout allows',
    matches: ({ hung, slowestClean, timeout }) => hung && slowestClean > timeout / 2,
    detail: ({ slowestClean }) =>
      `slowest clean run ${formatMs(slowestClean)}; raise --timeout to see whether it ends`,
    or: ({ main, mainWaits }) => {
      if (!mainWaits) return undefined;
      const id = EXITING.test(main) ? 'join-at-exit' : 'blocked';
      return { id, decide: 'whether it ends when --timeout is several times as long' };
    },
  },
  {
    id: 'join-at-exit',
    title: 'the exit waits for a thread that does not end',
    matches: ({ hung, main, mainUnseen, exited, mainWaits, mainPolls, busy }) =>
      hung &&
      (EXITING.test(main) || (mainUnseen && exited && !mainPolls)) &&
      (mainWaits || busy?.main === false),
    detail: ({ busy, place }) => busyDetail(busy) ?? place,
  },
  {
    id: 'busy',
    title: 'a thread burns CPU and does not finish',
    matches: ({ hung, busy }) => hung && busy?.main === true,
    detail: ({ busy }) => busyDetail(busy),
  },
  {
    id: 'event-loop-alive',
    title: 'the program did not exit: something keeps its event loop alive',
    matches: ({ hung, mainPolls }) => hung && mainPolls,
    detail: ({ keptAliveBy, place }) =>
      keptAliveBy.length > 0 ? `kept alive by ${keptAliveBy.join(', ')}` : place,
  },
  {
    id: 'blocked',
    title: 'the main thread waits for something that never happens',
    matches: ({ hung, mainWaits }) => hung && mainWaits,
    detail: ({ busy, place }) => busyDetail(busy) ?? place,
    or: ({ mainUnseen }) => (mainUnseen ? { id: 'join-at-exit', decide: DECIDED_BY_MAIN } : undefined),
  },
  {
    id: 'killed',
    title: 'something killed it from outside, such as the kernel when memory ran out',
    matches: ({ signal }) => signal === 'SIGKILL',
  },
  {
    id: 'thread-left-at-exit',
    title: 'a background thread was never stopped: today it was lucky',
    matches: ({ outcome }) => outcome === 'threads-left',
  },
];

const DECIDED_BY_PYTHON = 'whether Python is in the process: its finalization ends threads like this';
const DECIDED_BY_MAIN = 'whether the main thread is in exit or the finalization of its host (needs gdb)';
const DECIDED_BY_UNWINDING =
  'the stack of the thread that died has PyThread_exit_thread, pthread_exit or unwind_stop, or not (needs gdb)';

/** Every kind there is, for tests and reports. */
export const failureKinds: readonly KindPage[] = rules.map(pageOf);

/** The likely kind of a failure; `null` when the traces don't decide it. */
export function failureKind(traces: FailureTraces): FailureKind | null {
  const ready = prepare(traces);
  const rule = rules.find((candidate) => candidate.matches(ready));
  if (rule === undefined) return null;
  const other = rule.or?.(ready);
  const otherRule = rules.find(({ id }) => id === other?.id);
  const or =
    other === undefined || otherRule === undefined ? null : { ...pageOf(otherRule), decide: other.decide };
  return { ...pageOf(rule), detail: rule.detail?.(ready) ?? null, or };
}

function pageOf({ id, title }: Rule): KindPage {
  return { id, title, page: `${PAGES}/${id}.md` };
}

function prepare(traces: FailureTraces): Traces {
  const { outcome, signature, threads, stderr = '', crash = null, command = [] } = traces;
  const faulting = threads.find((thread) => thread.faulting);
  const main = threads.find((thread) => thread.main);
  const diedInMain = faulting?.main ?? crash?.main;
  const mainNames = waitsForPythonThreads(main) && outcome.kind === 'signal' ? '' : names(main?.frames);
  const diedIn = faulting?.name ?? traces.diedIn ?? '';
  const stacksOfPython = threads.some(({ frames }) => frames.some(isPython));
  return {
    outcome: outcome.kind,
    signature: signature?.id ?? '',
    line: signature?.line ?? '',
    stderr,
    crashed: outcome.kind === 'signal',
    hung: outcome.kind === 'hang',
    signal: outcome.kind === 'signal' ? outcome.signal : '',
    died: diedInMain === undefined ? undefined : diedInMain ? 'main' : 'background',
    seen: (faulting?.frames.length ?? 0) > 0,
    exited: traces.workDone === true || EXITING.test(mainNames),
    pooled: diedInMain === false && POOL.test(diedIn),
    culprit: culpritOf(faulting, diedInMain === false ? diedIn : undefined),
    faulting: names(faulting?.frames),
    inPython: faulting !== undefined && runsPython(faulting),
    othersInPython: threads.some(
      (thread) => !thread.faulting && !thread.main && runsPython(thread) && !waits(thread),
    ),
    main: mainNames,
    all: threads.map((thread) => (thread === main ? mainNames : names(thread.frames))).join('\n'),
    python:
      stacksOfPython || crash?.python === true || (crash === null && command.some(isPythonProgram))
        ? true
        : crash?.python,
    unloaded: crash?.unloaded?.replace(/^.*\//, '') ?? '',
    lostDestructor: isLostDestructor(faulting?.frames),
    mainWaits: waits(main),
    mainPolls: polls(main),
    keptAliveBy: main?.keptAliveBy ?? [],
    mainUnseen: main === undefined || main.frames.length === 0,
    place: placeOf(main),
    busy: threads.find((thread) => thread.busy),
    slowestClean: traces.slowestCleanMs ?? 0,
    timeout: traces.durationMs ?? Number.POSITIVE_INFINITY,
    pythonRan: /^Python runtime state: (?:core )?initialized/m.test(stderr),
  };
}

/** glibc calls these destructors at a thread's end. Generated code isn't registered for that. */
function isLostDestructor([top, caller]: readonly StackFrame[] = []): boolean {
  if (top === undefined || top.name !== null || top.library !== null) return false;
  return /^(?:__GI_)?(?:__nptl_deallocate_tsd|__call_tls_dtors)$/.test(caller?.name ?? '');
}

/** Of a thread that died, its name where it is not the main one, and the library that its innermost own code is in. */
function culpritOf(faulting: ThreadStack | undefined, name: string | undefined): string | undefined {
  const library = faulting?.frames.find((frame) => frame.library !== null && !isRuntime(frame))?.library;
  const thread = name === undefined || name === '' ? undefined : `thread ${JSON.stringify(name)}`;
  const parts = [thread, library && `in ${library}`].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : parts.join(' ');
}

/** Where a thread burns CPU: its innermost frames that have a name, and their libraries. */
function busyDetail(busy: ThreadStack | undefined): string | undefined {
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

const STANDARD_LIBRARY = /\/lib\/python\d[\d.]*t?\/(?!(?:site|dist)-packages\/)|^node:|^<frozen /;

const waits = (thread: ThreadStack | undefined): boolean =>
  thread !== undefined &&
  !thread.busy &&
  (thread.asleep === true || WAITING.test(names(thread.frames.slice(0, WAITING_FRAMES))));

/** It waits in its event loop; of a Node that said so, or whose stack does and that runs no JavaScript. */
function polls(thread: ThreadStack | undefined): boolean {
  if (thread === undefined || thread.busy) return false;
  const answered = thread.keptAliveBy !== undefined;
  if (answered && (thread.interpreted?.length ?? 0) > 0) return false;
  if (thread.frames.length === 0) return answered;
  const all = names(thread.frames);
  return EVENT_LOOP.test(all) && !WAITS_FOR_CHILD.test(all);
}

const EVENT_LOOP = /^(?:uv__io_poll|uv_run|epoll_wait|epoll_pwait)(?!\w)/m;

/** `spawnSync` has an event loop of its own meanwhile. */
const WAITS_FOR_CHILD = /^node::SyncProcessRunner::/m;

/** The program has come to its end, but its threads go on, as they may: Python has not begun to take anything down. */
const waitsForPythonThreads = (main: ThreadStack | undefined): boolean =>
  /^wait_for_thread_shutdown(?!\w)/m.test(names(main?.frames)) ||
  main?.interpreted?.some(({ name, file }) => name === '_shutdown' && file.endsWith('/threading.py')) ===
    true;

/** A wait is within the C library's functions for it, a few frames deep. */
const WAITING_FRAMES = 6;

// Of the C and C++ runtimes: whoever called them is who matters.
const RUNTIME_LIBRARY = /^(?:libc|libpthread|libstdc\+\+|libgcc_s|libm|ld-linux[\w-]*|libc\+\+\w*)[.-]/;

/** Its innermost code, except for the C runtime's, is Python's own. */
function runsPython({ frames }: ThreadStack): boolean {
  const own = frames.find((frame) => (frame.name !== null || frame.library !== null) && !isRuntime(frame));
  return own !== undefined && isPython(own);
}

const isRuntime = ({ library }: StackFrame): boolean => RUNTIME_LIBRARY.test(library ?? '');

const isPython = ({ name, library }: StackFrame): boolean =>
  /^(?:lib)?python\d/.test(library ?? '') ||
  /^_?Py[A-Z_]\w*/.test(name ?? '') ||
  /^<?pyo3::/.test(name ?? '');

const isPythonProgram = (word: string): boolean => /(?:^|\/)python[\d.]*$/.test(word);

const names = (frames: readonly StackFrame[] = []): string =>
  frames.flatMap(({ name }) => (name === null ? [] : name.replace(/^(?:<+|__GI_)/, ''))).join('\n');
