import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import pc from 'picocolors';
import stringWidth from 'string-width';
import { formatMs } from '../duration.js';
import { type FailureGroup, type PlanResult, requireResult, type ScenarioResult } from '../results/result.js';
import { withoutHostThreads } from '../run/host-threads.js';
import { expectLabel, outcomeLabel } from '../run/outcome.js';
import type { RunRecord } from '../run/run.js';
import type { SignatureMatch } from '../run/signatures.js';
import { leftThreadLabel, WATCHED_SIGNALS } from '../run/witness.js';
import { VERSION } from '../version.js';
import { reproduceCommand } from './reproduce.js';
import {
  blank,
  causeLines,
  failureCounts,
  keepStart,
  oneLine,
  percent,
  percentUp,
  printable,
  rateText,
  runsText,
  shellLine,
  unseenText,
} from './text.js';
import { timelineLines } from './timeline.js';
import { verdictOf } from './verdict.js';

/** Width if that of the terminal is unknown, and the largest width. */
const USUAL_WIDTH = 110;
const WIDEST = 120;
const LEAST_WIDTH = 40;
const PHASE_TEXT = { work: ' at work', exit: ' at exit', unknown: '' } as const;
const EVIDENCE_LINES = 30;
const MOST_LEFT = 6;

/**
 * The result for a reader: a table, and details of each failure.
 * @param columns width of the terminal, if output goes to one: sentences are wrapped to it. The table is at most 120 wide
 * (110 if the width is unknown), and fits into 60.
 */
export function terminalReport(result: PlanResult, colour: boolean, columns?: number): string {
  requireResult(result, 'what to report');
  const c = pc.createColors(colour);
  const parts = [table(result, Math.max(LEAST_WIDTH, Math.min(columns ?? USUAL_WIDTH, WIDEST)), c)];
  const notes = result.scenarios.flatMap((scenario) => scenarioNotes(scenario, result.planFile, c));
  for (const { message } of result.serviceFailures)
    notes.push(`${c.red('service failure')}: ${printable(message)}`);
  notes.push(summaryLine(result, c));
  parts.push(...(columns === undefined ? notes : notes.map((note) => wrapSentences(note, columns))));
  return `${parts.join('\n\n')}\n`;
}

/** Wraps the sentences of a note. Addresses, commands and program output stay as they are, to be copied. */
function wrapSentences(note: string, columns: number): string {
  const width = Math.max(LEAST_WIDTH, columns);
  return note
    .split('\n')
    .map((line) => {
      const [indented = ''] = /^ */.exec(line) ?? [];
      const isSentence = indented.length === 0 || SENTENCE.test(line);
      if (!isSentence || stripVTControlCharacters(line).length <= width) return line;
      const more = `${indented}  `;
      const [first = '', ...rest] = wordWrap(line.slice(indented.length), width - more.length).split('\n');
      return [indented + first, ...rest.map((text) => more + text)].join('\n');
    })
    .join('\n');
}

const SENTENCE = /^ {2}(?:(?:if so, )?likely: |or: |what decides: |exit of run )/;

/** What one scenario showed, in plain text: a line with its counts and bound, and details of its failures. */
export function scenarioText(result: ScenarioResult, planFile: string | null = null): string {
  const { scenario, runs, failed } = result;
  const line =
    `${oneLine(scenario.name)}: ${failed} of ${runsText(runs.length)} failed ` +
    `(failure rate ${rateText(result)} at ${percent(scenario.confidence)})`;
  return [line, ...scenarioNotes(result, planFile, pc.createColors(false))].join('\n\n');
}

type Colours = ReturnType<typeof pc.createColors>;

/** A column: its title, its alignment, and its greatest width. */
interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
  readonly widest: number;
  readonly cell: (result: ScenarioResult, c: Colours) => string;
}

const runsCell = ({ runs, scenario }: ScenarioResult): string =>
  runs.length === scenario.runs ? `${runs.length}` : `${runs.length} of ${scenario.runs}`;

const failedCell = (result: ScenarioResult): string =>
  result.failed === 0 ? (result.runs.length === 0 ? '' : 'none') : failureCounts(result);

