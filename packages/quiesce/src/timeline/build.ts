// timeline/: the exit of a run as it happened: what the preload libraries record, what is seen of the threads from
// outside, and the timeline that is made from both. report/ decides how it looks.
import type { Events, ExitEvent } from './events.js';
import type { ThreadState, Timeline, TimelineCrash, TimelinePhase, TimelineThread } from './model.js';
import type { Sample } from './sampler.js';
import { isSystems, isTesters, sentence } from './sentence.js';

/** How the process ended, as the tester saw it. */
export interface TimelineEnd {
  readonly run: number;
  /** The leader of the run's process group. Its exit is shown if no other process reported "work done" or crashed. */
  readonly pid: number;
  /** Microseconds of CLOCK_MONOTONIC. */
  readonly us: number;
  readonly hung: boolean;
  /** The signal it died from, if it is known. */
  readonly signal: string | null;
  /** Files of the libraries on the stack of the thread that died, innermost first; empty if the stack wasn't taken. */
  readonly stack: readonly (string | null)[];
  /** Names of the threads, by their numbers, as far as they are known otherwise. */
  readonly names?: ReadonlyMap<number, string>;
  /** Whether stacks show that something is taken down; `null` or absent if none were taken. */
  readonly exiting?: boolean | null;
  /** For a hang: whether the main thread has ended, and others continue. */
  readonly mainEnded?: boolean;
}

const MOST_PHASES = 400;
const MOST_THREADS = 64;
const SOON_MS = 0.1;

/** Makes a run's timeline; `null` if nothing was recorded for its process, for example if it is static. */
export function buildTimeline(
  { events: all, lost }: Events,
  samplesOf: (pid: number) => readonly Sample[],
  end: TimelineEnd,
): Timeline | null {
  const pid =
    all.findLast(({ kind }) => kind === 'done')?.pid ??
    all.findLast(({ kind }) => kind === 'crash')?.pid ??
    end.pid;
  // Earlier events are from a program that replaced itself with this one (exec).
  const own = all.filter((event) => event.pid === pid);
  const noted = own.slice(
    Math.max(
      0,
      own.findLastIndex(({ kind }) => kind === 'start'),
    ),
  );
  const [first] = noted;
  if (first === undefined) return null;
  const crashed = end.hung ? undefined : noted.find(({ kind }) => kind === 'crash');
  const lastUs = crashed?.us ?? end.us;
  // A process that dies or hangs runs on until it is stopped.
  const until = noted.filter(({ us }) => us <= lastUs);
  const done = until.find(({ kind }) => kind === 'done');
  // Python ends its interpreter first, and then calls exit.
  const exit = until.find(({ kind }) => kind === 'exit' || kind === 'python');
  const zeroUs = (done ?? exit ?? first).us;
  const endUs = Math.max(zeroUs, lastUs);
  const events = noted.filter(({ us }) => us <= endUs);
  const ms = (us: number): number => Math.round(us - zeroUs) / 1_000;
  const endMs = ms(endUs);
  const samples = samplesOf(pid).filter(({ us }) => us <= endUs);
  const crash: TimelineCrash | null =
    crashed === undefined
      ? null
      : {
          atMs: ms(crashed.us),
          tid: crashed.tid,
          signal: end.signal ?? `signal ${crashed.detail}`,
          library: end.stack.find((library) => library !== null && !isSystems(library)) ?? null,
        };
  const phases = phasesOf(events, ms);
  const threads = threadsOf(events, samples, pid, { ms, zeroUs, endUs, names: end.names });
  const facts = { endMs, crash, phases, threads } as const;
  const timeline = {
    run: end.run,
    zero: done !== undefined ? 'work-done' : exit !== undefined ? 'exit' : 'start',
    end: crash !== null ? 'crashed' : end.hung ? 'killed' : 'gone',
    ...facts,
    lostEvents: lost,
  } as const;
  return { ...timeline, ...sentence(timeline, end) };
}

type ToMs = (us: number) => number;

const nameOrNull = (text: string): string | null => (text === '' ? null : text);

