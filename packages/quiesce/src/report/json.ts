import { arch, availableParallelism, platform } from 'node:os';
import { perturbChoiceText } from '../perturb.js';
import type { ScenarioResult } from '../scenario.js';
import type { PlanResult } from '../session.js';

/** Of the JSON report's shape: raised when a field changes its meaning or goes, not when one is added. */
export const REPORT_VERSION = 1;

/** The result as plain data, of the shape that docs/tester.md describes. */
export function jsonReport(result: PlanResult): Record<string, unknown> {
  return {
    version: REPORT_VERSION,
    ok: result.ok,
    interrupted: result.interrupted,
    startedAt: result.startedAt.toISOString(),
    durationMs: round(result.durationMs),
    host: { platform: platform(), arch: arch(), cpus: availableParallelism(), node: process.version },
    serviceFailures: result.serviceFailures,
    scenarios: result.scenarios.map(scenarioReport),
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
    perturb:
      scenario.perturb === null
        ? null
        : { parts: perturbChoiceText(scenario.perturb.choice), seed: scenario.perturb.seed },
    until: scenario.until,
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
