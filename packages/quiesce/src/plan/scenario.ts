import type { Perturbing } from '../perturb/perturbed-run.js';
import type { ServiceSpec } from '../service/service.js';
import type { RateGoal } from '../statistics/rate-goal.js';
import { type OptionName, type OptionValues, optionOf } from './options.js';
import type { Shard } from './shard.js';

/** A scenario as results and reports have it, with every default filled in: how its runs are made and judged. */
export interface RecordedScenario extends OptionValues {
  readonly name: string;
  readonly group: string | null;
  readonly command: readonly string[];
  /** At most; a scenario run `until` may stop before. */
  readonly runs: number;
  /** Which part of its runs these are; `null` when they are all. */
  readonly shard: Shard | null;
  /** What it is run until; `null` when it is run a fixed number of times. */
  readonly until: RateGoal | null;
  /** `null` when its runs are left alone. */
  readonly perturb: Perturbing | null;
  readonly timeoutMs: number;
  /** Absolute. */
  readonly cwd: string;
}

/** A scenario that is ready to be run. */
export interface Scenario extends RecordedScenario {
  /** Added to the environment of the tester. */
  readonly env: Readonly<Record<string, string>>;
  /** What is started for a run: its command, or the checker that this runs under. */
  readonly launched: readonly string[];
  /** The seed of its perturbations was asked for; otherwise it was made up. */
  readonly seedGiven: boolean;
}

/** A checked plan, ready to be run. */
export interface ResolvedPlan {
  readonly services: Readonly<Record<string, ServiceSpec>>;
  readonly scenarios: readonly Scenario[];
  /** The file it was read from, for the report; none for a plan that isn't from a file. */
  readonly file?: string;
}

/** What a scenario has of an option; `undefined` of one that is part of another. */
export const optionValue = (scenario: RecordedScenario, name: OptionName): unknown =>
  (scenario as unknown as Readonly<Record<string, unknown>>)[optionOf(name).field ?? name];
