import { isDeepStrictEqual } from 'node:util';
import { messageOf, ServiceError, UsageError } from '../errors.js';
import { perturbChoiceText } from '../perturb/perturb.js';
import { expandMatrix } from '../plan/matrix.js';
import {
  type Plan,
  type PlanOverrides,
  type ResolvedPlan,
  resolvePlan,
  type Scenario,
  type ScenarioSpec,
} from '../plan/plan.js';
import { type Host, thisHost } from '../results/host.js';
import type { SavedReport, SavedScenario } from '../results/saved-report.js';
import { describeExit, type RunningService, type ServiceSpec, startService } from '../service/service.js';
import {
  makeRuns,
  notRun,
  reasonToStop,
  runScenario,
  type ScenarioProgress,
  type ScenarioResult,
  ScenarioTally,
  type Series,
} from './scenario.js';

/** What happens while a plan runs, in order. */
export type ProgressEvent =
  | { readonly type: 'service-starting'; readonly service: string }
  | { readonly type: 'service-ready'; readonly service: string }
  /** `index` counts from 0. */
  | {
      readonly type: 'scenario-start';
      readonly scenario: Scenario;
      readonly index: number;
      readonly total: number;
    }
  /** `soFar` is what the whole plan showed until now, as if it had been interrupted here: made when it is called. */
  | ({ readonly type: 'run'; soFar(): PlanResult } & Omit<ScenarioProgress, 'soFar'>)
  | { readonly type: 'scenario-end'; readonly result: ScenarioResult };

/** Who is told, and who may stop it. */
export interface SessionOptions {
  /** Stops everything: what runs is killed, services are stopped, and the result has what there is. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: ProgressEvent) => void;
  /**
   * Makes the scenarios' runs by turns (A B, B A, A B, ...) instead of one scenario after another, so that what
   * changes on the machine meanwhile meets all alike; the least of their `jobs` holds for all together. Told as one
   * scenario's start. Default false.
   */
  readonly interleave?: boolean;
  /**
   * A report of the same scenarios, from `readReport`: its runs count, and only those that are missing are made. A
   * scenario that it doesn't have is run whole.
   */
  readonly resume?: SavedReport;
}

/** What a whole plan showed. */
export interface PlanResult {
  /** Every scenario is ok and no service failed. */
  readonly ok: boolean;
  /** Stopped by its signal before it was through. */
  readonly interrupted: boolean;
  readonly startedAt: Date;
  readonly durationMs: number;
  /** Machines that the runs were made on: several where reports were merged. */
  readonly hosts: readonly Host[];
  /** The plan's file, as it was given; `null` where there is none. */
  readonly planFile: string | null;
  /** Services that couldn't start or died while they were needed. */
  readonly serviceFailures: readonly { readonly service: string; readonly message: string }[];
  readonly scenarios: readonly ScenarioResult[];
}

/** Whether the machine or a service let the test down, so that runs are missing or can't be trusted. */
export function letDown({ serviceFailures, scenarios }: PlanResult): boolean {
  return serviceFailures.length > 0 || scenarios.some(({ state }) => state !== 'completed');
}

/** One scenario without services; the name defaults to the command. */
export type RunOptions = Omit<ScenarioSpec, 'name' | 'uses' | 'group'> & {
  readonly name?: string;
} & Omit<SessionOptions, 'interleave' | 'resume'>;

/**
 * Runs one command many times and says how its runs ended. An abort is no error: the result's state says so.
 * @throws UsageError when the options are wrong or the command can't be run; EnvironmentError when the system
 * can't start a process.
 */
export async function run(options: RunOptions): Promise<ScenarioResult> {
  const { signal, onProgress, ...spec } = options;
  const name = spec.name ?? (Array.isArray(spec.command) ? spec.command.join(' ') : 'command');
  const resolved = resolvePlan({ scenarios: [{ ...spec, name }] }, {}, 'command');
  const { scenarios } = await runResolved(resolved, {
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
  });
  return scenarios[0] as ScenarioResult;
}

/**
 * Runs a plan: its scenarios one after another, each service from its first use to the end.
 * A service that fails doesn't throw: the scenarios that use it are `not-run` or `stopped`, the others go on.
 * @throws UsageError when the plan is wrong; EnvironmentError when the system can't start a process.
 */
export async function runPlan(plan: Plan, options: PlanOverrides & SessionOptions = {}): Promise<PlanResult> {
  const expanded = await expandMatrix(plan, { signal: options.signal });
  return await runResolved(resolvePlan(expanded, options), options);
}

