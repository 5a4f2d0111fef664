// What gdb reads of a process, or why it can't.
import { formatMs } from '../duration.js';
import { EnvironmentError } from '../errors.js';
import { findExecutable } from '../process/executable.js';
import { readProc } from '../process/proc.js';
import { liveThread, procFolder } from '../process/processes.js';
import { type EndedProgram, runToEnd } from '../process/run-to-end.js';
import { backtraceFrom, type Registers } from './kernel/signal-frame.js';
import {
  HANDLER,
  HANDLER_FRAME,
  parseFrames,
  parseMappings,
  parseStacks,
  type ThreadStack,
} from './stack-trace.js';

// gdb first reads all symbols of a host of 100 MB: that takes 2 s, and 20 times as long on an overloaded machine.
const GDB_TIMEOUT_MS = 60_000;

/** Why gdb showed no thread, in gdb's own words if it printed any, and what to do. */
function debuggerProblem(pid: number, { status, stderr }: EndedProgram): string {
  const refused = /^(?:ptrace|Could not attach to process).*$/m.exec(stderr)?.[0];
  if (refused !== undefined) return `${attachProblem(pid)} (${refused.replace(/\.$/, '')})`;
  if (status.signal === 'SIGKILL') return `gdb read nothing of it within ${formatMs(GDB_TIMEOUT_MS)}`;
  const end = status.signal === null ? `exit code ${status.code}` : status.signal;
  // What it printed last is why it gave up.
  const words = stderr
    .trim()
    .split('\n')
    .slice(-GDB_WORDS)
    .map((line) => line.trim());
  return `gdb failed (${end}): ${words.join('; ').slice(-LONGEST_WORDS) || 'it printed no stack'}`;
}

const GDB_WORDS = 2;
const LONGEST_WORDS = 400;

/** Why gdb may not attach, and what to do. */
function attachProblem(pid: number): string {
  const tracer = Number(/^TracerPid:\s*(\d+)/m.exec(readProc(`${procFolder(pid)}/status`))?.[1] ?? 0);
  if (tracer !== 0) {
    const name = readProc(`/proc/${tracer}/comm`).trim();
    if (tracer === process.pid || name.startsWith('spawner')) {
      return 'gdb may not attach: the program asked its parent to trace it (PTRACE_TRACEME), which stops it at its next signal; start it under a debugger, or leave that out';
    }
    return `gdb may not attach: ${name} (process ${tracer}) traces it already; run the program without ${name}`;
  }
  const scope = readProc('/proc/sys/kernel/yama/ptrace_scope').trim();
  if (scope === '2' || scope === '3') {
    return `gdb may not attach: kernel.yama.ptrace_scope is ${scope}; set it to 0 or 1, or run the tester with CAP_SYS_PTRACE`;
  }
  if (scope === '1') {
    return 'gdb may not attach: kernel.yama.ptrace_scope is 1, and the exit witness, which lets the tester in, is not in this process';
  }
  return 'gdb may not attach, as in a container without CAP_SYS_PTRACE';
}

/** What gdb saw. */
interface FromGdb {
  /** Empty if gdb isn't installed, may not attach, or takes too long. */
  readonly threads: ThreadStack[];
  /** Why there are none; `null` if there are some. */
  readonly problem: string | null;
}

// The address of each frame shows which library it is in. By default gdb leaves the address out where a line of source
// begins.
const BACKTRACE = [
  'set print frame-arguments none',
  'set print frame-info location-and-address',
  'thread apply all -c backtrace 64',
];

/** The stacks of all threads. */
export async function stacksFromGdb(
  pid: number,
  faultingTid: number | undefined,
  signal: AbortSignal | undefined,
): Promise<FromGdb> {
  const mappings = parseMappings(readProc(`${procFolder(pid)}/maps`));
  const ended = await gdb(pid, BACKTRACE, { timeoutMs: GDB_TIMEOUT_MS, signal });
  if (typeof ended === 'string') return { threads: [], problem: ended };
  const threads = parseStacks(ended.stdout, pid, mappings, faultingTid);
  return { threads, problem: threads.length > 0 ? null : debuggerProblem(pid, ended) };
}

/**
 * Says where on the stack of the thread that died the code is that the first signal interrupted. If gdb couldn't pass the
 * handler of that signal, its frames are added.
 */
export async function findFault(
  threads: ThreadStack[],
  at: { pid: number; tid: number; first: Registers; signal: AbortSignal | undefined },
): Promise<void> {
  const died = threads.findIndex(({ faulting }) => faulting);
  const thread = threads[died];
  if (thread === undefined) return;
  const handler = thread.frames.findLastIndex(({ name }) => name === HANDLER);
  if (handler >= 0) {
    threads[died] = { ...thread, faultedIn: handler + 1 };
    return;
  }
  const mappings = parseMappings(readProc(`${procFolder(at.pid)}/maps`));
  const ended = await gdb(at.tid, [...BACKTRACE.slice(0, -1), ...backtraceFrom(at.first)], {
    ...{ timeoutMs: GDB_TIMEOUT_MS, signal: at.signal },
  });
  const frames = typeof ended === 'string' ? [] : parseFrames(ended.stdout, mappings);
  if (frames.length === 0) return;
  const ofHandler = thread.frames.filter(({ name, library }) => name !== null || library !== null);
  threads[died] = {
    ...thread,
    frames: [...ofHandler, HANDLER_FRAME, ...frames],
    faultedIn: ofHandler.length + 1,
  };
}

/** The result, or why gdb can't be started. */
export async function gdb(
  pid: number,
  commands: readonly string[],
  limits: { readonly timeoutMs: number; readonly signal: AbortSignal | undefined },
): Promise<EndedProgram | string> {
  const { path } = findExecutable('gdb', process.cwd());
  if (path === undefined) return 'gdb is not installed';
  const before = ['set debuginfod enabled off', 'set auto-load off', 'set width 0', 'set confirm off'];
  // If the first thread has ended, a debugger may attach to another one, and sees only that thread.
  const of = ['-p', String(liveThread(pid))];
  const words = ['-nx', '-batch', ...before.flatMap((command) => ['-iex', command]), ...of];
  // The Python inside gdb must not start with the home or the modules of the Python under test.
  const { PYTHONHOME: _home, PYTHONPATH: _path, ...env } = process.env;
  try {
    return await runToEnd([path, ...words, ...commands.flatMap((command) => ['-ex', command])], {
      ...{ cwd: process.cwd(), env, keep: [192 * 1024, 64 * 1024] },
      ...limits,
    });
  } catch (error) {
    if (error instanceof EnvironmentError) return error.message;
    throw error;
  }
}
