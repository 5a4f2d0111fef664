// Which process of a run that hangs is the one that the others wait for.
import { linkOfProc, readProc } from '../../process/proc.js';
import type { GroupMember } from '../../process/process-group.js';
import type { ThreadStack } from '../stack-trace.js';
import { EXITING, names, polls, waitOf, waitsForChildren } from '../waiting.js';
import {
  type Awaits,
  awaitsOf,
  canWriteTo,
  filesOf,
  type OpenFile,
  sharesMemory,
  threadsOf,
} from './system-calls.js';

/** What is known about each process before a debugger stops it. */
export interface Links {
  /** What its threads wait for of other processes, by their numbers. */
  readonly awaits: ReadonlyMap<number, Awaits>;
  readonly files: readonly OpenFile[];
  readonly children: readonly number[];
}

/** Child processes that have not been waited for. */
export const childrenOf = (pid: number): number[] =>
  threadsOf(pid).flatMap((tid) =>
    readProc(`/proc/${pid}/task/${tid}/children`).split(' ').map(Number).filter(Boolean),
  );

/** Reads that of some processes. */
export const linksOf = (processes: readonly GroupMember[]): Map<number, Links> =>
  new Map(
    processes.map(({ pid }) => [
      pid,
      { awaits: awaitsOf(pid), files: filesOf(pid), children: childrenOf(pid) },
    ]),
  );

/** Orders the processes so that each comes before those that it started, and those that only wait for work come last. */
export function inOrder(processes: readonly GroupMember[], links: ReadonlyMap<number, Links>): GroupMember[] {
  const idle = (one: GroupMember): boolean => one !== processes[0] && isIdle(one.pid, links);
  const ordered = fromTheFirstDown(processes, links);
  return [...ordered.filter((one) => !idle(one)), ...ordered.filter(idle)];
}

function fromTheFirstDown(
  processes: readonly GroupMember[],
  links: ReadonlyMap<number, Links>,
): GroupMember[] {
  const [first, ...others] = processes;
  if (first === undefined) return [];
  const children = new Set(links.get(first.pid)?.children);
  const [own, foreign] = [true, false].map((its) => others.filter(({ pid }) => children.has(pid) === its));
  return [first, ...fromTheFirstDown([...(own ?? []), ...(foreign ?? [])], links)];
}

/** The process that started a process, the one that started that, and so on. */
const ancestors = (pid: number, links: ReadonlyMap<number, Links>): number[] => {
  const parent = [...links].find(([, { children }]) => children.includes(pid))?.[0];
  return parent === undefined ? [] : [parent, ...ancestors(parent, links)];
};

/**
 * Whether a process waits for work from the process that started it: it reads what only that one, or its siblings,
 * write, or waits its turn for that.
 */
function isIdle(pid: number, links: ReadonlyMap<number, Links>): boolean {
  const awaits = links.get(pid)?.awaits.get(pid);
  const above = ancestors(pid, links);
  const reads = (of: number): boolean => {
    const own = links.get(of)?.awaits.get(of);
    return (
      own?.kind === 'input' &&
      own.from.some((link) => above.some((one) => canWriteTo(links.get(one)?.files ?? [], link)))
    );
  };
  if (awaits?.kind === 'input') return reads(pid);
  // Workers take turns in reading from one pipe.
  const siblings = links.get(above[0] ?? 0)?.children ?? [];
  return awaits?.kind === 'shared' && siblings.some((sibling) => sibling !== pid && reads(sibling));
}

/** A process, and what was seen of its threads. */
export type SeenThreads = ReadonlyMap<GroupMember, readonly ThreadStack[]>;

/** The process that a process waits for. */
export interface Awaited {
  readonly one: GroupMember;
  /** How many other processes it waits for that hang in the same place. */
  readonly alike: number;
}

/**
 * The process that this one waits for, directly or through others, if it does nothing but wait; `undefined` otherwise.
 * Of several, it is the newest that doesn't wait for work or for a sibling.
 */
export function lastAwaited(
  first: GroupMember,
  seen: SeenThreads,
  links: ReadonlyMap<number, Links>,
  passed: readonly GroupMember[] = [],
): Awaited | undefined {
  const awaited = awaitedBy(first, seen.get(first) ?? [], links);
  const candidates = [...seen.keys()].filter(
    (one) => one !== first && !passed.includes(one) && awaited?.has(one.pid) && !isIdle(one.pid, links),
  );
  const newest =
    candidates.findLast((one) => !readsFromPipe(one.pid, seen.get(one) ?? [])) ?? candidates.at(-1);
  if (newest === undefined) return undefined;
  const next = lastAwaited(newest, seen, links, [...passed, first]);
  if (next !== undefined) return next;
  const place = placeOf(seen.get(newest) ?? []);
  const alike = candidates.filter((one) => one !== newest && placeOf(seen.get(one) ?? []) === place);
  return { one: newest, alike: alike.length };
}

