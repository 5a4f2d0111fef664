// What the threads of a process wait for, as the kernel has it: the system call that each is in, with its arguments.
// A debugger that attaches interrupts those calls, so this must be read first.
import { linkOfProc, listProc, readProc } from '../../process/proc.js';
import { procFolder } from '../../process/processes.js';
import { memoryOf } from './memory.js';

/** A thread that waits for other processes, or for whatever writes to what it reads from. */
export type Awaits =
  /** The end of a child; 0 stands for any child. */
  | { readonly kind: 'end'; readonly pid: number }
  /** Input from these pipes and sockets. `only` is false if something of another kind, such as a terminal, would end the wait, too. */
  | { readonly kind: 'input'; readonly from: readonly string[]; readonly only: boolean }
  /** A semaphore or lock in memory that it shares with other processes: device and inode of that memory. */
  | { readonly kind: 'shared'; readonly memory: string };

interface Numbers {
  readonly futex: number;
  readonly wait4: number;
  readonly waitid: number;
  readonly read: readonly number[];
  readonly write: readonly number[];
  readonly poll: readonly number[];
  readonly select: readonly number[];
  readonly epoll: readonly number[];
}

/** read, readv, recvfrom, recvmsg; write, writev; poll, ppoll; select, pselect6; epoll_wait, epoll_pwait, epoll_pwait2. */
const NUMBERS: Numbers | undefined = {
  x64: {
    ...{ futex: 202, wait4: 61, waitid: 247 },
    ...{ read: [0, 19, 45, 47], write: [1, 20], poll: [7, 271], select: [23, 270], epoll: [232, 281, 441] },
  },
  arm64: {
    ...{ futex: 98, wait4: 260, waitid: 95 },
    ...{ read: [63, 65, 207, 212], write: [64, 66], poll: [73], select: [72], epoll: [22, 441] },
  },
}[process.arch as string];

const FUTEX_WAITS: ReadonlySet<number> = new Set([0, 9]);
const FUTEX_PRIVATE = 128;
const FUTEX_CLOCK_REALTIME = 256;
const P_PID = 1;
const P_PIDFD = 3;
const POLLIN = 1;
const MOST_DESCRIPTORS = 256;

/** The threads of a process. */
export const threadsOf = (pid: number): number[] => listProc(`/proc/${pid}/task`).map(Number);

/** The number of the system call that a thread is in, and its arguments; empty if it is in none, or that may not be read. */
const callOf = (pid: number, tid: number): bigint[] =>
  /^\d+( 0x[0-9a-f]+){6}/
    .exec(readProc(`/proc/${pid}/task/${tid}/syscall`))?.[0]
    .split(' ')
    .map(BigInt) ?? [];

/** Whether a thread is in a call that writes to a file descriptor. */
export const writesIn = (pid: number, tid: number): boolean =>
  NUMBERS?.write.includes(Number(callOf(pid, tid)[0] ?? -1n)) === true;

/** The operation of a futex call that waits, without its flag for the clock; `undefined` for another call. */
function futexWait([number, , operation = 0n]: readonly bigint[]): { readonly shared: boolean } | undefined {
  if (number === undefined || Number(number) !== NUMBERS?.futex) return undefined;
  const flags = Number(operation) & ~FUTEX_CLOCK_REALTIME;
  return FUTEX_WAITS.has(flags & ~FUTEX_PRIVATE) ? { shared: (flags & FUTEX_PRIVATE) === 0 } : undefined;
}

/**
 * Threads that wait for the end of another thread, and which one. `pthread_join` waits on a word that holds the other
 * thread's number and is cleared when that thread ends.
 */
export function joinsOf(pid: number): ReadonlyMap<number, number> {
  const tids = threadsOf(pid);
  return new Map(
    tids.flatMap((tid): [number, number][] => {
      const call = callOf(pid, tid);
      const joined = Number(call[3] ?? 0n);
      return futexWait(call)?.shared && joined !== tid && tids.includes(joined) ? [[tid, joined]] : [];
    }),
  );
}

/** What each thread of a process waits for of other processes. Threads that wait for nothing of the kind are left out. */
export function awaitsOf(pid: number): ReadonlyMap<number, Awaits> {
  return new Map(
    threadsOf(pid).flatMap((tid): [number, Awaits][] => {
      const awaits = awaitsIn(pid, callOf(pid, tid));
      return awaits === undefined ? [] : [[tid, awaits]];
    }),
  );
}

function awaitsIn(pid: number, call: readonly bigint[]): Awaits | undefined {
  const [id, first = 0n, second = 0n] = call;
  if (id === undefined || NUMBERS === undefined) return undefined;
  const number = Number(id);
  if (number === NUMBERS.wait4) return { kind: 'end', pid: Math.max(0, Number(BigInt.asIntN(32, first))) };
  if (number === NUMBERS.waitid) {
    const kind = Number(first);
    const of = kind === P_PID ? Number(second) : kind === P_PIDFD ? pidOfDescriptor(pid, Number(second)) : 0;
    return { kind: 'end', pid: of };
  }
  if (futexWait(call)?.shared) {
    const memory = sharedMemoryAt(pid, first);
    return memory === undefined ? undefined : { kind: 'shared', memory };
  }
  if (NUMBERS.read.includes(number)) return inputFrom(pid, [Number(first)]);
  if (NUMBERS.poll.includes(number)) return inputFrom(pid, polled(pid, first, Number(second)));
  if (NUMBERS.select.includes(number)) return inputFrom(pid, selected(pid, second, Number(first)));
  if (NUMBERS.epoll.includes(number)) return inputFrom(pid, watched(pid, Number(first)));
  return undefined;
}

