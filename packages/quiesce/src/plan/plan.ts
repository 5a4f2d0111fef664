import { readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { dirname, extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createJiti } from 'jiti';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { type Duration, parseDuration } from '../duration.js';
import { messageOf, UsageError } from '../errors.js';
import { globMatcher } from '../glob.js';
import { type Checker, underChecker } from '../perturb/checker.js';
import { parsePerturb, randomSeed, SEED_LIMIT } from '../perturb/perturb.js';
import type { Perturbing } from '../perturb/perturbed-run.js';
import { findExecutable } from '../process/executable.js';
import type { Expect } from '../run/outcome.js';
import { witnessProblem } from '../run/witness.js';
import { type ServiceSpec, serviceProblem } from '../service/service.js';
import { CONFIDENCE } from '../statistics/intervals.js';
import { goalRuns, parseRate, type Rate, type RateGoal } from '../statistics/rate-goal.js';
import type { Matrix } from './matrix.js';
import { type Shard, type ShardChoice, shareOf } from './shard.js';

/** What the scenarios of a plan have in common, and what each may set for itself. */
export interface ScenarioDefaults {
  /** How many runs; default 20. Not together with `until`. */
  readonly runs?: number;
  /**
   * Runs as often as it takes to show that the failure rate is below this, such as `"0.1%"` or 0.001; stops once
   * that is decided. docs/statistics.md describes the test.
   */
  readonly until?: Rate;
  /** Failed runs that still let `until` be shown; default 0. Each makes the test longer, and more powerful. */
  readonly allowFailures?: number;
  /** Of every statement about the failure rate; default `"95%"`. */
  readonly confidence?: Rate;
  /** How many runs at a time; default 1. Exit times are then those of a busy machine. */
  readonly jobs?: number;
  /** A thread that still runs at exit, other than the host's own, makes a run fail; default false. */
  readonly strict?: boolean;
  /** Names of threads, or file names of the libraries that started them, that `strict` lets be left; `*` and `?`. */
  readonly allowThreads?: readonly string[];
  /**
   * Loads the exit witness, a preload library that sees crashes and what is left at exit, into its programs, where it
   * was built; default true. Without it outcomes are as exact, but there are no stacks of crashes.
   */
  readonly witness?: boolean;
  /**
   * Whether a fatal signature in its output, such as Python's "Fatal Python error", makes a run fail; default true.
   * docs/tester.md says what they are.
   */
  readonly signatures?: boolean;
  /**
   * Regular expressions: lines of output that match one are not looked at, neither for signatures nor where stderr
   * is to be empty. An override is added to the plan's own.
   */
  readonly ignoreOutput?: readonly string[];
  /**
   * What its runs are perturbed by, so that races show: `"all"`, `"none"` (the default), or parts such as
   * `"amplify,nice=3"`. docs/sensitivity.md describes them.
   */
  readonly perturb?: string;
  /** What perturbations are drawn from, within 0 and 2^32 - 1; default: a new one each time, which is reported. */
  readonly seed?: number;
  /** A run that takes longer is a hang; a number is milliseconds; default `"10s"`. */
  readonly timeout?: Duration;
  /** Names of the plan's services that must run; their `provides` are in the environment. */
  readonly uses?: readonly string[];
  /** Added to the environment of the tester. A scenario's variables are added to those of the defaults. */
  readonly env?: Readonly<Record<string, string>>;
  /** Working directory, relative to the plan file; default: the plan file's directory. */
  readonly cwd?: string;
  /** How its runs shall end; default `'clean'`. */
  readonly expect?: Expect;
}

/** One program under test. */
export interface ScenarioSpec extends ScenarioDefaults {
  /** Unique within the plan. */
  readonly name: string;
  /** Program and arguments. No shell is involved. */
  readonly command: readonly string[];
  /** Heading under which the report shows it. */
  readonly group?: string;
  /** Runs it for each combination of runtimes and versions; see `Matrix`. */
  readonly matrix?: Matrix;
}

/** Scenarios, and the services they need. */
export interface Plan {
  readonly services?: Readonly<Record<string, ServiceSpec>>;
  readonly defaults?: ScenarioDefaults;
  readonly scenarios: readonly ScenarioSpec[];
}

/** What a plan module exports as default: a plan, or a function that returns one. */
export type PlanExport = Plan | (() => Plan | Promise<Plan>);

/** A scenario as results and reports have it, with every default filled in: how its runs are made and judged. */
export interface RecordedScenario {
  readonly name: string;
  readonly group: string | null;
  readonly command: readonly string[];
  /** At most; a scenario run `until` may stop before. */
  readonly runs: number;
  /** Which part of its runs these are; `null` when they are all. */
  readonly shard: Shard | null;
  /** What it is run until; `null` when it is run a fixed number of times. */
  readonly until: RateGoal | null;
  /** Within 0..1. */
  readonly confidence: number;
  /** Runs at a time. */
  readonly jobs: number;
  readonly strict: boolean;
  readonly allowThreads: readonly string[];
  /** Whether the exit witness is loaded, where it was built. */
  readonly witness: boolean;
  /** Whether a fatal signature in its output makes a run fail. */
  readonly signatures: boolean;
  /** Regular expressions: lines of output that match one are not looked at. */
  readonly ignoreOutput: readonly string[];
  /** `null` when its runs are left alone. */
  readonly perturb: Perturbing | null;
  readonly timeoutMs: number;
  readonly uses: readonly string[];
  /** Absolute. */
  readonly cwd: string;
  readonly expect: Expect;
}

/** A scenario that is ready to be run. */
export interface Scenario extends RecordedScenario {
  /** Added to the environment of the tester. */
  readonly env: Readonly<Record<string, string>>;
  /** The seed of its perturbations was asked for; else it was made up. */
  readonly seedGiven: boolean;
}

/** A checked plan, ready to be run. */
export interface ResolvedPlan {
  readonly services: Readonly<Record<string, ServiceSpec>>;
  readonly scenarios: readonly Scenario[];
  /** The file it was read from, for the report; none for a plan that isn't from a file. */
  readonly file?: string;
}

/** What the caller decides over the plan's head. */
export interface PlanOverrides {
  /** Directory that relative paths in the plan start from; default: that of this process. */
  readonly baseDir?: string;
  /** Runs of every scenario. Not together with `until`. */
  readonly runs?: number;
  /** Runs every scenario until its failure rate is shown to be below this, or not to be. */
  readonly until?: Rate;
  /** Failed runs that still let `until` be shown. */
  readonly allowFailures?: number;
  /** Of every statement about failure rates. */
  readonly confidence?: Rate;
  /** Runs at a time, of every scenario. */
  readonly jobs?: number;
  /** Whether left threads fail every scenario. */
  readonly strict?: boolean;
  /** Threads that may be left under `strict`, beside those that the plan allows. */
  readonly allowThreads?: readonly string[];
  /** Whether the exit witness is loaded into the programs of every scenario. */
  readonly witness?: boolean;
  /** Whether a fatal signature in the output makes a run of any scenario fail. */
  readonly signatures?: boolean;
  /** Regular expressions: lines of output that match one are not looked at, beside those that the plan ignores. */
  readonly ignoreOutput?: readonly string[];
  /** What all runs are perturbed by. */
  readonly perturb?: string;
  /** What perturbations are drawn from. */
  readonly seed?: number;
  /** Makes only this part of every scenario's runs. Perturbed ones then need a seed, the same for all shards. */
  readonly shard?: ShardChoice;
  /** Timeout of every run. */
  readonly timeout?: Duration;
  /** Runs every program under this tool; timeouts that aren't given here are raised by what it may cost. */
  readonly checker?: Checker;
  /** Only scenarios whose name equals or matches one of these patterns (`*` and `?`). */
  readonly only?: readonly string[];
}

const DEFAULT_RUNS = 20;
const DEFAULT_TIMEOUT_MS = 10_000;

/** Returns its argument: gives a plan module completion and type checks. */
export function definePlan(plan: PlanExport): PlanExport {
  return plan;
}

/**
 * Reads a plan file: YAML or JSON by its ending, else a TypeScript or JavaScript module whose default export is
 * a plan or a function that returns one.
 * @throws UsageError when the file can't be read or isn't what its ending says. The plan itself is checked by
 * `resolvePlan`.
 */
export async function loadPlan(file: string): Promise<{ plan: unknown; baseDir: string }> {
  const path = resolve(file);
  const baseDir = dirname(path);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const problem = missing
      ? `plan file ${file} doesn't exist`
      : `can't read plan file ${file}: ${messageOf(error)}`;
    throw new UsageError(problem, missing ? `looked for ${path}` : undefined);
  }
  try {
    const kind = extname(path).toLowerCase();
    if (kind === '.json') return { plan: JSON.parse(text), baseDir };
    if (kind === '.yaml' || kind === '.yml') return { plan: parseYaml(text), baseDir };
    if (!/^\.[cm]?[jt]s$/.test(kind)) {
      throw new UsageError(`plan file ${file} has an unknown ending`, 'use .yaml, .yml, .json, .ts or .js');
    }
    const exported = await importPlan(path);
    return { plan: typeof exported === 'function' ? await exported() : exported, baseDir };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`plan file ${file} can't be loaded: ${messageOf(error)}`, undefined, {
      cause: error,
    });
  }
}

