import { randomUUID } from 'node:crypto';
import { definedOnly } from '../defined.js';
import { adviceOf, EnvironmentError, messageOf, requireObject } from '../errors.js';
import { expandMatrix } from '../plan/matrix.js';
import type { Plan, ScenarioSpec } from '../plan/plan.js';
import { type PlanOverrides, resolvePlan } from '../plan/resolve.js';
import type { ResolvedPlan, Scenario } from '../plan/scenario.js';
import { thisHost } from '../results/host.js';
import { allOk, type PlanResult, requireResult, type ScenarioResult } from '../results/result.js';
import { notRun, ScenarioTally } from '../results/tally.js';
import { makeRuns, type RunningOptions, type ScenarioProgress, type Series } from './make-runs.js';
import { checkCall, ofSession, overrideFields, sessionFields } from './options.js';
import { asResumed, refuseOtherReport, resumedTally } from './resume.js';
import { type ServiceEvent, ServicePool } from './service-pool.js';

/** What happens while a plan runs, in order. */
export type ProgressEvent =
  | ServiceEvent
  /** `index` counts from 0. */
  | {
      readonly type: 'scenario-start';
      readonly scenario: Scenario;
      readonly index: number;
      readonly total: number;
    }
  | ({
      readonly type: 'run';
      /** What the whole plan has shown so far, as if it had been interrupted here. The result is made when this is called. */
      soFar(): PlanResult;
    } & Omit<ScenarioProgress, 'soFar'>)
  | { readonly type: 'scenario-end'; readonly result: ScenarioResult };

/** Who is notified, and what may stop the session. */
export interface SessionOptions {
  /** Stops everything: running processes are killed, services are stopped, and the result has the runs up to then. */
  readonly signal?: AbortSignal;
  /** Called for each step of the session: a service, a scenario, a run. The next run may be under way then. */
  readonly onProgress?: (event: ProgressEvent) => void;
  /**
   * Makes the scenarios' runs alternately (A B, B A, A B, ...) instead of one scenario after another, so that changes
   * on the machine affect all alike. The smallest of their `jobs` applies to all together. Their start is reported
   * once. Default false.
   */
  readonly interleave?: boolean;
  /** Stops once this many runs have failed, except in scenarios that expect `'any'`; default: never. */
  readonly bail?: number;
  /** Whether stacks of crashes and hangs are taken, which takes seconds each; default true. */
  readonly stacks?: boolean;
  /**
   * A report of the same scenarios, from `readReport`. Its runs count, and only the missing ones are made. A scenario
   * that is missing in the report is run completely.
   */
  readonly resume?: PlanResult;
}

/** One scenario without services; the name defaults to the command. */
export type RunOptions = Omit<ScenarioSpec, 'name' | 'uses' | 'group'> & {
  readonly name?: string;
} & Omit<SessionOptions, 'interleave' | 'resume'>;

/**
 * Runs one command many times and says how its runs ended. An abort is not an error: it is in the result's state.
 * @throws UsageError when the options are wrong or the command can't be run; EnvironmentError when the system
 * can't start a process.
 */
export async function run(options: RunOptions): Promise<ScenarioResult> {
  checkCall(options, "run's options", ofSession('signal', 'onProgress', 'bail', 'stacks'), 'elsewhere');
  const { signal, onProgress, bail, stacks, ...spec } = options;
  const words = Array.isArray(spec.command) ? spec.command.join(' ') : '';
  const name = spec.name ?? (words || 'command');
  const resolved = resolvePlan({ scenarios: [{ ...spec, name }] }, {}, 'command');
  const { scenarios } = await runResolved(resolved, {
    ...definedOnly({ signal, onProgress, bail, stacks }),
  });
  return scenarios[0] as ScenarioResult;
}

/**
 * Runs a plan: its scenarios one after another, each service from its first use to the end.
 * A service that fails doesn't throw: the scenarios that use it are `not-run` or `stopped`, and the others continue.
 * @throws UsageError when the plan is wrong; EnvironmentError when the system can't start a process.
 */
export async function runPlan(plan: Plan, options: PlanOverrides & SessionOptions = {}): Promise<PlanResult> {
  requireObject(plan, 'a plan');
  checkCall(options, "runPlan's options", { ...overrideFields, ...sessionFields });
  const expanded = await expandMatrix(plan, { signal: options.signal });
  return await runResolved(resolvePlan(expanded, options), options);
}

/**
 * Like `runPlan`, for a plan that is already resolved.
 * @throws UsageError when the report to resume is of other programs.
 */
