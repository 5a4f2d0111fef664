import { isDeepStrictEqual } from 'node:util';
import { UsageError } from '../errors.js';
import { perturbChoiceText } from '../perturb/perturb.js';
import type { Scenario } from '../plan/plan.js';
import type { PlanResult, ScenarioResult } from '../results/result.js';
import { ScenarioTally } from '../results/tally.js';

/** A tally that begins with the runs that a report to be resumed has of a scenario. */
export function resumedTally(scenario: Scenario, report: PlanResult | undefined): ScenarioTally {
  const earlier = earlierResult(scenario, report);
  return earlier === undefined ? new ScenarioTally(scenario) : new ScenarioTally(scenario, earlier);
}

function earlierResult(scenario: Scenario, report: PlanResult | undefined): ScenarioResult | undefined {
  const earlier = report?.scenarios.find((result) => result.scenario.name === scenario.name);
  return earlier?.runs.length === 0 ? undefined : earlier;
}

/**
 * The scenario as it goes on where a report ends: perturbed from the seed of then.
 * @throws UsageError when the report's runs were made otherwise, so that they can't be counted together.
 */
export function asResumed(scenario: Scenario, report: PlanResult | undefined): Scenario {
  const then = earlierResult(scenario, report)?.scenario;
  if (then === undefined) return scenario;
  const refuse = (what: string, hint: string): UsageError =>
    new UsageError(`the report to resume has ${what} of ${JSON.stringify(scenario.name)}`, hint);
  const [command, expect] = [scenario.command, scenario.expect];
  if (!isDeepStrictEqual([then.command, then.expect], [command, expect])) {
    throw new UsageError(
      `the report to resume has ${JSON.stringify(scenario.name)} with another command or expectation`,
      'resume with the command or plan that it was made with',
    );
  }
  if (!isDeepStrictEqual(then.shard, scenario.shard)) throw refuse('another shard', 'give --shard as then');
  if (then.timeoutMs !== scenario.timeoutMs)
    throw refuse('another timeout', `give --timeout ${then.timeoutMs}ms as then`);
  if (!isDeepStrictEqual(then.allowThreads, scenario.allowThreads))
    throw refuse('other threads allowed', 'give --allow-thread as then');
  if (then.strict !== scenario.strict)
    throw refuse('another strictness', 'give or leave out --strict as then');
  const looked = ({ signatures, ignoreOutput }: typeof then): unknown => [signatures, ignoreOutput];
  if (!isDeepStrictEqual(looked(then), looked(scenario)))
    throw refuse('another way to look at the output', 'give --no-signatures and --ignore-output as then');
  const choices = [then.perturb, scenario.perturb].map(
    (perturb) => perturb && perturbChoiceText(perturb.choice),
  );
  if (choices[0] !== choices[1])
    throw refuse('another perturbation', `give --perturb ${choices[0] ?? 'none'} as then`);
  if (then.perturb === null || scenario.perturb === null) return scenario;
  const { seed } = then.perturb;
  if (scenario.seedGiven && scenario.perturb.seed !== seed)
    throw refuse('another seed', `leave out --seed, or give --seed ${seed} as then`);
  return { ...scenario, perturb: { ...scenario.perturb, seed } };
}
