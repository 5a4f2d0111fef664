import { readlinkSync, realpathSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { EnvironmentError, messageOf, UsageError } from '../errors.js';
import { githubAnnotations, githubQuote, githubSummary } from '../report/github.js';
import { terminalReport } from '../report/terminal.js';
import type { PlanResult } from '../results/result.js';
import { reportText } from './checkpoint.js';
import { checkWritable, readerStream, writeOutput } from './output.js';

/** Files that a result is written to; `-` is standard output. */
export interface ReportFlags {
  readonly json?: string;
  readonly junit?: string;
  readonly tap?: string;
  readonly html?: string;
  readonly github?: boolean;
}

const FORMATS = ['json', 'junit', 'tap', 'html'] as const;

/** Adds the options of `ReportFlags` to a subcommand. */
export function reportOptions(command: Command): Command {
  return command
    .option('--json <file>', 'write the whole result as JSON; - for standard output, also in the next three')
    .option('--junit <file>', 'write it as JUnit XML')
    .option('--tap <file>', 'write it as TAP version 14')
    .option('--html <file>', 'write it as one self-contained HTML page')
    .option('--github', 'annotate the GitHub workflow run (default: if GITHUB_ACTIONS is true)')
    .option('--no-github', "don't annotate");
}

/** Whether standard output carries a report, so that nothing else may be in it. */
export const reportOnStdout = (flags: ReportFlags): boolean =>
  FORMATS.some((format) => flags[format] === '-');

/**
 * Makes sure, before the work, that all reports can be written after the work.
 * @param history file of the history, if one is kept.
 * @throws UsageError when one can't, or two go to the same place.
 */
export function checkReports(flags: ReportFlags, history?: string): void {
  const taken = new Map(history === undefined ? [] : [[placeOf(history), 'history']]);
  for (const format of FORMATS) {
    const file = flags[format];
    if (file === undefined) continue;
    const place = placeOf(file);
    const other = taken.get(place);
    if (other !== undefined) throw new UsageError(`--${other} and --${format} name the same file, ${file}`);
    taken.set(place, format);
    checkWritable(file, `--${format}`);
  }
}

const MOST_LINKS = 40;

/** The path without links of a file that may not exist yet; `-` for standard output. */
function placeOf(file: string, links = 0): string {
  if (file === '-' || links > MOST_LINKS) return file;
  const ways = [
    () => realpathSync(file),
    () => placeOf(resolve(dirname(file), readlinkSync(file)), links + 1),
    () => join(realpathSync(dirname(file)), basename(file)),
  ];
  for (const way of ways) {
    try {
      return way();
    } catch {
      // It doesn't exist, or is not a link.
    }
  }
  return file;
}

/**
 * Shows the result to the reader, and writes the requested files. If one can't be written, the others still are.
 * @throws EnvironmentError when one can't be written.
 */
export async function writeReports(result: PlanResult, flags: ReportFlags): Promise<void> {
  const { stream, colour, columns } = readerStream(reportOnStdout(flags));
  const github = flags.github ?? process.env.GITHUB_ACTIONS === 'true';
  const report = `\n${terminalReport(result, colour, columns)}`;
  stream.write(github ? githubQuote(report) : report);
  // Loaded only when requested.
  const texts = {
    json: async () => reportText(result),
    junit: async () => (await import('../report/junit.js')).junitReport(result),
    tap: async () => (await import('../report/tap.js')).tapReport(result),
    html: async () => (await import('../report/html/html.js')).htmlReport(result),
  };
  const written = FORMATS.map(async (format) => {
    const file = flags[format];
    if (file !== undefined) await writeOutput(file, await texts[format]());
  });
  if (github) {
    stream.write(githubAnnotations(result));
    written.push(addSummary(githubSummary(result)));
  }
  const failures = (await Promise.allSettled(written)).flatMap((one) =>
    one.status === 'rejected' ? [one.reason] : [],
  );
  const other = failures.find((failure) => !(failure instanceof EnvironmentError));
  if (other !== undefined) throw other;
  if (failures.length > 0) throw new EnvironmentError(failures.map(messageOf).join('; '));
}

async function addSummary(text: string): Promise<void> {
  const file = process.env.GITHUB_STEP_SUMMARY;
  if (!file) return;
  try {
    await appendFile(file, text);
  } catch (error) {
    throw new EnvironmentError(`can't write the step's summary ${file}: ${messageOf(error)}`);
  }
}
