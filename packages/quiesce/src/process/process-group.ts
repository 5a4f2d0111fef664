import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { EnvironmentError, messageOf } from '../errors.js';
import { beginningOf, findExecutable, interpreterOf, mayNotRun } from './executable.js';
import { onProcessExit } from './exit-guard.js';
import { nodeStarter } from './node-starter.js';
import { procProblem } from './proc.js';
import { type Belongs, commandLine, type LiveProcess, listProcesses, processesOutside } from './processes.js';
import { startedSpawner } from './spawner.js';
import type { Start, StartedProgram } from './started-program.js';

/** A live process of a group. */
export interface GroupMember {
  readonly pid: number;
  /** Its command line, or its short name if that can't be read. */
  readonly command: string;
}

/**
 * A process that leads its own session and process group, and everything that came from it. On Linux, a process that
 * left the group, as a daemon does, is recognized by its environment (`QUIESCE_INSIDE`).
 */
export interface ProcessGroup extends StartedProgram {
  /** The leader's process id, which is also the group's id. */
  readonly pid: number;
  /** Sends a signal to every member; nothing happens when none is left. */
  kill(signal: NodeJS.Signals): void;
  /** The members that still run. */
  members(): GroupMember[];
  /** Resolves with true once no member runs, and with false if some still run after `timeoutMs`. */
  gone(timeoutMs: number): Promise<boolean>;
  /** Ends the supervision: from here on the group is no longer killed when this process exits. */
  release(): void;
}

/** How a program, and what it starts, reach this process through descriptor 3. */
export interface Way {
  /** The process that made the sockets. Debuggers must descend from it. */
  readonly pid: number;
  /** Name of an abstract socket for processes without the descriptor; `undefined` if there is none. */
  readonly socket: string | undefined;
}

/** What `spawnGroup` needs beside the command. */
export interface SpawnGroupOptions extends Pick<Start, 'cwd' | 'env' | 'outputs' | 'sequence'> {
  /** Variables for the program alone. They may depend on this way to the tester. Default: none. */
  readonly added?: (way: Way) => Readonly<Record<string, string>>;
}

const POLL_MS = 5;
/** How many times a kill looks again for processes that were started meanwhile. */
const MOST_KILLS = 20;
/** Ids of the groups that a process came from, the outermost first. A tester may itself run in a run of another tester. */
const INSIDE = 'QUIESCE_INSIDE';

/**
 * Starts a command in its own session and process group with core dumps off, so that a crash under test leaves
 * no core file behind. Until `release()`, the group is killed when this process exits.
 * @throws EnvironmentError when the system can't start it.
 */
export async function spawnGroup(
  command: readonly string[],
  { cwd: given, outputs, env, added: add, sequence }: SpawnGroupOptions,
): Promise<ProcessGroup> {
  // The spawner runs elsewhere.
  const cwd = resolve(given);
  let program: StartedProgram;
  const id = randomUUID();
  const starter = (await startedSpawner()) ?? nodeStarter;
  const socket = starter.listens && outputs === 3 ? `quiesce-${id}` : undefined;
  const added: Record<string, string> = {
    ...add?.({ pid: starter.pid, socket }),
    [INSIDE]: [env[INSIDE], id].filter(Boolean).join(':'),
  };
  live.set(id, sequence);
  try {
    program = await starter.start({ command, cwd, env, added, socket: socket ?? '', outputs, sequence });
  } catch (error) {
    live.delete(id);
    // A starter that is gone may have started it before.
    if (error instanceof EnvironmentError) await endLost(id);
    const { code = '' } = error as NodeJS.ErrnoException;
    const hint =
      code === 'ENOENT' ? whatIsMissing(command[0] ?? '', cwd, added.PATH ?? env.PATH) : HINTS[code];
    throw new EnvironmentError(`can't start ${JSON.stringify(command[0])}: ${messageOf(error)}`, hint, {
      cause: error,
    });
  }
  const { pid, startedAt } = program;
  let ended = false;
  program.exited.then(
    () => {
      ended = true;
    },
    () => {},
  );
  // The next program of its sequence may have been started once this one has gone: its child of the spawner isn't ours.
  // Once this process knows of the end, it also knows whether the next one waits.
  const nextWaits = (): boolean => ended || exists(pid);
  const isOurs: Belongs = (environment, parent) =>
    environment.includes(id) ||
    // A daemon may have no environment. The spawner is its parent then.
    (starter.listens &&
      isAlone(id, sequence) &&
      parent() === starter.pid &&
      !environment.includes(INSIDE) &&
      nextWaits());
  const strays = (): LiveProcess[] => processesOutside(pid, isOurs, performance.now() - startedAt);
  const kill = (signal: NodeJS.Signals): void => {
    if (program.leftNothing()) return;
    const signalled = new Set<number>();
    for (let i = 0; i < MOST_KILLS; i++) {
      send(-pid, signal);
      const found = strays().filter((stray) => !signalled.has(stray.pid));
      if (found.length === 0) return;
      for (const stray of found) {
        signalled.add(stray.pid);
        send(stray.pid, signal);
      }
    }
  };
  const remaining = (): LiveProcess[] =>
    program.leftNothing() ? [] : [...(exists(-pid) ? membersOf(pid) : []), ...strays()];
  const release = onProcessExit(() => kill('SIGKILL'));
  return {
    ...program,
    kill,
    members: () => remaining().map(({ pid, name }) => ({ pid, command: commandLine(pid) ?? name })),
    async gone(timeoutMs) {
      const deadline = performance.now() + timeoutMs;
      while (remaining().length > 0) {
        if (performance.now() >= deadline) return false;
        await delay(POLL_MS);
      }
      return true;
    },
    release() {
      live.delete(id);
      release();
    },
  };
}

