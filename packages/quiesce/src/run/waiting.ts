// Whether a process exits, and what its threads wait for: judged from their stacks, or from what the kernel reports if
// no debugger may attach.
import type { StackFrame, ThreadStack } from './stack-trace.js';

/** What a thread waits for: a child process, a time, a file or socket, or whatever another thread does. */
export type Wait = 'child' | 'time' | 'file' | 'thread' | 'unknown';

// Functions on the main thread's stack once a process has begun to exit.
export const EXITING =
  /^(?:(?:__GI_)?exit|__run_exit_handlers|__cxa_finalize\w*|_dl_fini|_dl_call_fini|Py_(?:FinalizeEx|Finalize|EndInterpreter|Exit)|_Py_Finalize\w*|(?:__GI_)?_exit|__libc_exit|node::(?:Exit|DefaultProcessExitHandlerInternal|FreeEnvironment|Environment::(?:Exit|RunCleanup|~Environment)|NodeMainInstance::~\w+|TearDownOncePerProcess|DisposePlatform|EmitProcessExitInternal)|std::process::exit)(?!\w)/m;
// Functions that a waiting thread is in: the C library's, with their internal names, and functions that lead to them.
// Only the innermost frames are searched.
const wait = (...functions: readonly string[]): RegExp =>
  new RegExp(`^(?:__|__libc_|__GI_|__new_|_)*(?:${functions.join('|')})(?!\\w)`, 'm');
const WAITS: readonly (readonly [Wait, RegExp])[] = [
  ['child', wait('wait[34]|waitid|waitpid|wait')],
  ['time', wait('(?:clock_)?nanosleep(?:_time64)?|u?sleep')],
  [
    'file',
    wait(
      'p?poll|p?select|pselect64|accept4?|connect|recv(?:from|mm?sg)?|send(?:to|mm?sg)?|readv?|pread(?:64)?|writev?',
      'epoll_p?wait2?|flock|lockf|fcntl(?:64)?|open(?:at)?(?:64)?(?:_nocancel)?|fsync|msgrcv|semop|mq_\\w*receive|io_getevents|poll_schedule',
    ),
  ],
  [
    'thread',
    wait(
      'sem_\\w*wait\\w*|pthread_(?:timed|clock|try)?join\\w*|pthread_cond_\\w*wait\\w*|pthread_(?:mutex|rwlock)_\\w*lock\\w*',
      'pthread_barrier_wait|futex_\\w*wait\\w*|lll_\\w*lock_wait\\w*|futex_lock\\w*|do_futex_wait\\w*',
      'std::thread::.*join|std::sys::.*(?:futex|park|[Cc]ondvar|join).*|parking_lot_core::.*',
    ),
  ],
  [
    'unknown',
    wait(
      'pause|sigsuspend|sigwait(?:info)?|sigtimedwait|syscall|(?:internal_)?syscall_cancel\\w*',
      // Go's scheduler: a goroutine that waits isn't on a thread's stack.
      'runtime\\.(?:futex|notet?sleepg?|netpoll|usleep)',
    ),
  ],
];
/** OpenMP runtimes (libgomp; libomp and libiomp5) wait for the threads of their pool with system calls of their own, and spin before that. */
const IN_OPENMP =
  /^(?:gomp_(?:team_)?barrier_\w*|gomp_(?:simple_)?barrier_wait\w*|gomp_team_end|__kmp_\w*(?:wait|suspend|barrier)\w*|kmp_flag_\w+(?:<.*>)?::wait)(?!\w)/m;
// The same, by kernel functions.
const CHANNELS: readonly (readonly [Wait, RegExp])[] = [
  ['child', /^(?:do_wait|kernel_wait)/],
  ['time', /nanosleep/],
  ['file', /poll|select|pipe|sock|skb|inet_|unix_|accept|_read|_write/],
  ['thread', /^futex/],
];
/** The parts of a thread that show what it waits for. */
type Waiting = Pick<ThreadStack, 'frames' | 'busy' | 'halted' | 'children' | 'asleep' | 'channel'>;

