import { requireObject, UsageError } from '../errors.js';
import type { RecordedScenario } from '../plan/scenario.js';
import { type Outcome, outcomeLabel } from '../run/outcome.js';
import type { Evidence, RunRecord } from '../run/run.js';
import type { SignatureMatch } from '../run/signatures.js';
import type { Counts, Interval } from '../statistics/intervals.js';
import type { GoalVerdict } from '../statistics/rate-goal.js';
import type { Summary } from '../statistics/summary.js';
import type { Timeline } from '../timeline/model.js';
import type { FailureKind } from './failure-kinds.js';
import type { Host } from './host.js';

/**
 * When a run failed. `exit`: after it reported "work done". `work`: before that, if other runs of the scenario reported
 * it. `unknown`: the program never reports it.
 */
export type Phase = 'work' | 'exit' | 'unknown';

/** Runs that failed in the same way. */
export interface FailureGroup {
  readonly outcome: Outcome;
  readonly phase: Phase;
  readonly signature: SignatureMatch | null;
  /** Name of the thread that died, if it is known. */
  readonly diedIn: string | null;
  /** The likely cause; `null` if the traces don't decide it. */
  readonly kind: FailureKind | null;
  /** Numbers of the runs, ascending. */
  readonly runs: readonly number[];
  /** Evidence from the first of these runs that has stacks. If none has, evidence from the first one. */
  readonly evidence: Evidence;
}

/** The result of a scenario's runs. */
export interface ScenarioResult {
  readonly scenario: RecordedScenario;
  /** `stopped`: ended early; `not-run`: never started. `reason` says why. */
  readonly state: 'completed' | 'stopped' | 'not-run';
  readonly reason: string | null;
  /**
   * Whether failures ended the scenario early: it reached the number of failures that `bail` allows, or its first runs
   * all failed alike before their work was done. If this is false and the scenario isn't `completed`, the machine or a
   * service failed, or somebody interrupted the session.
   */
  readonly endedByFailures: boolean;
  /**
   * Whether it completed and one of these is true: every run ended as expected, it reached the goal of `until`, or it
   * expects `'any'` end.
   */
  readonly ok: boolean;
  /** Every finished run, in order. */
  readonly runs: readonly RunRecord[];
  readonly failed: number;
  /**
   * The failure rate, at the scenario's confidence: one-sided upper bound and two-sided interval
   * (Clopper-Pearson).
   */
  readonly rate: { readonly upperBound: number; readonly interval: Interval };
  /** For a scenario that is run `until` a goal: what its runs say about that goal. `null` for others. */
  readonly verdict: GoalVerdict | null;
  /** Milliseconds from "work done" to the end of the process, over all runs that reported it; `null` if none did. */
  readonly exitMs: Summary | null;
  readonly failures: readonly FailureGroup[];
  /** The exit of the first run that ended as expected, if timelines were taken; otherwise `null`. */
  readonly cleanTimeline: Timeline | null;
}

/** The result of a plan. */
export interface PlanResult {
  /** Whether every scenario is ok and no service failed. */
  readonly ok: boolean;
  /** Whether its signal stopped it before it was complete. */
  readonly interrupted: boolean;
  readonly startedAt: Date;
  readonly durationMs: number;
  /** Ids of the sessions that made the runs. There are several if a session was resumed or reports were merged. */
  readonly sessions: readonly string[];
  /** Machines that made the runs. There are several if reports were merged. */
  readonly hosts: readonly Host[];
  /** The plan's file, as given; `null` if there is none. */
  readonly planFile: string | null;
  /** Services that couldn't start, or died while they were needed. */
  readonly serviceFailures: readonly { readonly service: string; readonly message: string }[];
  readonly scenarios: readonly ScenarioResult[];
}

/**
 * For callers without types.
 * @param what the argument, such as "the report to resume".
 * @throws UsageError when it isn't a result.
 */
export function requireResult(value: unknown, what: string): void {
  requireObject(value, what);
  const { scenarios, serviceFailures, startedAt } = value as Partial<PlanResult>;
  const isResult =
    startedAt instanceof Date &&
    Array.isArray(serviceFailures) &&
    Array.isArray(scenarios) &&
    scenarios.every((each: Partial<ScenarioResult> | null) => each?.scenario && Array.isArray(each.runs));
  if (!isResult) throw new UsageError(`${what} is not a result`, 'give what runPlan or readReport returned');
}

/** Whether two results have runs in common. Such runs count as evidence only once. */
export const overlap = (one: PlanResult, other: PlanResult): boolean =>
  one.sessions.some((session) => other.sessions.includes(session));

/** How many of a scenario's runs failed. */
export const countsOf = ({ failed, runs }: ScenarioResult): Counts => ({ failed, runs: runs.length });

/** How many of its runs failed with each outcome, by its label. */
export function outcomeCounts({ failures }: ScenarioResult): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { outcome, runs } of failures) {
    const label = outcomeLabel(outcome);
    counts.set(label, (counts.get(label) ?? 0) + runs.length);
  }
  return counts;
}

/** Whether scenarios and services behaved as they should: the value of `PlanResult.ok`. */
export function allOk({
  scenarios,
  serviceFailures,
}: Pick<PlanResult, 'scenarios' | 'serviceFailures'>): boolean {
  return scenarios.every(({ ok }) => ok) && serviceFailures.length === 0;
}

/** Whether the machine or a service failed, so that runs are missing or can't be trusted. */
export function letDown({ serviceFailures, scenarios }: PlanResult): boolean {
  return (
    serviceFailures.length > 0 ||
    scenarios.some(({ state, endedByFailures }) => state !== 'completed' && !endedByFailures)
  );
}
