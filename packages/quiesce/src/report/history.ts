import pc from 'picocolors';
import type { HistoryEntry } from '../history/history.js';
import { clopperPearson } from '../statistics/intervals.js';
import { oneLine } from './text.js';

const MOST_PLOT_COLUMNS = 40;
const LEAST_PLOT_COLUMNS = 10;
/** What is beside the plot: the time, the label and the number of failures. */
const OTHER_COLUMNS = 46;
const LABEL_COLUMNS = 12;

/**
 * Failure rates over time, with a row for each session. The rate is a point, and its 95 % Clopper-Pearson interval a
 * line. Each scenario has one scale.
 *
 * @param columns width of the terminal, if that is known: in a narrow one the plots are narrower. Outcomes may exceed it.
 */
export function historyReport(entries: readonly HistoryEntry[], colour: boolean, columns?: number): string {
  const room = (columns ?? Number.POSITIVE_INFINITY) - OTHER_COLUMNS;
  const width = Math.max(LEAST_PLOT_COLUMNS, Math.min(MOST_PLOT_COLUMNS, room));
  const c = pc.createColors(colour);
  const scenarios = new Map<string, HistoryEntry[]>();
  for (const entry of entries) {
    const name = entry.perturbed ? `${entry.scenario} (perturbed)` : entry.scenario;
    const rows = scenarios.get(name);
    if (rows === undefined) scenarios.set(name, [entry]);
    else rows.push(entry);
  }
  const plots = [...scenarios].map(([name, rows]) => plot(name, rows, width, c));
  return `${plots.join('\n\n')}\n`;
}

type Colours = ReturnType<typeof pc.createColors>;

function plot(name: string, rows: readonly HistoryEntry[], width: number, c: Colours): string {
  const intervals = rows.map(({ failed, runs }) => clopperPearson(failed, runs));
  const scale = niceAbove(Math.max(...intervals.map(({ upper }) => upper)));
  const column = (rate: number): number => Math.round((rate / scale) * (width - 1));
  const lines = rows.map((row, i) => {
    const { lower, upper } = intervals[i] as { lower: number; upper: number };
    const rate = row.failed / row.runs;
    const cells = Array.from({ length: width }, (_, at) => {
      if (at === column(rate)) return row.failed === 0 ? c.green('○') : c.red('●');
      return at >= column(lower) && at <= column(upper) ? c.dim('─') : ' ';
    });
    const when = row.startedAt.toISOString().slice(0, 16).replace('T', ' ');
    const label = oneLine(row.label ?? '')
      .slice(0, LABEL_COLUMNS)
      .padEnd(LABEL_COLUMNS);
    const count = `${row.failed}/${row.runs}`.padStart(11);
    const outcomes = Object.entries(row.outcomes).map(([outcome, n]) => `${n} ${outcome}`);
    return `  ${when}  ${label} ${count}  ${cells.join('')}  ${outcomes.join(', ')}`.trimEnd();
  });
  const left = `  ${'when (UTC)'.padEnd(16)}  ${'label'.padEnd(LABEL_COLUMNS)} ${'failed'.padStart(11)}  `;
  const end = `${Number((scale * 100).toPrecision(3))} %`;
  return [c.bold(oneLine(name)), c.dim(`${left}0 %${end.padStart(width - 3)}`), ...lines].join('\n');
}

/** The smallest number that is 1, 2 or 5 times a power of ten and isn't below the rate; at most 1. */
function niceAbove(rate: number): number {
  const power = 10 ** Math.floor(Math.log10(rate));
  return Math.min(1, ...[1, 2, 5, 10].map((n) => n * power).filter((nice) => nice >= rate));
}
