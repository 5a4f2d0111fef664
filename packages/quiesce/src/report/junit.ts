import XMLBuilder from 'fast-xml-builder';
import { type PlanResult, requireResult, type ScenarioResult } from '../results/result.js';
import { VERSION } from '../version.js';
import { scenarioText } from './terminal.js';
import { failureCounts, printable, runsText } from './text.js';
import { verdictOf } from './verdict.js';

// The builder escapes text. Characters that XML can't express are removed first.
const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  suppressBooleanAttributes: false,
  format: true,
});

/**
 * The result as JUnit XML, as CI systems read it: a test suite for each group, a test case for each scenario. A
 * scenario that failed has a `failure`; one that couldn't be run completely has an `error`.
 */
export function junitReport(result: PlanResult): string {
  requireResult(result, 'what to report');
  const groups = new Map<string, ScenarioResult[]>();
  for (const scenario of result.scenarios) {
    const name = scenario.scenario.group ?? 'quiesce';
    groups.set(name, [...(groups.get(name) ?? []), scenario]);
  }
  const suites = [...groups].map(([name, scenarios]) => ({
    '@name': xmlText(name),
    ...totals(scenarios),
    '@timestamp': result.startedAt.toISOString().slice(0, 19),
    testcase: scenarios.map((scenario) => testCase(name, scenario, result.planFile)),
  }));
  return builder.build({
    '?xml': { '@version': '1.0', '@encoding': 'UTF-8' },
    testsuites: { '@name': `quiesce ${VERSION}`, ...totals(result.scenarios), testsuite: suites },
  });
}

function testCase(group: string, result: ScenarioResult, planFile: string | null): Record<string, unknown> {
  const { scenario, runs, failed } = result;
  const text = xmlText(scenarioText(result, planFile));
  const attributes = {
    '@name': xmlText(scenario.name),
    '@classname': xmlText(group),
    '@time': seconds([result]),
  };
  switch (problemOf(result)) {
    case 'failure': {
      const message =
        failed > 0
          ? `${failed} of ${runsText(runs.length)} failed: ${failureCounts(result)}`
          : 'the rate was not shown';
      const type = result.failures[0]?.signature?.id ?? result.failures[0]?.outcome.kind ?? 'not-shown';
      return { ...attributes, failure: { '@message': message, '@type': type, '#text': text } };
    }
    case 'error': {
      const message = xmlText(result.reason ?? '');
      return { ...attributes, error: { '@message': message, '@type': result.state, '#text': text } };
    }
    default:
      return { ...attributes, 'system-out': text };
  }
}

/** Text without the characters that an XML document can't contain, not even escaped. */
const xmlText = (text: string): string => printable(text).replace(/[\p{Cs}\uFFFE\uFFFF]/gu, '');

function problemOf(result: ScenarioResult): 'failure' | 'error' | null {
  if (result.ok) return null;
  return verdictOf(result) === 'FAILED' || result.state === 'completed' ? 'failure' : 'error';
}

function totals(scenarios: readonly ScenarioResult[]): Record<string, string> {
  const count = (what: 'failure' | 'error'): string =>
    String(scenarios.filter((scenario) => problemOf(scenario) === what).length);
  return {
    '@tests': String(scenarios.length),
    '@failures': count('failure'),
    '@errors': count('error'),
    '@time': seconds(scenarios),
  };
}

/** How long their runs took together. */
function seconds(scenarios: readonly ScenarioResult[]): string {
  const ms = scenarios.flatMap(({ runs }) => runs).reduce((sum, { durationMs }) => sum + durationMs, 0);
  return (ms / 1_000).toFixed(3);
}
