import type { ScenarioResult } from '../results/result.js';

/** The word at the end of a scenario's row. */
export type Verdict = 'ok' | 'known bad' | 'FAILED' | 'stopped' | 'not run' | 'no runs';

/** The verdict on one scenario. */
export function verdictOf(result: ScenarioResult): Verdict {
  if (result.state === 'not-run') return 'not run';
  // A shard of few runs may have none of this scenario.
  if (result.state === 'completed' && result.runs.length === 0) return 'no runs';
  if (result.failed > 0 && result.scenario.expect === 'any') return 'known bad';
  if (result.failed > (result.scenario.until?.allowFailures ?? 0)) return 'FAILED';
  return result.state === 'stopped' ? 'stopped' : 'ok';
}
