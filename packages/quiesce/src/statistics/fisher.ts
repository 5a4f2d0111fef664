// statistics/: exact intervals, tests and numbers of runs, and the test that judges runs "until". It deals with numbers
// only: nothing here knows scenarios, runs or reports.
import { hypergeometricProbability } from './binomial.js';
import { CONFIDENCE, type Counts, check, checkShare } from './intervals.js';

/** P values of Fisher's exact test: how likely a difference as large as the observed one is if there is none. */
export interface FisherExact {
  /** For a difference in either direction: tables that are no likelier than the observed one, as R and SciPy count them. */
  readonly twoSided: number;
  /** For a lower rate in the second sample. */
  readonly lower: number;
  /** For a higher rate in the second sample. */
  readonly higher: number;
}

/**
 * Fisher's exact test of two failure rates. All three are 1 when either sample is empty.
 * @throws RangeError when counts make no sense.
 */
export function fisherExact(first: Counts, second: Counts): FisherExact {
  check(first.failed, first.runs, CONFIDENCE);
  check(second.failed, second.runs, CONFIDENCE);
  const runs = first.runs + second.runs;
  const failed = first.failed + second.failed;
  if (first.runs === 0 || second.runs === 0) return { twoSided: 1, lower: 1, higher: 1 };
  // Given the margins, the second sample's failures are hypergeometric.
  const probability = (k: number): number => hypergeometricProbability(k, runs, failed, second.runs);
  const seen = probability(second.failed);
  let twoSided = 0;
  let lower = 0;
  let higher = 0;
  const add = (k: number): boolean => {
    const p = probability(k);
    if (k <= second.failed) lower += p;
    if (k >= second.failed) higher += p;
    if (p <= seen * (1 + 1e-7)) twoSided += p; // equal ones may differ in their last digits
    return p > seen * 1e-17;
  };
  // From the most probable number outwards, until the rest adds nothing to any of them.
  const least = Math.max(0, failed - first.runs);
  const most = Math.min(failed, second.runs);
  const mode = Math.floor(((failed + 1) * (second.runs + 1)) / (runs + 2));
  for (let k = mode; k <= most && add(k); k++);
  for (let k = mode - 1; k >= least && add(k); k--);
  return { twoSided: Math.min(1, twoSided), lower: Math.min(1, lower), higher: Math.min(1, higher) };
}

/**
 * Holm's adjustment of p values that are judged together. At any level, the chance that even one true null hypothesis
 * is rejected stays below that level. The result is in the order given.
 * @throws RangeError when one isn't between 0 and 1.
 */
export function holm(pValues: readonly number[]): number[] {
  for (const p of pValues) checkShare('p value', p);
  const order = pValues.map((p, i) => ({ p, i })).sort((a, b) => a.p - b.p);
  const adjusted = new Array<number>(pValues.length);
  let least = 0;
  for (const [rank, { p, i }] of order.entries()) {
    least = Math.max(least, Math.min(1, p * (order.length - rank)));
    adjusted[i] = least;
  }
  return adjusted;
}
