// results/: the one model of results. A session makes results; they are written as JSON, read back, merged, resumed and
// reported. report/ decides how a report looks to a reader, session/ how runs are made.
import { formatMs } from '../duration.js';
import { EXITING, WAITING_FRAMES, type Wait } from '../run/waiting.js';
import { ADDON_LOAD, busyDetail, type FailureTraces, NODE_API, prepare, type Traces } from './traces.js';

/** A cause of failures, in the words of a page in docs/diagnosis. */
export interface KindPage {
  /** Stable identifier, and the name of its page. */
  readonly id: string;
  /** The cause, as a phrase that continues from "likely: ". */
  readonly title: string;
  /** Address of the page that explains what it means, how to make sure, and how to cure it. */
  readonly page: string;
}

/** The likely cause of a failure. */
export interface FailureKind extends KindPage {
  /** The particular culprit, such as a library; `null` if nothing more is known. */
  readonly detail: string | null;
  /** Another cause that the traces fit, and what would decide between the two; `null` if there is none. */
  readonly or: (KindPage & { readonly decide: string }) | null;
}

interface Rule {
  readonly id: string;
  readonly title: string;
  matches(traces: Traces): boolean;
  detail?(traces: Traces): string | undefined;
  /** Another kind that the traces fit as well. */
  or?(traces: Traces): { readonly id: string; readonly decide: string } | undefined;
}

const PAGES = 'https://github.com/quiesce/quiesce/blob/main/docs/diagnosis';

// Functions that read or change the interpreter's state, and functions that take its lock.
const PYTHON_STATE =
  /^(?:PyGILState_\w+|PyEval_(?:RestoreThread|AcquireThread|AcquireLock)|take_gil|drop_gil|PyThreadState_\w+|_PyThreadState_\w+|tstate_\w+|new_threadstate|pyo3::(?:gil|internal|interpreter)\S*)/m;
/**
 * At the top of a stack: functions that need a thread state, and crash in a thread without one, for example without the
 * GIL.
 */
const NO_STATE =
  /^(?:_PyInterpreterState_GET|_?PyThreadState_G(?:ET|et)|_PyRuntimeState_GetThreadState)(?!\w)/;
const TAKES_GIL = /^(?:PyGILState_Ensure|PyEval_(?:RestoreThread|AcquireThread|AcquireLock)|take_gil)(?!\w)/m;
const NODE_API_REFUSES =
  /\b(?:PendingException|CannotRunJS|napi_(?:pending_exception|closing|cannot_run_js))\b/;
const CRASHES = /^SIG(?:ABRT|SEGV|BUS|ILL|FPE|TRAP|SYS)$/;
/** Why the kernel sends signals for which there are no stacks. */
const SENT_FOR: Readonly<Record<string, string>> = {
  SIGKILL: 'the kernel does, when memory runs out',
  SIGPIPE: 'the kernel does, when a program writes to a pipe or socket that nobody can read from any more',
  SIGALRM: 'the kernel does, when a timer that the program set with alarm() or setitimer() expires',
  SIGVTALRM: 'the kernel does, when a timer of CPU time that the program set expires',
  SIGPROF: 'the kernel does, when a timer of CPU time that a profiler set expires',
  SIGXCPU: 'the kernel does, when the limit of CPU time is reached: see ulimit -t',
  SIGXFSZ: 'the kernel does, when a file would grow beyond the limit: see ulimit -f',
  SIGHUP: 'the kernel does, when the terminal or the leader of its session is gone',
};
const LOCK_HELD = /^Fatal Python error: (?:_enter_buffered_busy: )?could not acquire lock/;
const NOT_JOINED = /without an active exception/;
const NEVER_RETHROWN = /^FATAL: exception not rethrown/m;
/** In a stack: `throw;`, which terminates where there is no exception to throw again. */
const RETHROWS = /^__cxa_rethrow(?!\w)/m;
/** In a stack: functions that destroy a thread object that may still be joinable. */
const THREAD_OBJECT = /^std::(?:__1::)?(?:thread|jthread)::(?:~|operator=)/m;