/**
 * `runPlan` for a plan that was resolved before.
 * @throws UsageError when it is to resume a report of other programs.
 */
export async function runResolved(plan: ResolvedPlan, options: SessionOptions = {}): Promise<PlanResult> {
  const { signal, onProgress = () => {} } = options;
  const startedAt = new Date();
  const start = performance.now();
  const scenarios = plan.scenarios.map((scenario) => asResumed(scenario, options.resume));
  const services = new ServicePool(plan.services, onProgress, signal);
  const planResult = (results: readonly ScenarioResult[], interrupted: boolean): PlanResult => ({
    ok: results.every((result) => result.ok) && services.failures.size === 0,
    interrupted,
    startedAt,
    durationMs: performance.now() - start,
    hosts: [thisHost()],
    planFile: plan.file ?? null,
    serviceFailures: [...services.failures.values()].map(({ service, message }) => ({ service, message })),
    scenarios: results,
  });
  const asInterrupted = (results: readonly ScenarioResult[]): PlanResult => planResult(results, true);
  let results: ScenarioResult[] = [];
  try {
    if (options.interleave) results = await runByTurns(scenarios, services, options, asInterrupted);
    else {
      for (const [index, scenario] of scenarios.entries()) {
        if (!signal?.aborted)
          onProgress({ type: 'scenario-start', scenario, index, total: scenarios.length });
        const onRun = ({ soFar, ...progress }: ScenarioProgress): void =>
          onProgress({
            type: 'run',
            ...progress,
            soFar: () => {
              const later = scenarios
                .slice(index + 1)
                .map((next) => earlierTally(next, options.resume).soFar());
              return asInterrupted([...results, soFar(), ...later]);
            },
          });
        const result = await runWithServices(scenario, services, options, onRun);
        results.push(result);
        if (!signal?.aborted) onProgress({ type: 'scenario-end', result });
      }
    }
  } finally {
    await services.stopAll();
  }
  return planResult(results, signal?.aborted ?? false);
}

async function runWithServices(
  scenario: Scenario,
  services: ServicePool,
  { signal, resume }: SessionOptions,
  onRun: (progress: ScenarioProgress) => void,
): Promise<ScenarioResult> {
  const before = earlierTally(scenario, resume);
  if (before.finished) return before.result('completed');
  const needed = await servicesOf(scenario, services, signal);
  if (typeof needed === 'string')
    return before.result(before.completed === 0 ? 'not-run' : 'stopped', needed);
  return await runScenario(scenario, { ...needed, earlier: earlierRuns(scenario, resume), onRun });
}

/** What a report that is resumed has of a scenario. */
function earlierRuns(scenario: Scenario, report: SavedReport | undefined): SavedScenario | undefined {
  const saved = report?.scenarios.find(({ name }) => name === scenario.name);
  return saved?.runs === 0 ? undefined : saved;
}

function earlierTally(scenario: Scenario, report: SavedReport | undefined): ScenarioTally {
  return new ScenarioTally(scenario, earlierRuns(scenario, report));
}

/**
 * The scenario as it goes on where a report ends: perturbed from the seed of then.
 * @throws UsageError when the report's runs were made otherwise, so that they can't be counted together.
 */
function asResumed(scenario: Scenario, report: SavedReport | undefined): Scenario {
  const saved = earlierRuns(scenario, report);
  if (saved === undefined) return scenario;
  const then = saved.scenario;
  const refuse = (what: string, hint: string): UsageError =>
    new UsageError(`the report to resume has ${what} of ${JSON.stringify(scenario.name)}`, hint);
  const [command, expect] = [scenario.command, scenario.expect];
  if (!isDeepStrictEqual([then.command, then.expect], [command, expect])) {
    throw new UsageError(
      `the report to resume has ${JSON.stringify(scenario.name)} with another command or expectation`,
      'resume with the command or plan that it was made with',
    );
  }
  if (!isDeepStrictEqual(then.shard, scenario.shard)) throw refuse('another shard', 'give --shard as then');
  if (then.timeoutMs !== scenario.timeoutMs)
    throw refuse('another timeout', `give --timeout ${then.timeoutMs}ms as then`);
  if (!isDeepStrictEqual(then.allowThreads, scenario.allowThreads))
    throw refuse('other threads allowed', 'give --allow-thread as then');
  if (then.strict !== scenario.strict)
    throw refuse('another strictness', 'give or leave out --strict as then');
  const looked = ({ signatures, ignoreOutput }: Scenario): unknown => [signatures, ignoreOutput];
  if (!isDeepStrictEqual(looked(then), looked(scenario)))
    throw refuse('another way to look at the output', 'give --no-signatures and --ignore-output as then');
  const choices = [then.perturb, scenario.perturb].map(
    (perturb) => perturb && perturbChoiceText(perturb.choice),
  );
  if (choices[0] !== choices[1])
    throw refuse('another perturbation', `give --perturb ${choices[0] ?? 'none'} as then`);
  if (then.perturb === null || scenario.perturb === null) return scenario;
  const { seed } = then.perturb;
  if (scenario.perturb.seedGiven && scenario.perturb.seed !== seed)
    throw refuse('another seed', `leave out --seed, or give --seed ${seed} as then`);
  return { ...scenario, perturb: { ...scenario.perturb, seed } };
}

