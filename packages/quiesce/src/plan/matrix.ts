import { messageOf, UsageError } from '../errors.js';
import {
  type InstallOptions,
  installPackage,
  installRuntime,
  parsePackageName,
} from '../install/installation.js';
import { filled, type Placeholder } from './check/placeholders.js';
import { checkPlan } from './check/schema.js';
import type { ScenarioDefaults } from './options.js';
import type { Matrix, Plan, ScenarioSpec } from './plan.js';

/**
 * A plan with a scenario for each combination of each matrix. Everything that the combinations need is installed.
 * @throws PlanError when the plan is wrong; UsageError and EnvironmentError when something can't be installed.
 */
export async function expandMatrix(plan: Plan, options: InstallOptions = {}): Promise<Plan> {
  const scenarios: ScenarioSpec[] = [];
  const { scenarios: written, defaults } = checkPlan(plan, 'plan', 'written');
  for (const [i, spec] of written.entries()) {
    if (spec.matrix === undefined) {
      scenarios.push(spec);
      continue;
    }
    const { matrix, ...rest } = withDefaultEnv(spec, defaults);
    for (const values of combinations(matrix ?? {})) {
      try {
        scenarios.push(fill(rest, values, await install(values, options)));
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        throw new UsageError(`scenarios[${i}].matrix: ${messageOf(error)}`, error.hint);
      }
    }
  }
  return { ...plan, scenarios };
}

/** A scenario with the variables of the defaults, which may have placeholders, too. */
export const withDefaultEnv = (spec: ScenarioSpec, defaults: ScenarioDefaults = {}): ScenarioSpec =>
  defaults.env === undefined ? spec : { ...spec, env: { ...defaults.env, ...spec.env } };

/** The names of the scenarios that a matrix makes of one; without a matrix, its own. */
export function expandedNames({ name = '', matrix }: Partial<ScenarioSpec>): string[] {
  return matrix === undefined ? [name] : combinations(matrix).map((values) => nameWith(name, values));
}

function nameWith(name: string, values: ReadonlyMap<string, string>): string {
  const labels = [...values].map(([axis, value]) =>
    `${axis.replace(/^(?:npm|pypi):|^(?:runtime|python)$/, '')} ${value}`.trim(),
  );
  return `${name} [${labels.join(', ')}]`;
}

/** What a command's placeholders stand for. */
export type Places = { readonly [name in Placeholder]?: string };

/** A scenario whose placeholders are filled in. Its name includes their values. */
export function fill(spec: ScenarioSpec, values: ReadonlyMap<string, string>, places: Places): ScenarioSpec {
  const { name, command, env } = spec;
  return {
    ...spec,
    name: nameWith(name, values),
    command: command.map((word) => filled(word, places)),
    ...(env && {
      env: Object.fromEntries(Object.entries(env).map(([key, value]) => [key, filled(value, places)])),
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

function combinations(matrix: Matrix): Map<string, string>[] {
  let all: [string, string][][] = [[]];
  for (const [axis, values] of Object.entries(matrix)) {
    all = all.flatMap((one) => values.map((value): [string, string][] => [...one, [axis, value]]));
  }
  return all.map((pairs) => new Map(pairs));
}
