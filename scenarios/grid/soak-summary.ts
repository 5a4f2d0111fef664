// What a soak showed: abnormal exits by cell, and what the client costs at exit.
import { runtimeNames } from '@quiesce/test-services';
import { outcomeLabel, type PlanResult, type RunRecord, type Summary, summarize, upperBound } from 'quiesce';
import { type GridEnding, gridEndings } from '../endings.js';
import { hostDelays, type Situation, situations } from './cells.js';
import type { SoakCell } from './soak-plan.js';

/** The targets of issue 6. */
export const targets = { abnormal: 0, upperBound: 0.0003, medianMs: 5, p99Ms: 20 } as const;

/** Abnormal exits of some runs; `upperBound` is Clopper-Pearson's, one-sided, at 95 %. */
export interface Counted {
  readonly runs: number;
  readonly abnormal: number;
  readonly upperBound: number;
}

/** A cell, plain or amplified. */
export interface SoakedCell extends Omit<SoakCell, 'runs'>, Counted {
  /** How its abnormal runs ended. */
  readonly ends: readonly string[];
}

/**
 * Milliseconds from "work done" to the end of the process, over the plain runs of one ending on one runtime, except for
 * cells that `hostDelays`.
 */
export interface ExitCost {
  readonly runtime: string;
  readonly ending: string;
  readonly withClient: Summary;
  readonly withoutClient: Summary;
  /** For each run with the client: how much longer it took than the median without the client. */
  readonly cost: Summary;
  /** The same for the runs without the client: the part that comes from the machine. */
  readonly noise: Summary;
}

export interface SoakSummary {
  readonly startedAt: string;
  readonly durationMs: number;
  readonly interrupted: boolean;
  /** All runs with the client: together, plain, amplified. */
  readonly all: Counted;
  readonly plain: Counted;
  readonly amplified: Counted;
  /** Runs without the client that did not end as expected: the host's own failures. */
  readonly withoutClient: Counted;
  /**
   * How much longer plain runs with the client take than those without, at the median and at p99; `null` if there are
   * too few. It is the difference of `cost` and `noise`.
   */
  readonly exitCost: {
    readonly medianMs: number;
    readonly p99Ms: number;
    readonly cost: Summary;
    readonly noise: Summary;
  } | null;
  readonly exitCosts: readonly ExitCost[];
  readonly cells: readonly SoakedCell[];
  /** Services that failed. The runs that needed them are missing. */
  readonly serviceFailures: PlanResult['serviceFailures'];
}

/** Sums up the result of a soak. */
export function soakSummary(soaked: readonly SoakCell[], result: PlanResult): SoakSummary {
  const results = new Map(result.scenarios.map((scenario) => [scenario.scenario.name, scenario]));
  const measured = soaked.flatMap((cell) => {
    const scenario = results.get(cell.name);
    return scenario === undefined ? [] : [{ cell, scenario }];
  });
  const cells = measured.map(({ cell, scenario }): SoakedCell => {
    const abnormal = scenario.runs.filter(isAbnormal);
    const ends = [...new Set(abnormal.map(endLabel))];
    return { ...cell, ...count(abnormal.length, scenario.runs.length), ends };
  });
  const withClient = cells.filter(({ situation }) => situation !== null);

  const exits = measured
    .filter(({ cell }) => !cell.amplified && !hostDelays(cell))
    .flatMap(({ cell: { runtime, ending, situation }, scenario }) =>
      scenario.runs.flatMap(({ exitMs }) =>
        exitMs === null ? [] : [{ runtime, ending, situation, exitMs }],
      ),
    );
  const costs: number[] = [];
  const noises: number[] = [];
  const exitCosts = runtimeNames.flatMap((runtime) =>
    endingNames.flatMap((ending): ExitCost[] => {
      const here = exits.filter((exit) => exit.runtime === runtime && exit.ending === ending);
      const ms = (client: boolean): number[] =>
        here.filter(({ situation }) => (situation !== null) === client).map(({ exitMs }) => exitMs);
      const [withClient, withoutClient] = [summarize(ms(true)), summarize(ms(false))];
      if (withClient === null || withoutClient === null) return [];
      const more = (client: boolean): number[] => ms(client).map((exitMs) => exitMs - withoutClient.median);
      costs.push(...more(true));
      noises.push(...more(false));
      const cost = summarize(more(true)) as Summary;
      return [{ runtime, ending, withClient, withoutClient, cost, noise: summarize(more(false)) as Summary }];
    }),
  );
  const [cost, noise] = [summarize(costs), summarize(noises)];

  return {
    startedAt: result.startedAt.toISOString(),
    durationMs: result.durationMs,
    interrupted: result.interrupted,
    all: total(withClient),
    plain: total(withClient.filter(({ amplified }) => !amplified)),
    amplified: total(withClient.filter(({ amplified }) => amplified)),
    withoutClient: total(cells.filter(({ situation }) => situation === null)),
    exitCost:
      cost === null || noise === null
        ? null
        : { medianMs: cost.median - noise.median, p99Ms: cost.p99 - noise.p99, cost, noise },
    exitCosts,
    cells,
    serviceFailures: result.serviceFailures,
  };
}