/** @param descriptors that end the wait when there is something to read. */
function inputFrom(pid: number, descriptors: readonly number[]): Awaits | undefined {
  const open = filesOf(pid);
  const links = descriptors.flatMap((fd) => open.find((file) => file.fd === fd) ?? []);
  const pidfd = links.find(({ link }) => link === PIDFD);
  if (pidfd !== undefined) return { kind: 'end', pid: pidOfDescriptor(pid, pidfd.fd) };
  const outer = links.filter((file) => !isInternal(file, open)).map(({ link }) => link);
  const from = outer.filter((link) => /^(?:pipe|socket):/.test(link));
  return from.length === 0 ? undefined : { kind: 'input', from, only: from.length === outer.length };
}

const PIDFD = 'anon_inode:[pidfd]';

/** A descriptor that only the process itself writes to: an eventfd, a timer, or a pipe to itself, by which a loop is woken. */
const isInternal = ({ link }: OpenFile, open: readonly OpenFile[]): boolean =>
  /^anon_inode:/.test(link) ||
  (link.startsWith('pipe:') && open.some((other) => other.link === link && other.writes)) ||
  (link.startsWith('socket:') && open.some((other) => isPeer(other.link, link)));

/** A descriptor of a process. */
export interface OpenFile {
  readonly fd: number;
  /** Such as `pipe:[123]`. */
  readonly link: string;
  readonly writes: boolean;
}

/** The descriptors of a process. */
export function filesOf(pid: number): OpenFile[] {
  const folder = procFolder(pid);
  return listProc(`${folder}/fd`).map((fd) => {
    const flags = /^flags:\s*(\d+)/m.exec(readProc(`${folder}/fdinfo/${fd}`))?.[1] ?? '0';
    return {
      ...{ fd: Number(fd), link: linkOfProc(`${folder}/fd/${fd}`) },
      writes: (Number.parseInt(flags, 8) & 3) !== 0,
    };
  });
}

/** Whether what is written to one of a process's descriptors can be read from `link` by another process. */
export const canWriteTo = (files: readonly OpenFile[], link: string): boolean =>
  files.some(
    (file) => file.writes && (file.link === link ? link.startsWith('pipe:') : isPeer(file.link, link)),
  );

/** Whether two sockets are a pair: the kernel numbers them one after the other. */
function isPeer(one: string, other: string): boolean {
  const [a, b] = [one, other].map((link) => Number(/^socket:\[(\d+)\]$/.exec(link)?.[1] ?? Number.NaN));
  return Math.abs((a ?? Number.NaN) - (b ?? Number.NaN)) === 1;
}

const pidOfDescriptor = (pid: number, fd: number): number =>
  Math.max(0, Number(/^Pid:\s*(\d+)/m.exec(readProc(`${procFolder(pid)}/fdinfo/${fd}`))?.[1] ?? 0));

/** What file or device an address is in that several processes may share; `undefined` if the memory is the process's own. */
function sharedMemoryAt(pid: number, address: bigint): string | undefined {
  const lines = readProc(`${procFolder(pid)}/maps`).matchAll(
    /^([0-9a-f]+)-([0-9a-f]+) ..(?:.)s \S+ (\S+ \d+)/gm,
  );
  for (const [, from, to, memory] of lines) {
    if (BigInt(`0x${from}`) <= address && address < BigInt(`0x${to}`)) return memory;
  }
  return undefined;
}

/** Whether a process has this memory, too. */
export const sharesMemory = (pid: number, memory: string): boolean =>
  readProc(`${procFolder(pid)}/maps`).includes(` ${memory} `);

/** The descriptors in an array of `struct pollfd` that are polled for input. */
function polled(pid: number, address: bigint, count: number): number[] {
  const bytes = memoryOf(pid, address, Math.min(count, MOST_DESCRIPTORS) * 8);
  return [...Array(Math.floor(bytes.length / 8)).keys()]
    .filter((i) => bytes.readInt16LE(i * 8 + 4) & POLLIN)
    .map((i) => bytes.readInt32LE(i * 8));
}

/** The descriptors in an `fd_set`. */
function selected(pid: number, address: bigint, end: number): number[] {
  if (address === 0n) return [];
  const bytes = memoryOf(pid, address, Math.ceil(Math.min(end, MOST_DESCRIPTORS) / 8));
  return [...Array(bytes.length * 8).keys()].filter((fd) => ((bytes[fd >> 3] ?? 0) >> (fd & 7)) & 1);
}

/** The descriptors that an epoll descriptor watches. */
const watched = (pid: number, fd: number): number[] =>
  [...readProc(`${procFolder(pid)}/fdinfo/${fd}`).matchAll(/^tfd:\s*(\d+)/gm)].map(([, tfd]) => Number(tfd));