/** The processes of a group that exists. */
const membersOf = (group: number): LiveProcess[] =>
  procProblem() === undefined
    ? listProcesses().filter((one) => one.group === group)
    : [{ pid: group, group, name: UNKNOWN }];

/** For processes that are known by their group alone. */
const UNKNOWN = 'unknown, since there is no usable /proc';

/**
 * Makes sure that a command can be started by the system itself, before a wrapper such as `nice` starts it: a wrapper
 * gives to a shell what the system can't run, and reports a program that is gone as if that had failed.
 * @throws EnvironmentError when the system can't start it.
 */
export async function checkStart(
  command: readonly string[],
  { cwd, env }: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<void> {
  const { path } = findExecutable(command[0] ?? '', cwd, env.PATH);
  if (path !== undefined && !mayNotRun(path, cwd)) return;
  // The system says why. If it can start the program, as by an emulator, that must not do anything.
  const group = await spawnGroup(command, { cwd, env, outputs: 0 });
  group.kill('SIGKILL');
  await group.exited;
  group.release();
}

/** Kills what a group has started whose leader isn't known. */
async function endLost(id: string): Promise<void> {
  const isOurs: Belongs = (environment) => environment.includes(id);
  // A process that is just becoming the program still has another environment.
  for (let looks = 0; looks < MOST_KILLS; looks++) {
    await delay(POLL_MS);
    const found = processesOutside(0, isOurs, Number.POSITIVE_INFINITY);
    for (const { pid } of found) send(pid, 'SIGKILL');
    if (found.length === 0 && looks > 0) return;
  }
}

/** The groups that were not released yet: the sequence of each, by id. */
const live = new Map<string, number | undefined>();

/** Whether no other group runs. Of a sequence, one group runs at a time. */
const isAlone = (id: string, sequence: number | undefined): boolean =>
  [...live].every(([other, of]) => other === id || (of !== undefined && of === sequence));

const HINTS: Readonly<Record<string, string>> = {
  EAGAIN: 'no more processes or threads are allowed here: see ulimit -u, and the limit of the container',
  EMFILE: 'too many files are open: raise ulimit -n',
  ENOEXEC: 'it is a program for another machine, or a damaged one: see file(1)',
  ENOMEM: 'memory ran out: see ulimit -v, and the limit of the container',
};

/** Why the system reports that an existing file doesn't exist. */
function whatIsMissing(program: string, cwd: string, searchPath: string | undefined): string | undefined {
  if (!existsSync(cwd)) return `the directory ${cwd} doesn't exist any more`;
  const { path } = findExecutable(program, cwd, searchPath);
  if (path === undefined) return undefined;
  const interpreter = interpreterOf(beginningOf(path));
  if (interpreter === undefined)
    return 'the file exists, but its loader may not: it may be a program for another system';
  return existsSync(resolve(cwd, interpreter))
    ? undefined
    : `its first line names ${interpreter}, which doesn't exist`;
}

/** Whether a process or, by a negative number, a group exists. */
const exists = (pid: number): boolean => send(pid, 0);

/** Whether a process exists that could receive a signal. */
function send(to: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(to, signal);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