export async function runResolved(plan: ResolvedPlan, options: SessionOptions = {}): Promise<PlanResult> {
  const { signal: stop, resume, bail = Number.POSITIVE_INFINITY } = options;
  const enough = new AbortController();
  const signal = AbortSignal.any(stop === undefined ? [enough.signal] : [stop, enough.signal]);
  let failedRuns = 0;
  const onProgress = (event: ProgressEvent): void => {
    options.onProgress?.(event);
    if (event.type !== 'run' || !event.run.failed || event.scenario.expect === 'any') return;
    if (++failedRuns === bail)
      enough.abort(new Error(`--bail: ${bail} ${bail === 1 ? 'run' : 'runs'} failed`));
  };
  const startedAt = new Date();
  const sessions = [...(resume?.sessions ?? []), randomUUID()];
  const start = performance.now();
  if (resume !== undefined) requireResult(resume, 'the report to resume');
  refuseOtherReport(plan.scenarios, resume);
  const scenarios = plan.scenarios.map((scenario) => asResumed(scenario, resume));
  const services = new ServicePool(plan.services, onProgress, signal);
  const planResult = (results: readonly ScenarioResult[], interrupted: boolean): PlanResult => {
    const serviceFailures = [...services.failures.values()].map(({ service, message }) => ({
      service,
      message,
    }));
    return {
      ok: allOk({ scenarios: results, serviceFailures }),
      ...{ interrupted, startedAt, sessions, serviceFailures },
      durationMs: performance.now() - start,
      hosts: [thisHost()],
      planFile: plan.file ?? null,
      scenarios: results,
    };
  };
  const asInterrupted = (results: readonly ScenarioResult[]): PlanResult => planResult(results, true);
  let results: ScenarioResult[] = [];
  try {
    if (options.interleave)
      results = await runByTurns(scenarios, services, { ...options, signal, onProgress }, asInterrupted);
    else {
      for (const [index, scenario] of scenarios.entries()) {
        if (!signal.aborted) onProgress({ type: 'scenario-start', scenario, index, total: scenarios.length });
        const onRun = ({ soFar, ...progress }: ScenarioProgress): void =>
          onProgress({
            type: 'run',
            ...progress,
            soFar: () => {
              const later = scenarios.slice(index + 1).map((next) => resumedTally(next, resume).soFar());
              return asInterrupted([...results, soFar(), ...later]);
            },
          });
        const result = await runScenario(scenario, resumedTally(scenario, resume), services, onRun, {
          stacks: options.stacks,
          bails: options.bail !== undefined,
        });
        results.push(result);
        if (!signal.aborted || (result.runs.length > 0 && !stop?.aborted))
          onProgress({ type: 'scenario-end', result });
      }
    }
  } finally {
    await services.stopAll();
  }
  const interrupted = stop?.aborted ?? false;
  const bailed = !interrupted && enough.signal.aborted;
  const ended = results.map((result) =>
    bailed && result.state !== 'completed' ? { ...result, endedByFailures: true } : result,
  );
  return planResult(ended, interrupted);
}

/**
 * Runs a scenario as often as it says. If it is run `until` a goal, it stops once that is decided. If it can't do its
 * work, it stops after a few runs.
 * An abort is not an error: it is in the result, and so is a later run that can't be started.
 * @throws EnvironmentError when the system can't start the first run.
 */
async function runScenario(
  scenario: Scenario,
  tally: ScenarioTally,
  services: ServicePool,
  onRun: (progress: ScenarioProgress) => void,
  how: RunningOptions,
): Promise<ScenarioResult> {
  if (tally.finished) return tally.result('completed');
  const needed = await services.of(scenario);
  if (typeof needed === 'string') return tally.result(tally.completed === 0 ? 'not-run' : 'stopped', needed);
  const hopeless = new AbortController();
  const signal = AbortSignal.any([needed.signal, hopeless.signal]);
  const look = (progress: ScenarioProgress): void => {
    onRun(progress);
    if (tally.hopeless !== null) hopeless.abort(new Error(tally.hopeless));
  };
  try {
    await makeRuns([{ scenario, tally, env: needed.env, onRun: look }], scenario.jobs, signal, how);
    return tally.result('completed');
  } catch (error) {
    const reason = reasonToStop(error, tally.completed, signal);
    if (reason === undefined) throw error;
    return tally.result('stopped', reason, signal.reason === hopeless.signal.reason && signal.aborted);
  }
}

/**
 * Why runs ended early although those made count: an abort, or a system that can't start more processes. `undefined` if
 * an error must be thrown, for example when there are no runs yet.
 */
function reasonToStop(error: unknown, completed: number, signal: AbortSignal): string | undefined {
  if (signal.aborted) return messageOf(signal.reason);
  return error instanceof EnvironmentError && completed > 0 ? adviceOf(error) : undefined;
}

/**
 * Runs scenarios alternately. When one can't continue, all stop: they can no longer be compared under the same
 * conditions.
 */
async function runByTurns(
  scenarios: readonly Scenario[],
  services: ServicePool,
  { signal, stacks, bail, onProgress = () => {} }: SessionOptions,
  planOf: (results: readonly ScenarioResult[]) => PlanResult,
): Promise<ScenarioResult[]> {
  // Runs of all scenarios run side by side, so the most careful scenario limits their number.
  const jobs = Math.min(...scenarios.map((scenario) => scenario.jobs));
  let failed = 0;
  let completed = 0;
  const onRun = ({ run, scenario }: ScenarioProgress): void => {
    completed++;
    if (run.failed) failed++;
    const soFar = (): PlanResult => planOf(series.map(({ tally }) => tally.soFar()));
    onProgress({ type: 'run', scenario, run, completed, failed, soFar });
  };
  const series: Series[] = [];
  const signals: AbortSignal[] = [];
  for (const scenario of scenarios) {
    const needed = await services.of(scenario);
    if (typeof needed === 'string') return scenarios.map((each) => notRun(each, needed));
    signals.push(needed.signal);
    series.push({ scenario, tally: new ScenarioTally({ ...scenario, jobs }), env: needed.env, onRun });
  }
  const name = scenarios.map((scenario) => scenario.name).join(' / ');
  const runs = scenarios.reduce((sum, scenario) => sum + scenario.runs, 0);
  onProgress({
    type: 'scenario-start',
    scenario: { ...(scenarios[0] as Scenario), name, runs },
    index: 0,
    total: 1,
  });
  const all = AbortSignal.any(signals);
  let reason: string | null = null;
  try {
    await makeRuns(series, jobs, all, { stacks, bails: bail !== undefined });
  } catch (error) {
    const stopped = reasonToStop(error, completed, all);
    if (stopped === undefined) throw error;
    reason = stopped;
  }
  return series.map(({ tally }) => {
    const result = tally.result(reason === null ? 'completed' : 'stopped', reason);
    if (!signal?.aborted) onProgress({ type: 'scenario-end', result });
    return result;
  });
}