function importPlan(path: string): Promise<unknown> {
  // A plan may import this package though it isn't installed beside the plan.
  const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
  const alias = { 'quiesce/work-done': here('../work-done.js'), quiesce: here('../index.js') };
  return createJiti(import.meta.url, { fsCache: false, alias }).import(path, { default: true });
}

/**
 * Checks a plan and fills in its defaults.
 * @param source how to call the plan in an error, such as its file name.
 * @throws UsageError that names the wrong field and what was expected, or the command that can't be run, or the
 * `only` pattern that matches nothing.
 */
export function resolvePlan(plan: unknown, overrides: PlanOverrides = {}, source = 'plan'): ResolvedPlan {
  const parsed = planSchema.safeParse(plan);
  if (!parsed.success) {
    const [first, ...more] = parsed.error.issues;
    const others = more.length === 0 ? '' : ` (and ${more.length} more)`;
    throw new UsageError(`${source}: ${pathText(first?.path ?? [])}${first?.message}${others}`);
  }
  const { services = {}, scenarios, ...planned } = parsed.data as Plan;
  const seed = overrides.seed ?? planned.defaults?.seed;
  const defaults = { ...planned.defaults, seed: seed ?? randomSeed() };
  const baseDir = resolve(overrides.baseDir ?? '.');
  const chosen = choose(scenarios, overrides.only);
  return {
    services: Object.fromEntries(
      Object.entries(services).map(([name, spec]) => [
        name,
        { ...spec, cwd: resolve(baseDir, spec.cwd ?? '.') },
      ]),
    ),
    scenarios: chosen.map((spec) => {
      const seedGiven = seed !== undefined || spec.seed !== undefined;
      const whole = withDefaults(spec, defaults);
      const scenario = resolveScenario(whole, seedGiven, defaults, overrides, baseDir, source);
      if (overrides.shard === undefined) return scenario;
      if (!seedGiven && drawsFrom(scenario.perturb)) {
        throw new UsageError(
          'shards of perturbed runs need a seed, so that no two make the same runs',
          'give --seed the same number in all shards, such as the number of the CI run',
        );
      }
      return shardOf(scenario, overrides.shard);
    }),
  };
}

