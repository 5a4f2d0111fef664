import betaQuantile from '@stdlib/stats-base-dists-beta-quantile';
import binomialCdf from '@stdlib/stats-base-dists-binomial-cdf';
import hypergeometricPmf from '@stdlib/stats-base-dists-hypergeometric-pmf';

/** A confidence interval for a rate, both ends in 0..1. */
export interface Interval {
  readonly lower: number;
  readonly upper: number;
}

/** Confidence used wherever none is given. */
export const CONFIDENCE = 0.95;

/**
 * One-sided Clopper-Pearson (exact) upper bound on the rate behind `failures` in `runs` independent runs: with
 * the given confidence the true rate is below it. 1 when there were no runs.
 * @throws RangeError when the counts or the confidence make no sense.
 */
export function upperBound(failures: number, runs: number, confidence = CONFIDENCE): number {
  check(failures, runs, confidence);
  return failures === runs ? 1 : betaQuantile(confidence, failures + 1, runs - failures);
}

/**
 * Two-sided Clopper-Pearson (exact) interval of the rate behind `failures` in `runs` independent runs.
 * `[0, 1]` when there were no runs.
 * @throws RangeError when the counts or the confidence make no sense.
 */
export function clopperPearson(failures: number, runs: number, confidence = CONFIDENCE): Interval {
  check(failures, runs, confidence);
  const tail = (1 - confidence) / 2;
  return {
    lower: failures === 0 ? 0 : betaQuantile(tail, failures, runs - failures + 1),
    upper: upperBound(failures, runs, 1 - tail),
  };
}

/**
 * One-sided Clopper-Pearson (exact) lower bound on the rate behind `failures` in `runs` independent runs: with
 * the given confidence the true rate is at least this. 0 when nothing failed.
 * @throws RangeError when the counts or the confidence make no sense.
 */
export function lowerBound(failures: number, runs: number, confidence = CONFIDENCE): number {
  check(failures, runs, confidence);
  return failures === 0 ? 0 : betaQuantile(1 - confidence, failures, runs - failures + 1);
}

/** The most runs that `runsNeeded` counts to. */
export const MOST_RUNS = 1_000_000_000;

/**
 * The smallest number of runs of which, with the given confidence, more than `failures` fail when the failure rate
 * is `rate`. The same number of runs with at most `failures` failed ones shows that the rate is below `rate`:
 * `upperBound(failures, n, confidence) <= rate`.
 * @param failures how many failures are allowed; default 0.
 * @throws RangeError when an argument makes no sense, or more than a thousand million runs were needed.
 */
export function runsNeeded(rate: number, confidence = CONFIDENCE, failures = 0): number {
  if (!(rate > 0 && rate < 1)) throw new RangeError(`rate ${rate} is not within 0..1`);
  check(failures, failures, confidence);
  const enough = (runs: number): boolean => binomialCdf(failures, runs, rate) <= 1 - confidence;
  let high = failures + 1;
  while (!enough(high)) {
    if (high >= MOST_RUNS) throw new RangeError(`rate ${rate} needs more than ${MOST_RUNS} runs`);
    high = Math.min(2 * high, MOST_RUNS);
  }
  return firstWhere(failures + 1, high, enough);
}

/** Failed runs out of all. */
export interface Counts {
  readonly failed: number;
  readonly runs: number;
}

