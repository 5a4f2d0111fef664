import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import pc from 'picocolors';
import { formatMs } from '../duration.js';
import type { FailureGroup, PlanResult, ScenarioResult } from '../results/result.js';
import { expectLabel, outcomeLabel } from '../run/outcome.js';
import type { RunRecord } from '../run/run.js';
import { isHostThread, leftThreadLabel } from '../run/witness.js';
import { reproduceCommand } from './reproduce.js';
import { failureCounts, kindLines, percent, percentUp, printable, shellLine } from './text.js';
import { verdictOf } from './verdict.js';

const HEAD = ['scenario', 'runs', 'as expected', 'failed', 'failure rate', 'exit time', 'verdict'];
const WIDEST = [28, 8, 11, 14, 13, 15, 9]; // 110 columns with two blanks between them
const PHASE_TEXT = { work: ' at work', exit: ' at exit', unknown: '' } as const;
const EVIDENCE_LINES = 30;
const MOST_LEFT = 6;

/** The result for a reader: a table at most 110 columns wide, and what is to be known of each failure. */
export function terminalReport(result: PlanResult, colour: boolean): string {
  const c = pc.createColors(colour);
  const parts = [table(result, c)];
  const notes = result.scenarios.flatMap((scenario) => scenarioNotes(scenario, result.planFile, c));
  for (const { message } of result.serviceFailures) notes.push(`${c.red('service failure')}: ${message}`);
  parts.push(...notes, summaryLine(result, c));
  return `${parts.join('\n\n')}\n`;
}

/** What one scenario showed, in plain text: a line with its counts and bound, and what is to be known of failures. */
export function scenarioText(result: ScenarioResult, planFile: string | null = null): string {
  const { scenario, runs, failed, rate } = result;
  const line =
    `${scenario.name}: ${failed} of ${runs.length} runs failed ` +
    `(failure rate below ${percentUp(rate.upperBound)} at ${percent(scenario.confidence)})`;
  return [line, ...scenarioNotes(result, planFile, pc.createColors(false))].join('\n\n');
}

type Colours = ReturnType<typeof pc.createColors>;

function table(result: PlanResult, c: Colours): string {
  const rows = result.scenarios.map((scenario) => cells(scenario, c));
  const widths = HEAD.map((title, i) => {
    const content = rows.map((row) => stripVTControlCharacters(row[i] ?? '').length);
    return Math.max(title.length, Math.min(WIDEST[i] as number, Math.max(0, ...content))) + 2;
  });
  const out = new Table({
    head: HEAD.map((title) => c.bold(title)),
    colWidths: widths,
    wordWrap: true,
    colAligns: ['left', 'right', 'right', 'left', 'left', 'right', 'left'],
    chars: {
      ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
      ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
      ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '' },
    },
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 2 },
  });
  let group: string | null = null;
  for (const [i, scenario] of result.scenarios.entries()) {
    if (scenario.scenario.group !== group) {
      group = scenario.scenario.group;
      if (group !== null) out.push([{ content: c.underline(group), colSpan: HEAD.length }]);
    }
    out.push(rows[i] as string[]);
  }
  return out.toString().replace(/[ \t]+$/gm, '');
}

function cells(result: ScenarioResult, c: Colours): string[] {
  const { scenario, runs, failed } = result;
  const done = runs.length === scenario.runs ? `${runs.length}` : `${runs.length} of ${scenario.runs}`;
  if (runs.length === 0) return [scenario.name, done, '', '', '', '', verdict(result, c)];
  const exit = result.exitMs;
  return [
    scenario.name,
    done,
    String(runs.length - failed),
    failed === 0 ? 'none' : failureCounts(result),
    `below ${percentUp(result.rate.upperBound)}`,
    exit === null ? '' : `${formatMs(exit.median)} / ${formatMs(exit.p99)}`,
    verdict(result, c),
  ];
}

const VERDICT_COLOUR = {
  ok: 'green',
  FAILED: 'red',
  'known bad': 'yellow',
  stopped: 'yellow',
  'not run': 'yellow',
} as const;

function verdict(result: ScenarioResult, c: Colours): string {
  const said = verdictOf(result);
  return c[VERDICT_COLOUR[said]](said);
}

function scenarioNotes(result: ScenarioResult, planFile: string | null, c: Colours): string[] {
  const name = c.bold(result.scenario.name);
  return [
    ...result.failures.map((failure) => failureNote(result, failure, planFile, c)),
    ...scenarioRemarks(result).map((remark) => `${name}: ${remark}`),
  ];
}

/** What is to be known of a scenario beside its failures, a line each. */
export function scenarioRemarks(result: ScenarioResult): string[] {
  const { runs, scenario } = result;
  const remarks: string[] = [];
  if (result.state !== 'completed') {
    remarks.push(`${result.state === 'stopped' ? 'stopped early' : 'not run'}: ${result.reason}`);
  }
  const unamplified = runs.filter((run) => run.amplifier?.processes === 0).length;
  if (unamplified > 0) {
    remarks.push(
      `${unamplified} of ${runs.length} runs were not amplified: the preload library was not loaded (a static program?)`,
    );
  }
  const goal = goalNote(result);
  if (goal !== undefined) remarks.push(goal);
  const leaks = runs.filter((run) => run.leaked.length > 0);
  if (leaks.length > 0) {
    const commands = [...new Set(leaks.flatMap((run) => run.leaked))].slice(0, 5).join('; ');
    remarks.push(`${leaks.length} of ${runs.length} runs left processes behind (killed): ${commands}`);
  }
  const ended = runs.filter(({ failed, outcome }) => !failed && outcome.kind !== 'signal');
  const unseen = scenario.strict ? ended.filter(({ left }) => left.threads === null).length : 0;
  if (unseen > 0) {
    remarks.push(
      `${unseen} of ${runs.length} runs ended without the witness, so that nobody saw whether threads were left ` +
        '(a static program, or one that takes LD_PRELOAD out of its environment)',
    );
  }
  return [...remarks, ...leftNotes(result)];
}

