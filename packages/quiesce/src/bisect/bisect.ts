// bisect/: finds the published version of a package that changed how a program ends. It runs a session with one version
// after another. Installing is in install/.
import { z } from 'zod';
import { EnvironmentError, requireObject, UsageError } from '../errors.js';
import {
  type InstallOptions,
  installPackage,
  type PackageName,
  publishedVersions,
} from '../install/installation.js';
import { checkPlan } from '../plan/check/schema.js';
import { text } from '../plan/fields.js';
import { fill, withDefaultEnv } from '../plan/matrix.js';
import type { Plan, ScenarioSpec } from '../plan/plan.js';
import { chosenScenarios, type PlanOverrides, resolvePlan } from '../plan/resolve.js';
import type { ScenarioResult } from '../results/result.js';
import { type CallFields, callback, checkCall, overrideFields, sessionFields } from '../session/options.js';
import { runResolved, type SessionOptions } from '../session/session.js';

/** One version that was tried. */
export interface Tried {
  readonly version: string;
  readonly result: ScenarioResult;
}

/** Which version changed how runs end. */
export interface BisectResult {
  /** `null`: the oldest and the newest version behave alike. */
  readonly change: VersionChange | null;
  /**
   * Versions that can't do the program's work, for instance because an API is missing. Each run with such a version
   * ended with an exit code before the program reported "work done", which it does report with other versions. They say
   * nothing about exits and are left out.
   */
  readonly unusable: readonly string[];
  /** In the order in which they were tried. */
  readonly tried: readonly Tried[];
}

/** Where runs begin to end differently. */
export interface VersionChange {
  /** The first version that fails (`brought`), or that no longer does (`cured`). */
  readonly kind: 'brought' | 'cured';
  readonly version: string;
  /** The last version that ends as those before it. */
  readonly after: string;
  /** Versions between these two that can't do the program's work: any of them may have brought or cured it. */
  readonly between: readonly string[];
}

/** What is bisected. */
export interface BisectOptions
  extends SessionOptions,
    Omit<PlanOverrides, 'until' | 'allowFailures' | 'shard'> {
  readonly package: PackageName;
  /** The oldest version to look at; default: the first published. */
  readonly from?: string;
  /** The newest version; default: the last published. */
  readonly to?: string;
  /** Python for a PyPI package's environments; default `python3`. */
  readonly python?: string;
  /** Called for each version, once its runs are made. */
  readonly onTried?: (tried: Tried) => void;
}

const { until: _until, allowFailures: _allow, shard: _shard, ...overrides } = overrideFields;
const bisectFields: CallFields = {
  ...{ ...overrides, ...sessionFields, onTried: callback },
  ...{ package: z.unknown(), from: text, to: text, python: text },
};

/**
 * Finds the version of a package that brought or cured a failure, by halving. It runs the only chosen scenario of the
 * plan, whose command refers to the installation as `${python}` or `${npm}`. A version is bad when any of its runs
 * fails, except for versions that can't do the program's work at all. With fewer runs, a bad version is more likely to
 * pass for good, so rare failures need perturbation. No stacks are taken.
 * @throws UsageError when a version isn't published, the command doesn't refer to the installation, there are fewer
 * than two versions, or more than one scenario is chosen; EnvironmentError when a version can't be installed, or a
 * service keeps runs from being made; the signal's reason when aborted.
 */
