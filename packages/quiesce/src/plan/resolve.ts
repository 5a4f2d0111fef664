import { resolve } from 'node:path';
import { definedOnly } from '../defined.js';
import { parseDuration } from '../duration.js';
import { UsageError } from '../errors.js';
import { nameMatcher } from '../glob.js';
import { underChecker } from '../perturb/checker.js';
import { parsePerturb, randomSeed } from '../perturb/perturb.js';
import type { Perturbing } from '../perturb/perturbed-run.js';
import { tuningProblems } from '../perturb/tuning.js';
import { goalRuns, parseRate, type RateGoal } from '../statistics/rate-goal.js';
import { combinationProblems, judgesOutput } from './check/problems.js';
import { checkPlan } from './check/schema.js';
import type { ValueOption } from './option.js';
import {
  type OptionValues,
  type OverridingOptions,
  options,
  type ScenarioDefaults,
  valueOptions,
} from './options.js';
import type { ScenarioSpec } from './plan.js';
import type { ResolvedPlan, Scenario } from './scenario.js';
import { type ShardChoice, shareOf } from './shard.js';

/** What the caller overrides in the plan, for all of its scenarios. */
export interface PlanOverrides extends OverridingOptions {
  /** Directory that relative paths in the plan start from; default: that of this process. */
  readonly baseDir?: string;
  /** Makes only this part of each scenario's runs. Perturbed runs then need a seed, which must be the same for all shards. */
  readonly shard?: ShardChoice;
  /** Only scenarios whose name equals or matches one of these patterns (`*` and `?`). */
  readonly only?: readonly string[];
}

/**
 * Checks a plan and fills in its defaults.
 * @param source the plan's name in an error, such as its file name.
 * @throws PlanError with everything that is wrong; UsageError when that is in the caller's options, or in a single
 * command, or an `only` pattern matches nothing.
 */
export function resolvePlan(plan: unknown, overrides: PlanOverrides = {}, source = 'plan'): ResolvedPlan {
  refuseContradiction(overrides);
  const baseDir = resolve(overrides.baseDir ?? '.');
  const {
    services = {},
    scenarios,
    defaults: planned = {},
  } = checkPlan(plan, source, 'expanded', {
    further: (parts) => {
      const problems = combinationProblems(parts, overrides, baseDir);
      if (source !== 'command') return problems;
      // A command has no fields to point at.
      const [problem] = parts.scenarios.every(({ whole }) => whole) ? problems : [];
      if (problem !== undefined) throw new UsageError(problem.message, problem.hint);
      return [];
    },
  });
  const seed = overrides.seed ?? planned.seed;
  const defaults = { ...planned, seed: seed ?? randomSeed() };
  const chosen = chosenScenarios(scenarios, overrides.only);
  const settled = Object.fromEntries(
    Object.entries(services).map(([name, spec]) => [
      name,
      { ...spec, cwd: resolve(baseDir, spec.cwd ?? '.') },
    ]),
  );
  const resolved = chosen.map((spec) => {
    const seedGiven = seed !== undefined || spec.seed !== undefined;
    const whole = { ...withDefaults(spec, defaults), env: { ...defaults.env, ...spec.env } };
    const scenario = resolveScenario(whole, seedGiven, overrides, baseDir);
    if (overrides.shard === undefined) return scenario;
    if (!seedGiven && drawsFrom(scenario.perturb)) {
      throw new UsageError(
        'shards of perturbed runs need a seed, so that no two make the same runs',
        'give --seed the same number in all shards, such as the number of the CI run',
      );
    }
    return shardOf(scenario, overrides.shard);
  });
  refuseIdle(overrides, resolved);
  // A plan's seed may be meant for a later --perturb.
  const given = source === 'command' ? [...scenarios, planned] : [];
  refuseIdleSeed(
    given.find(({ seed }) => seed !== undefined)?.seed,
    given.find(({ perturb }) => perturb)?.perturb,
    'perturb',
  );
  const [wrong] = resolved.some(({ perturb }) => perturb?.choice.parts.has('amplify'))
    ? tuningProblems(process.env)
    : [];
  if (wrong !== undefined) throw new UsageError(wrong.problem, 'see docs/options.md');
  return { services: settled, scenarios: resolved };
}

/** Refuses the caller's options if they contradict one another, whatever the plan says. */
export function refuseContradiction({
  runs,
  until,
  valgrind,
  asan,
  timeline,
  strict,
  witness,
}: PlanOverrides): void {
  if (runs !== undefined && until !== undefined) {
    throw new UsageError('give a number of runs or a rate to run until, not both');
  }
  if (valgrind && asan) {
    throw new UsageError('valgrind and asan exclude each other', 'give --valgrind or --asan, not both');
  }
  if (witness !== false) return;
  if (timeline) {
    throw new UsageError('there is no timeline without the witness', 'leave out --timeline or --no-witness');
  }
  if (strict) {
    throw new UsageError(
      'strict needs the witness, which sees the threads that are left at exit',
      'leave out --strict or --no-witness',
    );
  }
}

