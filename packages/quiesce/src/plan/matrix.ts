import { messageOf, UsageError } from '../errors.js';
import {
  type InstallOptions,
  installPackage,
  installRuntime,
  parsePackageName,
} from '../install/installation.js';

/**
 * Axes of a scenario, each with its values: the scenario is run for each combination. `runtime` has `node@22`, `bun@1` or
 * `deno@2`, and the command names it by `${runtime}`. `python` has Pythons of this machine, such as `python3.11`, for
 * `${python}`. `npm:NAME` and `pypi:NAME` have versions of a package: `${npm}` is the folder that has its `node_modules`,
 * `${python}` the Python of an environment that has it. Each is installed once, into `QUIESCE_CACHE`.
 */
export type Matrix = { readonly [axis: string]: readonly string[] };

/** A plan with a scenario for each combination of each matrix, and everything installed that they need. */
export async function expandMatrix(plan: unknown, options: InstallOptions = {}): Promise<unknown> {
  if (!isObject(plan) || !Array.isArray(plan.scenarios)) return plan; // what is wrong is reported by `resolvePlan`
  const scenarios: unknown[] = [];
  for (const [i, spec] of plan.scenarios.entries()) {
    if (!isObject(spec) || spec.matrix === undefined) {
      scenarios.push(spec);
      continue;
    }
    const { matrix, ...rest } = spec;
    const where = `scenarios[${i}].matrix`;
    for (const values of combinations(checkedMatrix(matrix, where))) {
      try {
        scenarios.push(fill(rest, values, await install(values, options)));
      } catch (error) {
        if (error instanceof UsageError) throw new UsageError(`${where}: ${messageOf(error)}`, error.hint);
        throw error;
      }
    }
  }
  return { ...plan, scenarios };
}

/** What a command's placeholders stand for. */
export type Places = { readonly [name in 'runtime' | 'python' | 'npm']?: string };

/** A scenario whose placeholders are filled in, named after its values. */
export function fill(
  spec: Readonly<Record<string, unknown>>,
  values: ReadonlyMap<string, string>,
  places: Places,
): Record<string, unknown> {
  const filled = (text: unknown): unknown =>
    typeof text !== 'string'
      ? text
      : text.replace(/\$\{(runtime|python|npm)\}/g, (whole, name: keyof Places) => places[name] ?? whole);
  const labels = [...values].map(([axis, value]) =>
    `${axis.replace(/^(?:npm|pypi):|^(?:runtime|python)$/, '')} ${value}`.trim(),
  );
  return {
    ...spec,
    name: `${spec.name} [${labels.join(', ')}]`,
    ...(Array.isArray(spec.command) && { command: spec.command.map(filled) }),
    ...(isObject(spec.env) && {
      env: Object.fromEntries(Object.entries(spec.env).map(([key, value]) => [key, filled(value)])),
    }),
  };
}

async function install(values: ReadonlyMap<string, string>, options: InstallOptions): Promise<Places> {
  const places: { -readonly [name in keyof Places]: Places[name] } = {};
  const python = values.get('python');
  if (python !== undefined) places.python = python;
  for (const [axis, value] of values) {
    if (axis === 'runtime') places.runtime = await installRuntime(value, options);
    else if (axis !== 'python') {
      const name = parsePackageName(axis);
      const place = await installPackage(name, value, { ...options, python });
      places[name.registry === 'npm' ? 'npm' : 'python'] = place;
    }
  }
  return places;
}

function checkedMatrix(matrix: unknown, where: string): Matrix {
  if (!isObject(matrix) || Object.keys(matrix).length === 0) {
    throw new UsageError(`${where}: expected axes with their values`, 'such as runtime: [node@20, node@22]');
  }
  for (const [axis, values] of Object.entries(matrix)) {
    if (axis !== 'runtime' && axis !== 'python') parsePackageName(axis);
    const texts =
      Array.isArray(values) && values.length > 0 && values.every((value) => typeof value === 'string');
    if (!texts) throw new UsageError(`${where}.${axis}: expected a list of text`, 'quote version numbers');
  }
  for (const registry of ['npm:', 'pypi:']) {
    if (Object.keys(matrix).filter((axis) => axis.startsWith(registry)).length > 1) {
      throw new UsageError(`${where}: only one ${registry}NAME axis can be in a matrix`);
    }
  }
  return matrix as Matrix;
}

function combinations(matrix: Matrix): Map<string, string>[] {
  let all: [string, string][][] = [[]];
  for (const [axis, values] of Object.entries(matrix)) {
    all = all.flatMap((one) => values.map((value): [string, string][] => [...one, [axis, value]]));
  }
  return all.map((pairs) => new Map(pairs));
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