/** What runs left at exit, however they ended. */
function leftNotes({ runs }: ScenarioResult): string[] {
  const kinds: [string, (run: RunRecord) => string[]][] = [
    [
      'threads running',
      ({ left }) => (left.threads ?? []).filter((t) => !isHostThread(t)).map(leftThreadLabel),
    ],
    [
      'sockets listening',
      ({ left }) => left.sockets.filter((s) => s.state === 'listening').map((s) => s.address),
    ],
    ['files in their temporary directory (removed)', ({ left }) => [...left.files]],
  ];
  return kinds.flatMap(([what, things]) => {
    const seen = runs.map(things).filter((names) => names.length > 0);
    if (seen.length === 0) return [];
    const counts = new Map<string, number>();
    for (const name of seen.flat()) counts.set(name, (counts.get(name) ?? 0) + 1);
    const names = [...counts].sort((a, b) => b[1] - a[1]).slice(0, MOST_LEFT);
    const list = names.map(([label, n]) => (n === seen.length ? label : `${label} x${n}`)).join(', ');
    const more = counts.size > names.length ? ', ...' : '';
    return `${seen.length} of ${runs.length} runs left ${what} at exit: ${printable(list)}${more}`;
  });
}

function goalNote({ scenario, verdict, failed, runs, rate }: ScenarioResult): string | undefined {
  const { until } = scenario;
  if (until === null || runs.length === 0) return undefined;
  const wanted = percent(until.rate);
  const seen = `${failed} of ${runs.length} failed`;
  const sure = `at ${percent(until.confidence)}`;
  switch (verdict) {
    case 'below':
      return `proven: the failure rate is below ${wanted} (${seen}, ${sure})`;
    case 'at-least':
      return `refuted: the failure rate is at least ${wanted} (${seen}, ${sure})`;
    case 'not-below':
      return `not proven: that the failure rate is below ${wanted} (${seen}: below ${percentUp(rate.upperBound)} ${sure})`;
    default:
      return `undecided: whether the failure rate is below ${wanted} (${seen}, ${scenario.shard?.ofRuns ?? scenario.runs} runs are needed)`;
  }
}

function failureNote(
  result: ScenarioResult,
  failure: FailureGroup,
  planFile: string | null,
  c: Colours,
): string {
  const { scenario, runs } = result;
  const { outcome, evidence, signature } = failure;
  const says = signature === null ? '' : `: ${signature.title}`;
  const where = failure.diedIn === null ? '' : `, in thread ${JSON.stringify(printable(failure.diedIn))}`;
  const count = `${failure.runs.length} of ${runs.length}`;
  const wrapped =
    outcome.kind === 'signal' && outcome.exitCode !== null ? ` (exit code ${outcome.exitCode})` : '';
  const after = outcome.kind === 'hang' ? ` after ${formatMs(scenario.timeoutMs)}` : '';
  const lines = [
    `${c.bold(scenario.name)}: ${count} ${c.red(outcomeLabel(outcome))}${wrapped}${after}${PHASE_TEXT[failure.phase]}${where}${says}`,
    ...kindLines(failure.kind).map((line) => `  ${line}`),
    `  expected ${expectLabel(scenario.expect)}; first in run ${failure.runs[0]}; command: ${printable(shellLine(scenario.command)).slice(0, 500)}`,
  ];
  const again = reproduceCommand(result, failure, planFile);
  if (again !== null) lines.push(`  to repeat: ${printable(again).slice(0, 600)}`);
  for (const [title, text] of [
    ['stacks', evidence.stacks ?? ''],
    ['stderr', evidence.stderr],
    ['stdout', evidence.stdout],
  ] as const) {
    if (text.trim() !== '') lines.push(`  ${title}:`, c.dim(excerpt(text, title === 'stacks')));
  }
  return lines.join('\n');
}

function excerpt(text: string, fromStart: boolean): string {
  const lines = printable(text).trimEnd().split('\n');
  const left = lines.length - EVIDENCE_LINES;
  if (left <= 0) return indent(lines);
  const note = `[${left} ${left === 1 ? 'line' : 'lines'} more in the JSON report]`;
  return indent(
    fromStart ? [...lines.slice(0, EVIDENCE_LINES), note] : [note, ...lines.slice(-EVIDENCE_LINES)],
  );
}

const indent = (lines: readonly string[]): string =>
  lines.map((line) => `    ${line.slice(0, 300)}`.trimEnd()).join('\n');

function summaryLine(result: PlanResult, c: Colours): string {
  const bad = result.scenarios.filter((scenario) => !scenario.ok).length;
  const total = result.scenarios.length;
  const all = `${total} ${total === 1 ? 'scenario' : 'scenarios'}`;
  const levels = [...new Set(result.scenarios.map(({ scenario }) => percent(scenario.confidence)))];
  const seeds = new Set(result.scenarios.flatMap(({ scenario }) => scenario.perturb?.seed ?? []));
  const seed = seeds.size === 0 ? '' : `; perturbed from --seed ${[...seeds].join(', ')}`;
  const took = `(${formatMs(result.durationMs)}; rates: Clopper-Pearson, at ${levels.join(', ')}${seed})`;
  if (result.interrupted) return `${c.yellow('Interrupted')}: the table shows what was run ${took}`;
  if (result.ok) return `${c.green('All as expected')}: ${all} ${took}`;
  return `${c.red('Not as expected')}: ${bad} of ${all} ${took}`;
}
