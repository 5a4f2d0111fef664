import { setTimeout as delay } from 'node:timers/promises';
import { linkOfProc, readProc } from '../process/proc.js';
import type { GroupMember } from '../process/process-group.js';
import { commandLine, haltOf, parentOf, procFolder } from '../process/processes.js';
import { findFault, stacksFromGdb } from './gdb.js';
import { childrenOf, inOrder, type Links, lastAwaited, linksOf } from './kernel/awaited.js';
import { firstInterrupted } from './kernel/signal-frame.js';
import { joinsOf, threadsOf, writesIn } from './kernel/system-calls.js';
import { ownThreads } from './languages/languages.js';
import type { OwnThread } from './languages/own-threads.js';
import { formatInterpreted, formatStacks, type ThreadStack } from './stack-trace.js';

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
 * inspector, and Java frames of a hang come from jcmd. Takes at most 120 s per process. gdb leaves the processes as they were, running or stopped.
 * @param options.faultingTid number of the thread that died, whose stack comes first, and `diedFrom` its signal.
 */
export async function threadStacks(
  processes: readonly GroupMember[],
  options: { signal?: AbortSignal | undefined; faultingTid?: number; diedFrom?: NodeJS.Signals } = {},
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
  {
    signal,
    faultingTid,
    diedFrom,
  }: { signal?: AbortSignal | undefined; faultingTid?: number; diedFrom?: NodeJS.Signals },
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
  const stopped = halted === 'stopped';
  const own = await ownThreads({ pid, hung, diedFrom, stopped, traced, busy, signal });
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
    ...ownPart(own.threads.get(thread.tid), thread.name),
    ...(own.problem !== null &&
      !own.threads.has(thread.tid) &&
      isAsked(thread, hung) && { notInterpreted: own.problem }),
  }));
  const { problem } = seen;
  const text = problem === null ? formatStacks(threads) : describeThreads(pid, problem, threads);
  return { threads, text, problem };
}

/** What a program's own language adds to a thread that the system has this name for. */
function ownPart(own: OwnThread | undefined, known: string): Partial<ThreadStack> {
  if (own === undefined) return {};
  const { name = known, frames, instead, keptAliveBy, daemon } = own;
  return {
    ...(instead === undefined ? { interpreted: frames } : { notInterpreted: instead }),
    ...(name !== known && { ownName: name }),
    ...(keptAliveBy !== undefined && { keptAliveBy }),
    ...(daemon && { daemon }),
  };
}

/** Whether it matters what a thread does in its own language: of a hang the main one, of a crash one that an interpreter runs. */
const isAsked = ({ main, faulting, frames }: ThreadStack, hung: boolean): boolean =>
  hung ? main : faulting && (main || frames.some(({ name }) => /^_?PyEval_/.test(name ?? '')));

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
  const lines = threads.map((thread) => {
    const { tid, name, faulting } = thread;
    const state = /^State:\s*(.*)$/m.exec(readProc(`/proc/${pid}/task/${tid}/status`))?.[1] ?? '?';
    const { channel } = channelOf(pid, tid);
    const died = faulting ? ' (died here)' : '';
    const waits = channel === undefined ? '' : `, in ${channel}`;
    const head = `  thread ${tid} ${JSON.stringify(name)}${died}: ${state}${waits}`;
    return [head, ...formatInterpreted(thread)].join('\n');
  });
  return [`  (no stacks: ${problem})`, ...lines].join('\n');
}