/** Whether it is the end of a pipeline, such as `| cat`, and waits for what comes before it. */
const readsFromPipe = (pid: number, threads: readonly ThreadStack[]): boolean =>
  linkOfProc(`/proc/${pid}/fd/0`).startsWith('pipe:') && waitOf(threads.find(({ main }) => main)) === 'file';

/** What the main thread does, without what differs between two processes. */
const placeOf = (threads: readonly ThreadStack[]): string => {
  const main = threads.find((thread) => thread.main);
  return `${names(main?.frames)}\n${main?.interpreted?.map(({ name, file, line }) => `${name} ${file}:${line}`).join('\n')}`;
};

/** Numbers of the processes that a process waits for; `undefined` if it does something else. */
function awaitedBy(
  { pid, command }: GroupMember,
  threads: readonly ThreadStack[],
  links: ReadonlyMap<number, Links>,
): ReadonlySet<number> | undefined {
  const main = threads.find((thread) => thread.main);
  const own = links.get(pid);
  if (own === undefined || main?.halted !== undefined) return undefined;
  if (threads.some(({ busy }) => busy) || EXITING.test(names(main?.frames))) return undefined;
  // A Node that a child keeps alive reads what the child prints, too. It may have forgotten to end the child.
  if (polls(main) && main?.keptAliveBy?.some((one) => one.startsWith('child process'))) {
    return waitsForChildren(threads, command) ? new Set(own.children) : undefined;
  }
  const of = (awaits: Awaits | undefined): number[] => othersIn(awaits, pid, own, links);
  const byMain = own.awaits.get(pid);
  // A server's socket, for example.
  if (byMain?.kind === 'input' && !isAllFromOthers(byMain, pid, links)) return undefined;
  const direct = of(byMain);
  if (direct.length > 0 && (byMain?.kind !== 'end' || byMain.pid !== 0)) return new Set(direct);
  if (waitsForChildren(threads, command)) return new Set(own.children);
  const through = [...own.awaits].filter(([tid, awaits]) => tid !== pid && waitsThrough(main, tid, awaits));
  const found = through.flatMap(([, awaits]) => of(awaits));
  return found.length > 0 ? new Set(found) : undefined;
}

/** Whether nothing but other processes of the run would end a wait for input. */
const isAllFromOthers = (
  { from, only }: Awaits & { readonly kind: 'input' },
  pid: number,
  links: ReadonlyMap<number, Links>,
): boolean =>
  only &&
  from.every((link) => [...links].some(([other, { files }]) => other !== pid && canWriteTo(files, link)));

/** The libraries that give work to processes and collect the results, in threads of their own. */
const POOLS = /\/(?:multiprocessing|concurrent\/futures|billiard|loky|joblib|torch\/utils\/data)\/[^:]*\.py$/;
/** A loop of Python watches children in threads, where the system gives it nothing better. */
const ASYNCIO = /\/asyncio\/[^:]*\.py$/;

/** Whether the main thread waits for what another of its threads, which waits for a process, will bring. */
function waitsThrough(main: ThreadStack | undefined, tid: number, awaits: Awaits): boolean {
  if (main === undefined) return false;
  const runs = (library: RegExp): boolean =>
    main.interpreted?.some(({ file }) => library.test(file)) === true;
  if (polls(main)) return awaits.kind === 'end' && runs(ASYNCIO);
  const wait = waitOf(main);
  return (wait === 'thread' || wait === 'unknown') && (main.joins === tid || runs(POOLS));
}

/** The processes that can end a thread's wait. */
function othersIn(
  awaits: Awaits | undefined,
  pid: number,
  own: Links,
  links: ReadonlyMap<number, Links>,
): number[] {
  if (awaits === undefined) return [];
  if (awaits.kind === 'end') return awaits.pid === 0 ? [...own.children] : [awaits.pid];
  const above = ancestors(pid, links);
  const others = [...links].filter(([other]) => other !== pid && !above.includes(other));
  if (awaits.kind === 'shared') {
    return others.flatMap(([other]) => (sharesMemory(other, awaits.memory) ? [other] : []));
  }
  return others.flatMap(([other, { files }]) =>
    awaits.from.some((link) => canWriteTo(files, link)) ? [other] : [],
  );
}