/** Refuses overrides that change nothing, because another one is missing. */
function refuseIdle(overrides: PlanOverrides, scenarios: readonly Scenario[]): void {
  const { allowThreads, seed, perturb, shard, ignoreOutput } = overrides;
  if (allowThreads !== undefined && !scenarios.some(({ strict }) => strict)) {
    throw new UsageError('threads are allowed, but nothing is strict about them', 'give --strict, too');
  }
  // One line of CI may give the seed to the shards of any plan.
  if (shard === undefined && !scenarios.some((each) => each.perturb))
    refuseIdleSeed(seed, perturb, '--perturb');
  if (ignoreOutput !== undefined && !scenarios.some(judgesOutput)) {
    throw new UsageError('output is to be ignored, but none counts', 'leave out --no-signatures');
  }
}

function refuseIdleSeed(seed: number | undefined, perturb: string | undefined, name: string): void {
  if (seed === undefined || perturb !== undefined) return;
  throw new UsageError('there is a seed, but nothing is perturbed', `give ${name}, too`);
}

/** A scenario's own `runs` or `until` overrides either one in the defaults. */
function withDefaults(spec: ScenarioSpec, defaults: ScenarioDefaults): ScenarioSpec {
  const { runs, until, ...others } = defaults;
  const howMany = spec.runs === undefined && spec.until === undefined ? { runs, until } : {};
  return { ...others, ...definedOnly(howMany), ...spec };
}

function resolveScenario(
  spec: ScenarioSpec,
  seedGiven: boolean,
  overrides: PlanOverrides,
  baseDir: string,
): Scenario {
  const { env = {} } = spec;
  const cwd = resolve(baseDir, spec.cwd ?? '.');
  const values = optionValues(spec, overrides);
  const checked = underChecker(values, spec.command, { ...process.env, ...env });
  const until = goalOf(spec, overrides, values.confidence);
  return {
    ...values,
    name: spec.name,
    group: spec.group ?? null,
    command: spec.command,
    launched: checked.command,
    runs: until === null ? (overrides.runs ?? spec.runs ?? options.runs.default) : goalRuns(until),
    shard: null,
    until,
    perturb: perturbing(overrides.perturb ?? spec.perturb, overrides.seed ?? spec.seed),
    seedGiven,
    timeoutMs:
      overrides.timeout === undefined ? timeoutOf(spec) * checked.slowness : parseDuration(overrides.timeout),
    env: { ...env, ...checked.env },
    cwd,
  };
}

const timeoutOf = ({ timeout }: ScenarioSpec): number =>
  timeout === undefined ? options.timeout.default : parseDuration(timeout);

/** The values of the options that don't depend on other options: from the caller, or else the plan, or else the defaults. */
function optionValues(spec: ScenarioDefaults, overrides: ScenarioDefaults): OptionValues {
  const names = Object.keys(valueOptions) as (keyof OptionValues)[];
  const settled = (name: keyof OptionValues): unknown => {
    const option = valueOptions[name] as ValueOption<unknown>;
    const { adds, settle = (given) => given } = option;
    if (adds) return [spec[name], overrides[name]].flatMap((given) => given ?? []);
    const given = overrides[name] ?? spec[name];
    return given === undefined ? option.default : settle(given);
  };
  return Object.fromEntries(names.map((name) => [name, settled(name)])) as unknown as OptionValues;
}

/** The part of a scenario that a shard makes. */
function shardOf(scenario: Scenario, choice: ShardChoice): Scenario {
  const { runs } = shareOf(choice, scenario.runs);
  return { ...scenario, runs, shard: { ...choice, ofRuns: scenario.runs } };
}

/** Whether anything is drawn from its seed. */
function drawsFrom(perturb: Perturbing | null): boolean {
  return perturb !== null && (perturb.choice.some || [...perturb.choice.parts.values()].includes(null));
}

function perturbing(text: string | undefined, seed = 0): Perturbing | null {
  const choice = text === undefined ? null : parsePerturb(text);
  return choice === null ? null : { choice, seed };
}

function goalOf(spec: ScenarioSpec, overrides: PlanOverrides, confidence: number): RateGoal | null {
  const rate = overrides.until ?? (overrides.runs === undefined ? spec.until : undefined);
  const allowFailures = overrides.allowFailures ?? spec.allowFailures ?? 0;
  if (rate !== undefined) return { rate: parseRate(rate), confidence, allowFailures };
  if (overrides.allowFailures) {
    throw new UsageError('failures are allowed, but there is no rate to show', 'give --until, too');
  }
  return null;
}

/**
 * The scenarios with these names, or names that match these patterns; all if there are none.
 * @throws UsageError when a pattern matches nothing.
 */
export function chosenScenarios(
  scenarios: readonly ScenarioSpec[],
  only: readonly string[] = [],
): readonly ScenarioSpec[] {
  if (only.length === 0) return scenarios;
  const names = scenarios.map(({ name }) => name);
  const patterns = only.map((pattern) => ({ pattern, matches: nameMatcher(pattern, names) }));
  for (const { pattern, matches } of patterns) {
    if (names.some(matches)) continue;
    throw new UsageError(
      `no scenario matches ${JSON.stringify(pattern)}`,
      `the plan has: ${names.join(', ')}`,
    );
  }
  return scenarios.filter(({ name }) => patterns.some(({ matches }) => matches(name)));
}
