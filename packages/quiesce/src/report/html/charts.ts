// report/html/: a result as one self-contained HTML page: its parts, charts and style. Wording that other reports share
// is in report/.
import { formatMs } from '../../duration.js';
import type { Outcome } from '../../run/outcome.js';
import { outcomeLabel } from '../../run/outcome.js';
import type { RunRecord } from '../../run/run.js';
import type { Interval } from '../../statistics/intervals.js';
import type { Summary } from '../../statistics/summary.js';
import { type Html, html } from './text.js';

const WIDTH = 386;
const MARGIN = 36;
const MOST_CELLS = 10_000;

/** How runs ended, as the grid shows it: a colour for each kind. */
export type CellKind = 'expected' | Exclude<Outcome['kind'], 'clean'> | 'unclean';

/** Names of the kinds, for the legend. */
export const CELL_NAMES: Readonly<Record<CellKind, string>> = {
  expected: 'as expected',
  'exit-code': 'exit code',
  signal: 'signal',
  hang: 'hang',
  'dirty-output': 'dirty output',
  'threads-left': 'threads left',
  unclean: 'exit code 0',
};

/** The kind that a run belongs to. A failed run that ended cleanly should have ended otherwise. */
export function cellKind({ failed, outcome }: RunRecord): CellKind {
  if (!failed) return 'expected';
  return outcome.kind === 'clean' ? 'unclean' : outcome.kind;
}

/**
 * The runs in their order, row by row. Beyond ten thousand runs, a cell stands for several. If one of these failed, the
 * cell shows the first one that did.
 * @param link returns the target of a failed run's cell.
 */
export function outcomeGrid(runs: readonly RunRecord[], link: (run: number) => string | undefined): Html {
  const size = Math.ceil(runs.length / MOST_CELLS);
  const cells = Array.from({ length: Math.ceil(runs.length / size) }, (_, i) => {
    const part = runs.slice(i * size, (i + 1) * size);
    return {
      first: part[0] as RunRecord,
      shown: part.find(({ failed }) => failed) ?? (part[0] as RunRecord),
    };
  });
  const columns = cells.length <= 500 ? 25 : cells.length <= 2_000 ? 50 : 100;
  const pitch = (WIDTH - MARGIN) / columns;
  const gap = pitch > 10 ? 2 : pitch > 5 ? 1 : 0.5;
  const rows = Math.ceil(cells.length / columns);
  const height = rows * pitch;
  const labelEvery = Math.max(1, Math.ceil(18 / pitch));
  const shapes: Html[] = [];
  for (let row = 0; row < rows; row++) {
    const y = row * pitch;
    if (row % labelEvery === 0) {
      const number = cells[row * columns]?.first.run ?? '';
      shapes.push(
        html`<text x="${MARGIN - 6}" y="${px(y + Math.min(pitch, 14) - 3)}" text-anchor="end">${number}</text>`,
      );
    }
    // Neighbours that ended as expected share one shape: ten thousand shapes would make a heavy page.
    const last = Math.min(cells.length, (row + 1) * columns);
    for (let from = row * columns; from < last; ) {
      const { first, shown } = cells[from] as (typeof cells)[number];
      let to = from + 1;
      if (!shown.failed) while (to < last && cells[to]?.shown.failed === false) to++;
      const x = MARGIN + (from % columns) * pitch;
      const kind = cellKind(shown);
      const range = to - from > 1 ? `${first.run} to ${cells[to - 1]?.shown.run}` : String(shown.run);
      const title = `run ${range}: ${shown.failed ? outcomeLabel(shown.outcome) : CELL_NAMES.expected}`;
      const box = html`<rect class="k-${kind}" x="${px(x)}" y="${px(y)}" width="${px((to - from) * pitch)}" height="${px(pitch)}"><title>${title}</title></rect>`;
      const target = shown.failed ? link(shown.run) : undefined;
      shapes.push(target === undefined ? box : html`<a href="#${target}">${box}</a>`);
      from = to;
    }
  }
  for (let i = 0; i <= columns; i++) {
    const x = px(MARGIN + i * pitch - gap / 2);
    shapes.push(
      html`<line class="gap" x1="${x}" x2="${x}" y1="0" y2="${px(height)}" stroke-width="${gap}"/>`,
    );
  }
  for (let i = 0; i <= rows; i++) {
    const y = px(i * pitch - gap / 2);
    shapes.push(
      html`<line class="gap" x1="${MARGIN - 2}" x2="${WIDTH}" y1="${y}" y2="${y}" stroke-width="${gap}"/>`,
    );
  }
  const failed = runs.filter((run) => run.failed).length;
  const label = `${runs.length} runs in their order, ${failed} of them failed`;
  return html`<svg class="chart" viewBox="0 0 ${WIDTH} ${px(height)}" role="img" aria-label="${label}">${shapes}</svg>`;
}

