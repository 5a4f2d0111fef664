import type { ServiceSpec } from '../service/service.js';
import type { ScenarioDefaults } from './options.js';

/**
 * Axes of a scenario, each with its values. The scenario is run for each combination. `runtime` has values such as
 * `node@22`, `bun@1` or `deno@2`; the command refers to it as `${runtime}`. `python` has Pythons of this machine, such
 * as `python3.11`, for `${python}`. `npm:NAME` and `pypi:NAME` have versions of a package: `${npm}` is the folder that
 * has its `node_modules`, `${python}` the Python of an environment that has it. Each is installed once, into
 * `QUIESCE_CACHE`.
 */
export type Matrix = { readonly [axis: string]: readonly string[] };

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
  /** For editors: points to the package's `plan.schema.json`. */
  readonly $schema?: string;
  readonly services?: Readonly<Record<string, ServiceSpec>>;
  readonly defaults?: ScenarioDefaults;
  readonly scenarios: readonly ScenarioSpec[];
}

/** What a plan module exports as default: a plan, or a function that returns one. */
export type PlanExport = Plan | (() => Plan | Promise<Plan>);

/** Returns its argument. It provides completion and type checks in a plan module. */
export function definePlan(plan: Plan): Plan;
/** The same for a function that returns a plan. */
export function definePlan(plan: () => Plan | Promise<Plan>): () => Plan | Promise<Plan>;
/** The same for either. The compiler says by this one, the last, what is wrong in a plan. */
export function definePlan(plan: PlanExport): PlanExport;
export function definePlan(plan: PlanExport): PlanExport {
  return plan;
}

/** What is right in a plan, part by part. */
export interface PlanParts {
  readonly services: Readonly<Record<string, Partial<ServiceSpec>>>;
  readonly defaults: Part<ScenarioDefaults>;
  /** At their places in the plan. */
  readonly scenarios: readonly Part<Partial<ScenarioSpec>>[];
}

/** The fields of a part of a plan that are right. */
export interface Part<Fields> {
  readonly fields: Fields;
  /** Whether these are all fields that are there. */
  readonly whole: boolean;
}
