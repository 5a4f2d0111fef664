import { execFileSync } from 'node:child_process';
import { constants } from 'node:os';
import { listProc, readProc } from './proc.js';

/** A process that has not ended: it runs, sleeps or is stopped. */
export interface LiveProcess {
  readonly pid: number;
  /** Its process group. */
  readonly group: number;
  /** Its short name. */
  readonly name: string;
}

/** All processes that have not ended. A process whose first thread has ended lives as long as any other thread does. */
export function listProcesses(): LiveProcess[] {
  return process.platform === 'linux' ? listProc('/proc').flatMap(liveProcess) : listFromPs();
}

function liveProcess(entry: string): LiveProcess[] {
  if (!/^\d+$/.test(entry)) return [];
  const pid = Number(entry);
  // pid (name) state parent group ...; the name itself may hold spaces and parentheses.
  const match = /^\d+ \((.*)\) (\S) \d+ (\d+) /s.exec(readProc(`/proc/${pid}/stat`));
  if (match === null) return [];
  const [, name = '', state = '', group = ''] = match;
  if (isDead(state) && otherThread(pid) === undefined) return [];
  return [{ pid, group: Number(group), name }];
}

function listFromPs(): LiveProcess[] {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,pgid=,stat=,comm='], { encoding: 'utf8' }).split('\n');
  return lines.flatMap((line) => {
    const match = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line);
    if (match === null) return [];
    const [, pid, group, state = '', name = ''] = match;
    return isDead(state) ? [] : [{ pid: Number(pid), group: Number(group), name }];
  });
}

/** Dead, though not yet reaped by its parent. */
const isDead = (state: string): boolean => /^[ZX]/.test(state);

const stateOf = (folder: string): string => /^\d+ \(.*\) (\S) /s.exec(readProc(`${folder}/stat`))?.[1] ?? 'X';

/** A living thread of a process whose first thread has ended, as after `pthread_exit` in `main`. */
const otherThread = (pid: number): number | undefined =>
  listProc(`/proc/${pid}/task`)
    .map(Number)
    .find((tid) => !isDead(stateOf(`/proc/${pid}/task/${tid}`)));

/** Whether it has ended, or none has its number. Linux only; false elsewhere. */
export const hasEnded = (pid: number): boolean =>
  process.platform === 'linux' && isDead(stateOf(`/proc/${pid}`)) && otherThread(pid) === undefined;

/** The first thread of a process, or if that has ended, another living one. */
export const liveThread = (pid: number): number =>
  isDead(stateOf(`/proc/${pid}`)) ? (otherThread(pid) ?? pid) : pid;

/**
 * The folder of /proc that has what all threads of a process share, such as its memory map. The process's own folder is
 * empty if its first thread has ended.
 */
export function procFolder(pid: number): string {
  const tid = liveThread(pid);
  return tid === pid ? `/proc/${pid}` : `/proc/${pid}/task/${tid}`;
}

/** For a thread that neither runs nor waits: `ended`, for a first thread while others continue, or `stopped` by a signal. */
export function haltOf(pid: number, tid: number): 'ended' | 'stopped' | undefined {
  const state = stateOf(`/proc/${pid}/task/${tid}`);
  return isDead(state) ? 'ended' : state === 'T' ? 'stopped' : undefined;
}

/** Whether a process exists and is neither stopped nor dead. Linux only; false elsewhere. */
export function isRunning(pid: number): boolean {
  return !/[TtZX]/.test(stateOf(procFolder(pid)));
}

/** Whether a signal has stopped it. Linux only; false elsewhere. */
export const isStopped = (pid: number): boolean => stateOf(`/proc/${pid}`) === 'T';

/** Its ancestors among some processes, the parent first. Linux only; none elsewhere. */
export function ancestorsOf(pid: number, among: ReadonlySet<number>): number[] {
  const found: number[] = [];
  for (let parent = parentOf(pid); among.has(parent); parent = parentOf(parent)) found.push(parent);
  return found;
}

/** The thread's number from its own view, which differs in a PID namespace. */
export const innermostNumber = (pid: number, tid: number): number =>
  Number(/^NSpid:.*\s(\d+)$/m.exec(readProc(`/proc/${pid}/task/${tid}/status`))?.[1] ?? tid);

/** Whether it has a handler for a signal. Linux only; false elsewhere. */
export function catches(pid: number, signal: NodeJS.Signals): boolean {
  const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readProc(`/proc/${pid}/status`))?.[1] ?? '0';
  return ((BigInt(`0x${mask}`) >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n;
}

/** How long the threads of a process have waited for a CPU so far, together, in ms. Linux only; 0 elsewhere. */
export const waitedForCpuMs = (pid: number): number =>
  listProc(`/proc/${pid}/task`)
    .map((tid) => Number(/^\d+ (\d+)/.exec(readProc(`/proc/${pid}/task/${tid}/schedstat`))?.[1] ?? 0) / 1e6)
    .reduce((sum, ms) => sum + ms, 0);

/**
 * For how long some process of the machine, whichever, has had to wait for a CPU so far, in ms. Linux only; 0 elsewhere,
 * and where the kernel doesn't tell.
 */
export const cpuPressureMs = (): number =>
  Number(/^some .*total=(\d+)/m.exec(readProc('/proc/pressure/cpu'))?.[1] ?? 0) / 1e3;

/** The process that started it, or took it over; 0 if that is unknown. */
export const parentOf = (pid: number): number =>
  Number(/^\d+ \(.*\) \S (\d+) /s.exec(readProc(`/proc/${pid}/stat`))?.[1] ?? 0);

/** Its command line, shortened; `undefined` if that can't be read. */
export function commandLine(pid: number): string | undefined {
  const words = readProc(`${procFolder(pid)}/cmdline`)
    .split('\0')
    .join(' ')
    .trim();
  return words === '' ? undefined : words.slice(0, 200);
}

/** More than the number of processes and threads that any machine starts in a millisecond. */
const MOST_BORN_A_MS = 200;

/** Whether a process belongs to a group, by its environment and its parent. */
export type Belongs = (environment: string, parent: () => number) => boolean;

/**
 * Live processes outside the group of `leader` that belong to it. Linux only; none elsewhere.
 * @param ageMs how long ago the leader was started. The system numbers processes consecutively. So soon after its
 * start, only processes with a number above the leader's need to be examined, and usually there are none.
 */
export function processesOutside(leader: number, belongs: Belongs, ageMs: number): LiveProcess[] {
  if (process.platform !== 'linux') return [];
  const last = Number(/ (\d+)\s*$/.exec(readProc('/proc/loadavg'))?.[1] ?? 0);
  const numbers = Number(readProc('/proc/sys/kernel/pid_max')) || 0;
  const inOrder = last >= leader && ageMs * MOST_BORN_A_MS < numbers;
  if (inOrder && last === leader) return [];
  return listProc('/proc')
    .filter((entry) => /^\d+$/.test(entry) && !(inOrder && (Number(entry) <= leader || Number(entry) > last)))
    .filter((entry) =>
      belongs(readProc(`${procFolder(Number(entry))}/environ`), () => parentOf(Number(entry))),
    )
    .flatMap(liveProcess)
    .filter(({ group }) => group !== leader);
}
