import { randomUUID } from 'node:crypto';
import { formatMs } from '../duration.js';
import { type PlanResult, requireResult } from '../results/result.js';
import { VERSION } from '../version.js';
import { reproduceCommand } from './reproduce.js';
import { causeLines, failureCounts, printable, rateText, runsText, unseenText } from './text.js';
import { verdictOf } from './verdict.js';

// GitHub shows ten errors per step, and drops the rest.
const MOST_ANNOTATIONS = 10;

/**
 * The lines that GitHub Actions turns into annotations: an error for each scenario that is not ok and for each service
 * that failed, and a notice if there are more.
 */
export function githubAnnotations(result: PlanResult): string {
  requireResult(result, 'what to report');
  const file = result.planFile === null ? {} : { file: result.planFile };
  const errors = result.scenarios
    .filter(({ ok }) => !ok)
    .map((scenario) => {
      const { name } = scenario.scenario;
      const { runs, failed, failures, reason } = scenario;
      const lines =
        failed === 0 ? [] : [`${failed} of ${runsText(runs.length)} failed: ${failureCounts(scenario)}`];
      if (reason !== null) lines.push(reason);
      const [first] = failures;
      if (first?.signature) lines.push(first.signature.title);
      if (first !== undefined) lines.push(...causeLines(first));
      const again = first === undefined ? null : reproduceCommand(scenario, first, result.planFile);
      if (again !== null) lines.push(again);
      return command('error', { ...file, title: `${name}: ${verdictOf(scenario)}` }, lines.join('\n'));
    });
  for (const { service, message } of result.serviceFailures) {
    errors.push(command('error', { ...file, title: `service ${service}` }, message));
  }
  const left = errors.length - MOST_ANNOTATIONS;
  if (left > 0) {
    errors.splice(MOST_ANNOTATIONS, left, command('notice', {}, `${left} more, in the step's log`));
  }
  return errors.map((line) => `${line}\n`).join('');
}

/** A text in which the runner looks for no commands: it may quote what a program has printed. */
export function githubQuote(text: string): string {
  const end = randomUUID();
  return `::stop-commands::${end}\n${text}::${end}::\n`;
}

/** The table of the result as Markdown, for a GitHub step's summary. */
export function githubSummary(result: PlanResult): string {
  requireResult(result, 'what to report');
  const rows = result.scenarios.map((scenario) => {
    const { exitMs, runs, failed } = scenario;
    const exit = exitMs === null ? '' : `${formatMs(exitMs.median)} / ${formatMs(exitMs.p99)}`;
    const cells = [
      scenario.scenario.name,
      String(runs.length),
      failed === 0 ? 'none' : failureCounts(scenario),
      rateText(scenario),
      exit,
      verdictOf(scenario),
    ];
    return `| ${cells.map(cell).join(' | ')} |`;
  });
  const head = '| scenario | runs | failed | failure rate | exit time (median / p99) | verdict |';
  const verdict = result.interrupted ? 'Interrupted' : result.ok ? 'All as expected' : 'Not as expected';
  const notes = result.scenarios.flatMap((scenario) => {
    const unseen = unseenText(scenario);
    return unseen === null ? [] : `${cell(`${scenario.scenario.name}: ${unseen}`)}\n\n`;
  });
  return `### Quiesce: ${verdict}\n\n${head}\n| --- | ---: | --- | --- | ---: | --- |\n${rows.join('\n')}\n\n${notes.join('')}quiesce ${VERSION}\n\n`;
}

/** One cell of a Markdown table, with all markup escaped. */
const cell = (text: string): string =>
  printable(text)
    .replace(/\s+/g, ' ')
    .replace(/[\\`*_[\]<>|&#~]/g, (character) => `\\${character}`);

/** A workflow command, escaped as GitHub's runner expects it. */
function command(kind: 'error' | 'notice', properties: Record<string, string>, message: string): string {
  const escaped = (text: string): string =>
    printable(text).replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
  const list = Object.entries(properties).map(
    ([key, value]) => `${key}=${escaped(value).replaceAll(':', '%3A').replaceAll(',', '%2C')}`,
  );
  return `::${kind}${list.length === 0 ? '' : ` ${list.join(',')}`}::${escaped(message)}`;
}