/** Runs scenarios by turns. When one can't go on, none does: what they would show together is gone. */
async function runByTurns(
  scenarios: readonly Scenario[],
  services: ServicePool,
  { signal, onProgress = () => {} }: SessionOptions,
  planOf: (results: readonly ScenarioResult[]) => PlanResult,
): Promise<ScenarioResult[]> {
  // What runs beside a run is the same for all, so the most careful of them says how much.
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
    const needed = await servicesOf(scenario, services, signal);
    if (typeof needed === 'string') return scenarios.map((each) => notRun(each, needed));
    signals.push(needed.signal);
    series.push({ tally: new ScenarioTally({ ...scenario, jobs }), options: { env: needed.env, onRun } });
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
    await makeRuns(series, jobs, all);
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

/** Starts what a scenario uses; where that can't be, says why. */
async function servicesOf(
  scenario: Scenario,
  services: ServicePool,
  signal: AbortSignal | undefined,
): Promise<{ env: Record<string, string>; signal: AbortSignal } | string> {
  if (signal?.aborted) return messageOf(signal.reason);
  const env: Record<string, string> = {};
  const stops = signal === undefined ? [] : [signal];
  try {
    for (const name of scenario.uses) {
      const { service, failed } = await services.get(name);
      Object.assign(env, service.env);
      stops.push(failed);
    }
  } catch (error) {
    if (!signal?.aborted && !(error instanceof ServiceError)) throw error;
    return firstLine(error);
  }
  return { env, signal: AbortSignal.any(stops) };
}

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split(';')[0] ?? '';

interface PooledService {
  readonly service: RunningService;
  /** Aborted, with a ServiceError as its reason, when the service dies. */
  readonly failed: AbortSignal;
}

/** Starts services when they are first asked for, watches them, and stops them all at the end. */
class ServicePool {
  readonly #specs: Readonly<Record<string, ServiceSpec>>;
  readonly #tell: (event: ProgressEvent) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #started = new Map<string, PooledService>();
  readonly failures = new Map<string, ServiceError>();
  #stopping = false;

  constructor(
    specs: Readonly<Record<string, ServiceSpec>>,
    tell: (event: ProgressEvent) => void,
    signal: AbortSignal | undefined,
  ) {
    this.#specs = specs;
    this.#tell = tell;
    this.#signal = signal;
  }

  async get(name: string): Promise<PooledService> {
    const failure = this.failures.get(name);
    if (failure !== undefined) throw failure;
    const started = this.#started.get(name);
    if (started !== undefined) return started;
    this.#tell({ type: 'service-starting', service: name });
    try {
      const signal = this.#signal === undefined ? {} : { signal: this.#signal };
      const service = await startService(name, this.#specs[name] as ServiceSpec, signal);
      const pooled = { service, failed: this.#watch(service) };
      this.#started.set(name, pooled);
      this.#tell({ type: 'service-ready', service: name });
      return pooled;
    } catch (error) {
      if (error instanceof ServiceError) this.failures.set(name, error);
      throw error;
    }
  }

  #watch(service: RunningService): AbortSignal {
    const died = new AbortController();
    void service.exited.then((status) => {
      if (this.#stopping) return;
      const error = new ServiceError(
        service.name,
        `${describeExit(status)} while it was needed`,
        service.log(),
      );
      this.failures.set(service.name, error);
      died.abort(new ServiceError(service.name, `${describeExit(status)} while it was needed`));
    });
    return died.signal;
  }

  async stopAll(): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#started.values()].map(({ service }) => service.stop()));
  }
}
