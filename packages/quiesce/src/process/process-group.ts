import { type ChildProcess, execFileSync, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { EnvironmentError, messageOf } from '../errors.js';
import { withoutCoreDumps } from './core-dumps.js';
import { onProcessExit } from './exit-guard.js';

/** How a process ended, as the operating system reports it: exactly one of the two is set. */
export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A live process of a group. */
export interface GroupMember {
  readonly pid: number;
  /** Its command line, or its short name where that can't be read. */
  readonly command: string;
}

/** A process that leads its own session and process group, and the group with it. */
export interface ProcessGroup {
  /** The leader's process id, which is the group's id too. */
  readonly pid: number;
  readonly child: ChildProcess;
  /** How the leader ended. Its output may still be on its way then. */
  readonly exited: Promise<ExitStatus>;
  /** Sends a signal to every member; nothing happens when none is left. */
  kill(signal: NodeJS.Signals): void;
  /** Whether any member still runs. */
  alive(): boolean;
  /** The members that still run, and processes outside the group whose environment holds `marker`. */
  members(marker?: string): GroupMember[];
  /** Resolves true once no member runs, false when some still do after `timeoutMs`. */
  gone(timeoutMs: number): Promise<boolean>;
  /** Ends the supervision: from here on the group is no longer killed when this process exits. */
  release(): void;
}

/** What `spawnGroup` needs beside the command. */
export interface SpawnGroupOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly stdio: StdioOptions;
}

const POLL_MS = 5;

/**
 * Starts a command in its own session and process group with core dumps off, so that a crash under test leaves
 * no core file behind. Until `release()`, the group is killed when this process exits.
 * @throws EnvironmentError when the system can't start it.
 */
export async function spawnGroup(
  command: readonly string[],
  options: SpawnGroupOptions,
): Promise<ProcessGroup> {
  let child: ChildProcess;
  try {
    const [program = '', ...words] = withoutCoreDumps(command);
    child = spawn(program, words, { ...options, detached: true });
    if (child.pid === undefined) throw (await once(child, 'error'))[0];
  } catch (error) {
    throw new EnvironmentError(`can't start ${JSON.stringify(command[0])}: ${messageOf(error)}`);
  }
  // Later errors (a signal that can't be sent, say) show in the exit status or not at all.
  child.on('error', () => {});
  const pid = child.pid as number;
  const exited = new Promise<ExitStatus>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  const kill = (signal: NodeJS.Signals): void => {
    if (exists(pid)) signalGroup(pid, signal);
  };
  const alive = (): boolean => exists(pid) && listProcesses().some((p) => p.group === pid && !p.zombie);
  const release = onProcessExit(() => kill('SIGKILL'));
  return {
    pid,
    child,
    exited,
    kill,
    alive,
    members: (marker) =>
      listProcesses()
        .filter(
          (p) => !p.zombie && (p.group === pid || (marker !== undefined && hasInEnvironment(p.pid, marker))),
        )
        .map((p) => ({ pid: p.pid, command: commandLine(p.pid) ?? p.name })),
    async gone(timeoutMs) {
      const deadline = performance.now() + timeoutMs;
      while (alive()) {
        if (performance.now() >= deadline) return false;
        await delay(POLL_MS);
      }
      return true;
    },
    release,
  };
}

function exists(group: number): boolean {
  return signalGroup(group, 0);
}

function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-group, signal);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

interface ProcessEntry {
  readonly pid: number;
  readonly group: number;
  readonly name: string;
  /** Dead but not yet reaped, by a parent that is not us. */
  readonly zombie: boolean;
}

function listProcesses(): ProcessEntry[] {
  return process.platform === 'linux' ? listFromProc() : listFromPs();
}

function listFromProc(): ProcessEntry[] {
  const entries: ProcessEntry[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    // pid (name) state parent group ...; the name itself may hold spaces and parentheses.
    const stat = readText(`/proc/${entry}/stat`);
    const match = stat === undefined ? null : /^\d+ \((.*)\) (\S) \d+ (\d+) /s.exec(stat);
    if (match === null) continue;
    const [, name = '', state = '', group = ''] = match;
    entries.push({ pid: Number(entry), group: Number(group), name, zombie: state === 'Z' || state === 'X' });
  }
  return entries;
}

function listFromPs(): ProcessEntry[] {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,pgid=,stat=,comm='], { encoding: 'utf8' }).split('\n');
  return lines.flatMap((line) => {
    const match = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line);
    if (match === null) return [];
    const [, pid, group, state = '', name = ''] = match;
    return [{ pid: Number(pid), group: Number(group), name, zombie: state.startsWith('Z') }];
  });
}

function commandLine(pid: number): string | undefined {
  const words = readText(`/proc/${pid}/cmdline`)?.split('\0').join(' ').trim();
  return words === undefined || words === '' ? undefined : words.slice(0, 200);
}

function hasInEnvironment(pid: number, assignment: string): boolean {
  return readText(`/proc/${pid}/environ`)?.split('\0').includes(assignment) ?? false;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Whether a process exists and is neither stopped nor dead. Linux only; false elsewhere. */
export function isRunning(pid: number): boolean {
  const state = /^\d+ \(.*\) (\S) /s.exec(readText(`/proc/${pid}/stat`) ?? '')?.[1];
  return state !== undefined && !/[TtZX]/.test(state);
}
