import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { definedOnly } from '../defined.js';
import { parseDuration } from '../duration.js';
import { UsageError } from '../errors.js';
import { nameMatcher } from '../glob.js';
import { underChecker } from '../perturb/checker.js';
import { parsePerturb, randomSeed } from '../perturb/perturb.js';
import type { Perturbing } from '../perturb/perturbed-run.js';
import { findExecutable } from '../process/executable.js';
import { witnessProblem } from '../run/witness.js';
import { goalRuns, parseRate, type RateGoal } from '../statistics/rate-goal.js';
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
import { checkPlan } from './schema.js';
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
 * @throws PlanError with everything that is wrong; UsageError with the commands that can't be run, or the `only`
 * pattern that matches nothing.
 */
export function resolvePlan(plan: unknown, overrides: PlanOverrides = {}, source = 'plan'): ResolvedPlan {
  const { services = {}, scenarios, defaults: planned = {} } = checkPlan(plan, source, 'expanded');
  const seed = overrides.seed ?? planned.seed;
  const defaults = { ...planned, seed: seed ?? randomSeed() };
  const baseDir = resolve(overrides.baseDir ?? '.');
  const chosen = chosenScenarios(scenarios, overrides.only);
  const settled = Object.fromEntries(
    Object.entries(services).map(([name, spec]) => [
      name,
      { ...spec, cwd: resolve(baseDir, spec.cwd ?? '.') },
    ]),
  );
  const needed = new Set(chosen.flatMap(({ uses }) => uses ?? defaults.uses ?? []));
  refuse(source, [
    ...[...needed].map((name) => ({
      who: `service ${JSON.stringify(name)}`,
      problem: directoryProblem(services[name]?.cwd, baseDir),
    })),
    ...chosen.map((spec) => ({
      who: `scenario ${JSON.stringify(spec.name)}`,
      problem: startProblem(spec, defaults, baseDir),
    })),
  ]);
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
  return { services: settled, scenarios: resolved };
}

/** Refuses overrides that change nothing, because another one is missing. */
function refuseIdle(overrides: PlanOverrides, scenarios: readonly Scenario[]): void {
  const { allowThreads, seed, perturb, shard, ignoreOutput } = overrides;
  if (allowThreads !== undefined && !scenarios.some(({ strict }) => strict)) {
    throw new UsageError('threads are allowed, but nothing is strict about them', 'give --strict, too');
  }
  // One line of CI may give the seed to the shards of any plan.
  const isIdleSeed = seed !== undefined && perturb === undefined && shard === undefined;
  if (isIdleSeed && !scenarios.some((each) => each.perturb)) {
    throw new UsageError('there is a seed, but nothing is perturbed', 'give --perturb, too');
  }
  if (ignoreOutput !== undefined && !scenarios.some(judgesOutput)) {
    throw new UsageError('output is to be ignored, but none counts', 'leave out --no-signatures');
  }
}

const judgesOutput = ({ signatures, expect }: Scenario): boolean =>
  signatures || (typeof expect === 'object' && expect.stderr === 'empty');

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
  const blind = values.witness ? witnessProblem() : 'it is switched off';
  if (values.strict && blind !== undefined) {
    throw new UsageError(
      `${JSON.stringify(spec.name)} can't be strict about threads that are left at exit without the witness: ${blind}`,
    );
  }
  if (values.timeline && !values.witness) {
    throw new UsageError(
      `${JSON.stringify(spec.name)} can't have a timeline without the witness`,
      'leave out --timeline or --no-witness',
    );
  }
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

/** Why a program can't be started. */
interface StartProblem {
  readonly problem: string;
  readonly hint: string;
}

/** Which program that concerns, and the problem; `undefined` if the program can be started. */
interface Start {
  readonly who: string;
  readonly problem: StartProblem | undefined;
}

function startProblem(
  { command, cwd, env }: ScenarioSpec,
  defaults: ScenarioDefaults,
  baseDir: string,
): StartProblem | undefined {
  const directory = cwd ?? defaults.cwd;
  const path = env?.PATH ?? defaults.env?.PATH ?? process.env.PATH;
  const unfilled = placeholderProblem(command);
  if (unfilled !== undefined) return unfilled;
  const found = findExecutable(command[0] ?? '', resolve(baseDir, directory ?? '.'), path);
  return directoryProblem(directory, baseDir) ?? (found.path === undefined ? found : undefined);
}

/** The problem with a placeholder that nothing fills in. No program has such a name. */
function placeholderProblem([program = '', ...words]: readonly string[]): StartProblem | undefined {
  // In other words, the text may be meant for a shell.
  const [placeholder, name] =
    /\$\{(runtime|python|npm|dir|port:[^}]*)\}/.exec(program) ??
    words
      .map((word) => /^\$\{(runtime|python|npm)\}(?=$|\/\S*$)/.exec(word))
      .find((found) => found !== null) ??
    [];
  if (placeholder === undefined || name === undefined) return undefined;
  if (name === 'dir' || name.startsWith('port:')) {
    return {
      problem: `only a service has ${placeholder}`,
      hint: 'its provides gives it to scenarios, as a variable',
    };
  }
  const axes = { runtime: 'runtime', python: 'python or pypi:NAME', npm: 'npm:NAME' };
  return {
    problem: `${placeholder} needs a matrix with the axis ${axes[name as keyof typeof axes]}`,
    hint: 'such as matrix: { runtime: [node@22] } in a plan',
  };
}

function directoryProblem(cwd: string | undefined, baseDir: string): StartProblem | undefined {
  const path = resolve(baseDir, cwd ?? '.');
  const state = statSync(path, { throwIfNoEntry: false });
  if (state?.isDirectory()) return undefined;
  const what = state === undefined ? "doesn't exist" : 'is not a directory';
  return { problem: `cwd ${JSON.stringify(cwd ?? baseDir)} ${what}`, hint: `looked for ${path}` };
}

/** @throws UsageError with everything that can't be started, if anything can't. */
function refuse(source: string, starts: readonly Start[]): void {
  const named = starts.flatMap(({ who, problem }) => (problem === undefined ? [] : [{ who, ...problem }]));
  const [only, ...more] = named;
  if (only === undefined) return;
  if (source === 'command') throw new UsageError(only.problem, only.hint);
  if (more.length === 0) throw new UsageError(`${source}: ${only.who}: ${only.problem}`, only.hint);
  const lines = named.map(({ who, problem, hint }) => `\n  ${who}: ${problem} (${hint})`);
  throw new UsageError(`${source} has ${named.length} errors:${lines.join('')}`);
}

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
  if (overrides.runs !== undefined && overrides.until !== undefined) {
    throw new UsageError('give a number of runs or a rate to run until, not both');
  }
  const rate = overrides.until ?? (overrides.runs === undefined ? spec.until : undefined);
  const allowFailures = overrides.allowFailures ?? spec.allowFailures ?? 0;
  if (rate !== undefined) return { rate: parseRate(rate), confidence, allowFailures };
  if (overrides.allowFailures) {
    throw new UsageError('failures are allowed, but there is no rate to show', 'give --until, too');
  }
  if (overrides.allowFailures ?? (overrides.runs === undefined && spec.allowFailures)) {
    throw new UsageError(`${JSON.stringify(spec.name)} sets allowFailures, which needs until`);
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
