import { UsageError } from './errors.js';
import { type InstallOptions, installPackage, type PackageName, publishedVersions } from './installation.js';
import { fill } from './matrix.js';
import { type Plan, type PlanOverrides, resolvePlan } from './plan.js';
import type { ScenarioResult } from './scenario.js';
import { runResolved, type SessionOptions } from './session.js';

/** One version that was tried. */
export interface Tried {
  readonly version: string;
  readonly result: ScenarioResult;
}

/** Which version changed how runs end. */
export interface BisectResult {
  /** The first version that fails (`brought`) or that doesn't any more (`cured`); `null`: both ends are alike. */
  readonly change: {
    readonly kind: 'brought' | 'cured';
    readonly version: string;
    readonly after: string;
  } | null;
  /** In the order in which they were tried. */
  readonly tried: readonly Tried[];
}

/** What is bisected. */
export interface BisectOptions
  extends SessionOptions,
    Omit<PlanOverrides, 'until' | 'allowFailures' | 'shard'> {
  readonly package: PackageName;
  /** The oldest version looked at; default: the first published. */
  readonly from?: string;
  /** The newest; default: the last published. */
  readonly to?: string;
  /** Python for a PyPI package's environments; default `python3`. */
  readonly python?: string;
  readonly onTried?: (tried: Tried) => void;
}

/**
 * Finds by halving the version of a package that brought or cured a failure of a plan's only chosen scenario, whose
 * command names the installation by `${python}` or `${npm}`. A version is bad when any of its runs fails; the fewer
 * runs, the likelier a bad one passes for good, so that rare failures want perturbation.
 * @throws UsageError when a version isn't published, or there are fewer than two, or not one scenario;
 * EnvironmentError when one can't be installed, or a service or an interrupt keeps runs from being made.
 */
export async function bisect(plan: Plan, options: BisectOptions): Promise<BisectResult> {
  const install: InstallOptions = { signal: options.signal, python: options.python };
  const all = await publishedVersions(options.package, install);
  const at = (version: string | undefined, fallback: number): number => {
    const i = version === undefined ? fallback : all.indexOf(version);
    if (i >= 0) return i;
    throw new UsageError(
      `${options.package.name} ${version} isn't published`,
      `there are: ${all.join(', ')}`,
    );
  };
  let low = at(options.from, 0);
  let high = at(options.to, all.length - 1);
  if (low >= high)
    throw new UsageError('there is nothing between the two versions', 'give --from an older one than --to');
  const tried: Tried[] = [];
  const isBad = async (i: number): Promise<boolean> => {
    const version = all[i] as string;
    const one = { version, result: await tryVersion(plan, version, options, install) };
    tried.push(one);
    options.onTried?.(one);
    return one.result.failed > 0;
  };
  const before = await isBad(low);
  if (before === (await isBad(high))) return { change: null, tried };
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if ((await isBad(middle)) === before) low = middle;
    else high = middle;
  }
  const [version, after] = [all[high] as string, all[low] as string];
  return { change: { kind: before ? 'cured' : 'brought', version, after }, tried };
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
  const filled = plan.scenarios.map((spec) => ({ ...fill({ ...spec }, values, places), name: spec.name }));
  const resolved = resolvePlan({ ...plan, scenarios: filled }, options);
  if (resolved.scenarios.length !== 1)
    throw new UsageError('one scenario can be bisected', 'choose it with --only');
  const { scenarios, serviceFailures } = await runResolved(resolved, options);
  const [result] = scenarios as [ScenarioResult];
  const [failure] = serviceFailures;
  if (failure !== undefined) throw new UsageError(`service ${failure.service}: ${failure.message}`);
  options.signal?.throwIfAborted();
  return result;
}
