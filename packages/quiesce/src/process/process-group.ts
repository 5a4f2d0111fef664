import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { EnvironmentError, messageOf } from '../errors.js';
import { withoutCoreDumps } from './core-dumps.js';
import { onProcessExit } from './exit-guard.js';
import { commandLine, type LiveProcess, listProcesses, markedProcesses } from './processes.js';

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

/**
 * A process that leads its own session and process group, and all that came of it. A process that left the group, as a
 * daemon does, is known by its environment (`QUIESCE_INSIDE`), on Linux.
 */
export interface ProcessGroup {
  /** The leader's process id, which is the group's id too. */
  readonly pid: number;
  readonly child: ChildProcess;
  /** How the leader ended. Its output may still be on its way then. */
  readonly exited: Promise<ExitStatus>;
  /** Sends a signal to every member; nothing happens when none is left. */
  kill(signal: NodeJS.Signals): void;
  /** The members that still run. */
  members(): GroupMember[];
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
/** How often a kill looks again for what was started meanwhile. */
const MOST_KILLS = 20;
/** Ids of the groups that a process came of, the outermost first: a tester may run in a run of another. */
const INSIDE = 'QUIESCE_INSIDE';

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
  const id = randomUUID();
  const env = { ...options.env, [INSIDE]: [options.env[INSIDE], id].filter(Boolean).join(':') };
  const startedAt = performance.now();
  try {
    const [program = '', ...words] = withoutCoreDumps(command);
    child = spawn(program, words, { ...options, env, detached: true });
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
  const strays = (): LiveProcess[] => markedProcesses(id, pid, performance.now() - startedAt);
  const kill = (signal: NodeJS.Signals): void => {
    const signalled = new Set<number>();
    for (let i = 0; i < MOST_KILLS; i++) {
      if (exists(pid)) send(-pid, signal);
      const found = strays().filter((stray) => !signalled.has(stray.pid));
      if (found.length === 0) return;
      for (const stray of found) {
        signalled.add(stray.pid);
        send(stray.pid, signal);
      }
    }
  };
  const live = (): LiveProcess[] => [
    ...(exists(pid) ? listProcesses().filter(({ group }) => group === pid) : []),
    ...strays(),
  ];
  const release = onProcessExit(() => kill('SIGKILL'));
  return {
    pid,
    child,
    exited,
    kill,
    members: () => live().map(({ pid, name }) => ({ pid, command: commandLine(pid) ?? name })),
    async gone(timeoutMs) {
      const deadline = performance.now() + timeoutMs;
      while (live().length > 0) {
        if (performance.now() >= deadline) return false;
        await delay(POLL_MS);
      }
      return true;
    },
    release,
  };
}

const exists = (group: number): boolean => send(-group, 0);

/** Whether there is anybody to send it to. */
function send(to: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(to, signal);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
