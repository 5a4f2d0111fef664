import type { Timeline, TimelinePhase, TimelineThread } from '../../timeline/model.js';
import { threadText, timeText } from '../../timeline/sentence.js';
import { phaseText, type TimelineMoment, timelineMoments, zeroText } from '../timeline.js';
import { type Html, html } from './text.js';

const MOST_LANES = 12;
const MOST_BARS = 6;
const ROW = 15;
const LANE = 10;
const GAP = 7;
const LEAST_WIDTH = 0.5;

/**
 * A timeline as a figure: the moments of the exit as lines over all of it, the parts of the exit as bars, and the
 * threads as lanes. Positions are percentages of the width, and text keeps its size, so that the figure is legible on a
 * phone.
 * @param id unique in the page.
 */
export function timelineFigure(timeline: Timeline, id: string, caption: string): Html {
  const { run, phases, threads, says, lostEvents } = timeline;
  const scale = timeScale(timeline);
  const moments = timelineMoments(timeline);
  const bars = shownPhases(timeline);
  const lanes = shownThreads(timeline);
  const shapes: Html[] = [];
  const top = moments.length * ROW + 2;
  let y = top + GAP;
  for (const phase of bars) {
    const label = phaseText(phase);
    shapes.push(
      html`<text x="0" y="${y + 10}">${shorten(label)}</text>${phaseBar(phase, timeline, scale, y + ROW, label)}`,
    );
    y += ROW + LANE + GAP;
  }
  for (const thread of lanes) {
    shapes.push(lane(thread, timeline, scale, y));
    y += ROW + LANE + GAP;
  }
  const left = threads.length - lanes.length;
  if (left > 0) {
    shapes.push(html`<text x="0" y="${y + 10}">and ${left} more threads: in the JSON report</text>`);
    y += ROW;
  }
  const bottom = y;
  const height = bottom + ROW + 6;
  const flags = moments.map((moment, i) => flag(moment, scale, i * ROW, bottom));
  const breaks = scale.breaks.map(
    ({ from, to, ms }) =>
      html`<rect class="t-break" x="${pc(from)}" y="${top}" width="${pc(to - from)}" height="${bottom - top}"><title>${`shortened: ${timeText(ms)}`}</title></rect>`,
  );
  const shortened = scale.breaks.length > 0 && ', not to scale in the shaded part';
  const description = `${says} ${moments.map(({ text, atMs }) => `${text}: ${timeText(atMs)}`).join('; ')}.`;
  return html`<figure class="timeline"><figcaption>${caption} <span class="legend"><span><i class="t-ran"></i>ran</span> <span><i class="t-waited"></i>waited for a CPU</span> <span><i class="t-slept"></i>slept</span>${timeline.threads.some(({ spans }) => spans.some(({ state }) => state === 'held')) && html` <span><i class="t-held"></i>delayed by the amplifier</span>`}${lanes.some(({ spans }) => spans.length === 0) && html` <span>dotted: not looked at</span>`}</span></figcaption>
<p class="says">${says}</p>
<svg class="exit-timeline" width="100%" height="${height}" role="img" aria-labelledby="${id}t ${id}d"><title id="${id}t">${`The exit of run ${run}`}</title><desc id="${id}d">${description}</desc>
${breaks}${shapes}${flags}
<line class="t-axis" x1="0" x2="100%" y1="${bottom}" y2="${bottom}"/><text x="0" y="${bottom + ROW}">${zeroText(timeline)}${shortened}</text><text x="100%" y="${bottom + ROW}" text-anchor="end">${timeText(timeline.endMs)}</text>
</svg>${lostEvents > 0 && html`<p class="scale">${lostEvents} earlier events are missing.</p>`}
<details><summary>All parts of the exit (${phases.length})</summary><table class="parts"><thead><tr><th scope="col" class="number">from</th><th scope="col" class="number">took</th><th scope="col">what</th></tr></thead><tbody>${phases.map(partRow)}</tbody></table></details></figure>`;
}

