import { UsageError } from '../errors.js';
import { NUMBER, POSITIVE, upTo } from '../number-text.js';
import { type Counts, lowerBound, MOST_CONFIDENCE, upperBound } from './intervals.js';
import { MOST_RUNS, runsNeeded } from './sample-size.js';

/**
 * What a scenario that is run "until" must show: that its failure rate is below `rate`. A curtailed exact binomial test
 * decides it; docs/statistics.md describes the test.
 */
export interface RateGoal {
  /** Within 0..1. */
  readonly rate: number;
  /** Above 0 and at most 0.999999999. */
  readonly confidence: number;
  /** Failed runs that the goal tolerates. Each makes the test longer and more powerful. */
  readonly allowFailures: number;
}

/**
 * What runs say about a goal. The rate is `below` it or `at-least` it, both at the goal's confidence. `not-below`: it
 * can no longer be shown to be below. `open`: more runs are to come.
 */
export type GoalVerdict = 'below' | 'at-least' | 'not-below' | 'open';

/** A rate: a number within 0..1, as a number or as text, or text in percent such as `"0.1%"`. */
export type Rate = number | string;

/**
 * Reads a rate.
 * @throws UsageError when it isn't above 0 and below 1 (100 %).
 */
export function parseRate(rate: Rate): number {
  const [, number, percent] = SHARE.exec(String(rate)) ?? [];
  const value = Number(number) / (percent ? 100 : 1);
  if (!(value > 0 && value < 1)) {
    throw new UsageError(
      `${JSON.stringify(rate)} is not a rate`,
      'give percent, such as 0.1%, or a number between 0 and 1',
    );
  }
  return value;
}

const EXPONENT = '[eE][+-]?[0-9]+';

/** The pattern of a rate or confidence as text, for schemas. An editor shows it, so it is a plain one. */
export const SHARE = new RegExp(`^\\s*(${NUMBER}(?:${EXPONENT})?)\\s*(%?)\\s*$`);

/** Of those, the ones that are in range. Where there is an exponent, a pattern can't say. */
const inRange = (number: string, percent: string): RegExp =>
  new RegExp(`^\\s*(?:${number}|${percent}\\s*%|${POSITIVE}${EXPONENT}\\s*%?)\\s*$`);

/** The pattern of rates as text that are above 0 and below 1. */
export const USABLE_RATE = inRange(upTo('1', false), upTo('100', false));

/** The pattern of confidences as text that are not too high. */
export const USABLE_CONFIDENCE = inRange(upTo(String(MOST_CONFIDENCE), true), upTo('99.9999999', true));

/**
 * Reads a confidence.
 * @throws UsageError when it isn't a rate, or is above 99.9999999 %.
 */
export function parseConfidence(confidence: Rate): number {
  const value = parseRate(confidence);
  if (value <= MOST_CONFIDENCE) return value;
  throw new UsageError(
    `the confidence ${JSON.stringify(confidence)} is too high`,
    'give at most 99.9999999%',
  );
}

/**
 * How many runs a goal takes at most: `allowFailures` failed runs or fewer among them show it.
 * @throws UsageError when that would be more than a thousand million.
 */
export function goalRuns({ rate, confidence, allowFailures }: RateGoal): number {
  try {
    return runsNeeded(rate, confidence, allowFailures);
  } catch (error) {
    throw new UsageError(`a rate below ${rate} takes more than ${MOST_RUNS} runs`, 'give a higher rate', {
      cause: error,
    });
  }
}

/**
 * Judges runs that stopped at the goal's number of runs, or at the first failure beyond those allowed. The decision is
 * the same as if all runs had been made, so it errs no more often than the test of fixed size does.
 */
export function judge(goal: RateGoal, { failed, runs }: Counts): GoalVerdict {
  if (failed > goal.allowFailures) {
    return lowerBound(failed, runs, goal.confidence) >= goal.rate ? 'at-least' : 'not-below';
  }
  if (runs === 0) return 'open';
  return upperBound(failed, runs, goal.confidence) <= goal.rate * (1 + 1e-9) ? 'below' : 'open';
}