function phasesOf(events: readonly ExitEvent[], ms: ToMs): TimelinePhase[] {
  const phases: { -readonly [K in keyof TimelinePhase]: TimelinePhase[K] }[] = [];
  const begin = (what: TimelinePhase['what'], { tid, us }: ExitEvent, name: string, from = us): void => {
    phases.push({ what, name: nameOrNull(name), tid, fromMs: ms(from), toMs: null, count: 1 });
  };
  const finish = (what: TimelinePhase['what'], { tid, us, detail }: ExitEvent): void => {
    const open = phases.findLast(
      (phase) =>
        phase.what === what && phase.tid === tid && phase.toMs === null && (phase.name ?? '') === detail,
    );
    if (open !== undefined) open.toMs = ms(us);
  };
  for (const event of events) {
    const { kind, us, detail } = event;
    if (kind === 'handler') begin('handler', event, detail);
    else if (kind === 'handled') finish('handler', event);
    else if (kind === 'finalize') begin('library', event, detail);
    else if (kind === 'finalized') finish('library', event);
    else if (kind === 'python') begin('python', event, '');
    else if (kind === 'exit') {
      // For example by `exit` and then `_exit`. The exit begins with the first call.
      if (phases.some(({ what }) => what === 'exit')) continue;
      for (const phase of phases) if (phase.what === 'python') phase.toMs ??= ms(us);
      begin('exit', event, detail);
    } else if (kind === 'unload') {
      begin('unload', event, event.more, Number(detail));
      finish('unload', { ...event, detail: event.more });
    }
  }
  const shown = phases
    .filter(({ toMs, name }) => (toMs === null || toMs >= 0) && !isTesters(name ?? ''))
    .sort((a, b) => a.fromMs - b.fromMs);
  return joined(shown).slice(-MOST_PHASES);
}

/** Combines handlers of a library that ran one right after another, such as Node's thousand. */
function joined(phases: readonly TimelinePhase[]): TimelinePhase[] {
  const all: TimelinePhase[] = [];
  for (const phase of phases) {
    const last = all.at(-1);
    const follows =
      last?.what === 'handler' &&
      phase.what === 'handler' &&
      last.toMs !== null &&
      phase.name === last.name &&
      phase.tid === last.tid &&
      phase.fromMs - last.toMs < SOON_MS;
    if (follows) all[all.length - 1] = { ...last, toMs: phase.toMs, count: last.count + phase.count };
    else all.push(phase);
  }
  return all;
}

interface Frame {
  readonly ms: ToMs;
  readonly zeroUs: number;
  readonly endUs: number;
  readonly names: ReadonlyMap<number, string> | undefined;
}

interface Life {
  begin: ExitEvent | undefined;
  end: ExitEvent | undefined;
  readonly tid: number;
}

function threadsOf(
  events: readonly ExitEvent[],
  samples: readonly Sample[],
  pid: number,
  frame: Frame,
): TimelineThread[] {
  const { ms, zeroUs } = frame;
  const seen = new Map<number, Sample[]>();
  for (const sample of samples) {
    const own = seen.get(sample.tid);
    if (own === undefined) seen.set(sample.tid, [sample]);
    else own.push(sample);
  }
  const rounds = (seen.get(pid) ?? []).map(({ us }) => us);
  // The kernel may reuse a number.
  const lives: Life[] = [];
  const current = new Map<number, Life>();
  const lifeOf = (tid: number): Life => {
    const known = current.get(tid);
    if (known !== undefined) return known;
    const life: Life = { tid, begin: undefined, end: undefined };
    current.set(tid, life);
    lives.push(life);
    return life;
  };
  lifeOf(pid);
  const program = events.find(({ kind }) => kind === 'start')?.detail;
  for (const event of events) {
    if (event.kind === 'begin') {
      current.delete(event.tid);
      lifeOf(event.tid).begin = event;
    } else if (event.kind === 'end') lifeOf(event.tid).end = event;
    else lifeOf(event.tid);
  }
  for (const tid of seen.keys()) lifeOf(tid);
  const holds = holdsOf(events);
  const threads = lives.flatMap((life): TimelineThread[] => {
    const { tid, begin, end } = life;
    const main = tid === pid;
    const from = begin?.us ?? Number.NEGATIVE_INFINITY;
    const own = (seen.get(tid) ?? []).filter(({ us }) => us >= from && us <= (end?.us ?? us));
    const last = own.at(-1);
    const missed = last === undefined || end !== undefined ? undefined : rounds.find((us) => us > last.us);
    const crash = events.find((event) => event.kind === 'crash' && event.tid === tid);
    // A thread that died after its function had returned, as in a destructor of thread-local data, existed until then.
    const toUs = main || crash !== undefined ? undefined : (end?.us ?? missed);
    if (toUs !== undefined && toUs < zeroUs) return [];
    const thread = {
      tid,
      name:
        frame.names?.get(tid) ??
        nameOrNull(end?.more ?? '') ??
        last?.name ??
        crash?.more ??
        (main ? 'main' : ''),
      library: nameOrNull((main ? program : begin?.detail) ?? ''),
      main,
      fromMs: begin === undefined ? null : ms(begin.us),
      toMs: toUs === undefined ? null : ms(toUs),
    };
    const within: [number, number] = [Math.max(from, zeroUs), toUs ?? frame.endUs];
    const did = activity(own, within);
    const held = holds.filter((hold) => hold.tid === tid);
    const spans = overlay(did, held, within).map(({ state, from: start, to }) => ({
      ...{ state, fromMs: ms(start), toMs: ms(to) },
    }));
    return [{ ...thread, spans }];
  });
  return threads.sort((a, b) => Number(b.main) - Number(a.main)).slice(0, MOST_THREADS);
}