/** P values of Fisher's exact test: how likely a difference as large as seen is when there is none. */
export interface FisherExact {
  /** For a difference in either direction: tables no likelier than the one seen, as R and SciPy count them. */
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
  const probability = (k: number): number => hypergeometricPmf(k, runs, failed, second.runs);
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

const MOST_COMPARED_RUNS = 10_000;

/**
 * How often Fisher's exact test (two-sided) proves, with `runs` runs of each, that the higher of two rates is the
 * higher: its power, exactly but for tails below 1e-12.
 */
export function comparisonPower(
  first: number,
  second: number,
  runs: number,
  confidence = CONFIDENCE,
): number {
  if (first < second) return comparisonPower(second, first, runs, confidence);
  const told = (k: number): number => (k < 0 ? 0 : binomialCdf(k, runs, second));
  const apart = (more: number, fewer: number): boolean =>
    fisherExact({ failed: more, runs }, { failed: fewer, runs }).twoSided <= 1 - confidence;
  // The failures of the rarer side, and for each the least failures of the other that tell them apart.
  let fewer = firstWhere(0, runs, (k) => told(k) > 1e-12);
  let more = firstWhere(fewer, runs + 1, (k) => k > runs || apart(k, fewer));
  let power = 0;
  for (; fewer <= runs && 1 - told(fewer - 1) > 1e-12; fewer++) {
    while (more <= runs && !apart(more, fewer)) more++;
    if (more > runs) break;
    const reached = more === 0 ? 1 : 1 - binomialCdf(more - 1, runs, first);
    power += (told(fewer) - told(fewer - 1)) * reached;
  }
  return power;
}

/** The least integer of `low..high` that holds, of which all greater ones hold too; `high` is taken to hold. */
function firstWhere(low: number, high: number, holds: (k: number) => boolean): number {
  let [from, to] = [low, high];
  while (from < to) {
    const middle = Math.floor((from + to) / 2);
    if (holds(middle)) to = middle;
    else from = middle + 1;
  }
  return from;
}

/**
 * Runs of each of two programs with these failure rates until Fisher's exact test (two-sided) tells them apart, with
 * a chance of `power`; `null` when the rates are equal or that were more than 10,000.
 * @throws RangeError when a rate, the confidence or the power makes no sense.
 */
export function comparisonRuns(
  first: number,
  second: number,
  confidence = CONFIDENCE,
  power = 0.8,
): number | null {
  for (const rate of [first, second]) {
    if (!(rate >= 0 && rate <= 1)) throw new RangeError(`rate ${rate} is not within 0..1`);
  }
  check(0, 0, confidence);
  check(0, 0, power);
  if (first === second) return null;
  const enough = (runs: number): boolean => comparisonPower(first, second, runs, confidence) >= power;
  // Cohen's h: so few runs are too few at any level that is in use, and are where the search begins.
  const h = 2 * (Math.asin(Math.sqrt(first)) - Math.asin(Math.sqrt(second)));
  let low = 1;
  let high = Math.max(2, Math.floor(1 / h ** 2));
  while (high <= MOST_COMPARED_RUNS && !enough(high)) {
    low = high;
    high *= 2;
  }
  if (high > MOST_COMPARED_RUNS) return null;
  return firstWhere(low + 1, high, enough);
}

/**
 * Holm's adjustment of p values that are judged together: at any level, the chance that even one true null
 * hypothesis is rejected stays below it. In the order given.
 */
export function holm(pValues: readonly number[]): number[] {
  const order = pValues.map((p, i) => ({ p, i })).sort((a, b) => a.p - b.p);
  const adjusted = new Array<number>(pValues.length);
  let least = 0;
  for (const [rank, { p, i }] of order.entries()) {
    least = Math.max(least, Math.min(1, p * (order.length - rank)));
    adjusted[i] = least;
  }
  return adjusted;
}

function check(failures: number, runs: number, confidence: number): void {
  const counts = Number.isInteger(failures) && Number.isInteger(runs) && failures >= 0 && failures <= runs;
  if (!counts) throw new RangeError(`${failures} of ${runs} is no count of failures in runs`);
  if (!(confidence > 0 && confidence < 1))
    throw new RangeError(`confidence ${confidence} is not within 0..1`);
}

/** Median, 99th percentile and largest of some measurements, each one of the values (nearest rank). */
export interface Summary {
  readonly count: number;
  readonly median: number;
  readonly p99: number;
  readonly max: number;
}

/** Summarises measurements in whatever unit they have; `null` when there are none. */
export function summarize(values: readonly number[]): Summary | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const rank = (q: number): number => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] as number;
  return { count: sorted.length, median: rank(0.5), p99: rank(0.99), max: rank(1) };
}
