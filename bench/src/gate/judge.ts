import { median } from '@quiesce/test-services';
import { type Figure, type Floor, isRate } from './floors.js';

/** The figures of one pair: this client's and the other one's. */
export type Sample = Partial<Record<Figure, number>>;

/** A figure and its floor. */
export interface Judged extends Floor {
  /** The median of the pairs. */
  readonly now: number;
  readonly met: boolean;
}

/** The result for a cell. */
export interface CellResult {
  readonly figures: readonly Judged[];
  /** Whether a second look was needed. */
  readonly twice: boolean;
}

/**
 * Judges a cell's figures by the medians of its pairs. If one seems worse than its floor, as many pairs are measured
 * again, and all of them count. A second look that counted alone would pass what is below its floor half of the time.
 */
export async function judgeCell(
  floors: readonly Floor[],
  measure: () => Promise<readonly Sample[]>,
): Promise<CellResult> {
  const samples = [...(await measure())];
  const first = judge(floors, samples);
  if (first.every(({ met }) => met)) return { figures: first, twice: false };
  samples.push(...(await measure()));
  return { figures: judge(floors, samples), twice: true };
}

/** Compares the medians of the samples with the floors. */
export function judge(floors: readonly Floor[], samples: readonly Sample[]): Judged[] {
  return floors.map((floor) => {
    const now = median(samples.map((sample) => sample[floor.figure] ?? Number.NaN));
    // NaN, for a missing figure, isn't met.
    return { ...floor, now, met: isRate(floor.figure) ? now >= floor.bound : now <= floor.bound };
  });
}
