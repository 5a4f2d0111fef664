// compare/: says whether one program fails less often than another, from alternating runs or from counts. The tests
// themselves are in statistics/, the wording in report/.
import { definedOnly } from '../defined.js';
import { requireObject, UsageError } from '../errors.js';
import { text } from '../plan/fields.js';
import { expandMatrix } from '../plan/matrix.js';
import type { ScenarioDefaults } from '../plan/options.js';
import type { Plan, ScenarioSpec } from '../plan/plan.js';
import { type PlanOverrides, resolvePlan } from '../plan/resolve.js';
import { countsOf, type PlanResult } from '../results/result.js';
import { type CallFields, checkCall, ofSession, overrideFields, sessionFields } from '../session/options.js';
import { runResolved, type SessionOptions } from '../session/session.js';
import { type FisherExact, fisherExact, holm } from '../statistics/fisher.js';
import { CONFIDENCE, type Counts, clopperPearson, type Interval } from '../statistics/intervals.js';
import { parseConfidence, type Rate } from '../statistics/rate-goal.js';
import { comparisonRuns } from '../statistics/sample-size.js';

/** One side of a comparison. */
export interface Sample extends Counts {
  /** The failure rate's two-sided Clopper-Pearson interval, at the comparison's confidence. */
  readonly interval: Interval;
}

/** The comparison of two failure rates. */
export interface Comparison {
  readonly before: Sample;
  readonly after: Sample;
  /** Fisher's exact test. `lower` is the p of `after` failing less. */
  readonly p: FisherExact;
  /** The two-sided p, after Holm's adjustment if several comparisons are judged together. */
  readonly adjustedP: number;
  /** Between 0 and 1. A difference is proven when `adjustedP` is at most 1 - confidence. */
  readonly confidence: number;
  /** `better` or `worse`: it is proven that `after` fails less, or more. Otherwise `not-proven`. */
  readonly verdict: 'better' | 'worse' | 'not-proven';
  /**
   * If no difference is proven: how many runs of each side would prove a difference as large as the observed one, in
   * four of five comparisons. `null` if there is no difference, or more than 10,000 runs would be needed.
   */
  readonly runsToProve: number | null;
}

/** A comparison, and its runs. */
export interface ComparisonResult extends Comparison {
  /** Its scenarios are the two sides: before, after. It also says whether the comparison was interrupted. */
  readonly result: PlanResult;
}

/** The two commands, and the options that they share. */
export type CompareOptions = {
  readonly before: Pick<ScenarioSpec, 'command' | 'env' | 'cwd' | 'expect'>;
  readonly after: Pick<ScenarioSpec, 'command' | 'env' | 'cwd' | 'expect'>;
  /** Runs of each command. Default 60. */
  readonly runs?: number;
} & Omit<ScenarioDefaults, 'runs' | 'until' | 'allowFailures' | 'uses'> &
  Pick<SessionOptions, 'signal' | 'onProgress' | 'stacks'>;

/** Two scenarios of a plan, by name, and what is overridden in the plan. */
export type ComparePlanOptions = { readonly before: string; readonly after: string } & Omit<
  PlanOverrides,
  'only' | 'until' | 'allowFailures'
> &
  Omit<SessionOptions, 'interleave'>;

const { only: _only, until: _until, allowFailures: _allow, ...overrides } = overrideFields;
const { interleave: _, ...ofPlan } = sessionFields;
const comparePlanFields: CallFields = { ...overrides, ...ofPlan, before: text, after: text };

/** Default number of runs of each side: enough to prove 13 % against none. */
export const COMPARED_RUNS = 60;
const POWER = 0.8;

/**
 * Runs two commands alternately, so that changes on the machine affect both, and says whether one fails less often than
 * the other. With `jobs`, runs of both are made at the same time. An abort is not an error: the runs so far are
 * compared, and the result says so.
 * @throws UsageError when the options are wrong or a command can't be run; EnvironmentError when the system can't
 * start a process.
 */
