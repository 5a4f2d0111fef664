import { isHostThread } from '../hosts.js';
import type { Timeline, TimelinePhase, TimelineThread, TornDown } from './model.js';

/** What a timeline shows. */
export type Said = Pick<Timeline, 'says' | 'tornDown'>;

type Seen = Omit<Timeline, keyof Said>;

/** File name of a path. */
export const fileName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** Milliseconds in a timeline's wording: three digits, but no finer than microseconds. */
export function timeText(ms: number): string {
  if (ms >= 1_000) return `${(ms / 1_000).toPrecision(3)} s`;
  const decimals = Math.abs(ms) < 1 ? 3 : Math.abs(ms) < 10 ? 2 : Math.abs(ms) < 100 ? 1 : 0;
  return `${ms.toFixed(decimals)} ms`;
}

/** A thread in a few words: `thread "pool-1" of libpool.so`. */
export function threadText({ name, library, main }: TimelineThread): string {
  if (main) return 'the main thread';
  const called = name === '' ? 'an unnamed thread' : `thread ${JSON.stringify(name)}`;
  return library === null ? called : `${called} of ${fileName(library)}`;
}

/** What a phase tears down: `libpool.so`, `the Python interpreter`. */
export function tornDownText({ what, name }: Pick<TimelinePhase, 'what' | 'name'>): string {
  if (what === 'python') return 'the Python interpreter';
  return name === null ? 'the process' : fileName(name);
}

const START = { 'work-done': '"work done"', exit: 'its begin', start: 'the start of the program' } as const;

/** What is known about a process that crashes or hangs, beside its timeline. */
interface Known {
  readonly exiting?: boolean | null;
  readonly mainEnded?: boolean;
}

/** Says in words what happened: which thread still ran when what was torn down, and with what result. */
export function sentence(timeline: Seen, known: Known = {}): Said {
  const { crash, threads, endMs, end, phases } = timeline;
  const exit = phases.find(({ what }) => what === 'exit');
  const exitTid =
    (exit ?? phases.find(({ what }) => what !== 'unload'))?.tid ?? threads.find(({ main }) => main)?.tid;
  if (crash !== null) {
    const died = threads.find(({ tid }) => tid === crash.tid);
    const who = capital(died === undefined ? 'a thread' : threadText(died));
    const inLibrary = crash.library === null ? '' : ` in ${fileName(crash.library)}`;
    if (crash.tid !== exitTid) return diedBeside(timeline, { who, inLibrary, died, ...known });
    const where = openAt(phases, crash.tid, crash.atMs);
    const beside = othersAt(threads, exitTid, crash.atMs);
    const unloaded = unloadOf(phases, crash);
    const place =
      unloaded !== undefined
        ? afterUnload(unloaded, crash)
        : where === undefined
          ? placeBefore(phases, crash.atMs, known)
          : placeIn(where);
    const down = unloaded ?? where;
    return {
      says: `${who} died from ${crash.signal}${inLibrary}${place}${beside === '' ? '' : `, while ${beside} still ran`}.`,
      tornDown: down === undefined ? null : torn(down),
    };
  }
  if (end === 'killed') {
    const where = exitTid === undefined ? undefined : openAt(phases, exitTid, endMs);
    const beside = othersAt(threads, exitTid, endMs);
    const still = beside === '' ? '' : `; ${beside} still ran`;
    const says =
      where === undefined
        ? `${notBegun(known)} ${timeText(endMs)} after ${START[timeline.zero]}${still}.`
        : `The exit did not end: the thread that exits was still${placeIn(where)}, since ${timeText(where.fromMs)}${still}.`;
    return { says, tornDown: where === undefined ? null : torn(where) };
  }
  if (exit === undefined) return { says: 'The beginning of the exit was not seen.', tornDown: null };
  const python = phases.find(({ what }) => what === 'python');
  const beganMs = Math.min(exit.fromMs, python?.fromMs ?? exit.fromMs);
  const others = threads.filter(
    (thread) => thread.tid !== exitTid && aliveAt(thread, beganMs) && !isHosts(thread),
  );
  const left = others
    .map((thread) => ({ thread, phase: tornDownUnder(phases, thread, thread.toMs ?? endMs, null) }))
    .find(({ phase }) => phase !== undefined);
  if (left?.phase !== undefined) {
    const { thread, phase } = left;
    return {
      says: `${capital(threadText(thread))} still ran when ${passive(phase)}.`,
      tornDown: torn(phase),
    };
  }
  return { says: 'No other thread of the program still ran when the exit began.', tornDown: null };
}

/** Python, for example, waits for its threads before it takes anything down. */
function notBegun({ exiting = null, mainEnded = false }: Known): string {
  if (mainEnded) return 'The main thread had ended, and the process had not,';
  if (exiting === true) return 'The exit had begun, and had taken nothing down';
  return exiting === false ? 'The exit had not begun' : 'The exit had not been seen to begin';
}

