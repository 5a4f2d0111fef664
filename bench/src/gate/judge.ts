import { median } from '@quiesce/test-services';
import { type Figure, type Floor, isRate } from './floors.js';

/** The figures of one pair: this client's beside the other one's. */
export type Sample = Partial<Record<Figure, number>>;

/** A figure against its floor. */
export interface Judged extends Floor {
  /** The median of the pairs. */
  readonly now: number;
  readonly met: boolean;
}

/** What was found of a cell. */
export interface CellResult {
  readonly figures: readonly Judged[];
  /** Whether it took a second look. */
  readonly twice: boolean;
}

/**
 * Judges a cell's figures by the medians of its pairs. Where one seems worse than its floor, as many pairs are measured again, and
 * all of them count: a second look that counted alone would let pass what is below its floor half of the time.
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

/** Holds the medians of the samples against the floors. */
export function judge(floors: readonly Floor[], samples: readonly Sample[]): Judged[] {
  return floors.map((floor) => {
    const now = median(samples.map((sample) => sample[floor.figure] ?? Number.NaN));
    // NaN, where a figure is missing, isn't met.
    return { ...floor, now, met: isRate(floor.figure) ? now >= floor.bound : now <= floor.bound };
  });
}
