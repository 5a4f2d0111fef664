import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { UsageError } from '../errors.js';
import { difference } from '../plan/difference.js';
import type { RecordedScenario, Scenario } from '../plan/scenario.js';
import type { PlanResult, ScenarioResult } from '../results/result.js';
import { ScenarioTally } from '../results/tally.js';

/** A tally that begins with a scenario's runs from the report that is resumed. */
export function resumedTally(scenario: Scenario, report: PlanResult | undefined): ScenarioTally {
  const earlier = earlierResult(scenario, report);
  return earlier === undefined ? new ScenarioTally(scenario) : new ScenarioTally(scenario, earlier);
}

/**
 * Makes sure that the report to resume is a report of these scenarios.
 * @throws UsageError when it has runs, but none of these scenarios.
 */
export function refuseOtherReport(scenarios: readonly Scenario[], report: PlanResult | undefined): void {
  const made = report?.scenarios.filter(({ runs }) => runs.length > 0) ?? [];
  const names = new Set(scenarios.map(({ name }) => name));
  if (made.length === 0 || made.some(({ scenario }) => names.has(scenario.name))) return;
  const others = made.slice(0, 5).map(({ scenario }) => JSON.stringify(scenario.name));
  throw new UsageError(
    `the report to resume belongs to a different command or plan: it has ${others.join(', ')}`,
    'give what it was made with',
  );
}

/** The file of a program that its command names relative to the working directory. */
const programOf = ({ command: [program = ''], cwd }: RecordedScenario): string | undefined =>
  program.includes('/') ? resolve(cwd, program) : undefined;

function earlierResult(scenario: Scenario, report: PlanResult | undefined): ScenarioResult | undefined {
  const earlier = report?.scenarios.find((result) => result.scenario.name === scenario.name);
  return earlier?.runs.length === 0 ? undefined : earlier;
}

/**
 * The scenario as it continues where a report ends: with the report's seed for perturbations.
 * @throws UsageError when the report's runs were made in a different way, so that they can't be counted together.
 */
export function asResumed(scenario: Scenario, report: PlanResult | undefined): Scenario {
  const earlier = earlierResult(scenario, report);
  if (earlier === undefined) return scenario;
  const then = earlier.scenario;
  const refuse = (noun: string, hint: string): UsageError =>
    new UsageError(
      `the report to resume has ${JSON.stringify(scenario.name)} with a different ${noun}`,
      hint,
    );
  const other = difference(then, scenario, ['outcome', 'statement']);
  if (other !== undefined) throw refuse(other.noun, other.hint);
  if (!isDeepStrictEqual(then.shard, scenario.shard))
    throw refuse(
      'shard',
      then.shard === null
        ? 'leave out --shard, as before'
        : `give --shard ${then.shard.index}/${then.shard.count}, as before`,
    );
  const [before, now] = [then, scenario].map(programOf);
  if (before !== undefined && before !== now && existsSync(before)) {
    throw refuse('working directory', `its program is ${before}, and this would be ${now}`);
  }
  const made = earlier.runs.length;
  if (scenario.until === null && made > scenario.runs) {
    throw new UsageError(
      `the report to resume has ${made} runs of ${JSON.stringify(scenario.name)}, more than the ${scenario.runs} to make`,
      `give -n ${made} or more`,
    );
  }
  if (then.perturb === null || scenario.perturb === null) return scenario;
  const { seed } = then.perturb;
  if (seed === null) {
    throw new UsageError(
      `the report to resume has runs of ${JSON.stringify(scenario.name)} from different seeds`,
      'resume one of those that it was merged from',
    );
  }
  if (scenario.seedGiven && scenario.perturb.seed !== seed) {
    throw refuse('seed', `leave out --seed, or give --seed ${seed} as before`);
  }
  return { ...scenario, perturb: { ...scenario.perturb, seed } };
}
