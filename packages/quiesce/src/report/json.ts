import { perturbChoiceText } from '../perturb/perturb.js';
import { REPORT_VERSION } from '../results/report-schema.js';
import type { ScenarioResult } from '../session/scenario.js';
import type { PlanResult } from '../session/session.js';
import type { NamedComparison } from './comparison.js';

/** The result as plain data, of the shape that the package's `report.schema.json` describes. */
export function jsonReport(
  result: PlanResult,
  comparisons?: readonly NamedComparison[],
): Record<string, unknown> {
  return {
    version: REPORT_VERSION,
    ok: result.ok,
    interrupted: result.interrupted,
    startedAt: result.startedAt.toISOString(),
    durationMs: round(result.durationMs),
    host: result.hosts[0],
    hosts: result.hosts,
    planFile: result.planFile,
    serviceFailures: result.serviceFailures,
    scenarios: result.scenarios.map(scenarioReport),
    ...(comparisons && { comparisons }),
  };
}

function scenarioReport(result: ScenarioResult): unknown {
  const { scenario } = result;
  return {
    name: scenario.name,
    group: scenario.group,
    command: scenario.command,
    cwd: scenario.cwd,
    uses: scenario.uses,
    expect: scenario.expect,
    timeoutMs: scenario.timeoutMs,
    plannedRuns: scenario.runs,
    jobs: scenario.jobs,
    strict: scenario.strict,
    allowThreads: scenario.allowThreads,
    witness: scenario.witness,
    signatures: scenario.signatures,
    ignoreOutput: scenario.ignoreOutput,
    perturb:
      scenario.perturb === null
        ? null
        : { parts: perturbChoiceText(scenario.perturb.choice), seed: scenario.perturb.seed },
    until: scenario.until,
    shard: scenario.shard,
    verdict: result.verdict,
    state: result.state,
    reason: result.reason,
    ok: result.ok,
    completedRuns: result.runs.length,
    failedRuns: result.failed,
    failureRate: { confidence: scenario.confidence, ...result.rate },
    exitMs: result.exitMs,
    failures: result.failures,
    runs: result.runs.map((run) => ({
      ...run,
      signature: run.signature?.id ?? null,
      durationMs: round(run.durationMs),
      exitMs: run.exitMs === null ? null : round(run.exitMs),
    })),
  };
}

const round = (ms: number): number => Math.round(ms * 1_000) / 1_000;