const COLUMNS = {
  runs: { title: 'runs', align: 'right', widest: 8, cell: runsCell },
  expected: {
    title: 'as expected',
    align: 'right',
    widest: 11,
    cell: ({ runs, failed }) => (runs.length === 0 ? '' : String(runs.length - failed)),
  },
  failed: { title: 'failed', align: 'left', widest: 14, cell: failedCell },
  rate: { title: 'failure rate', align: 'left', widest: 20, cell: rateText },
  exit: {
    title: 'exit time',
    align: 'right',
    widest: 17,
    cell: ({ exitMs }) => (exitMs === null ? '' : `${formatMs(exitMs.median)} / ${formatMs(exitMs.p99)}`),
  },
  verdict: { title: 'verdict', align: 'left', widest: 9, cell: (result, c) => verdict(result, c) },
} as const satisfies Record<string, Column>;

/** What is shown as room gets scarcer. The last three show the rate and the failures on several lines. */
const LAYOUTS: readonly Column[][] = [
  [COLUMNS.runs, COLUMNS.expected, COLUMNS.failed, COLUMNS.rate, COLUMNS.exit, COLUMNS.verdict],
  [COLUMNS.runs, COLUMNS.failed, COLUMNS.rate, COLUMNS.exit, COLUMNS.verdict],
  [COLUMNS.runs, COLUMNS.failed, { ...COLUMNS.rate, widest: 12 }, COLUMNS.exit, COLUMNS.verdict],
  [COLUMNS.runs, { ...COLUMNS.failed, widest: 10 }, { ...COLUMNS.rate, widest: 12 }, COLUMNS.verdict],
  // The notes show the outcomes.
  [{ ...COLUMNS.rate, widest: 12 }, COLUMNS.verdict],
];

const GAP = 2;
const LEAST_NAME = 12;

/** A row for each scenario. A name that doesn't fit its column has a line of its own. */
function table({ scenarios }: PlanResult, width: number, c: Colours): string {
  const plain = (column: Column, result: ScenarioResult): string =>
    stripVTControlCharacters(column.cell(result, c));
  const widthOf = (column: Column): number => {
    const longest = Math.max(column.title.length, ...scenarios.map((one) => plain(column, one).length));
    return Math.min(longest, Math.max(column.widest, column.title.length)) + GAP;
  };
  const names = Math.max(
    'scenario'.length,
    ...scenarios.map(({ scenario }) => stringWidth(oneLine(scenario.name))),
  );
  const shown = LAYOUTS.map((columns) =>
    columns.filter(
      ({ title, cell }) => title !== 'exit time' || scenarios.some((one) => cell(one, c) !== ''),
    ),
  );
  const roomBeside = (columns: readonly Column[]): number =>
    width - columns.reduce((sum, column) => sum + widthOf(column), 0) - GAP;
  const columns =
    shown.find((one) => roomBeside(one) >= Math.min(names, LEAST_NAME)) ?? (shown.at(-1) as Column[]);
  const room = Math.max('scenario'.length, Math.min(names, roomBeside(columns)));
  const out = new Table({
    head: ['scenario', ...columns.map(({ title }) => title)].map((title) => c.bold(title)),
    colWidths: [room + GAP, ...columns.map(widthOf)],
    wordWrap: true,
    colAligns: ['left', ...columns.map(({ align }) => align)],
    chars: {
      ...{ top: '', 'top-mid': '', 'top-left': '', 'top-right': '' },
      ...{ bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '' },
      ...{ left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '' },
    },
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': GAP },
  });
  // Separate lines are inserted afterwards: a table would wrap them, and text copied from it would be broken.
  const own = new Map<string, string>();
  const ownLine = (text: string): void => {
    const key = `\uE000${own.size}`;
    own.set(key, text);
    out.push([{ content: key, colSpan: columns.length + 1 }]);
  };
  let group: string | null = null;
  for (const result of scenarios) {
    const { scenario } = result;
    if (scenario.group !== group) {
      group = scenario.group;
      ownLine(c.underline(group === null ? 'without a group' : printable(group)));
    }
    const name = oneLine(scenario.name);
    const fits = stringWidth(name) <= room;
    if (!fits) ownLine(wordWrap(name, width));
    out.push([fits ? name : '', ...columns.map(({ cell }) => cell(result, c))]);
  }
  const text = out.toString().replace(/[ \t]+$/gm, '');
  return text.replace(/^\uE000\d+$/gm, (key) => own.get(key) ?? '');
}