interface Span {
  readonly state: ThreadState;
  readonly from: number;
  readonly to: number;
}

const UNCOUNTED_US = 1_000;

/** What a thread did between two times, according to samples. What it did before the first sample is placed at the start. */
function activity(samples: readonly Sample[], [start, stop]: readonly [number, number]): Span[] {
  const spans: Span[] = [];
  const add = (state: ThreadState, from: number, to: number): void => {
    const [a, b] = [Math.max(from, start), Math.min(to, stop)];
    if (b <= a) return;
    const last = spans.at(-1);
    if (last?.state === state && last.to >= a) spans[spans.length - 1] = { ...last, to: b };
    else spans.push({ state, from: a, to: b });
  };
  let before: Sample | undefined;
  for (const sample of samples) {
    let from = before?.us ?? start;
    for (const [state, us] of between(before, sample, sample.us - from)) {
      add(state, from, from + us);
      from += us;
    }
    before = sample;
  }
  const last = samples.at(-1);
  if (last !== undefined) add(last.state === 'R' ? 'ran' : 'slept', last.us, stop);
  return spans;
}

/** What a thread did between two samples, in microseconds. The durations are known; the order is only likely. */
function between(before: Sample | undefined, sample: Sample, took: number): [ThreadState, number][] {
  const runs = sample.state === 'R';
  if (before?.ran == null || sample.ran === null) return [[runs ? 'ran' : 'slept', took]];
  const counted = (sample.ran.onCpu - before.ran.onCpu) / 1_000;
  const waited = Math.min(took, (sample.ran.waiting - before.ran.waiting) / 1_000);
  // The time of a running thread is counted only at the kernel's ticks.
  const ran = Math.min(took - waited, runs ? Math.max(counted, UNCOUNTED_US) : counted);
  const slept = took - waited - ran;
  const parts: [ThreadState, number][] = [
    ['waited', waited],
    ['ran', ran],
  ];
  if (runs) parts.unshift(['slept', slept]);
  else parts.push(['slept', slept]);
  return parts.filter(([, us]) => us >= 1);
}

/** When the amplifier delayed threads. */
function holdsOf(
  events: readonly ExitEvent[],
): { readonly tid: number; readonly from: number; readonly to: number }[] {
  const holds: { tid: number; from: number; to: number }[] = [];
  for (const { kind, tid, us } of events) {
    if (kind === 'hold' || kind === 'linger') holds.push({ tid, from: us, to: Number.POSITIVE_INFINITY });
    const open = holds.findLast((hold) => hold.tid === tid);
    if ((kind === 'held' || kind === 'lingered') && open !== undefined) open.to = us;
  }
  return holds;
}

/** Lays the amplifier's delays over the spans. */
function overlay(
  spans: readonly Span[],
  held: readonly { readonly from: number; readonly to: number }[],
  [start, stop]: readonly [number, number],
): Span[] {
  let left = [...spans];
  const over: Span[] = [];
  for (const hold of held) {
    const [from, to] = [Math.max(hold.from, start), Math.min(hold.to, stop)];
    if (to <= from) continue;
    over.push({ state: 'held', from, to });
    left = left.flatMap((span) =>
      [
        { ...span, to: Math.min(span.to, from) },
        { ...span, from: Math.max(span.from, to) },
      ].filter((part) => part.to > part.from),
    );
  }
  return [...left, ...over].sort((a, b) => a.from - b.from);
}