function partRow(phase: TimelinePhase): Html {
  const { fromMs, toMs, name } = phase;
  const took = toMs === null ? 'to the end' : timeText(toMs - fromMs);
  return html`<tr><td class="number">${timeText(fromMs)}</td><td class="number">${took}</td><td>${phaseText(phase)}${name?.includes('/') && html` <span class="where">${name}</span>`}</td></tr>`;
}

/** A line over all lanes, with what happened then if there is room. On a phone there is little. */
function flag({ kind, text, atMs }: TimelineMoment, scale: Scale, top: number, bottom: number): Html {
  const x = scale.at(atMs);
  const [anchor, shift, from] =
    x < 33 ? ['start', 4, top + 2] : x > 67 ? ['end', -4, top + 2] : ['middle', 0, top + ROW];
  return html`<line class="t-flag t-${kind}" x1="${pc(x)}" x2="${pc(x)}" y1="${from}" y2="${bottom}"/><text class="t-${kind}" x="${pc(x)}" dx="${shift}" y="${top + 11}" text-anchor="${anchor}">${shorten(text)}, ${timeText(atMs)}</text>`;
}

function phaseBar(
  phase: TimelinePhase,
  { endMs, tornDown }: Timeline,
  scale: Scale,
  y: number,
  label: string,
): Html {
  const torn =
    tornDown?.what === phase.what && tornDown.name === phase.name && tornDown.atMs === phase.fromMs;
  const took = phase.toMs === null ? 'to the end' : `for ${timeText(phase.toMs - phase.fromMs)}`;
  const title = `${label}: from ${timeText(phase.fromMs)}, ${took}`;
  return html`<rect class="${torn ? 't-torn' : 't-phase'}" ${box(scale, phase.fromMs, phase.toMs ?? endMs)} y="${y}" height="${LANE}"><title>${title}</title></rect>`;
}

const HEIGHTS = { ran: LANE, held: LANE, waited: 4, slept: 2 } as const;

function lane(thread: TimelineThread, { crash, endMs }: Timeline, scale: Scale, top: number): Html {
  const { tid, spans, fromMs, toMs } = thread;
  const y = top + ROW;
  const middle = y + LANE / 2;
  const died = crash?.tid === tid;
  const from = Math.max(0, fromMs ?? 0);
  const to = toMs ?? endMs;
  const shapes = spans.map(({ state, fromMs: start, toMs: stop }) => {
    const height = HEIGHTS[state];
    const title = `${state}: from ${timeText(start)}, for ${timeText(stop - start)}`;
    return html`<rect class="t-${state}" ${box(scale, start, stop, 0.1)} y="${middle - height / 2}" height="${height}"><title>${title}</title></rect>`;
  });
  const mark = (atMs: number): Html =>
    html`<line class="t-mark" x1="${pc(scale.at(atMs))}" x2="${pc(scale.at(atMs))}" y1="${y - 1}" y2="${y + LANE + 1}"/>`;
  const fate = died ? 'died' : toMs === null ? '' : `ended at ${timeText(toMs)}`;
  const born = fromMs !== null && fromMs >= 0 ? `began at ${timeText(fromMs)}` : '';
  const notes = [born, fate].filter(Boolean).join(', ');
  const unseen =
    spans.length === 0 &&
    html`<line class="t-unseen" x1="${pc(scale.at(from))}" x2="${pc(scale.at(to))}" y1="${middle}" y2="${middle}"/>`;
  return html`<text${died && html` class="t-crash"`} x="0" y="${top + 10}">${shorten(threadText(thread))}${notes !== '' && ` (${notes})`}</text>${unseen}${shapes}${fromMs !== null && fromMs >= 0 && mark(fromMs)}${toMs !== null && mark(toMs)}${died && html`<svg x="${pc(scale.at(crash.atMs))}" y="${middle}" overflow="visible"><path class="t-cross" d="M-5-5L5 5M5-5L-5 5"/></svg>`}`;
}

/**
 * The parts of the exit that are shown as bars: those that the sentence names, those under way at the end, and the
 * longest.
 */