/** Lines of whole words. A word that is longer than a line is broken. */
function wordWrap(text: string, width: number): string {
  const lines: string[] = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1) as string;
    if (last !== '' && stringWidth(`${last} ${word}`) <= width) lines[lines.length - 1] = `${last} ${word}`;
    else {
      const parts = broken(word, width);
      if (last === '') lines.pop();
      lines.push(...parts);
    }
  }
  return lines.join('\n');
}

function broken(word: string, width: number): string[] {
  const parts = [''];
  for (const character of word) {
    const last = parts.length - 1;
    if (stringWidth(`${parts[last]}${character}`) <= width) parts[last] += character;
    else parts.push(character);
  }
  return parts;
}

const VERDICT_COLOUR = {
  ok: 'green',
  FAILED: 'red',
  'known bad': 'yellow',
  stopped: 'yellow',
  'not run': 'yellow',
  'no runs': 'yellow',
} as const;

function verdict(result: ScenarioResult, c: Colours): string {
  const said = verdictOf(result);
  return c[VERDICT_COLOUR[said]](said);
}

function scenarioNotes(result: ScenarioResult, planFile: string | null, c: Colours): string[] {
  const name = c.bold(oneLine(result.scenario.name));
  return [
    ...result.failures.map((failure) => failureNote(result, failure, planFile, c)),
    ...scenarioRemarks(result).map((remark) => `${name}: ${printable(remark)}`),
  ];
}

/** Notes on a scenario besides its failures, a line each. */
export function scenarioRemarks(result: ScenarioResult): string[] {
  const { runs, scenario } = result;
  const remarks: string[] = [];
  if (result.state !== 'completed') {
    remarks.push(`${result.state === 'stopped' ? 'stopped early' : 'not run'}: ${result.reason}`);
  }
  const unamplified = runs.filter((run) => run.amplifier?.processes === 0).length;
  if (unamplified > 0) {
    remarks.push(
      `${unamplified} of ${runsText(runs.length)} were not amplified: the preload library was not loaded (a static program?)`,
    );
  }
  const goal = goalNote(result);
  if (goal !== undefined) remarks.push(goal);
  const leaks = runs.filter((run) => run.leaked.length > 0);
  if (leaks.length > 0) {
    const commands = [...new Set(leaks.flatMap((run) => run.leaked))].slice(0, 5).join('; ');
    remarks.push(`${leaks.length} of ${runsText(runs.length)} left processes behind (killed): ${commands}`);
  }
  const blind = unseenText(result);
  if (blind !== null) remarks.push(blind);
  const ended = runs.filter(({ failed, outcome }) => !failed && outcome.kind !== 'signal');
  const unseen = ended.filter(({ left }) => left.threads === null).length;
  const unknown = [
    ...(scenario.strict ? ['whether threads were left'] : []),
    // Both are loaded, or neither.
    ...(scenario.asan ? ["whether AddressSanitizer's library was loaded"] : []),
  ];
  if (unseen > 0 && unknown.length > 0) {
    remarks.push(
      `${unseen} of ${runsText(runs.length)} ended without the witness, so it is unknown ${unknown.join(' and ')} ` +
        "(for example a static program, one written in Go, one without LD_PRELOAD in its environment, or one that can't read /proc, as in a sandbox)",
    );
  }
  const timelines = [result.cleanTimeline, ...result.failures.map(({ evidence }) => evidence.timeline)];
  if (scenario.timeline && runs.length > 0 && timelines.every((timeline) => timeline == null)) {
    const why =
      runs.find(({ left }) => left.unwitnessed)?.left.unwitnessed ??
      'the preload library was not loaded (a static program?)';
    remarks.push(`there is no timeline: ${why}`);
  }
  const crashed = runs.filter(({ childCrashes }) => childCrashes.length > 0);
  if (crashed.length > 0) {
    const all = crashed.flatMap(({ childCrashes }) => childCrashes);
    const named = [...new Set(all.map(({ signal, command }) => `${command} (${signal})`))].slice(
      0,
      MOST_LEFT,
    );
    remarks.push(
      `a child process died from a signal in ${crashed.length} of ${runsText(runs.length)}: ${printable(named.join('; '))}`,
    );
  }
  const left = runs.some(({ outcome }) => outcome.kind === 'threads-left');
  if (scenario.strict && unseen === 0 && ended.length > 0 && !left) {
    const allowed = ended.some(({ left }) => withoutHostThreads(left.threads ?? []).length > 0);
    const but = `, except for the host's own${allowed ? ' and those that are allowed' : ''}`;
    remarks.push(`no thread of the main process was left at exit in any of ${runsText(ended.length)}${but}`);
  }
  return [...remarks, ...leftNotes(result)];
}