/** A scenario's own `runs` or `until` stands against either in the defaults. */
function withDefaults(spec: ScenarioSpec, defaults: ScenarioDefaults): ScenarioSpec {
  const { runs, until, ...others } = defaults;
  const howMany = spec.runs === undefined && spec.until === undefined ? { runs, until } : {};
  return { ...others, ...definedOnly(howMany), ...spec };
}

/** The fields that have a value. */
export const definedOnly = <T extends object>(object: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as never;

function resolveScenario(
  spec: ScenarioSpec,
  seedGiven: boolean,
  defaults: ScenarioDefaults,
  overrides: PlanOverrides,
  baseDir: string,
  source: string,
): Scenario {
  const env = { ...defaults.env, ...spec.env };
  const cwd = resolve(baseDir, spec.cwd ?? '.');
  const found = findExecutable(spec.command[0] ?? '', cwd, env.PATH ?? process.env.PATH);
  if (found.path === undefined) {
    const where = source === 'command' ? '' : `${source}: scenario ${JSON.stringify(spec.name)}: `;
    throw new UsageError(`${where}${found.problem}`, found.hint);
  }
  const checked =
    overrides.checker && underChecker(overrides.checker, spec.command, { ...process.env, ...env });
  const confidence = parseRate(overrides.confidence ?? spec.confidence ?? CONFIDENCE);
  const strict = overrides.strict ?? spec.strict ?? false;
  const witness = overrides.witness ?? spec.witness ?? true;
  const blind = witness ? witnessProblem() : 'it is switched off';
  if (strict && blind !== undefined) {
    throw new UsageError(
      `${JSON.stringify(spec.name)} can't be strict about threads that are left at exit without the witness: ${blind}`,
    );
  }
  const until = goalOf(spec, overrides, confidence);
  if (until === null && (overrides.allowFailures ?? (overrides.runs === undefined && spec.allowFailures))) {
    throw new UsageError(`${JSON.stringify(spec.name)} allows failures but isn't run until a rate is shown`);
  }
  return {
    name: spec.name,
    group: spec.group ?? null,
    command: checked?.command ?? spec.command,
    runs: until === null ? (overrides.runs ?? spec.runs ?? DEFAULT_RUNS) : goalRuns(until),
    shard: null,
    until,
    confidence,
    jobs: overrides.jobs ?? spec.jobs ?? 1,
    strict,
    allowThreads: [...(spec.allowThreads ?? []), ...(overrides.allowThreads ?? [])],
    witness,
    signatures: overrides.signatures ?? spec.signatures ?? true,
    ignoreOutput: [...(spec.ignoreOutput ?? []), ...(overrides.ignoreOutput ?? [])],
    perturb: perturbing(overrides.perturb ?? spec.perturb, overrides.seed ?? spec.seed),
    seedGiven,
    timeoutMs:
      overrides.timeout === undefined
        ? parseDuration(spec.timeout ?? DEFAULT_TIMEOUT_MS) * (checked?.slowness ?? 1)
        : parseDuration(overrides.timeout),
    uses: spec.uses ?? [],
    env: { ...env, ...checked?.env },
    cwd,
    expect: spec.expect ?? 'clean',
  };
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
  return rate === undefined ? null : { rate: parseRate(rate), confidence, allowFailures };
}

function choose(scenarios: readonly ScenarioSpec[], only: readonly string[] = []): readonly ScenarioSpec[] {
  if (only.length === 0) return scenarios;
  const patterns = only.map((pattern) => ({ pattern, matches: globMatcher(pattern) }));
  for (const { pattern, matches } of patterns) {
    if (scenarios.some(({ name }) => matches(name))) continue;
    const names = scenarios.map(({ name }) => name).join(', ');
    throw new UsageError(`no scenario matches ${JSON.stringify(pattern)}`, `the plan has: ${names}`);
  }
  return scenarios.filter(({ name }) => patterns.some(({ matches }) => matches(name)));
}

function pathText(path: readonly PropertyKey[]): string {
  if (path.length === 0) return '';
  const text = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return `${text.replace(/^\./, '')}: `;
}

const got = (input: unknown): string =>
  input === undefined ? 'nothing' : (JSON.stringify(input) ?? String(input));

const expected =
  (what: string) =>
  (issue: { input?: unknown }): string =>
    `expected ${what}, got ${got(issue.input).slice(0, 80)}`;

const text = z.string({ error: expected('text') }).min(1, { error: 'expected text, got nothing' });

const list = <T extends z.ZodType>(item: T, what: string) =>
  z.array(item, { error: expected(`a list of ${what}`) });

const command = list(z.string({ error: expected('text') }), 'program and arguments').refine(
  (words) => words.length > 0 && words[0] !== '' && !words.some((word) => word.includes('\0')),
  { error: expected('a program and its arguments, without NUL bytes') },
);

const environment = z
  .record(z.string(), z.string({ error: expected('text (quote numbers)') }), {
    error: expected('a mapping of environment variables'),
  })
  .exactOptional();

function strict<T extends z.ZodRawShape>(shape: T) {
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return expected('a mapping')(issue);
      const unknown = (issue.keys as string[]).map((key) => JSON.stringify(key)).join(', ');
      return `unknown field ${unknown}; the fields here are ${Object.keys(shape).join(', ')}`;
    },
  });
}

