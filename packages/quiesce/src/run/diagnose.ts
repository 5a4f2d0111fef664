import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { findExecutable } from '../process/executable.js';
import type { GroupMember } from '../process/process-group.js';
import { runToEnd } from '../process/run-to-end.js';
import { pythonFrames } from './interpreted-frames.js';
import {
  formatInterpreted,
  formatStacks,
  parseMappings,
  parseStacks,
  type ThreadStack,
} from './stack-trace.js';

// It reads all symbols of a host of 100 MB first: 2 s, and 20 times that on a machine that is overloaded.
const GDB_TIMEOUT_MS = 60_000;
const MOST_PROCESSES = 4;

/** What was seen of the threads of one or more processes. */
export interface Stacks {
  /** Of the first process that a debugger could read; empty when none could. */
  readonly threads: readonly ThreadStack[];
  /** All of it, for a reader. */
  readonly text: string;
}

/**
 * The stacks of all threads of some live processes (the first four): from gdb where it is installed and may attach,
 * else each thread's name, state and wait channel from /proc; with Python's own frames where py-spy is installed. Takes
 * at most 80 s a process. gdb leaves them as they
 * were, running or stopped.
 * @param faultingTid number of the thread that died, whose stack comes first.
 */
export async function threadStacks(
  processes: readonly GroupMember[],
  options: { signal?: AbortSignal | undefined; faultingTid?: number } = {},
): Promise<Stacks> {
  const parts: string[] = [];
  let first: readonly ThreadStack[] = [];
  for (const { pid, command } of processes.slice(0, MOST_PROCESSES)) {
    if (options.signal?.aborted) break;
    const busy = options.faultingTid === undefined ? await busyThread(pid) : undefined;
    const seen = await stacksFromGdb(pid, options.faultingTid, options.signal);
    const stopped = options.faultingTid !== undefined;
    const interpreted = await pythonFrames(pid, { stopped, signal: options.signal });
    const threads = seen.map((thread) => ({
      ...thread,
      ...(thread.tid === busy && { busy: true }),
      ...(interpreted.has(thread.tid) && { interpreted: interpreted.get(thread.tid) ?? [] }),
    }));
    if (first.length === 0) first = threads;
    const text = threads.length > 0 ? formatStacks(threads) : threadsFromProc(pid, interpreted);
    parts.push(`process ${pid}: ${command}\n${text}`);
  }
  const left = processes.length - MOST_PROCESSES;
  if (left > 0) parts.push(`and ${left} more ${left === 1 ? 'process' : 'processes'}`);
  return { threads: first, text: parts.join('\n\n') };
}

const BUSY_SAMPLES = 6;
const BUSY_SAMPLE_MS = 50;
/** Of the samples, how many find it running or ready to run. A machine's load delays that, and doesn't change it. */
const BUSY_LEAST = 5;

/** The thread that runs, or wants to, whenever it is looked at; `undefined` where all wait. Takes 0.3 s. */
async function busyThread(pid: number): Promise<number | undefined> {
  const running = new Map<number, number>();
  for (let i = 0; i < BUSY_SAMPLES; i++) {
    if (i > 0) await delay(BUSY_SAMPLE_MS);
    for (const tid of threadsOf(pid)) {
      // 123 (name) R 1 ...: the name may hold anything.
      const state = /^.*\) (\w) /s.exec(read(`/proc/${pid}/task/${tid}/stat`))?.[1];
      if (state === 'R') running.set(tid, (running.get(tid) ?? 0) + 1);
    }
  }
  const [most] = [...running].sort((a, b) => b[1] - a[1]);
  return most !== undefined && most[1] >= BUSY_LEAST ? most[0] : undefined;
}

function threadsOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return [];
  }
}

/** Why a debugger sees nothing here, and what to do. */
export function debuggerProblem(): string {
  if (findExecutable('gdb', process.cwd()).path === undefined) return 'gdb is not installed';
  const scope = read('/proc/sys/kernel/yama/ptrace_scope').trim();
  if (scope === '2' || scope === '3') {
    return `gdb may not attach: kernel.yama.ptrace_scope is ${scope}; set it to 0 or 1, or run the tester with CAP_SYS_PTRACE`;
  }
  if (scope === '1') {
    return 'gdb may not attach: kernel.yama.ptrace_scope is 1, and the exit witness, which lets the tester in, is not in this process';
  }
  return 'gdb may not attach, as in a container without CAP_SYS_PTRACE, or was too slow';
}

/** Empty when gdb isn't there, may not attach, or takes too long. */
async function stacksFromGdb(
  pid: number,
  faultingTid: number | undefined,
  signal: AbortSignal | undefined,
): Promise<ThreadStack[]> {
  const gdb = findExecutable('gdb', process.cwd());
  if (gdb.path === undefined) return [];
  const before = ['set debuginfod enabled off', 'set auto-load off', 'set width 0', 'set confirm off'];
  const options = ['-nx', '-batch', ...before.flatMap((command) => ['-iex', command])];
  const commands = ['set print frame-arguments none', 'thread apply all -c backtrace 64'];
  const mappings = parseMappings(read(`/proc/${pid}/maps`));
  const { stdout } = await runToEnd(
    [gdb.path, ...options, '-p', String(pid), ...commands.flatMap((command) => ['-ex', command])],
    { cwd: process.cwd(), timeoutMs: GDB_TIMEOUT_MS, signal, keep: [192 * 1024, 64 * 1024] },
  );
  return parseStacks(stdout, pid, mappings, faultingTid);
}

function threadsFromProc(pid: number, interpreted: Awaited<ReturnType<typeof pythonFrames>>): string {
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return '  (gdb could not read its stacks, and there is no /proc entry for it)';
  }
  const lines = threads.map((thread) => {
    const line = (file: string): string => read(`/proc/${pid}/task/${thread}/${file}`).trim();
    const state = /^State:\s*(.*)$/m.exec(line('status'))?.[1] ?? '?';
    const head = `  thread ${thread} ${JSON.stringify(line('comm'))}: ${state}, in ${line('wchan') || '?'}`;
    return [head, ...formatInterpreted(interpreted.get(Number(thread)) ?? [])].join('\n');
  });
  return [`  (no stacks: ${debuggerProblem()})`, ...lines].join('\n');
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