/** `undefined` if it isn't in a call that waits. */
export function waitOf(thread: Waiting | undefined): Wait | undefined {
  if (thread === undefined || thread.halted !== undefined) return undefined;
  if (IN_OPENMP.test(names(thread.frames.slice(0, WAITING_FRAMES)))) return 'thread';
  if (thread.busy) return undefined;
  if (WAITS_FOR_CHILD.test(names(thread.frames))) return 'child';
  // A thread doesn't wait for what a signal's handler interrupted.
  const handler = thread.frames.findIndex(({ name }) => name === '<signal handler called>');
  const now = thread.frames.slice(0, handler < 0 ? undefined : handler);
  const innermost = names(now.slice(0, WAITING_FRAMES));
  // Shells, and process 1 of a container, wait for the signal that a child has ended.
  if (SUSPENDED.test(innermost) && (thread.children?.length ?? 0) > 0) return 'child';
  const [wait] = WAITS.find(([, pattern]) => pattern.test(innermost)) ?? [];
  if (wait !== undefined || thread.asleep !== true) return wait;
  const [kernel = 'unknown'] = CHANNELS.find(([, pattern]) => pattern.test(thread.channel ?? '')) ?? [];
  return kernel;
}

/** Whether it waits in its event loop: Node reported that, or its stack shows it and it runs no JavaScript. */
export function polls(thread: ThreadStack | undefined): boolean {
  if (thread === undefined || thread.busy || thread.halted !== undefined) return false;
  const answered = thread.keptAliveBy !== undefined;
  if (answered && (thread.interpreted?.length ?? 0) > 0) return false;
  if (thread.frames.length === 0) return answered;
  const all = names(thread.frames);
  if (WAITS_FOR_CHILD.test(all)) return false;
  return EVENT_LOOP.test(all) || (thread.frames[0]?.name === null && IN_EPOLL.test(thread.channel ?? ''));
}

/** The kernel's functions that wait for events. */
const IN_EPOLL = /^(?:ep_poll|do_epoll_p?wait)/;

const EVENT_LOOP = /^(?:uv__io_poll|uv_run|epoll_wait|epoll_pwait)(?!\w)/m;

const SUSPENDED = wait('pause|sigsuspend|sigwait(?:info)?|sigtimedwait');

/** `spawnSync` runs its own event loop meanwhile. */
const WAITS_FOR_CHILD = /^node::SyncProcessRunner::/m;

/** A waiting thread is within the C library's wait functions, a few frames deep. */
export const WAITING_FRAMES = 6;

/** The functions' names, joined by newlines. */
export const names = (frames: readonly StackFrame[] = []): string =>
  frames.flatMap(({ name }) => (name === null ? [] : name.replace(/^(?:<+|__GI_)/, ''))).join('\n');

/** Node programs that start the program they are given, and wait for it in their event loop. */
const STARTERS =
  /(?:^|[\s/])(?:npm|npx|yarn|pnpm|corepack|lerna|nx|turbo|cross-env|concurrently|c8|nyc|jest|vitest|mocha|ava|tap)(?:-cli)?(?:\.[cm]?js)?(?:\s|$)/;
/** Node's own test runner. It has its inspector off, so it can't say what keeps it alive. */
const TEST_RUNNER = /\s--test(?:\s|$)/;
/** What keeps their event loop alive meanwhile. */
const KEPT_BY_CHILD = /^(?:child process|pipe or Unix socket|signal handler)(?: x\d+)?$/;

/** Whether a process only waits for its children, as a shell or `npm test` does, and isn't in its own exit. */
export function waitsForChildren(threads: readonly ThreadStack[], command: string): boolean {
  const main = threads.find((thread) => thread.main);
  const { children = [], keptAliveBy } = main ?? {};
  if (children.length === 0 || threads.some(({ busy }) => busy)) return false;
  if (EXITING.test(names(main?.frames))) return false;
  if (waitOf(main) === 'child') return true;
  // Any other Node program may only have forgotten to end its child.
  if (!polls(main)) return false;
  if (keptAliveBy === undefined) return TEST_RUNNER.test(command);
  return (
    (STARTERS.test(command) || TEST_RUNNER.test(command)) &&
    keptAliveBy.some((one) => one.startsWith('child process')) &&
    keptAliveBy.every((one) => KEPT_BY_CHILD.test(one))
  );
}

const RAISES = /^_*(?:GI_+)?(?:raise|gsignal|sigqueue|kill|killpg|tgkill|pthread_kill\w*)$/;

/** Whether a function leads from `kill` or `raise` into the kernel. */
export const raises = ({ name }: StackFrame): boolean => RAISES.test(name ?? '');
