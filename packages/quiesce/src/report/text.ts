import { stripVTControlCharacters } from 'node:util';
import { type FailureGroup, outcomeCounts, type ScenarioResult } from '../results/result.js';
import type { ExplainingChild } from '../run/run.js';

/** A program's text without its control characters: they must not affect a reader's terminal or end a document. */
export function printable(text: string): string {
  return stripVTControlCharacters(text.replace(/\r\n?/g, '\n')).replace(/[^\P{Cc}\n\t]/gu, '');
}

/** A name on one line. A scenario's name may be its command. */
export const oneLine = (text: string): string => printable(text).replace(/\s+/g, ' ').trim();

/** A command as one would type it into a shell: sh, or bash if it has control characters. */
export const shellLine = (command: readonly string[]): string => command.map(shellWord).join(' ');

function shellWord(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  if (!/[^\P{Cc}\n\t]/u.test(word)) return `'${word.replaceAll("'", "'\\''")}'`;
  const escaped = (c: string): string => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return `$'${word.replace(/[\\']/g, '\\$&').replace(/\p{Cc}/gu, escaped)}'`;
}

/**
 * Why runs may have failed, a line each: the child that explains it, the likely kind and the other possible one. None when
 * nothing is known.
 */
export function causeLines(failure: FailureGroup): string[] {
  const { kind, evidence } = failure;
  const { child } = evidence;
  const lines = child
    ? [
        `a child process ${childEndText(failure, child)}: ${keepStart(printable(child.command), LONGEST_COMMAND)}`,
      ]
    : [];
  if (kind === null) return lines;
  const { title, page, detail, or } = kind;
  const other = or === null ? [] : [`or: ${or.title}`, or.page, `what decides: ${or.decide}`];
  const cause = `${title}${detail === null ? '' : ` (${printable(detail)})`}`;
  return [...lines, `${childIsSure(failure) ? '' : 'if so, '}likely: ${cause}`, page, ...other];
}

const LONGEST_COMMAND = 500;

/**
 * Whether the child of a failure, if it has one, is certain to be why the runs failed. Only a main process that waits for a
 * child that hangs, or passes on the signal of one that died, proves that. The kind is that of the child.
 */
export function childIsSure({ outcome, evidence }: FailureGroup): boolean {
  const signal = evidence.child?.signal ?? null;
  return signal === null || (outcome.kind === 'signal' && outcome.signal === signal);
}

/** What happened to a failure's child, and whether that is certain to be why the run failed. */
export function childEndText(failure: FailureGroup, { signal, pid, alike = 0 }: ExplainingChild): string {
  if (signal === null) {
    const others = alike === 0 ? '' : `, and ${alike} more in the same place`;
    return `hangs${pid === undefined ? '' : ` (process ${pid}${others})`}`;
  }
  const { diedIn } = failure;
  const thread = diedIn === null ? '' : ` in thread ${JSON.stringify(printable(diedIn))}`;
  return `died from ${signal}${thread}${childIsSure(failure) ? '' : ', which may be why'}`;
}

/** A rate bound in percent, rounded up so that the statement stays true: `1.0 %`, `0.034 %`. */
export function percentUp(rate: number): string {
  const percent = rate * 100;
  if (percent === 0 || percent >= 100) return `${percent.toFixed(0)} %`;
  const decimals = percent >= 0.1 ? 1 : 1 - Math.floor(Math.log10(percent));
  const scale = 10 ** decimals;
  return `${(Math.ceil(percent * scale - 1e-9) / scale).toFixed(decimals)} %`;
}

/**
 * What a scenario's runs say about its failure rate: its upper bound, or if some runs failed, the share with its
 * interval: `30.0 %, 16.6-46.5`.
 */
export function rateText({ runs, failed, rate, verdict }: ScenarioResult): string {
  if (runs.length === 0) return '';
  if (failed === 0 || verdict === 'below') return `below ${percentUp(rate.upperBound)}`;
  const [share, lower, upper] = [failed / runs.length, rate.interval.lower, rate.interval.upper].map(
    (value) => (value * 100).toFixed(value < 0.0005 ? 3 : 1),
  );
  return `${share} %, ${lower}-${upper}`;
}

/** The end of a text, from the start of a word if possible: names of scenarios differ at their end. */
export function keepEnd(text: string, width: number): string {
  if (text.length <= width) return text;
  const end = text.slice(text.length - width + 1);
  const word = end.search(/(?<=[\s/,[(-])\S/);
  return `…${word > 0 && word < end.length / 2 ? end.slice(word) : end}`;
}

/** The beginning of a text, up to the end of a word if possible. */
export function keepStart(text: string, width: number): string {
  if (text.length <= width) return text;
  const start = text.slice(0, width - 2);
  const word = start.lastIndexOf(' ');
  return `${word > width / 2 ? start.slice(0, word) : start} …`;
}

/** A rate that the user gave, in percent, in the user's precision: `0.1 %`. */
export function percent(rate: number): string {
  // Fewer digits would turn 99.99999 % into certainty.
  return `${Number((rate * 100).toPrecision(15))} %`;
}

/** The level of a test at a confidence: `5 %` for 0.95. */
export const levelText = (confidence: number): string => percent(Number((1 - confidence).toPrecision(6)));

/** `1 run`, `2 runs`. */
export const runsText = (count: number): string => `${count} ${count === 1 ? 'run' : 'runs'}`;

/** Failed runs by outcome, such as `8 SIGABRT, 1 hang`; empty when none failed. */
export function failureCounts(result: ScenarioResult): string {
  return [...outcomeCounts(result)].map(([label, count]) => `${count} ${label}`).join(', ');
}

/** White space as JSON writes it, shortened. */
export const blank = (text: string): string => JSON.stringify(keepStart(text, MOST_BLANK));

const MOST_BLANK = 20;

/** What a machine doesn't let the tester find of what runs left behind; `null` if nothing is known to be missing. */
export function unseenText({ runs }: ScenarioResult): string | null {
  const reasons = runs.flatMap(({ left }) => left.unseenProcesses ?? []);
  if (reasons.length === 0) return null;
  return `it is unknown which processes ${reasons.length} of ${runsText(runs.length)} left behind: ${[...new Set(reasons)].join('; ')}`;
}
