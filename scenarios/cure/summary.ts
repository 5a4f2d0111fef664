// What the exits showed: how many failed for each addon, in each ending and on each host.
import { outcomeLabel, type PlanResult, type RunRecord, type ScenarioResult, upperBound } from 'quiesce';
import type { Language } from './addons.js';
import { type CureCell, cellName, type Mode } from './cells.js';

/** Counts of some runs. */
export interface Counted {
  readonly runs: number;
  /** Runs that ended otherwise than they should have. */
  readonly failed: number;
  /** Runs that ended as they should have, but left a thread although the tester was strict about threads. */
  readonly threadsLeft: number;
  /** How many failed in each way, such as `SIGABRT`. */
  readonly ends: Readonly<Record<string, number>>;
}

/** A cell's runs. */
export interface CellSummary extends Counted {
  readonly addon: string;
  readonly language: Language;
  readonly control: boolean;
  readonly host: string;
  readonly ending: string;
  readonly mode: Mode;
  /** Whether all planned runs were made. */
  readonly complete: boolean;
}

export interface CureSummary {
  readonly startedAt: string;
  readonly durationMs: number;
  readonly interrupted: boolean;
  readonly cells: readonly CellSummary[];
  readonly serviceFailures: PlanResult['serviceFailures'];
}

/** Sums up what the tester found. */
export function cureSummary(
  cells: readonly CureCell[],
  result: Pick<PlanResult, 'startedAt' | 'durationMs' | 'interrupted' | 'serviceFailures'> & {
    readonly scenarios: readonly ScenarioResult[];
  },
): CureSummary {
  const results = new Map(result.scenarios.map((scenario) => [scenario.scenario.name, scenario]));
  return {
    startedAt: result.startedAt.toISOString(),
    durationMs: result.durationMs,
    interrupted: result.interrupted,
    serviceFailures: result.serviceFailures,
    cells: cells.flatMap((cell): CellSummary[] => {
      const records = results.get(cellName(cell))?.runs ?? [];
      if (records.length === 0) return [];
      const { addon, host, ending, mode } = cell;
      return [
        {
          ...{ addon: addon.name, language: addon.language, control: addon.control },
          ...{ host: host.name, ending, mode, complete: records.length >= cell.runs },
          ...counted(records),
        },
      ];
    }),
  };
}

function counted(records: readonly RunRecord[]): Counted {
  const ends: Record<string, number> = {};
  let threadsLeft = 0;
  for (const { failed, outcome } of records) {
    if (outcome.kind === 'threads-left') threadsLeft++;
    else if (failed) ends[outcomeLabel(outcome)] = (ends[outcomeLabel(outcome)] ?? 0) + 1;
  }
  return { runs: records.length, failed: sum(Object.values(ends)), threadsLeft, ends };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, number) => all + number, 0);

/** Several cells as one. */
export function total(some: readonly Counted[]): Counted {
  const ends: Record<string, number> = {};
  for (const [end, count] of some.flatMap((each) => Object.entries(each.ends)))
    ends[end] = (ends[end] ?? 0) + count;
  const of = (what: 'runs' | 'failed' | 'threadsLeft'): number => sum(some.map((each) => each[what]));
  return { runs: of('runs'), failed: of('failed'), threadsLeft: of('threadsLeft'), ends };
}

/** The failure rate is below this: Clopper-Pearson's one-sided bound at 95 %. */
export const bound = ({ failed, threadsLeft, runs }: Counted): number =>
  upperBound(failed + threadsLeft, runs);

/** Cells of ours with runs that failed or left a thread. */
export const faults = ({ cells }: CureSummary): CellSummary[] =>
  cells.filter(({ control, failed, threadsLeft }) => !control && failed + threadsLeft > 0);

/** Whether nothing of ours failed, and nothing is missing. */
export const holds = (summary: CureSummary): boolean =>
  faults(summary).length === 0 &&
  summary.cells.length > 0 &&
  summary.cells.every(({ complete }) => complete) &&
  summary.serviceFailures.length === 0;

/** Whether each control failed somewhere. If a control doesn't fail, the benchmark shows nothing. */
export function controlsFail({ cells }: CureSummary): boolean {
  const controls = new Set(cells.filter(({ control }) => control).map(({ addon }) => addon));
  return [...controls].every((name) => total(cells.filter(({ addon }) => addon === name)).failed > 0);
}