const positiveInteger = z
  .int({ error: expected('a positive integer') })
  .min(1, { error: expected('a positive integer') });

const duration = z.union([z.number(), z.string()], { error: expected('a duration such as "10s"') }).refine(
  (value) => {
    try {
      return parseDuration(value) > 0;
    } catch {
      return false;
    }
  },
  { error: expected('a positive duration such as "500ms", "10s" or "2m"') },
);

const rate = z.union([z.number(), z.string()], { error: expected('a rate such as "0.1%"') }).refine(
  (value) => {
    try {
      return parseRate(value) > 0;
    } catch {
      return false;
    }
  },
  { error: expected('a rate such as "0.1%", or a number between 0 and 1') },
);

const expectation = z.union(
  [
    z.enum(['clean', 'any']),
    z
      .strictObject({
        exitCode: z.int().min(0).max(255).exactOptional(),
        signal: z.enum(Object.keys(constants.signals)).exactOptional(),
        stderr: z.enum(['empty', 'any']).exactOptional(),
      })
      .refine(({ exitCode, signal }) => exitCode === undefined || signal === undefined),
  ],
  {
    error: expected(
      '"clean", "any", or a mapping with exitCode (0 to 255) or signal (such as "SIGTERM"), and stderr ("empty" or "any")',
    ),
  },
);