export async function compare(options: CompareOptions): Promise<ComparisonResult> {
  checkCall(options, "compare's options", ofSession('signal', 'onProgress', 'stacks'), 'elsewhere');
  requireObject(options.before, 'before');
  requireObject(options.after, 'after');
  const { before, after, signal, onProgress, stacks, runs = COMPARED_RUNS, ...defaults } = options;
  const scenarios = [
    { name: 'before', ...before },
    { name: 'after', ...after },
  ];
  const sides = { before: 'before', after: 'after', ...definedOnly({ signal, onProgress, stacks }) };
  return compareScenarios({ defaults: { ...defaults, runs }, scenarios }, sides, 'command');
}

/**
 * Compares two scenarios of a plan, with the services they use. Without `runs`, each is run as often as the plan says.
 * A failed service is not an error either.
 * @throws what `compare` throws.
 */
export async function comparePlan(plan: Plan, options: ComparePlanOptions): Promise<ComparisonResult> {
  requireObject(plan, 'a plan');
  checkCall(options, "comparePlan's options", comparePlanFields);
  return compareScenarios(plan, options, 'plan');
}

/** @param source the plan's name in an error. */
async function compareScenarios(
  plan: Plan,
  options: ComparePlanOptions,
  source: string,
): Promise<ComparisonResult> {
  if (options.before === options.after) throw new UsageError('before and after are the same scenario');
  const resolved = resolvePlan(await expandMatrix(plan, { signal: options.signal }), options, source);
  const scenarios = [options.before, options.after].map((name) => {
    const found = resolved.scenarios.find((scenario) => scenario.name === name);
    if (found !== undefined) return { ...found, until: null };
    const names = resolved.scenarios.map((scenario) => scenario.name).join(', ');
    throw new UsageError(`no scenario is named ${JSON.stringify(name)}`, `the plan has: ${names}`);
  });
  const result = await runResolved({ ...resolved, scenarios }, { ...options, interleave: true });
  const [before, after] = result.scenarios.map(countsOf);
  const confidence = options.confidence ?? scenarios[0]?.confidence;
  return { ...compareCounts(before as Counts, after as Counts, confidence), result };
}

/**
 * Compares two failure rates.
 * @throws UsageError when the confidence isn't a rate; RangeError when a count is impossible.
 */
export function compareCounts(before: Counts, after: Counts, confidence: Rate = CONFIDENCE): Comparison {
  return comparePairs([{ before, after }], confidence)[0] as Comparison;
}

/**
 * Compares several pairs of failure rates and judges them together: the chance that any of the proofs is wrong stays
 * below 1 - confidence (Holm's adjustment).
 * @throws what `compareCounts` throws.
 */
export function comparePairs(
  pairs: readonly { readonly before: Counts; readonly after: Counts }[],
  confidence: Rate = CONFIDENCE,
): Comparison[] {
  const level = parseConfidence(confidence);
  const tests = pairs.map(({ before, after }) => fisherExact(before, after));
  const adjusted = holm(tests.map(({ twoSided }) => twoSided));
  return pairs.map(({ before, after }, i) => {
    const adjustedP = adjusted[i] as number;
    const proven = adjustedP <= 1 - level;
    const [rateBefore, rateAfter] = [rateOf(before), rateOf(after)];
    return {
      before: sample(before, level),
      after: sample(after, level),
      p: tests[i] as FisherExact,
      adjustedP,
      confidence: level,
      verdict: !proven ? 'not-proven' : rateAfter < rateBefore ? 'better' : 'worse',
      runsToProve: proven ? null : comparisonRuns(rateBefore, rateAfter, level, POWER),
    };
  });
}

const sample = ({ failed, runs }: Counts, confidence: number): Sample => ({
  failed,
  runs,
  interval: clopperPearson(failed, runs, confidence),
});

const rateOf = ({ failed, runs }: Counts): number => (runs === 0 ? 0 : failed / runs);