// The first rule that matches names the failure, so special cases come before general ones. Rules about the thread that
// died come before rules about printed text: the same mistake may print one text, another, or none, and die from one
// signal or another.
const rules: readonly Rule[] = [
  {
    id: 'sanitizer-report',
    title: 'a sanitizer or valgrind found a memory error, a leak, a data race or undefined behaviour',
    matches: ({ signature }) => /sanitizer$|^undefined-behaviour$|^valgrind$/.test(signature),
  },
  {
    id: 'killed',
    title: 'something sent it the signal',
    matches: ({ signal, sender, signature }) =>
      signal === 'SIGKILL' ||
      (signal !== '' && !CRASHES.test(signal) && signature === '') ||
      (sender === 'another' && signature === '') ||
      (sender === 'itself' && signature === ''),
    detail: ({ sender, signal }) => {
      if (sender === undefined) return SENT_FOR[signal];
      return sender === 'itself' ? 'by itself' : 'by another process';
    },
  },
  {
    id: 'stack-overflow',
    title: 'a thread ran out of stack, by a recursion without end or by frames that are too large',
    matches: ({ crashed, outOfStack, signature }) =>
      crashed && (outOfStack || signature === 'stack-overflow'),
    detail: ({ recursion, culprit }) => (recursion === undefined ? culprit : `recursion of ${recursion}`),
  },
  {
    id: 'out-of-memory',
    title:
      'memory ran out: the heap of a JavaScript engine or a JVM reached its limit, or an allocation failed',
    // Code that uses a destroyed object may ask for any size.
    matches: ({ signature, line, died, diedExiting }) =>
      signature === 'out-of-memory' ||
      (signature === 'cxx-terminate' && BAD_ALLOC.test(line) && !(died === 'main' && diedExiting)),
    detail: ({ line }) => line,
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
    detail: ({ loading }) => loading,
  },
  {
    id: 'exit-in-signal-handler',
    title: 'a signal handler called exit(), in the middle of code that it had interrupted',
    matches: ({ crashed, hung, exitInterrupted }) => (crashed || hung) && exitInterrupted !== undefined,
    detail: ({ exitInterrupted }) => `it had interrupted ${exitInterrupted}`,
  },
  {
    id: 'napi-off-thread',
    title: 'a thread that has no JavaScript environment called Node-API, while the program ran',
    matches: ({ offThread, ending, died, signature, stderr, seen }) =>
      !ending &&
      (offThread || (!seen && died === 'background' && NO_SCOPE.test(stderr) && signature === 'v8-fatal')),
    detail: ({ culprit }) => culprit,
    or: ({ seen }) => (seen ? undefined : { id: 'napi-after-teardown', decide: DECIDED_BY_MAIN }),
  },
  {
    id: 'napi-after-teardown',
    title: 'an addon called Node-API after its environment was torn down, or while that was being terminated',
    // A worker may be terminated within a call of the addon. From then on, Node-API refuses everything.
    matches: ({
      signature,
      crashed,
      died,
      seen,
      faulting,
      ending,
      anyEnding,
      stderr,
      refused,
      functionGone,
      failedStatus,
    }) =>
      refused !== undefined ||
      (failedStatus && (anyEnding || died === 'background' || EXITING.test(faulting))) ||
      functionGone ||
      (signature === 'napi-fatal' && (!seen || died === 'background' || anyEnding)) ||
      (signature === 'rust-panic' && died === 'background' && NODE_API_REFUSES.test(stderr)) ||
      (!seen && died === 'background' && ending && NO_SCOPE.test(stderr)) ||
      (crashed && NODE_API.test(faulting) && (ending || EXITING.test(faulting))),
    detail: ({ culprit }) => culprit,
    or: ({ refused, functionGone, failedStatus, diedExiting, anyEnding }) => {
      if (functionGone && !anyEnding) return { id: 'native-crash', decide: DECIDED_BY_RELEASE };
      if (failedStatus)
        return { id: diedExiting ? 'crash-in-destructor' : 'rust-panic', decide: DECIDED_BY_STATUS };
      return refused === 'maybe' ? { id: 'uncaught-cxx-exception', decide: DECIDED_BY_REFUSAL } : undefined;
    },
  },
  {
    id: 'python-thread-unwound',
    title:
      'Python ended a thread that asked for the GIL after finalization, by unwinding through frames that forbid it',
    matches: (traces) => {
      const { signature, line, crashed, died, seen, faulting, python, stderr, unwound, ending } = traces;
      if (unwound) {
        const byPython = /^PyThread_(?:exit|hang)_thread(?!\w)/m.test(faulting);
        return crashed && python !== false && (ending || byPython);
      }
      if (died === 'main' && EXITING.test(faulting)) return false;
      if (signature === 'forced-unwind' || NEVER_RETHROWN.test(stderr)) return true;
      const fits =
        signature === 'rust-foreign-exception' || (signature === 'cxx-terminate' && NOT_JOINED.test(line));
      return fits && !seen && died !== 'main' && python === true;
    },
    detail: intruderDetail,
    or: ({ signature, stderr, seen, python, unwound }) => {
      if (unwound && python === true) return undefined;
      if (signature === 'forced-unwind' || NEVER_RETHROWN.test(stderr)) {
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
    matches: ({ unwound }) => unwound,
    detail: ({ culprit }) => culprit,
  },
  {
    id: 'joinable-thread-destroyed',
    title:
      'a C++ thread object (std::thread, QThread) was destroyed before its thread was joined or detached',
    matches: ({ signature, line, faulting }) =>
      signature === 'qthread-destroyed' ||
      (signature === 'cxx-terminate' && NOT_JOINED.test(line) && !RETHROWS.test(faulting)),
    detail: ({ culprit }) => culprit,
    or: ({ signature, seen, died, python, faulting }) => {
      if (signature === 'qthread-destroyed' || THREAD_OBJECT.test(faulting)) return undefined;
      // The compiler often inlines the destructor into its caller.
      if (seen || died === 'main') return { id: 'aborted', decide: DECIDED_BY_TERMINATE };
      return python === false
        ? { id: 'aborted', decide: DECIDED_BY_TERMINATE }
        : { id: 'python-thread-unwound', decide: DECIDED_BY_UNWINDING };
    },
  },
  {
    id: 'python-after-finalization',
    title: 'a thread called Python (PyGILState_Ensure or the like) after finalization',
    matches: (traces) => {
      const { signature, crashed, died, seen, faulting, ending, stderr, pythonRan, mainUnseen } = traces;
      // The code that found the damage is not the code that caused it.
      if (died === 'main') return crashed && ending && traces.othersInPython;
      if (died === 'background' && ending) {
        return crashed && (signature === 'python-gil' || traces.inPython || PYTHON_STATE.test(faulting));
      }
      if (signature === 'rust-panic' && /Python interpreter is not initialized/.test(stderr)) return true;
      if (pythonRan) return false;
      // Taking the lock of a running interpreter kills no thread.
      if (crashed && died === 'background' && TAKES_GIL.test(faulting)) return true;
      if (!mainUnseen) return false;
      return (
        (signature === 'python-gil' && (!seen || died === 'background')) ||
        (crashed && died === 'background' && PYTHON_STATE.test(faulting))
      );
    },
    detail: intruderDetail,
    or: ({ ending, notFinalizing }) =>
      !ending && notFinalizing ? { id: 'python-without-gil', decide: DECIDED_BY_MAIN } : undefined,
  },
  {
    id: 'uncaught-cxx-exception',
    title: 'a C++ exception that nobody caught',
    matches: ({ signature, died, diedExiting }) =>
      UNCAUGHT.test(signature) && !(died === 'main' && diedExiting),
    detail: ({ culprit, diedExiting, line, faulting }) => {
      const where = diedExiting ? joined('in an exit handler or destructor', culprit) : culprit;
      return NOT_JOINED.test(line) && RETHROWS.test(faulting)
        ? joined('"throw;" where there was no exception', where)
        : where;
    },
  },
  {
    id: 'buffer-overflow',
    title: 'a function wrote beyond its buffer, and the C library noticed',
    matches: ({ signature }) => signature === 'stack-smashing' || signature === 'buffer-overflow',
    detail: ({ ending, overran }) =>
      [ending && 'as it exits', overran && `in ${overran}`].filter(Boolean).join(', ') || undefined,
  },
  {
    id: 'crash-in-destructor',
    title: 'it died in an exit handler, finalizer or destructor',
    // Includes a worker, whose environment ends in its own thread.
    matches: ({ crashed, died, seen, diedExiting, signature, line, pythonRan, aborted }) =>
      crashed &&
      !LOCK_HELD.test(line) &&
      aborted !== 'by the program' &&
      (diedExiting || (died === 'main' && !seen && signature === 'python-gil' && !pythonRan)),
    detail: ({ culprit, aborted, signature, signal, line, diedAt, printedAt, notDiedAt, interpreted }) => {
      const how =
        signature === 'pure-virtual'
          ? PURE_VIRTUAL
          : UNCAUGHT.test(signature)
            ? `by an exception: ${line}`
            : aborted === 'by code' && signature === ''
              ? 'which called abort()'
              : signal === 'SIGABRT' || signal === ''
                ? undefined
                : `of ${signal}`;
      const parts = [culprit, how, diedAt ?? printedAt ?? (interpreted ? notDiedAt : undefined)];
      return parts.filter((part) => part !== undefined).join(', ') || undefined;
    },
    or: ({ signature }) => {
      if (signature === 'heap-corruption')
        return { id: 'heap-corruption', decide: DECIDED_BY_MEMORY_CHECKER };
      return UNCAUGHT.test(signature)
        ? { id: 'uncaught-cxx-exception', decide: DECIDED_BY_THROWER }
        : undefined;
    },
  },
  {
    id: 'python-without-gil',
    title: 'Python was called by a thread that did not hold the GIL, while the interpreter ran',
    matches: (traces) => {
      const { signature, crashed, ending, died, python, inPython } = traces;
      if (signature === 'python-gil') return true;
      if (!crashed || ending || python !== true || traces.mainUnseen || traces.aborted) return false;
      if (traces.foreignCall === 'of a library') return true;
      if (traces.foreignCall === 'of Python' && NO_STATE.test(traces.faulting)) return true;
      return (died === 'background' && traces.native && inPython) || (inPython && traces.nativeInPython);
    },
    // The thread that died may have had every right to be there.
    detail: ({ culprit, died, native, foreignCall, nativeCaller }) =>
      foreignCall === 'of a library' || (died === 'background' && native)
        ? culprit
        : (nativeCaller ?? culprit),
    or: ({ signature, seen, died, pythonRan, faulting }) => {
      if (signature === 'python-gil') {
        return seen || !pythonRan || died === 'background'
          ? undefined
          : {
              id: 'crash-in-destructor',
              decide:
                'the stack of the thread that died has exit or __run_exit_handlers, or not (needs its stack)',
            };
      }
      if (NO_STATE.test(faulting) || (PYTHON_STATE.test(faulting) && !TAKES_GIL.test(faulting)))
        return undefined;
      const id = signature === 'heap-corruption' ? 'heap-corruption' : 'native-crash';
      return { id, decide: 'whether PyGILState_Check() is 1 right before the call of Python' };
    },
  },
  {
    id: 'rust-panic',
    title: 'a Rust panic',
    matches: ({ signature }) => signature === 'rust-panic' || signature === 'rust-abort',
    detail: ({ culprit, outcome, crashed }) => {
      if (crashed) return joined('nothing could catch it, so that it aborted the process', culprit);
      return outcome === 'dirty-output' ? 'the program continued after it' : undefined;
    },
  },
  {
    id: 'go-panic',
    title: 'a Go panic or fatal error, which ends the whole program, in whatever goroutine it happened',
    matches: ({ outcome, signal, stderr }) =>
      // With GOTRACEBACK=crash, Go aborts instead of exiting.
      (outcome === 'exit-code' || signal === 'SIGABRT') && GO_ENDS.test(stderr) && GOROUTINE.test(stderr),
    detail: ({ stderr }) =>
      [
        GO_ENDS.exec(stderr)?.[0],
        IN_CGO.test(stderr) && joined('in C code that Go called', CGO_FUNCTION.exec(stderr)?.[1]),
      ]
        .filter(Boolean)
        .join(', '),
  },
  {
    id: 'thread-outlives-exit',
    title: 'a background thread still ran while the process was being taken down under it',
    matches: ({ crashed, died, anyEnding, seen, exited, pooled, line, signature, aborted }) => {
      // Python's finalization found a lock held by a thread that no longer runs.
      if (LOCK_HELD.test(line)) return true;
      if (!crashed || died !== 'background' || aborted === 'by the program') return false;
      return anyEnding || (!seen && (exited || pooled || signature === 'pure-virtual'));
    },
    detail: ({ culprit, signature }) =>
      signature === 'pure-virtual' ? [culprit, PURE_VIRTUAL].filter(Boolean).join(', ') : culprit,
    or: ({ seen, ending }) => (seen || ending ? undefined : { id: 'native-crash', decide: DECIDED_BY_MAIN }),
  },
  {
    id: 'heap-corruption',
    title: 'memory was freed twice or overwritten, often by two threads that both clean up',
    matches: ({ signature }) => signature === 'heap-corruption',
  },
  {
    id: 'aborted',
    title:
      'the program, or code that it calls, aborted the process itself: nothing else is known to have failed',
    matches: ({ aborted, signature }) =>
      aborted !== undefined && (signature === '' || (signature === 'assertion' && aborted === 'by code')),
    detail: ({ culprit }) => culprit,
    or: ({ aborted, died }) =>
      aborted === 'by nobody knows'
        ? { id: died === 'main' ? 'crash-in-destructor' : 'thread-outlives-exit', decide: DECIDED_BY_MAIN }
        : undefined,
  },
  {
    id: 'native-crash',
    title: 'native code died, and no stack shows that the process was exiting',
    matches: ({ crashed, died, signal }) => crashed && died !== undefined && CRASHES.test(signal),
    detail: ({ culprit, diedAt, printedAt, notDiedAt, signature, exited }) =>
      [
        culprit,
        diedAt ?? printedAt ?? notDiedAt,
        signature === 'pure-virtual' && PURE_VIRTUAL,
        exited && 'after it had reported that its work was done, and before exit() was called',
      ]
        .filter(Boolean)
        .join(', ') || undefined,
    or: ({ seen, died, faulting }) => {
      // A worker that has ended leaves no stack.
      if (NODE_API.test(faulting)) return { id: 'napi-after-teardown', decide: DECIDED_BY_ENVIRONMENT };
      return seen
        ? undefined
        : { id: died === 'main' ? 'crash-in-destructor' : 'thread-outlives-exit', decide: DECIDED_BY_MAIN };
    },
  },
  {
    id: 'stopped',
    title: 'a signal stopped the process (SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU), and nothing continued it',
    matches: ({ hung, halted }) => hung && halted === 'stopped',
    detail: ({ sendsSignal, place }) =>
      [sendsSignal && 'as it sent a signal itself', place].filter(Boolean).join(', ') || undefined,
  },
  {
    id: 'slow',
    title: 'it was only slow: clean runs took almost as long as the timeout allows',
    matches: ({ hung, slowestClean, timeout }) => hung && slowestClean > timeout / 2,
    detail: ({ slowestClean }) =>
      `slowest clean run ${formatMs(slowestClean)}; raise --timeout to see whether it ends`,
    or: ({ main, mainWaits }) => {
      if (mainWaits === undefined) return undefined;
      const id = EXITING.test(main) && waitsForThread(mainWaits) ? 'join-at-exit' : 'blocked';
      return { id, decide: DECIDED_BY_TIMEOUT };
    },
  },
  {
    id: 'threads-lost-in-fork',
    title:
      'a forked process waits for a thread that only its parent has, or for a lock that such a thread held',
    // A thread that the child started itself may be what it waits for.
    matches: ({ hung, forkedFrom, mainWaits, alone, halted }) =>
      hung && forkedFrom !== undefined && alone && halted === undefined && waitsForThread(mainWaits),
    detail: ({ forkedFrom = 0, place, waiter, main, unplaced }) =>
      [
        EXITING.test(main) && 'as it exits',
        waiter && `in ${waiter}`,
        place ?? unplaced,
        `its parent has ${forkedFrom} more ${forkedFrom === 1 ? 'thread' : 'threads'}, which a fork doesn't copy`,
      ]
        .filter(Boolean)
        .join(', '),
  },
  {
    id: 'join-at-exit',
    title: 'the exit waits for a thread that does not end',
    matches: ({
      hung,
      main,
      mainUnseen,
      exited,
      mainWaits,
      mainPolls,
      busy,
      busyExit,
      alone,
      halted,
      joinsExecutor,
      dropsRuntime,
      javaEnds,
      waitsInPython,
    }) =>
      hung &&
      !alone &&
      // A process whose main thread ends with pthread_exit ends when its last thread ends.
      (halted === 'ended' ||
        ((EXITING.test(main) || (mainUnseen && exited && !mainPolls)) &&
          !waitsInPython &&
          (waitsForThread(mainWaits) || (busy?.main === false && !busyExit))) ||
        joinsExecutor ||
        dropsRuntime ||
        javaEnds !== undefined),
    detail: (traces) => {
      const {
        busy,
        place,
        waiter,
        awaited,
        halted,
        goesOn = '',
        exits,
        joinsExecutor,
        dropsRuntime,
        javaEnds,
      } = traces;
      if (halted === 'ended')
        return `the main thread has ended, ${busyDetail(busy) ?? `thread ${JSON.stringify(goesOn)} continues`}`;
      if (busy !== undefined) return [javaEnds, busyDetail(busy)].filter(Boolean).join(', ');
      const parts = [
        joinsExecutor && 'asyncio joins its default executor',
        dropsRuntime && 'a tokio runtime is dropped, and waits for its threads',
        javaEnds,
        exits,
        javaEnds === undefined ? (place ?? (waiter && `in ${waiter}`)) : (place ?? besideJava(traces.ofJava)),
        awaited && `${traces.awaitsEnd ? '' : 'perhaps '}waits for ${awaited}`,
        traces.unplaced,
      ];
      return parts.filter(Boolean).join(', ') || undefined;
    },
    or: ({ mainUnseen, mainWaits, awaitsEnd, halted, busy }) => {
      if (mainUnseen && mainWaits === 'unknown') return { id: 'blocked', decide: DECIDED_BY_MAIN };
      // A condition variable has no owner.
      const unsure = !mainUnseen && mainWaits === 'thread' && !awaitsEnd && halted === undefined;
      return unsure && busy === undefined ? { id: 'blocked', decide: DECIDED_BY_WAKER } : undefined;
    },
  },
  {
    id: 'busy',
    title: 'a thread burns CPU and does not finish',
    matches: ({ hung, busy, busyExit }) => hung && (busy?.main === true || busyExit),
    detail: ({ busy }) => busyDetail(busy),
  },
  {
    id: 'event-loop-alive',
    title: 'the program did not exit: something keeps its event loop alive',
    matches: ({ hung, mainPolls }) => hung && mainPolls,
    detail: ({ keptAliveBy, children, place, unplaced }) =>
      keptAliveBy.length > 0
        ? `kept alive by ${keptAliveBy.map((one) => withChildren(one, children)).join(', ')}`
        : (place ?? unplaced),
  },
  {
    id: 'blocked',
    title: 'the main thread waits for something that never happens',
    matches: ({ hung, mainWaits }) => hung && mainWaits !== undefined,
    detail: (traces) => {
      const {
        busy,
        place,
        waiter,
        joined,
        unplaced,
        main,
        mainWaits,
        alone,
        children,
        exits,
        waitsInPython,
      } = traces;
      // What the main thread does is the same in every program of Java.
      if (traces.launchesJava)
        return [busyDetail(busy), besideJava(traces.ofJava), unplaced].filter(Boolean).join(', ');
      const parts = [
        EXITING.test(main) && (exits ?? 'as it exits'),
        waitedFor(mainWaits, alone, children),
        // What burns CPU may have nothing to do with an event or lock.
        busy !== undefined && waitsInPython && place,
        busyDetail(busy) ?? place ?? (waiter && `in ${waiter}`),
        joined && `waits for ${joined}`,
        // What it waits for is in another process.
        mainWaits !== 'child' && unplaced,
      ];
      return parts.filter(Boolean).join(', ') || undefined;
    },
    or: ({ mainUnseen, mainWaits, main, alone, forkedFrom, ofJava, waitsInPython, exited }) => {
      if (ofJava.length > 0) return { id: 'join-at-exit', decide: DECIDED_BY_JAVA };
      // On a cold disk that takes as long as it takes.
      if (LOADS.test(main.split('\n', WAITING_FRAMES).join('\n')))
        return { id: 'slow', decide: DECIDED_BY_TIMEOUT };
      if (alone || mainWaits === 'child') return undefined;
      if (forkedFrom !== undefined && waitsForThread(mainWaits))
        return { id: 'threads-lost-in-fork', decide: DECIDED_BY_STARTER };
      if (mainUnseen && !waitsInPython) return { id: 'join-at-exit', decide: DECIDED_BY_MAIN };
      // A thread may write to what the main thread waits for, or be finished when the main thread looks again.
      return EXITING.test(main) || (mainUnseen && exited)
        ? { id: 'join-at-exit', decide: DECIDED_BY_WAKER }
        : undefined;
    },
  },
  {
    id: 'thread-left-at-exit',
    title: 'a background thread was never stopped: today it was lucky',
    matches: ({ outcome }) => outcome === 'threads-left',
    detail: ({ left }) => left,
  },
];

/** In a stack: the dynamic loader opens or prepares a library. */
const LOADS = /^(?:dlopen\w*|_dl_(?:open|map_object|relocate_object|catch_exception)\w*)(?!\w)/m;
const UNCAUGHT = /^(?:cxx-terminate|rust-foreign-exception)$/;
const BAD_ALLOC = /'std::bad_(?:array_new_length|alloc)'/;
// Go's handler prints a signal and where it came; one that came in C code that Go had called is also fatal.
const GO_ENDS = /^(?:panic|fatal error): .{1,200}|^SIG[A-Z]+: .{1,100}(?=\nPC=0x)/m;
const IN_CGO = /^signal arrived during cgo execution$/m;
/** In the trace of a goroutine: the wrapper that cgo makes for each C function. */
const CGO_FUNCTION = /^\S+\._Cfunc_(\w+)\(/m;
const GOROUTINE = /^goroutine \d+ .{0,60}\[.{1,100}\]:$/m;
const PURE_VIRTUAL = 'a virtual method of an object that was being destroyed was called';
const NO_SCOPE = /Cannot create a handle without a HandleScope/;

/** What called Python too late. */
function intruderDetail({ intruder, startedByPython }: Traces): string | undefined {
  return startedByPython ? joined("a daemon thread of Python's own", intruder) : intruder;
}

/** The program's own threads in Java. */
function besideJava(names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  const shown = names.slice(0, MOST_NAMES).map((name) => JSON.stringify(name));
  const more = names.length - shown.length;
  return `the program's other threads are ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

const MOST_NAMES = 4;

/** Two parts of a detail. */
const joined = (first: string, second: string | undefined): string =>
  second === undefined ? first : `${first}, ${second}`;

/** What Node names only by its kind, with the actual processes if they are known. */
function withChildren(keptAliveBy: string, children: readonly string[]): string {
  const named = /^child process(?: x(\d+))?$/.exec(keptAliveBy);
  if (named === null || children.length === 0) return keptAliveBy;
  // If there are more children than that, some don't keep the loop alive: they were unref'd.
  const all = children.length === Number(named[1] ?? 1);
  return `${keptAliveBy}${all ? '' : ', of'} ${children.join(all ? ' and ' : ', ')}`;
}

const waitsForThread = (wait: Wait | undefined): boolean => wait === 'thread' || wait === 'unknown';

/** What a main thread waits for, in words, if more is known than that it waits. */
function waitedFor(wait: Wait | undefined, alone: boolean, children: readonly string[]): string | undefined {
  if (wait === 'child') {
    return children.length === 0 ? 'for a child process' : `for its child process ${children.join(' or ')}`;
  }
  if (wait === 'time') return 'in a sleep';
  return wait === 'thread' && alone ? 'for a lock or thread, though there is no other thread' : undefined;
}

const DECIDED_BY_MEMORY_CHECKER =
  'under valgrind or AddressSanitizer the first report shows who freed or overwrote it, and when';
const DECIDED_BY_THROWER =
  'whether what threw used something that had been destroyed (valgrind, AddressSanitizer), or threw for a reason of its own';
const DECIDED_BY_PYTHON = 'whether Python is in the process: its finalization ends threads like this';
const DECIDED_BY_MAIN =
  'whether the main thread is in exit or the finalization of its host (needs its stack)';
const DECIDED_BY_ENVIRONMENT =
  'whether the addon was loaded in a worker, too, and keeps the environment of one that has ended';
const DECIDED_BY_STARTER =
  'whether the thread that should end that wait was started by this process, or by its parent before the fork';
const DECIDED_BY_RELEASE =
  'whether the environment of the thread-safe function has ended (a worker that has ended leaves no stack), or the addon released the function too often';
const DECIDED_BY_REFUSAL =
  'whether its worker was being terminated, or Node-API worked and the addon threw for a reason of its own';
const DECIDED_BY_STATUS =
  'whether the call had an environment that worked: a callback of a thread-safe function gets none once that has ended';
const DECIDED_BY_JAVA =
  "whether Java's main thread is in Runtime.exit or DestroyJavaVM, which wait for shutdown hooks (jcmd PID Thread.print)";
const DECIDED_BY_TIMEOUT = 'whether it ends when --timeout is several times as long';
const DECIDED_BY_WAKER = 'whether another thread should end that wait';
const DECIDED_BY_TERMINATE = 'whether the code at that place calls std::terminate() itself';
const DECIDED_BY_UNWINDING =
  'the stack of the thread that died has PyThread_exit_thread, pthread_exit or unwind_stop, or not (needs that stack)';

/** Every kind, for tests and reports. */
export const failureKinds: readonly KindPage[] = rules.map(pageOf);

/** The likely kind of a failure; `null` if the traces don't decide it. */
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
