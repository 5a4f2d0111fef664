import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { formatMs } from '../duration.js';
import { EnvironmentError } from '../errors.js';
import { makeTemporaryDirectory } from '../files/temporary-directory.js';
import { findExecutable } from '../process/executable.js';
import { linkOfProc, readProc } from '../process/proc.js';
import type { GroupMember } from '../process/process-group.js';
import { commandLine, haltOf, liveThread, parentOf, procFolder } from '../process/processes.js';
import { type EndedProgram, runToEnd } from '../process/run-to-end.js';
import { childrenOf, inOrder, type Links, lastAwaited, linksOf } from './kernel/awaited.js';
import { backtraceFrom, firstInterrupted, type Registers } from './kernel/signal-frame.js';
import { joinsOf, threadsOf, writesIn } from './kernel/system-calls.js';
import { isNode, nodeState } from './node-state.js';
import {
  findPySpy,
  framesFromPySpy,
  hasPython,
  type PythonThread,
  type PythonThreads,
  parseTraceback,
  tracebackCommands,
} from './python-frames.js';
import {
  formatInterpreted,
  formatStacks,
  HANDLER,
  HANDLER_FRAME,
  parseFrames,
  parseHandles,
  parseMappings,
  parseStacks,
  type ThreadStack,
} from './stack-trace.js';

// gdb first reads all symbols of a host of 100 MB: that takes 2 s, and 20 times as long on an overloaded machine.
const GDB_TIMEOUT_MS = 60_000;
const TRACEBACK_TIMEOUT_MS = 20_000;
const MOST_PROCESSES = 6;
const MOST_CHILDREN = 3;
const LONGEST_COMMAND = 80;

/** What was seen of the threads of one or more processes. */
export interface Stacks {
  /**
   * Threads of one of them. If several hang, this is the one that the others wait for. Empty if no debugger could read
   * it.
   */
  readonly threads: readonly ThreadStack[];
  /** All of it, for a reader. */
  readonly text: string;
  /** Why that process has no stacks, and what to do; `null` where it has. */
  readonly problem: string | null;
  /** That process, if it isn't the first, and how many others hang in the same place. */
  readonly child: (GroupMember & { readonly alike: number }) | null;
}

type Seen = Omit<Stacks, 'child'>;

/**
 * The stacks of all threads of some live processes (the first six). They come from gdb if it is installed and may
 * attach, otherwise from /proc: each thread's name, state and wait channel. Python frames come from py-spy if it is
 * installed, otherwise, for a hang, from Python itself. What the main thread of a hung Node does comes from its
 * inspector. Takes at most 95 s per process. gdb leaves the processes as they were, running or stopped.
 * @param faultingTid number of the thread that died, whose stack comes first.
 */
export async function threadStacks(
  processes: readonly GroupMember[],
  options: { signal?: AbortSignal | undefined; faultingTid?: number } = {},
): Promise<Stacks> {
  const seen = new Map<GroupMember, Seen>();
  const links = options.faultingTid === undefined ? linksOf(processes) : new Map<number, Links>();
  for (const process of inOrder(processes, links).slice(0, MOST_PROCESSES)) {
    if (options.signal?.aborted) break;
    seen.set(process, await threadsOfProcess(process.pid, options));
  }
  const [first] = seen.keys();
  const threadsSeen = new Map([...seen].map(([one, { threads }]) => [one, threads]));
  const found = first && lastAwaited(first, threadsSeen, links);
  const awaited = found?.one ?? first;
  const parts = [...seen]
    .sort(([a], [b]) => Number(b === awaited) - Number(a === awaited))
    .map(([{ pid, command }, { text }]) => `process ${pid}: ${command}\n${text}`);
  const left = processes.length - MOST_PROCESSES;
  if (left > 0) parts.push(`and ${left} more ${left === 1 ? 'process' : 'processes'}`);
  const { threads, problem } = (awaited && seen.get(awaited)) ?? { threads: [], problem: null };
  return {
    ...{ threads, problem, text: parts.join('\n\n') },
    child: found === undefined ? null : { ...found.one, alike: found.alike },
  };
}