const sum = (counts: readonly number[]): number => counts.reduce((all, count) => all + count, 0);

/** How many of something each of some runs left, and how many of the runs left any. */
function howMany(counts: readonly number[]): string {
  const some = counts.filter((count) => count > 0);
  const [least, most] = [Math.min(...some), Math.max(...some)];
  const each = most === 1 ? '' : least === most ? ` x${most}` : ` x${least} to ${most}`;
  return some.length === counts.length ? each : `${each} (in ${some.length})`;
}

/** How often runs left each thing, by its name. */
type Left = ReadonlyMap<string, number>;

function counted(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/** A run may leave more threads than anything could list. */
function threadsOf({ threads, moreThreads }: RunRecord['left']): Left {
  const counts = counted(withoutHostThreads(threads ?? []).map(leftThreadLabel));
  return moreThreads === undefined ? counts : counts.set('not listed', moreThreads);
}

/** What runs left at exit, whatever their outcome. */
function leftNotes({ runs }: ScenarioResult): string[] {
  const kinds: [string, (run: RunRecord) => Left][] = [
    ['threads running', ({ left }) => threadsOf(left)],
    [
      'sockets listening',
      ({ left }) => counted(left.sockets.filter((s) => s.state === 'listening').map((s) => s.address)),
    ],
    ['files in their temporary directory (removed)', ({ left }) => counted(left.files)],
  ];
  return kinds.flatMap(([what, things]) => {
    const seen = runs.map(things).filter(({ size }) => size > 0);
    if (seen.length === 0) return [];
    const labels = [...new Set(seen.flatMap((one) => [...one.keys()]))]
      .map((label) => ({ label, counts: seen.map((one) => one.get(label) ?? 0) }))
      .sort((a, b) => sum(b.counts) - sum(a.counts));
    const list = labels
      .slice(0, MOST_LEFT)
      .map(({ label, counts }) => label + howMany(counts))
      .join(', ');
    const more = labels.length > MOST_LEFT ? ', ...' : '';
    return `${seen.length} of ${runsText(runs.length)} left ${what} at exit: ${printable(list)}${more}`;
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
      return `not proven that the failure rate is below ${wanted} (${seen}: below ${percentUp(rate.upperBound)} ${sure})`;
    default:
      return `undecided whether the failure rate is below ${wanted} (${seen}, ${scenario.shard?.ofRuns ?? scenario.runs} runs are needed)`;
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
  const { child } = evidence;
  const where =
    child || failure.diedIn === null ? '' : `, in thread ${JSON.stringify(printable(failure.diedIn))}`;
  const count = `${failure.runs.length} of ${runs.length}`;
  const wrapped =
    outcome.kind === 'signal' && outcome.exitCode !== null ? ` (exit code ${outcome.exitCode})` : '';
  const after = outcome.kind === 'hang' ? ` after ${formatMs(scenario.timeoutMs)}` : '';
  const lines = [
    `${c.bold(oneLine(scenario.name))}: ${count} ${c.red(outcomeLabel(outcome))}${wrapped}${after}${PHASE_TEXT[failure.phase]}${where}${says}`,
    ...causeLines(failure).map((line) => `  ${line}`),
    `  expected ${expectLabel(scenario.expect)}; first in run ${failure.runs[0]}; command: ${keepStart(printable(shellLine(scenario.command)), 500)}`,
  ];
  const again = reproduceCommand(result, failure, planFile);
  if (again !== null) lines.push(`  to repeat: ${printable(again)}`);
  if (evidence.timeline != null) {
    lines.push(...timelineLines(evidence.timeline).map((line) => `  ${printable(line)}`));
  }
  for (const [title, text] of [
    ['stacks', evidence.stacks ?? ''],
    ['stderr', evidence.stderr],
    ['stdout', evidence.stdout],
  ] as const) {
    const from = title === 'stacks' ? 0 : lineOf(text, signature);
    if (text.trim() !== '') lines.push(`  ${title}:`, c.dim(excerpt(text, from)));
    // It may be why the run failed.
    else if (title === 'stderr' && text !== '') lines.push(`  ${title}: only white space, ${blank(text)}`);
  }
  if (outcome.kind === 'signal' && outcome.signal !== 'SIGKILL' && evidence.stacks === null)
    lines.push(`  no stacks: ${whyNoStacks(outcome.signal, result, failure)}`);
  return lines.join('\n');
}

function whyNoStacks(
  signal: NodeJS.Signals,
  { scenario, runs }: ScenarioResult,
  failure: FailureGroup,
): string {
  const { unwitnessed } = runs.find(({ run }) => run === failure.runs[0])?.left ?? {};
  if (!scenario.witness) return '--no-witness is set';
  if (!WATCHED_SIGNALS.has(signal)) return `the witness takes none for ${signal}`;
  if (unwitnessed !== undefined) return `there is no witness here: ${unwitnessed}`;
  return (
    'the witness saw no crash: it was not in the process that died (a static one, or one without LD_PRELOAD), ' +
    'the signal was blocked, or a handler of the program had replaced the witness'
  );
}

/** Number of the line that a signature was found on; -1 if the text doesn't contain it. */
const lineOf = (text: string, signature: SignatureMatch | null): number =>
  signature === null || signature.line === ''
    ? -1
    : text.split('\n').findIndex((line) => line.includes(signature.line));

/** The end of a long text, or what follows a line that says more. */
function excerpt(text: string, from: number): string {
  const lines = printable(text).trimEnd().split('\n');
  const left = lines.length - EVIDENCE_LINES;
  if (left <= 0) return indent(lines);
  const start = from < 0 ? left : Math.min(from, left);
  const more = (count: number): string[] =>
    count === 0 ? [] : [`[${count} ${count === 1 ? 'line' : 'lines'} more in the JSON report]`];
  const end = start + EVIDENCE_LINES;
  return indent([...more(start), ...lines.slice(start, end), ...more(lines.length - end)]);
}

const indent = (lines: readonly string[]): string =>
  lines.map((line) => `    ${keepStart(line, 300)}`.trimEnd()).join('\n');

function summaryLine(result: PlanResult, c: Colours): string {
  const bad = result.scenarios.filter((scenario) => !scenario.ok).length;
  const total = result.scenarios.length;
  const all = `${total} ${total === 1 ? 'scenario' : 'scenarios'}`;
  const levels = [...new Set(result.scenarios.map(({ scenario }) => percent(scenario.confidence)))];
  const seeds = new Set(result.scenarios.flatMap(({ scenario }) => scenario.perturb?.seed ?? []));
  const seed = seeds.size === 0 ? '' : `; perturbed from --seed ${[...seeds].join(', ')}`;
  const took = `(${formatMs(result.durationMs)}; rates: Clopper-Pearson, at ${levels.join(', ')}${seed}; quiesce ${VERSION})`;
  if (result.interrupted) return `${c.yellow('Interrupted')}: the table shows what was run ${took}`;
  if (result.scenarios.every((scenario) => verdictOf(scenario) === 'no runs')) {
    return `${c.yellow('Nothing was run')}: this shard has no runs ${took}`;
  }
  if (result.ok) return `${c.green('All as expected')}: ${all} ${took}`;
  return `${c.red('Not as expected')}: ${bad} of ${all} ${took}`;
}
