import type { Outcome } from './outcome.js';
import type { SignatureMatch } from './signatures.js';
import type { StackFrame, ThreadStack } from './stack-trace.js';

/** The likely cause of a failure, in the words of a page of docs/diagnosis. */
export interface FailureKind {
  /** Stable identifier, and the name of its page. */
  readonly id: string;
  /** The cause, as a phrase that goes on from "likely: ". */
  readonly title: string;
  /** Address of the page that says what it means, how to make sure, and how to cure it. */
  readonly page: string;
}

/** What a failed run left to judge by. */
export interface FailureTraces {
  readonly outcome: Outcome;
  readonly signature: SignatureMatch | null;
  /** Empty when none were taken. */
  readonly threads: readonly ThreadStack[];
}

interface Rule {
  readonly id: string;
  readonly title: string;
  matches(traces: Traces): boolean;
}

/** The traces, made ready for the rules. */
interface Traces {
  readonly outcome: Outcome['kind'];
  readonly signature: string;
  /** The line that the signature was found on. */
  readonly line: string;
  readonly crashed: boolean;
  readonly hung: boolean;
  /** Signal that ended it, or ''. */
  readonly signal: string;
  /** Function names of the thread that died, joined by newlines. */
  readonly faulting: string;
  /** The thread that died is not the main one. */
  readonly inBackground: boolean;
  /** Function names of the main thread. */
  readonly main: string;
}

const PAGES = 'https://github.com/quiesce/quiesce/blob/main/docs/diagnosis';

// What is on the main thread's stack once a process has begun to exit.
const EXITING =
  /^(?:(?:__GI_)?exit|__run_exit_handlers|__cxa_finalize|_dl_fini|Py_(?:FinalizeEx|Finalize|RunMain_exit|Exit)|_Py_Finalize\w*|(?:__GI_)?_exit|__libc_exit|node::(?:Exit|DefaultProcessExitHandlerInternal|FreeEnvironment|Environment::(?:Exit|RunCleanup|~Environment).*|NodeMainInstance::~.*|TearDownOncePerProcess|DisposePlatform|EmitProcessExitInternal).*|std::process::exit)/m;
const PYTHON_STATE =
  /^(?:PyGILState_\w+|PyEval_(?:RestoreThread|AcquireThread|AcquireLock)|take_gil|drop_gil|PyThreadState_\w+|_PyThreadState_\w+|tstate_\w+|new_threadstate|pyo3::(?:gil|internal|interpreter)\S*)/m;
const WAITING =
  /^(?:__pthread_clockjoin_ex|pthread_(?:timed|clock|try)?join\w*|__futex_abstimed_wait\w*|futex_wait\w*|__lll_lock_wait\w*|pthread_cond_\w*wait\w*|___pthread_cond_\w*|pthread_mutex_lock|do_futex_wait\w*|sem_wait|__new_sem_wait\w*|std::thread::.*join|std::sys::.*(?:futex|park|Condvar|condvar|join).*|syscall)/m;

// The first that matches names the failure, so the particular stand before the general.
const rules: readonly Rule[] = [
  {
    id: 'sanitizer-report',
    title: 'a sanitizer found a memory error, a data race or undefined behaviour',
    matches: ({ signature }) => /sanitizer$|^undefined-behaviour$|^valgrind$/.test(signature),
  },
  {
    id: 'python-thread-unwound',
    title:
      'Python ended a native thread that asked for the GIL after finalization, by unwinding through frames that forbid it',
    matches: ({ signature, crashed, faulting }) =>
      signature === 'forced-unwind' || (crashed && /^PyThread_exit_thread/m.test(faulting)),
  },
  {
    id: 'python-after-finalization',
    title: 'a native thread called Python (PyGILState_Ensure or the like) after finalization',
    matches: ({ signature, crashed, inBackground, faulting }) =>
      signature === 'python-gil' || (crashed && inBackground && PYTHON_STATE.test(faulting)),
  },
  {
    id: 'napi-after-teardown',
    title: 'an addon called Node-API after its environment was torn down',
    matches: ({ signature, crashed, faulting, main }) =>
      signature === 'napi-fatal' ||
      (crashed && /^(?:napi_|node_api_|v8impl::)/m.test(faulting) && EXITING.test(`${main}\n${faulting}`)),
  },
  {
    id: 'rust-panic',
    title: 'a Rust panic, which can not leave the thread or function it happened in',
    matches: ({ signature }) => ['rust-panic', 'rust-abort', 'rust-foreign-exception'].includes(signature),
  },
  {
    id: 'joinable-thread-destroyed',
    title: 'a C++ std::thread was destroyed before it was joined or detached',
    matches: ({ signature, line }) =>
      signature === 'cxx-terminate' && /without an active exception/.test(line),
  },
  {
    id: 'uncaught-cxx-exception',
    title: 'a C++ exception that nobody caught',
    matches: ({ signature }) => signature === 'cxx-terminate',
  },
  {
    id: 'heap-corruption',
    title: 'memory was freed twice or overwritten, often by two threads that both clean up',
    matches: ({ signature }) => signature === 'heap-corruption' || signature === 'stack-smashing',
  },
  {
    id: 'thread-outlives-exit',
    title: 'a background thread still ran while the process was being taken down under it',
    matches: ({ crashed, inBackground, main }) => crashed && inBackground && EXITING.test(main),
  },
  {
    id: 'crash-in-destructor',
    title: 'an exit handler or static destructor used what was already gone',
    matches: ({ crashed, inBackground, faulting }) => crashed && !inBackground && EXITING.test(faulting),
  },
  {
    id: 'join-at-exit',
    title: 'the exit waits for a thread that does not end',
    matches: ({ hung, main }) => hung && EXITING.test(main) && WAITING.test(main),
  },
  {
    id: 'event-loop-alive',
    title: 'the program did not exit: something keeps its event loop alive',
    matches: ({ hung, main }) => hung && /^(?:uv__io_poll|uv_run|epoll_wait|epoll_pwait)/m.test(main),
  },
  {
    id: 'blocked',
    title: 'the main thread waits for something that does not come',
    matches: ({ hung, main }) => hung && WAITING.test(main),
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

/** Every kind there is, for tests and reports. */
export const failureKinds: readonly FailureKind[] = rules.map(kindOf);

/** The likely kind of a failure; `null` when the traces don't tell. */
export function failureKind(traces: FailureTraces): FailureKind | null {
  const ready = prepare(traces);
  const rule = rules.find((candidate) => candidate.matches(ready));
  return rule === undefined ? null : kindOf(rule);
}

function kindOf({ id, title }: Rule): FailureKind {
  return { id, title, page: `${PAGES}/${id}.md` };
}

function prepare({ outcome, signature, threads }: FailureTraces): Traces {
  const faulting = threads.find((thread) => thread.faulting);
  const main = threads.find((thread) => thread.main);
  return {
    outcome: outcome.kind,
    signature: signature?.id ?? '',
    line: signature?.line ?? '',
    crashed: outcome.kind === 'signal',
    hung: outcome.kind === 'hang',
    signal: outcome.kind === 'signal' ? outcome.signal : '',
    faulting: names(faulting?.frames),
    inBackground: faulting !== undefined && !faulting.main,
    main: names(main?.frames),
  };
}

const names = (frames: readonly StackFrame[] = []): string =>
  frames.flatMap(({ name }) => name ?? []).join('\n');