async function threadsOfProcess(
  pid: number,
  { signal, faultingTid }: { signal?: AbortSignal | undefined; faultingTid?: number },
): Promise<Seen> {
  const hung = faultingTid === undefined;
  const { busy, asleep } = hung ? await watch(pid) : NOT_WATCHED;
  const halted = hung ? haltOf(pid, pid) : undefined;
  const joins = hung ? joinsOf(pid) : NO_JOINS;
  const first = faultingTid === undefined ? undefined : firstInterrupted(pid, faultingTid);
  const seen = await stacksFromGdb(pid, faultingTid, signal);
  if (faultingTid !== undefined && first !== undefined) {
    await findFault(seen.threads, { pid, tid: faultingTid, first, signal });
  }
  const traced = seen.threads.length > 0;
  // A stopped process answers no request.
  const asked = traced && halted !== 'stopped';
  const python = await pythonThreads(pid, { hung, asked, signal });
  const interpreted = new Map([...python].map(([tid, { frames }]) => [tid, frames]));
  const node = hung && halted !== 'stopped' && isNode(pid) ? await nodeState(pid, signal) : undefined;
  if (node !== undefined && 'frames' in node) interpreted.set(pid, node.frames);
  const children = hung ? describeChildren(pid) : [];
  const forkedFrom = hung ? forkedFromThreads(pid) : undefined;
  const gone = traced && halted === 'ended' ? [threadFromProc(pid, pid)] : [];
  const threads = (traced ? [...gone, ...seen.threads] : threadsFromProc(pid, faultingTid)).map((thread) => ({
    ...thread,
    ...(thread.main && halted !== undefined && { halted }),
    ...(thread.tid === busy && { busy: true }),
    ...(joins.has(thread.tid) && { joins: joins.get(thread.tid) as number }),
    // A program that makes its own system calls, such as Bun, has no function that names them.
    ...((!traced || thread.frames[0]?.name === null) &&
      asleep.has(thread.tid) && { asleep: true, ...channelOf(pid, thread.tid) }),
    ...(thread.main && children.length > 0 && { children }),
    ...(thread.main && forkedFrom !== undefined && { forkedFrom }),
    ...namedIn(python.get(thread.tid), thread.name),
    ...(interpreted.has(thread.tid) && { interpreted: interpreted.get(thread.tid) ?? [] }),
    ...(thread.main && node !== undefined && 'frames' in node && { keptAliveBy: node.keptAliveBy }),
  }));
  const { problem } = seen;
  const text = problem === null ? formatStacks(threads) : describeThreads(pid, problem, threads);
  const unseen = node !== undefined && 'problem' in node ? `\n  (no JavaScript frames: ${node.problem})` : '';
  return { threads, text: text + unseen, problem };
}

/** The name that a program of Python gave a thread. Older Pythons don't tell the system. */
const namedIn = (thread: PythonThread | undefined, known: string): { ownName?: string } =>
  thread?.name === undefined || thread.name.startsWith(known) ? {} : { ownName: thread.name };

const SAMPLES = 6;
const SAMPLE_MS = 50;
/**
 * In how many samples a busy thread is running or ready to run. A loaded machine delays a thread, but doesn't change
 * that.
 */
const BUSY_LEAST = 5;

/** What threads did each time the tester looked at them. */
interface Watched {
  /** The thread that ran, or wanted to, most often; `undefined` if all wait. */
  readonly busy: number | undefined;
  /** Threads that never ran. */
  readonly asleep: ReadonlySet<number>;
}

const NOT_WATCHED: Watched = { busy: undefined, asleep: new Set() };

/** More than a pipe holds, so that somebody must have read what was written before. */
const MUCH_WRITTEN_BYTES = 128 * 1024;

/** Takes 0.3 s. */
async function watch(pid: number): Promise<Watched> {
  const seen = new Map<number, { ran: number; wrote: number }>();
  const written = writtenBy(pid);
  for (let i = 0; i < SAMPLES; i++) {
    if (i > 0) await delay(SAMPLE_MS);
    for (const tid of threadsOf(pid)) {
      const counts = seen.get(tid) ?? { ran: 0, wrote: 0 };
      // 123 (name) R 1 ...: the name may contain anything.
      const state = /^.*\) (\w) /s.exec(readProc(`/proc/${pid}/task/${tid}/stat`))?.[1];
      if (state === 'R') counts.ran++;
      else if (writesIn(pid, tid)) counts.wrote++;
      seen.set(tid, counts);
    }
  }
  // A thread that writes without an end waits for its reader most of the time.
  const writes = writtenBy(pid) - written > MUCH_WRITTEN_BYTES;
  const times = [...seen].map(([tid, { ran, wrote }]) => [tid, ran + (writes ? wrote : 0)] as const);
  const [most] = times.toSorted((a, b) => b[1] - a[1]);
  return {
    busy: most !== undefined && most[1] >= BUSY_LEAST ? most[0] : undefined,
    asleep: new Set(times.flatMap(([tid, ran]) => (ran === 0 ? [tid] : []))),
  };
}

const NO_JOINS: ReadonlyMap<number, number> = new Map();