/** Whether a text can be compiled. */
export function isRegularExpression(source: string): boolean {
  try {
    new RegExp(source);
    return true;
  } catch {
    return false;
  }
}

const scenarioFields = {
  runs: positiveInteger.exactOptional(),
  until: rate.exactOptional(),
  allowFailures: z
    .int({ error: expected('a number of runs') })
    .min(0, { error: expected('a number of runs') })
    .exactOptional(),
  confidence: rate.exactOptional(),
  jobs: positiveInteger.exactOptional(),
  strict: z.boolean({ error: expected('true or false') }).exactOptional(),
  allowThreads: list(text, 'names of threads or libraries').exactOptional(),
  witness: z.boolean({ error: expected('true or false') }).exactOptional(),
  signatures: z.boolean({ error: expected('true or false') }).exactOptional(),
  ignoreOutput: list(
    text.refine(isRegularExpression, { error: expected('a regular expression') }),
    'regular expressions',
  ).exactOptional(),
  perturb: text
    .superRefine((value, context) => {
      try {
        parsePerturb(value);
      } catch (error) {
        const { message, hint } = error as UsageError;
        const more = hint === undefined ? '' : `; ${hint}`;
        context.addIssue({ code: 'custom', message: `${message}${more}` });
      }
    })
    .exactOptional(),
  seed: z
    .int({ error: expected('a seed') })
    .min(0, { error: expected('a seed of 0 or more') })
    .max(SEED_LIMIT - 1, { error: expected('a seed below 2^32') })
    .exactOptional(),
  timeout: duration.exactOptional(),
  uses: list(text, 'service names').exactOptional(),
  env: environment,
  cwd: text.exactOptional(),
  expect: expectation.exactOptional(),
};

const serviceSchema = strict({
  command,
  env: environment,
  cwd: text.exactOptional(),
  ports: list(text, 'port names').exactOptional(),
  ready: strict({
    port: text.exactOptional(),
    log: text.exactOptional(),
    timeoutMs: positiveInteger.exactOptional(),
  }).exactOptional(),
  provides: environment,
}).superRefine((spec, context) => {
  const problem = serviceProblem(spec as ServiceSpec);
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});

const planSchema = strict({
  services: z
    .record(text, serviceSchema, { error: expected('a mapping of services by name') })
    .exactOptional(),
  defaults: strict(scenarioFields).exactOptional(),
  scenarios: list(
    strict({ name: text, command, group: text.exactOptional(), ...scenarioFields }),
    'scenarios',
  ).min(1, {
    error: 'expected at least one scenario',
  }),
}).superRefine(({ services = {}, defaults, scenarios }, context) => {
  for (const [i, spec] of [defaults ?? {}, ...scenarios].entries()) {
    if (spec.runs === undefined || spec.until === undefined) continue;
    const path = i === 0 ? ['defaults'] : ['scenarios', i - 1];
    context.addIssue({ code: 'custom', path, message: 'give runs or until, not both' });
  }
  const names = new Set<string>();
  const users = [{ path: ['defaults'] as PropertyKey[], uses: defaults?.uses ?? [] }];
  for (const [i, { name, uses = [] }] of scenarios.entries()) {
    if (names.has(name)) {
      const message = `${JSON.stringify(name)} is already the name of another scenario`;
      context.addIssue({ code: 'custom', path: ['scenarios', i, 'name'], message });
    }
    names.add(name);
    users.push({ path: ['scenarios', i], uses });
  }
  const known = Object.keys(services).join(', ') || 'none';
  for (const { path, uses } of users) {
    for (const [i, service] of uses.entries()) {
      if (Object.hasOwn(services, service)) continue;
      const message = `unknown service ${JSON.stringify(service)}; the plan's services: ${known}`;
      context.addIssue({ code: 'custom', path: [...path, 'uses', i], message });
    }
  }
});