function shownPhases({ phases, tornDown, endMs }: Timeline): TimelinePhase[] {
  const weight = ({ what, name, fromMs, toMs }: TimelinePhase): number => {
    if (tornDown !== null && what === tornDown.what && name === tornDown.name && fromMs === tornDown.atMs)
      return Number.POSITIVE_INFINITY;
    if (what === 'exit' || what === 'python') return 1e9;
    return (toMs === null ? 1e6 : 0) + ((toMs ?? endMs) - fromMs);
  };
  return [...phases]
    .sort((a, b) => weight(b) - weight(a))
    .slice(0, MOST_BARS)
    .sort((a, b) => a.fromMs - b.fromMs);
}

/** The threads that are shown: the first one, the one that died, then those that lived longest. */
function shownThreads({ threads, crash, endMs }: Timeline): TimelineThread[] {
  const hosts = ({ library }: TimelineThread): boolean =>
    threads[0]?.library !== null && library === threads[0]?.library;
  const weight = (thread: TimelineThread): number => {
    if (thread.main) return 1e12;
    if (thread.tid === crash?.tid) return 1e11;
    return (hosts(thread) ? 0 : 1e9) + (thread.toMs ?? endMs);
  };
  return [...threads].sort((a, b) => weight(b) - weight(a)).slice(0, MOST_LANES);
}

interface Scale {
  /** The position of a time, in percent of the width. */
  at(ms: number): number;
  /** The stretches that aren't to scale. */
  readonly breaks: readonly { readonly from: number; readonly to: number; readonly ms: number }[];
}

const MOST_BREAKS = 2;
/** A pause in which nothing happens is shortened if it takes this many times as long as everything else together. */
const LONG = 4;

/** A linear scale, except for long pauses: beside a wait of seconds, what happens within a millisecond would be invisible. */
export function timeScale({ phases, threads, endMs, crash }: Timeline): Scale {
  const times = [
    ...phases.flatMap(({ fromMs, toMs }) => [fromMs, toMs ?? endMs]),
    ...threads.flatMap(({ fromMs, toMs }) => [fromMs ?? 0, toMs ?? endMs]),
    ...(crash === null ? [] : [crash.atMs]),
  ].filter((ms) => ms > 0 && ms < endMs);
  const edges = [...new Set([0, ...times, endMs])].sort((a, b) => a - b);
  const parts = edges.slice(1).map((to, i) => {
    const from = edges[i] ?? 0;
    return { from, to, weight: to - from, long: false };
  });
  for (let i = 0; i < MOST_BREAKS; i++) {
    const longest = parts.reduce(
      (a, b) => (b.weight > a.weight ? b : a),
      parts[0] ?? { weight: 0, long: true },
    );
    const rest = parts.reduce((sum, { weight }) => sum + weight, 0) - longest.weight;
    if (longest.long || rest <= 0 || longest.weight < LONG * rest) break;
    longest.weight = rest / 2;
    longest.long = true;
  }
  const total = parts.reduce((sum, { weight }) => sum + weight, 0) || 1;
  let at = 0;
  const placed = parts.map((part) => {
    const start = at;
    at += (100 * part.weight) / total;
    return { ...part, start, end: at };
  });
  return {
    at(ms) {
      const part = placed.find(({ to }) => ms <= to) ?? placed.at(-1);
      if (part === undefined || part.to === part.from) return 0;
      const share = (Math.max(ms, part.from) - part.from) / (part.to - part.from);
      return Math.min(100, part.start + share * (part.end - part.start));
    },
    breaks: placed
      .filter(({ long }) => long)
      .map(({ start, end, from, to }) => ({ from: start, to: end, ms: to - from })),
  };
}

function box(scale: Scale, fromMs: number, toMs: number, least = LEAST_WIDTH): Html {
  const width = Math.max(least, scale.at(toMs) - scale.at(fromMs));
  const x = Math.min(scale.at(fromMs), 100 - width);
  return html`x="${pc(x)}" width="${pc(width)}"`;
}

const pc = (percent: number): string => `${Math.round(percent * 100) / 100}%`;

const MOST_LETTERS = 40;

/** A label that fits beside others on a phone. What tells names apart is usually at their end. */
const shorten = (text: string): string =>
  text.length <= MOST_LETTERS ? text : `${text.slice(0, 14)}…${text.slice(-(MOST_LETTERS - 15))}`;
