import { atLeast, atMost } from './binomial.js';
import { fisherExact } from './fisher.js';
import { CONFIDENCE, check, checkShare } from './intervals.js';

/** The most runs that `runsNeeded` counts to. */
export const MOST_RUNS = 1_000_000_000;

/**
 * The smallest number of runs in which, with the given confidence, more than `failures` fail if the failure rate is
 * `rate`. If no more than `failures` of that many runs fail, the rate is shown to be below `rate`:
 * `upperBound(failures, n, confidence) <= rate`.
 * @param failures how many failures are allowed; default 0.
 * @throws RangeError when an argument makes no sense, or more than a thousand million runs would be needed.
 */
export function runsNeeded(rate: number, confidence = CONFIDENCE, failures = 0): number {
  if (!(rate > 0 && rate < 1)) throw new RangeError(`rate ${rate} is not between 0 and 1`);
  check(failures, failures, confidence);
  const enough = (runs: number): boolean => atMost(failures, runs, rate) <= 1 - confidence;
  let high = failures + 1;
  while (!enough(high)) {
    if (high >= MOST_RUNS) throw new RangeError(`rate ${rate} needs more than ${MOST_RUNS} runs`);
    high = Math.min(2 * high, MOST_RUNS);
  }
  return firstWhere(failures + 1, high, enough);
}

const MOST_COMPARED_RUNS = 10_000;

/**
 * How often Fisher's exact test (two-sided) proves, with `runs` runs of each, that the higher of two rates is the
 * higher one: its power, exact except for tails below 1e-12.
 * @throws RangeError when a rate, the number of runs or the confidence makes no sense.
 */
export function comparisonPower(
  first: number,
  second: number,
  runs: number,
  confidence = CONFIDENCE,
): number {
  for (const rate of [first, second]) checkShare('rate', rate);
  check(runs, runs, confidence);
  if (first < second) return comparisonPower(second, first, runs, confidence);
  const rarer = (k: number): number => atMost(k, runs, second);
  const apart = (more: number, fewer: number): boolean =>
    fisherExact({ failed: more, runs }, { failed: fewer, runs }).twoSided <= 1 - confidence;
  // The failures of the side with the lower rate, and for each the fewest failures of the other side that distinguish
  // them.
  let fewer = firstWhere(0, runs, (k) => rarer(k) > 1e-12);
  let more = firstWhere(fewer, runs + 1, (k) => k > runs || apart(k, fewer));
  let power = 0;
  for (; fewer <= runs && 1 - rarer(fewer - 1) > 1e-12; fewer++) {
    while (more <= runs && !apart(more, fewer)) more++;
    if (more > runs) break;
    const reached = atLeast(more, runs, first);
    power += (rarer(fewer) - rarer(fewer - 1)) * reached;
  }
  return power;
}

/**
 * How many runs of each of two programs with these failure rates Fisher's exact test (two-sided) needs to distinguish
 * them with a chance of `power`; `null` if the rates are equal or it needs more than 10,000.
 * @throws RangeError when a rate, the confidence or the power makes no sense.
 */
export function comparisonRuns(
  first: number,
  second: number,
  confidence = CONFIDENCE,
  power = 0.8,
): number | null {
  for (const rate of [first, second]) checkShare('rate', rate);
  check(0, 0, confidence);
  if (!(power > 0 && power < 1)) throw new RangeError(`power ${power} is not between 0 and 1`);
  if (first === second) return null;
  const enough = (runs: number): boolean => comparisonPower(first, second, runs, confidence) >= power;
  // Cohen's h: this many runs are too few at any level in use. The search begins there.
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
 * The smallest integer in `low..high` for which the condition holds. It must hold for all greater ones; `high` is not
 * checked.
 */
function firstWhere(low: number, high: number, holds: (k: number) => boolean): number {
  let [from, to] = [low, high];
  while (from < to) {
    const middle = Math.floor((from + to) / 2);
    if (holds(middle)) to = middle;
    else from = middle + 1;
  }
  return from;
}