export async function bisect(plan: Plan, options: BisectOptions): Promise<BisectResult> {
  requireObject(plan, 'a plan');
  checkCall(options, "bisect's options", bisectFields);
  requireObject(options.package, 'the package');
  checkPlan(plan, 'plan', 'expanded');
  refuseWithoutPlace(chosenScenarios(plan.scenarios, options.only), options.package);
  const install: InstallOptions = { signal: options.signal, python: options.python };
  const all = await publishedVersions(options.package, install);
  const at = (version: string | undefined, fallback: number): number => {
    const i = version === undefined ? fallback : all.indexOf(version);
    if (i >= 0) return i;
    throw new UsageError(
      `${options.package.name} ${version} isn't published`,
      `published versions: ${all.join(', ')}`,
    );
  };
  let low = at(options.from, 0);
  let high = at(options.to, all.length - 1);
  if (low >= high)
    throw new UsageError('there is no version between the two', 'give --from an older version than --to');
  const results = new Map<number, ScenarioResult>();
  const versionOf = (i: number): string => all[i] as string;
  const tryOne = async (i: number): Promise<void> => {
    if (results.has(i)) return;
    const one = { version: versionOf(i), result: await tryVersion(plan, versionOf(i), options, install) };
    results.set(i, one.result);
    options.onTried?.(one);
  };
  const state = async (i: number): Promise<VersionState> => {
    await tryOne(i);
    const speaks = [...results.values()].some(({ runs }) => runs.some(({ workDone }) => workDone));
    return versionState(results.get(i) as ScenarioResult, speaks);
  };
  const done = async (change: VersionChange | null): Promise<BisectResult> => {
    const tried = [...results].map(([i, result]) => ({ version: versionOf(i), result }));
    const unusable: string[] = [];
    for (const i of [...results.keys()].sort((a, b) => a - b)) {
      if ((await state(i)) === 'unusable') unusable.push(versionOf(i));
    }
    return { change, unusable, tried };
  };
  await tryOne(low);
  await tryOne(high); // only both ends show whether the program reports "work done"
  // One of the ends is usable: the one whose runs reported "work done", or both.
  if ((await state(low)) === 'unusable') {
    [, low] = await boundary(low, high, async (i) => (await state(i)) === 'unusable');
  } else if ((await state(high)) === 'unusable') {
    [high] = await boundary(low, high, async (i) => (await state(i)) !== 'unusable');
  }
  const before = await state(low);
  if (low === high || before === (await state(high))) return await done(null);
  for (;;) {
    const middle = await usableBetween(low, high, state);
    if (middle === undefined) break;
    if ((await state(middle)) === before) low = middle;
    else high = middle;
  }
  return await done({
    kind: before === 'bad' ? 'cured' : 'brought',
    version: versionOf(high),
    after: versionOf(low),
    between: all.slice(low + 1, high),
  });
}

/** @throws UsageError if a program would be the same with every version. */
function refuseWithoutPlace(scenarios: readonly ScenarioSpec[], { registry }: PackageName): void {
  const placeholder = `\${${registry === 'npm' ? 'npm' : 'python'}}`;
  const what = registry === 'npm' ? 'the folder that has its node_modules' : "its environment's Python";
  for (const { name, command, env = {} } of scenarios) {
    if ([...command, ...Object.values(env)].some((text) => text.includes(placeholder))) continue;
    throw new UsageError(
      `${JSON.stringify(name)} is the same for every version: it does not contain ${placeholder}`,
      `write ${placeholder} where the command names ${what}`,
    );
  }
}

type VersionState = 'good' | 'bad' | 'unusable';

/** @param speaks whether the program reports "work done" with any version. */
function versionState({ runs }: ScenarioResult, speaks: boolean): VersionState {
  const failed = runs.filter((run) => run.failed);
  if (failed.length === 0) return 'good';
  const atWork = failed.filter(
    ({ workDone, outcome }) => speaks && !workDone && outcome.kind === 'exit-code',
  );
  if (atWork.length === runs.length) return 'unusable';
  return atWork.length === failed.length ? 'good' : 'bad';
}

/** For a list whose beginning is like `low` and whose end isn't: the last that is, and the first that isn't. */
async function boundary(
  low: number,
  high: number,
  likeLow: (i: number) => Promise<boolean>,
): Promise<[number, number]> {
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await likeLow(middle)) low = middle;
    else high = middle;
  }
  return [low, high];
}

/** The usable version nearest to the middle; `undefined` if there is none in between. */
async function usableBetween(
  low: number,
  high: number,
  state: (i: number) => Promise<VersionState>,
): Promise<number | undefined> {
  const middle = (low + high) / 2;
  const between = Array.from({ length: Math.max(0, high - low - 1) }, (_, i) => low + 1 + i);
  between.sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle));
  for (const i of between) if ((await state(i)) !== 'unusable') return i;
  return undefined;
}

async function tryVersion(
  plan: Plan,
  version: string,
  options: BisectOptions,
  install: InstallOptions,
): Promise<ScenarioResult> {
  const place = await installPackage(options.package, version, install);
  const places = options.package.registry === 'npm' ? { npm: place } : { python: place };
  const values = new Map([[options.package.name, version]]);
  const filled = plan.scenarios.map((spec) => ({
    ...fill(withDefaultEnv(spec, plan.defaults), values, places),
    name: spec.name,
  }));
  const resolved = resolvePlan({ ...plan, scenarios: filled }, options);
  if (resolved.scenarios.length !== 1)
    throw new UsageError('only one scenario can be bisected', 'choose it with --only');
  const { scenarios, serviceFailures } = await runResolved(resolved, { stacks: false, ...options });
  options.signal?.throwIfAborted();
  const [result] = scenarios as [ScenarioResult];
  // A service's message contains the service's name.
  const problem =
    serviceFailures[0]?.message ??
    (result.state === 'completed' || result.endedByFailures ? undefined : result.reason);
  if (problem) throw new EnvironmentError(`with ${options.package.name} ${version}: ${problem}`);
  return result;
}
