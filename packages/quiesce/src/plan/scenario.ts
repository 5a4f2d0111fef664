import type { Perturbing, RecordedPerturbing } from '../perturb/perturbed-run.js';
import type { ServiceSpec } from '../service/service.js';
import type { RateGoal } from '../statistics/rate-goal.js';
import { type OptionName, type OptionValues, optionOf } from './options.js';
import type { Shard } from './shard.js';

/** A scenario in results and reports, with every default filled in: how its runs are made and judged. */
export interface RecordedScenario extends OptionValues {
  readonly name: string;
  readonly group: string | null;
  readonly command: readonly string[];
  /** Largest number of runs. A scenario that is run `until` a goal may stop earlier. */
  readonly runs: number;
  /** Which part of the runs a shard makes; `null` if these are all runs. */
  readonly shard: Shard | null;
  /** The goal until which it is run; `null` for a fixed number of runs. */
  readonly until: RateGoal | null;
  /** How runs are perturbed; `null` if they aren't. */
  readonly perturb: RecordedPerturbing | null;
  readonly timeoutMs: number;
  /** Working directory, as an absolute path. */
  readonly cwd: string;
}

/** A scenario that is ready to be run. */
export interface Scenario extends RecordedScenario {
  readonly perturb: Perturbing | null;
  /** Added to the environment of the tester. */
  readonly env: Readonly<Record<string, string>>;
  /** The command that starts a run: the scenario's own, or the checker that it runs under. */
  readonly launched: readonly string[];
  /** Whether the seed of its perturbations was given. Otherwise it was chosen at random. */
  readonly seedGiven: boolean;
}

/** A checked plan, ready to be run. */
export interface ResolvedPlan {
  readonly services: Readonly<Record<string, ServiceSpec>>;
  readonly scenarios: readonly Scenario[];
  /** The file it was read from, for the report; absent if the plan isn't from a file. */
  readonly file?: string;
}

/** A scenario's value of an option; `undefined` for an option that is part of another field. */
export const optionValue = (scenario: RecordedScenario, name: OptionName): unknown =>
  (scenario as unknown as Readonly<Record<string, unknown>>)[optionOf(name).field ?? name];
