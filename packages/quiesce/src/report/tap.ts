import { stringify } from 'yaml';
import { type PlanResult, requireResult, type ScenarioResult } from '../results/result.js';
import { expectLabel, outcomeLabel } from '../run/outcome.js';
import { VERSION } from '../version.js';
import { reproduceCommand } from './reproduce.js';
import { childEndText, printable, unseenText } from './text.js';
import { verdictOf } from './verdict.js';

/** The result as TAP (Test Anything Protocol) version 14: a test point for each scenario, with what it showed as YAML. */
export function tapReport(result: PlanResult): string {
  requireResult(result, 'what to report');
  const { scenarios } = result;
  const lines = ['TAP version 14', `1..${scenarios.length}`, `# quiesce ${VERSION}`];
  for (const [i, scenario] of scenarios.entries()) {
    const name = printable(scenario.scenario.name)
      .replace(/\s+/g, ' ')
      .replace(/[\\#]/g, (character) => `\\${character}`);
    lines.push(
      `${scenario.ok ? 'ok' : 'not ok'} ${i + 1} - ${name}`,
      ...diagnostics(scenario, result.planFile),
    );
  }
  for (const { service, message } of result.serviceFailures) {
    lines.push(`# service ${service}: ${printable(message).replace(/\s*\n\s*/g, ' ')}`);
  }
  if (result.interrupted) lines.push('Bail out! interrupted');
  return `${lines.join('\n')}\n`;
}

function diagnostics(result: ScenarioResult, planFile: string | null): string[] {
  const { scenario, runs, failed, rate, exitMs, failures } = result;
  const unseen = unseenText(result);
  const yaml = stringify(
    {
      verdict: verdictOf(result),
      ...(result.reason !== null && { reason: printable(result.reason) }),
      runs: runs.length,
      failed,
      expected: expectLabel(scenario.expect),
      failureRate: { below: rate.upperBound, confidence: scenario.confidence },
      ...(exitMs !== null && { exitMs: { median: exitMs.median, p99: exitMs.p99, max: exitMs.max } }),
      ...(unseen !== null && { unseen: printable(unseen) }),
      ...(failures.length > 0 && {
        failures: failures.map((failure) => ({
          outcome: outcomeLabel(failure.outcome),
          count: failure.runs.length,
          phase: failure.phase,
          ...(failure.signature && { signature: failure.signature.title }),
          ...(failure.evidence.child && {
            child: `${childEndText(failure, failure.evidence.child)}: ${printable(failure.evidence.child.command)}`,
          }),
          ...(failure.kind && { likely: failure.kind.title, page: failure.kind.page }),
          ...(failure.kind?.or && {
            or: failure.kind.or.title,
            'page of that': failure.kind.or.page,
            decide: failure.kind.or.decide,
          }),
          ...(failure.diedIn !== null && { diedIn: printable(failure.diedIn) }),
          repeat: reproduceCommand(result, failure, planFile),
        })),
      }),
    },
    { lineWidth: 0 },
  );
  return ['---', ...yaml.trimEnd().split('\n'), '...'].map((line) => `  ${line}`);
}