/**
 * Whether a run ended otherwise than it should have. A run that failed before its ending may still have the expected
 * exit code.
 */
export const isAbnormal = ({ failed, workDone }: RunRecord): boolean => failed || !workDone;

/** How a run ended, in a few words. */
export const endLabel = ({ outcome, workDone }: RunRecord): string =>
  `${outcomeLabel(outcome)}${workDone ? '' : ' at work'}`;

function count(abnormal: number, runs: number): Counted {
  return { runs, abnormal, upperBound: upperBound(abnormal, runs) };
}

function total(some: readonly Counted[]): Counted {
  const sum = (what: 'abnormal' | 'runs'): number => some.reduce((all, counted) => all + counted[what], 0);
  return count(sum('abnormal'), sum('runs'));
}

const endingNames = Object.keys(gridEndings) as GridEnding[];
const situationNames = Object.keys(situations) as Situation[];

/** Whether everything ended as it should have, and the client's cost at exit is within its targets. */
export function holds({ all, withoutClient, exitCost, serviceFailures }: SoakSummary): boolean {
  const cheap = exitCost === null || (exitCost.medianMs < targets.medianMs && exitCost.p99Ms < targets.p99Ms);
  return all.abnormal + withoutClient.abnormal === 0 && serviceFailures.length === 0 && cheap;
}

const percent = (rate: number): string => `${(Math.ceil(rate * 100_000) / 1_000).toFixed(3)} %`;
const ms = (value: number): string => `${value.toFixed(1)} ms`;
const table = (rows: readonly (readonly string[])[]): string => {
  const [head = [], ...body] = rows;
  return [head, head.map((_, i) => (i === 0 ? '---' : '--:')), ...body]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n');
};

