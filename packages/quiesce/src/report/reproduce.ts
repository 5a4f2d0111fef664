import { commandFlags } from '../plan/reported-options.js';
import type { FailureGroup, ScenarioResult } from '../results/result.js';
import { runsNeeded } from '../statistics/sample-size.js';
import { shellLine } from './text.js';

const SURE = 0.95;
const MOST = 100_000;

/**
 * One command that shows a failure again. It has the perturbation of the first failed run, and enough runs to show the
 * failure with a chance of 95 % at the observed rate. `null` if no command line can do that, for example for a plan
 * that wasn't in a file.
 */
export function reproduceCommand(
  { scenario, runs }: ScenarioResult,
  failure: FailureGroup,
  planFile: string | null,
): string | null {
  if (planFile === null && scenario.uses.length > 0) return null;
  const rate = failure.runs.length / runs.length;
  const enough = rate >= 1 ? 1 : Math.min(MOST, runsNeeded(Math.max(rate, 3 / MOST), SURE));
  const words = ['quiesce', 'run', '-n', String(enough)];
  const perturbation = runs.find(({ run }) => run === failure.runs[0])?.perturbation ?? 'none';
  if (perturbation !== 'none') words.push('--perturb', perturbation);
  else if (scenario.perturb !== null) words.push('--perturb', 'none');
  if (planFile === null) words.push(...commandFlags(scenario), '--', ...scenario.command);
  else words.push('--plan', planFile, '--only', scenario.name);
  return shellLine(words);
}
