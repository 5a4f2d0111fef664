import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { BoundedOutput } from './bounded-output.js';
import { findExecutable } from './executable.js';
import { type GroupMember, spawnGroup } from './process-group.js';

const GDB_TIMEOUT_MS = 15_000;
const MOST_PROCESSES = 4;

/**
 * The stacks of all threads of some live processes (the first four), as text for a reader: from gdb where it is
 * installed and may attach, else each thread's name, state and wait channel from /proc. Takes at most 15 s a
 * process. The processes may be left stopped; the caller is about to kill them.
 */
export async function threadStacks(processes: readonly GroupMember[], signal?: AbortSignal): Promise<string> {
  const parts: string[] = [];
  for (const { pid, command } of processes.slice(0, MOST_PROCESSES)) {
    if (signal?.aborted) break;
    const stacks = (await stacksFromGdb(pid, signal)) ?? threadsFromProc(pid);
    parts.push(`process ${pid}: ${command}\n${stacks}`);
  }
  const left = processes.length - MOST_PROCESSES;
  if (left > 0) parts.push(`and ${left} more ${left === 1 ? 'process' : 'processes'}`);
  return parts.join('\n\n');
}

async function stacksFromGdb(pid: number, signal?: AbortSignal): Promise<string | undefined> {
  const gdb = findExecutable('gdb', process.cwd());
  if (gdb.path === undefined) return undefined;
  const options = [
    '-nx',
    '-batch',
    '-iex',
    'set debuginfod enabled off',
    '-ex',
    'set print frame-arguments none',
  ];
  const group = await spawnGroup([gdb.path, ...options, '-p', String(pid), '-ex', 'thread apply all bt 64'], {
    cwd: process.cwd(),
    env: process.env,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const output = new BoundedOutput(48 * 1024, 16 * 1024);
  group.child.stdout?.on('data', (chunk: Buffer) => output.push(chunk));
  const closed = new Promise<void>((resolve) => group.child.once('close', () => resolve()));
  const stop = (): void => group.kill('SIGKILL');
  signal?.addEventListener('abort', stop, { once: true });
  const timer = setTimeout(stop, GDB_TIMEOUT_MS);
  await group.exited;
  clearTimeout(timer);
  signal?.removeEventListener('abort', stop);
  group.kill('SIGKILL');
  await Promise.race([closed, delay(100)]);
  group.child.stdout?.destroy();
  group.release();
  const text = output.toString();
  const start = text.search(/^Thread \d+/m);
  return start < 0
    ? undefined
    : text
        .slice(start)
        .replace(/^\[Inferior .*$/m, '')
        .trimEnd();
}

function threadsFromProc(pid: number): string {
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return '  (gdb could not tell its stacks, and there is no /proc entry for it)';
  }
  const lines = threads.map((thread) => {
    const read = (file: string): string => readLine(`/proc/${pid}/task/${thread}/${file}`);
    const state = /^State:\s*(.*)$/m.exec(read('status'))?.[1] ?? '?';
    return `  thread ${thread} ${JSON.stringify(read('comm'))}: ${state}, in ${read('wchan') || '?'}`;
  });
  return ['  (no stacks: gdb is not installed or may not attach)', ...lines].join('\n');
}

function readLine(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}