/** The summary as Markdown. */
export function soakMarkdown(summary: SoakSummary): string {
  const { all, plain, amplified, withoutClient, exitCost, exitCosts, cells, serviceFailures } = summary;
  const abnormal = cells.filter((cell) => cell.abnormal > 0);
  const counts = (some: readonly Counted[]): string => {
    const { abnormal, runs } = total(some);
    return runs === 0 ? '' : `${abnormal} of ${runs}`;
  };
  const withClient = cells.filter(({ situation }) => situation !== null);
  const minutes = (summary.durationMs / 60_000).toFixed(1);
  const parts = [
    `# Soak: ${all.abnormal} of ${all.runs} exits abnormal`,
    `Began at ${summary.startedAt}, took ${minutes} minutes${summary.interrupted ? ', and was interrupted' : ''}. ` +
      'Rates: upper Clopper-Pearson bound at 95 %.',
    table([
      ['runs', 'abnormal', 'failure rate'],
      ...Object.entries({
        plain,
        amplified,
        'all, with the client': all,
        'without the client': withoutClient,
      }).map(([name, counted]) => [name, counts([counted]), `below ${percent(counted.upperBound)}`]),
    ]),
    `Targets: ${targets.abnormal} abnormal and below ${percent(targets.upperBound)}; exit cost below ` +
      `${ms(targets.medianMs)} at the median and ${ms(targets.p99Ms)} at p99.`,
    ...serviceFailures.map(({ service, message }) => `The service ${service} failed: ${message}`),
    '## Abnormal exits by ending and situation',
    table([
      ['', ...situationNames],
      ...endingNames.map((ending) => [
        ending,
        ...situationNames.map((situation) =>
          counts(withClient.filter((cell) => cell.ending === ending && cell.situation === situation)),
        ),
      ]),
    ]),
    '## Abnormal exits by ending and runtime',
    table([
      ['', ...runtimeNames],
      ...endingNames.map((ending) => [
        ending,
        ...runtimeNames.map((runtime) =>
          counts(withClient.filter((cell) => cell.ending === ending && cell.runtime === runtime)),
        ),
      ]),
    ]),
    ...(abnormal.length === 0
      ? []
      : [
          '## Cells with abnormal exits',
          table([
            ['cell', 'abnormal', 'failure rate', 'ends'],
            ...abnormal.map((cell) => [
              cell.name,
              counts([cell]),
              `below ${percent(cell.upperBound)}`,
              cell.ends.join(', '),
            ]),
          ]),
        ]),
    '## What the client costs at exit',
    exitCost === null
      ? 'Too few plain runs to say.'
      : 'From work done to gone, of plain runs. Each is compared with the median of the same program without the client ' +
        `(cost): ${ms(exitCost.cost.median)} at the median and ${ms(exitCost.cost.p99)} at p99. So are those without it: ` +
        `${ms(exitCost.noise.median)} and ${ms(exitCost.noise.p99)}. The client makes the difference: ` +
        `${ms(exitCost.medianMs)} at the median, ${ms(exitCost.p99Ms)} at p99. Left out are exceptions and rejections on Bun ` +
        'where no answer comes: Bun itself waits then (docs/architecture.md).',
    table([
      [
        '',
        'runs',
        'with, median',
        'with, p99',
        'without, median',
        'without, p99',
        'cost, median',
        'cost, p99',
      ],
      ...exitCosts.map(({ runtime, ending, withClient, withoutClient, cost }) => [
        `${runtime}, ${ending}`,
        String(withClient.count),
        ...[
          withClient.median,
          withClient.p99,
          withoutClient.median,
          withoutClient.p99,
          cost.median,
          cost.p99,
        ].map(ms),
      ]),
    ]),
  ];
  return `${parts.join('\n\n')}\n`;
}

/** The summary in a few lines, for the end of a terminal's output. */
export function soakLines(summary: SoakSummary): string {
  const { all, plain, amplified, withoutClient, exitCost, cells, serviceFailures } = summary;
  const line = (name: string, { abnormal, runs, upperBound }: Counted): string =>
    `${name.padEnd(20)} ${abnormal} of ${runs} abnormal: below ${percent(upperBound)}`;
  const met = (value: number, target: number): string => `${ms(value)} (target: below ${ms(target)})`;
  return [
    ...cells
      .filter(({ abnormal }) => abnormal > 0)
      .map((cell) => `${cell.name}: ${cell.abnormal} of ${cell.runs}: ${cell.ends.join(', ')}`),
    ...serviceFailures.map(({ service, message }) => `the service ${service} failed: ${message}`),
    line('plain', plain),
    line('amplified', amplified),
    line('all', all),
    line('without the client', withoutClient),
    exitCost === null
      ? 'exit cost            too few plain runs'
      : `exit cost            median ${met(exitCost.medianMs, targets.medianMs)}, p99 ${met(exitCost.p99Ms, targets.p99Ms)}: ` +
        `${ms(exitCost.cost.p99)} with the client, ${ms(exitCost.noise.p99)} without`,
    summary.interrupted ? 'Interrupted.' : holds(summary) ? 'All targets met.' : 'Not all targets met.',
  ].join('\n');
}