const BINS = 30;
const PLOT_HEIGHT = 120;

/**
 * How often each exit time was seen, with the median and the 99th percentile marked. The last bar collects what is far
 * beyond that.
 */
export function exitHistogram(times: readonly number[], summary: Summary): Html {
  const least = Math.min(summary.median, ...sample(times));
  const far = summary.max > 2 * summary.p99;
  const most = Math.max(far ? 1.1 * summary.p99 : summary.max, least + 0.1);
  const bins = new Array<number>(BINS).fill(0);
  for (const time of times) {
    const i = Math.min(BINS - 1, Math.max(0, Math.floor(((time - least) / (most - least)) * BINS)));
    bins[i] = (bins[i] ?? 0) + 1;
  }
  const tallest = Math.max(...bins);
  const left = MARGIN;
  const width = WIDTH - left - 4;
  const top = 16;
  const bottom = top + PLOT_HEIGHT;
  const xOf = (ms: number): number => left + (Math.min(ms, most) - least) * (width / (most - least));
  const bars = bins.map((n, i) => {
    if (n === 0) return null;
    const height = Math.max(1.5, (n / tallest) * PLOT_HEIGHT);
    const [from, to] = [i, i + 1].map((edge) => least + ((most - least) * edge) / BINS) as [number, number];
    const title = `${formatMs(from)} to ${far && i === BINS - 1 ? formatMs(summary.max) : formatMs(to)}: ${n}`;
    return html`<rect class="bar" x="${px(left + (i * width) / BINS + 0.5)}" y="${px(bottom - height)}" width="${px(width / BINS - 1)}" height="${px(height)}"><title>${title}</title></rect>`;
  });
  const mark = (ms: number, name: string, anchor: 'start' | 'end'): Html => {
    const x = px(xOf(ms));
    const shift = anchor === 'start' ? 3 : -3;
    return html`<line class="mark" x1="${x}" x2="${x}" y1="${top - 6}" y2="${bottom}"/><text class="mark-name" x="${px(xOf(ms) + shift)}" y="11" text-anchor="${anchor}">${name}</text>`;
  };
  const apart = xOf(summary.p99) - xOf(summary.median) > 60;
  return html`<svg class="chart" viewBox="0 0 ${WIDTH} ${bottom + 22}" role="img" aria-label="${`Exit times of ${summary.count} runs: median ${formatMs(summary.median)}, 99th percentile ${formatMs(summary.p99)}, longest ${formatMs(summary.max)}`}">
<line class="axis" x1="${left}" x2="${WIDTH}" y1="${bottom}" y2="${bottom}"/>
<text x="${left - 6}" y="${top + 8}" text-anchor="end">${tallest}</text><text x="${left - 6}" y="${bottom}" text-anchor="end">0</text>
${bars}${mark(summary.median, 'median', apart || xOf(summary.median) < WIDTH / 2 ? 'start' : 'end')}${apart && mark(summary.p99, '99 %', 'end')}
<text x="${left}" y="${bottom + 15}">${formatMs(least)}</text><text x="${WIDTH}" y="${bottom + 15}" text-anchor="end">${far ? `${formatMs(most)} and more` : formatMs(most)}</text>
</svg>`;
}

// `Math.min` takes its values as arguments, and there may be too many of them.
function sample(times: readonly number[]): number[] {
  return [times.reduce((least, time) => Math.min(least, time), Number.POSITIVE_INFINITY)];
}

/** A rate as a bar, and its interval as a line, on a scale from 0 to `most`. */
export function rateBar(rate: number, { lower, upper }: Interval, most: number): Html {
  const at = (value: number): string => `${px((100 * value) / most)}%`;
  const label = `${percentText(rate)}, interval ${percentText(lower)} to ${percentText(upper)}`;
  return html`<span class="rate" role="img" aria-label="${label}" title="${label}"><span class="rate-bar" style="width:${at(rate)}"></span><span class="rate-interval" style="left:${at(lower)};width:${at(upper - lower)}"></span></span>`;
}

/** A rate in percent with one decimal. */
export const percentText = (rate: number): string => `${(rate * 100).toFixed(1)} %`;

const px = (value: number): string => String(Math.round(value * 100) / 100);