/** Bytes that it has written to anything; NaN if that can't be read. */
const writtenBy = (pid: number): number =>
  Number(/^wchar: (\d+)/m.exec(readProc(`/proc/${pid}/io`))?.[1] ?? Number.NaN);

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

async function stacksFromGdb(
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
async function findFault(
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

async function pythonThreads(
  pid: number,
  { hung, asked, signal }: { hung: boolean; asked: boolean; signal: AbortSignal | undefined },
): Promise<PythonThreads> {
  if (!hasPython(pid)) return new Map();
  const pySpy = findPySpy(pid);
  if (pySpy !== undefined) return framesFromPySpy(pySpy, pid, { stopped: !hung, signal });
  return hung && asked ? framesFromPython(pid, signal) : new Map();
}

/** For a hang only: this runs code in the program. That isn't safe if the program must continue, or if its heap is broken. */
async function framesFromPython(pid: number, signal: AbortSignal | undefined): Promise<PythonThreads> {
  const directory = makeTemporaryDirectory('quiesce-traceback');
  try {
    const file = join(directory.path, 'traceback');
    const commands = ['thread apply all -c backtrace 1', ...tracebackCommands(file)];
    const ended = await gdb(pid, commands, { timeoutMs: TRACEBACK_TIMEOUT_MS, signal });
    return parseTraceback(readProc(file), parseHandles(typeof ended === 'string' ? '' : ended.stdout));
  } finally {
    directory.remove();
  }
}

/** The result, or why gdb can't be started. */
async function gdb(
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

/** What is known without a debugger: the threads' numbers and names. The thread that died comes first, then the main one. */
function threadsFromProc(pid: number, faultingTid: number | undefined): ThreadStack[] {
  const rank = (tid: number): number => (tid === faultingTid ? 0 : tid === pid ? 1 : 2);
  return threadsOf(pid)
    .sort((a, b) => rank(a) - rank(b))
    .map((tid) => threadFromProc(pid, tid, faultingTid));
}

const threadFromProc = (pid: number, tid: number, faultingTid?: number): ThreadStack => ({
  tid,
  name: readProc(`/proc/${pid}/task/${tid}/comm`).trim(),
  main: tid === pid,
  faulting: tid === faultingTid,
  frames: [],
});

/** The kernel function that a thread waits in; nothing if the kernel doesn't report it. */
function channelOf(pid: number, tid: number): { channel?: string } {
  const channel = readProc(`/proc/${pid}/task/${tid}/wchan`).trim();
  return /^[a-z_]/.test(channel) ? { channel } : {};
}

/** Child processes that have not been waited for, with their commands. */
const describeChildren = (pid: number): string[] =>
  childrenOf(pid)
    .slice(0, MOST_CHILDREN)
    .map((child) => {
      const stopped = haltOf(child, child) === 'stopped' ? ', which is stopped' : '';
      return `${child} (${commandLine(child)?.slice(0, LONGEST_COMMAND) ?? 'has ended'})${stopped}`;
    });

/**
 * How many threads the parent of a process has beside its main one, if the process is a copy of the parent, made by a fork
 * without an exec; `undefined` if it isn't, or the parent has no such threads. A program that is loaded gets a new auxiliary
 * vector, with random addresses.
 */
function forkedFromThreads(pid: number): number | undefined {
  const parent = parentOf(pid);
  const vectors = [pid, parent].map((one) => readProc(`${procFolder(one)}/auxv`));
  const programs = [pid, parent].map((one) => linkOfProc(`${procFolder(one)}/exe`));
  if (vectors[0] === '' || vectors[0] !== vectors[1] || programs[0] !== programs[1]) return undefined;
  return threadsOf(parent).length - 1 || undefined;
}

function describeThreads(pid: number, problem: string, threads: readonly ThreadStack[]): string {
  if (threads.length === 0) return '  (gdb could not read its stacks, and there is no /proc entry for it)';
  const lines = threads.map(({ tid, name, faulting, interpreted, keptAliveBy }) => {
    const state = /^State:\s*(.*)$/m.exec(readProc(`/proc/${pid}/task/${tid}/status`))?.[1] ?? '?';
    const { channel } = channelOf(pid, tid);
    const died = faulting ? ' (died here)' : '';
    const waits = channel === undefined ? '' : `, in ${channel}`;
    const head = `  thread ${tid} ${JSON.stringify(name)}${died}: ${state}${waits}`;
    return [head, ...formatInterpreted(interpreted ?? [], keptAliveBy)].join('\n');
  });
  return [`  (no stacks: ${problem})`, ...lines].join('\n');
}