function diedBeside(
  { crash, phases }: Seen,
  {
    who,
    inLibrary,
    died,
    ...known
  }: Known & { who: string; inLibrary: string; died: TimelineThread | undefined },
): Said {
  if (crash === null) return { says: '', tornDown: null };
  const phase = tornDownUnder(phases, died, crash.atMs, crash.library);
  const dies = `${who} died from ${crash.signal}${inLibrary}`;
  if (phase === undefined)
    return { says: `${dies}${placeBefore(phases, crash.atMs, known)}.`, tornDown: null };
  if (phase.what === 'unload') {
    const same = unloadOf(phases, crash) === phase;
    return { says: `${dies}${afterUnload(phase, crash, !same)}.`, tornDown: torn(phase) };
  }
  const later = timeText(Math.max(0, crash.atMs - phase.fromMs));
  return {
    says: `${who} still ran when ${passive(phase)}, and died from ${crash.signal}${inLibrary} ${later} later.`,
    tornDown: torn(phase),
  };
}

/** @param named whether the library isn't the one that the thread died in, and so needs its name. */
function afterUnload(unload: TimelinePhase, { atMs }: { readonly atMs: number }, named = false): string {
  const later = timeText(Math.max(0, atMs - (unload.toMs ?? unload.fromMs)));
  return `, ${later} after ${named ? tornDownText(unload) : 'that'} was unloaded`;
}

/** The unloading of the library that a thread died in. */
const unloadOf = (
  phases: readonly TimelinePhase[],
  { library, atMs }: NonNullable<Seen['crash']>,
): TimelinePhase | undefined =>
  phases.findLast(
    ({ what, name, fromMs }) =>
      what === 'unload' &&
      fromMs <= atMs &&
      library !== null &&
      name !== null &&
      fileName(name) === fileName(library),
  );

const torn = ({ what, name, fromMs }: TimelinePhase): TornDown => ({ what, name, atMs: fromMs });

/**
 * What was torn down while a thread still ran, and matters most to it. That is its own library or the one it died in,
 * then the interpreter, then whatever was torn down last, then the process.
 */
function tornDownUnder(
  phases: readonly TimelinePhase[],
  thread: TimelineThread | undefined,
  atMs: number,
  diedIn: string | null,
): TimelinePhase | undefined {
  const begun = phases.filter(({ fromMs }) => fromMs <= atMs);
  const needs = [thread?.library, diedIn].flatMap((path) => (path == null ? [] : [fileName(path)]));
  return (
    begun.find(({ what, name }) => what !== 'exit' && name !== null && needs.includes(fileName(name))) ??
    begun.find(({ what }) => what === 'python') ??
    begun.findLast(({ what, name }) => what !== 'exit' && name !== null && !isSystems(name)) ??
    begun.find(({ what }) => what === 'exit')
  );
}

function passive(phase: TimelinePhase): string {
  return phase.what === 'exit' ? 'the exit began' : `${tornDownText(phase)} was torn down`;
}

/** The innermost part of the exit that a thread is in. */
function openAt(phases: readonly TimelinePhase[], tid: number, atMs: number): TimelinePhase | undefined {
  return phases.findLast(
    (phase) => phase.tid === tid && phase.fromMs <= atMs && (phase.toMs === null || phase.toMs >= atMs),
  );
}

function placeIn(phase: TimelinePhase): string {
  switch (phase.what) {
    case 'python':
      return ' while the Python interpreter was torn down';
    case 'handler':
      return ` in an exit handler or destructor of ${tornDownText(phase)}`;
    case 'library':
    case 'unload':
      return ` while ${tornDownText(phase)} was torn down`;
    case 'exit':
      return ' in the exit';
  }
}

function placeBefore(phases: readonly TimelinePhase[], atMs: number, { exiting }: Known): string {
  if (phases.some(({ what, fromMs }) => what === 'exit' && fromMs <= atMs)) return ' in the exit';
  // A host takes down what it made, such as a worker, before it calls exit().
  return exiting === true
    ? ' before exit() was called, while its host took something down'
    : ' before the exit began';
}

/** The first of the other threads that existed then, and how many more. */
function othersAt(threads: readonly TimelineThread[], tid: number | undefined, atMs: number): string {
  const others = threads.filter((thread) => thread.tid !== tid && aliveAt(thread, atMs) && !isHosts(thread));
  const [first] = others;
  if (first === undefined) return '';
  const more = others.length - 1;
  return `${threadText(first)}${more === 0 ? '' : ` and ${more} more`}`;
}

const aliveAt = ({ fromMs, toMs }: TimelineThread, atMs: number): boolean =>
  (fromMs ?? atMs) <= atMs && (toMs === null || toMs > atMs);

const isHosts = ({ name, library }: TimelineThread): boolean =>
  library !== null && isHostThread(name, library);

/** Libraries of the C and C++ runtimes: that they are torn down says nothing about a program. */
export const isSystems = (path: string): boolean =>
  /^(?:ld-linux.*|lib(?:c|m|dl|rt|pthread|gcc_s|stdc\+\+))\.so/.test(fileName(path)) || isTesters(path);

/** Whether it is one of the tester's own preload libraries. */
export const isTesters = (path: string): boolean => /^exit-(?:witness|amplifier)\./.test(fileName(path));

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
