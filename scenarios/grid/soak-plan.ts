// The grid's cells as a soak runs them: each plain and amplified, and in addition the same programs without the client.
import type { Plan, ScenarioSpec } from 'quiesce';
import { type Cell, cellName, cellScenario, cells, cellsWithoutClient } from './cells.js';
import { gridServices } from './services.js';

/** A cell's part of a soak. */
export interface SoakCell extends Cell {
  /** The name of its scenario. */
  readonly name: string;
  /** Whether the exit amplifier is used. */
  readonly amplified: boolean;
  /** 0 if there are too few runs for this cell to have any. */
  readonly runs: number;
}

// The others are compared with their median. A cell's share of the runs alone would say too little.
const REPETITIONS_WITHOUT_CLIENT = 3;
const SEEDS = 2 ** 32;

/**
 * Spreads a number of runs evenly over the chosen cells, half of them plain and half amplified. Runs without the client
 * are added to that.
 */
export function soakCells(runs: number, wanted: (cell: Cell) => boolean = () => true): SoakCell[] {
  const withClient = [false, true].flatMap((amplified) =>
    cells.filter(wanted).map((cell) => {
      const name = amplified ? `${cellName(cell)}, amplified` : cellName(cell);
      return { ...cell, name, amplified };
    }),
  );
  const places = withClient.length;
  const upTo = (place: number): number => Math.floor((place * runs) / places);
  const spread = withClient.map((cell, i) => ({ ...cell, runs: upTo(i + 1) - upTo(i) }));
  const hosts = cellsWithoutClient.filter(({ runtime, ending }) =>
    spread.some((cell) => cell.runtime === runtime && cell.ending === ending),
  );
  const without = hosts.flatMap((cell) =>
    Array.from({ length: REPETITIONS_WITHOUT_CLIENT }, (_, i) => ({
      ...cell,
      name: `${cellName(cell)} ${i + 1}`,
      amplified: false,
      runs: Math.ceil(runs / places),
    })),
  );
  // Next to those that they are compared with, so that changes on the machine affect both.
  return hosts.flatMap(({ runtime, ending }) =>
    [...without, ...spread].filter((cell) => cell.runtime === runtime && cell.ending === ending),
  );
}

/** The plan of a soak, in which cells without runs are left out. */
export async function soakPlan(
  soaked: readonly SoakCell[],
  { jobs, seed }: { readonly jobs: number; readonly seed: number },
): Promise<Plan> {
  const scenario = (cell: SoakCell, i: number): ScenarioSpec => ({
    ...cellScenario(cell),
    name: cell.name,
    runs: cell.runs,
    // Otherwise runs with the same number would be delayed alike in all cells.
    ...(cell.amplified && { perturb: 'amplify', seed: (seed + i) % SEEDS }),
  });
  return {
    services: await gridServices(),
    defaults: { jobs },
    scenarios: soaked.filter(({ runs }) => runs > 0).map(scenario),
  };
}
