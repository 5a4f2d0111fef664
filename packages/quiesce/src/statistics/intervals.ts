import { atLeast, atMost, crossing } from './binomial.js';

/** Failed runs out of all. */
export interface Counts {
  readonly failed: number;
  readonly runs: number;
}

/** A confidence interval for a rate, both ends in 0..1. */
export interface Interval {
  readonly lower: number;
  readonly upper: number;
}

/** Confidence used wherever none is given. */
export const CONFIDENCE = 0.95;

/** The highest confidence. The probabilities here have too few digits for anything above it. */
export const MOST_CONFIDENCE = 1 - 1e-9;

/**
 * One-sided Clopper-Pearson (exact) upper bound on the rate behind `failures` in `runs` independent runs: with
 * the given confidence the true rate is below it. 1 when there were no runs.
 * @throws RangeError when the counts or the confidence make no sense.
 */
export function upperBound(failures: number, runs: number, confidence = CONFIDENCE): number {
  check(failures, runs, confidence);
  return upper(failures, runs, 1 - confidence);
}

/**
 * Two-sided Clopper-Pearson (exact) interval of the rate behind `failures` in `runs` independent runs.
 * `[0, 1]` when there were no runs.
 * @throws RangeError when the counts or the confidence make no sense.
 */
export function clopperPearson(failures: number, runs: number, confidence = CONFIDENCE): Interval {
  check(failures, runs, confidence);
  const chance = (1 - confidence) / 2;
  return { lower: lower(failures, runs, chance), upper: upper(failures, runs, chance) };
}

/**
 * One-sided Clopper-Pearson (exact) lower bound on the rate behind `failures` in `runs` independent runs: with
 * the given confidence the true rate is at least this. 0 when nothing failed.
 * @throws RangeError when the counts or the confidence make no sense.
 */
export function lowerBound(failures: number, runs: number, confidence = CONFIDENCE): number {
  check(failures, runs, confidence);
  return lower(failures, runs, 1 - confidence);
}

/** @throws RangeError when it isn't a number from 0 to 1. */
export function checkShare(what: string, share: number): void {
  if (!(typeof share === 'number' && share >= 0 && share <= 1))
    throw new RangeError(`${what} ${share} is not between 0 and 1`);
}

/** The bounds, by the chance that they are wrong. */
const upper = (failures: number, runs: number, chance: number): number =>
  failures === runs ? 1 : crossing((p) => atMost(failures, runs, p) > chance);
const lower = (failures: number, runs: number, chance: number): number =>
  failures === 0 ? 0 : crossing((p) => atLeast(failures, runs, p) < chance);

/**
 * Refuses counts that aren't failures among runs, and values that aren't a confidence.
 * @throws RangeError
 */
export function check(failures: number, runs: number, confidence: number): void {
  const counts = Number.isInteger(failures) && Number.isInteger(runs) && failures >= 0 && failures <= runs;
  if (!counts) throw new RangeError(`${failures} of ${runs} is not a count of failures in runs`);
  if (!(confidence > 0 && confidence <= MOST_CONFIDENCE))
    throw new RangeError(`confidence ${confidence} is not between 0 and ${MOST_CONFIDENCE}`);
}
