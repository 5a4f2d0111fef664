#!/usr/bin/env node
import { accessSync, constants, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { constants as osConstants } from 'node:os';
import { dirname, resolve } from 'node:path';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { parseDuration } from './duration.js';
import { EnvironmentError, messageOf, QuiesceError, UsageError } from './errors.js';
import type { Expect } from './outcome.js';
import { loadPlan, type PlanOverrides, type ResolvedPlan, resolvePlan } from './plan.js';
import { progressView } from './progress.js';
import { jsonReport } from './report/json.js';
import { terminalReport } from './report/terminal.js';
import { type PlanResult, runResolved } from './session.js';

const EXIT = { ok: 0, unexpected: 1, usage: 2, environment: 3 } as const;

const EXIT_HELP = `
Exit codes:
  0  every run ended as expected
  1  some did not
  2  wrong usage, or a wrong plan
  3  the environment failed: a service couldn't start or died, a report couldn't be written
  130, 143, 129  stopped by SIGINT, SIGTERM, SIGHUP; the table shows what was run`;

interface RunFlags {
  readonly runs?: number;
  readonly timeout?: number;
  readonly plan?: string;
  readonly only?: string[];
  readonly expect?: Expect;
  readonly quietStderr?: boolean;
  readonly json?: string;
}

type StopSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

// Commander's own words for an error are not printed; `explain` says them in one line.
const silent = { writeErr: () => {}, outputError: () => {} };

async function main(): Promise<number> {
  let exitCode: number = EXIT.ok;
  const program = new Command('quiesce')
    .description('Shutdown stress tester: runs a command many times and decides for each run how it ended.')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput(silent);
  program
    .command('run')
    .description('run one command, or the scenarios of a plan file')
    .usage('[options] -- command [args...]\n       quiesce run [options] --plan FILE')
    .argument('[command...]', 'the program under test and its arguments')
    .option('-n, --runs <n>', 'runs of each scenario (default: 20, or as the plan says)', positiveInteger)
    .option(
      '--timeout <duration>',
      'a run that takes longer is a hang: 500ms, 10s, 2m (default: 10s)',
      duration,
    )
    .option('--plan <file>', 'scenarios and services, as YAML, JSON, TypeScript or JavaScript')
    .option('--only <name>', 'of the plan, only scenarios of this name or pattern (repeatable)', append)
    .option(
      '--expect <end>',
      'how runs shall end: clean, any, exit:N or a signal name (default: clean)',
      expectation,
    )
    .option('--quiet-stderr', 'anything on stderr makes a run dirty')
    .option('--json <file>', 'write the whole result as JSON; - for standard output')
    .addHelpText('after', EXIT_HELP)
    .passThroughOptions()
    .exitOverride()
    .configureOutput(silent)
    .action(async (command: string[], flags: RunFlags) => {
      exitCode = await runCommand(command, flags);
    });
  await program.parseAsync();
  return exitCode;
}

async function runCommand(command: readonly string[], flags: RunFlags): Promise<number> {
  const plan = await planOf(command, flags);
  if (flags.json !== undefined && flags.json !== '-') checkWritable(flags.json);

  const stop = new AbortController();
  let stoppedBy: StopSignal | undefined;
  const onSignal = (name: StopSignal): void => {
    if (stoppedBy !== undefined) process.exit(signalExitCode(name)); // the exit guards kill what is left
    stoppedBy = name;
    stop.abort(new QuiesceError(`interrupted by ${name}`));
  };
  const handled: StopSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const name of handled) process.on(name, onSignal);
  const progress = progressView(process.stderr);
  let result: PlanResult;
  try {
    result = await runResolved(plan, { signal: stop.signal, onProgress: progress.onProgress });
  } finally {
    progress.stop();
    for (const name of handled) process.off(name, onSignal);
  }
  await report(result, flags.json);
  if (stoppedBy !== undefined) return signalExitCode(stoppedBy);
  if (result.serviceFailures.length > 0) return EXIT.environment;
  return result.ok ? EXIT.ok : EXIT.unexpected;
}

async function planOf(command: readonly string[], flags: RunFlags): Promise<ResolvedPlan> {
  const overrides: PlanOverrides = {
    ...(flags.runs !== undefined && { runs: flags.runs }),
    ...(flags.timeout !== undefined && { timeout: flags.timeout }),
    ...(flags.only !== undefined && { only: flags.only }),
  };
  if (flags.plan !== undefined) {
    if (command.length > 0) throw new UsageError('give a command or --plan, not both');
    if (flags.expect !== undefined || flags.quietStderr) {
      throw new UsageError('--expect and --quiet-stderr go with a command', "set the plan's expect instead");
    }
    const { plan, baseDir } = await loadPlan(flags.plan);
    return resolvePlan(plan, { ...overrides, baseDir }, flags.plan);
  }
  if (flags.only !== undefined) throw new UsageError('--only goes with --plan');
  if (command.length === 0) {
    throw new UsageError('no command given', 'quiesce run -- command args..., or quiesce run --plan FILE');
  }
  const expect = expectOf(flags);
  return resolvePlan({ scenarios: [{ name: command.join(' '), command, expect }] }, overrides, 'command');
}

function expectOf({ expect = 'clean', quietStderr }: RunFlags): Expect {
  if (!quietStderr) return expect;
  if (expect === 'any') throw new UsageError('--quiet-stderr demands something, --expect any nothing');
  return { ...(expect === 'clean' ? {} : expect), stderr: 'empty' };
}

async function report(result: PlanResult, jsonFile: string | undefined): Promise<void> {
  const toStdout = jsonFile === '-';
  const reader = toStdout ? process.stderr : process.stdout;
  const colour = reader.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
  reader.write(`\n${terminalReport(result, colour)}`);
  if (jsonFile === undefined) return;
  const text = `${JSON.stringify(jsonReport(result), null, 2)}\n`;
  if (toStdout) process.stdout.write(text);
  else {
    await writeFile(jsonFile, text).catch((error: unknown) => {
      throw new EnvironmentError(`can't write ${jsonFile}: ${messageOf(error)}`);
    });
  }
}

function checkWritable(file: string): void {
  const path = resolve(file);
  try {
    const existing = statSync(path, { throwIfNoEntry: false });
    if (existing?.isDirectory()) throw new Error('it is a directory');
    accessSync(existing === undefined ? dirname(path) : path, constants.W_OK);
    if (!statSync(dirname(path)).isDirectory()) throw new Error(`${dirname(path)} is not a directory`);
  } catch (error) {
    throw new UsageError(
      `can't write ${file}: ${messageOf(error)}`,
      'give --json a file in a directory that exists',
    );
  }
}

function signalExitCode(name: StopSignal): number {
  return 128 + osConstants.signals[name];
}

function positiveInteger(text: string): number {
  const n = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(n) || n < 1) {
    throw new InvalidArgumentError('Give a positive integer.');
  }
  return n;
}

function duration(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    throw new InvalidArgumentError(`${(error as UsageError).hint}.`);
  }
}

function expectation(text: string): Expect {
  if (text === 'clean' || text === 'any') return text;
  const code = /^exit:(\d{1,3})$/.exec(text)?.[1];
  if (code !== undefined && Number(code) <= 255) return { exitCode: Number(code) };
  if (Object.hasOwn(osConstants.signals, text)) return { signal: text as NodeJS.Signals };
  throw new InvalidArgumentError('Give clean, any, exit:N (0 to 255) or a signal name such as SIGTERM.');
}

function append(value: string, previous: string[] = []): string[] {
  return [...previous, value];
}

/** Tells the user in one line what went wrong, and returns the exit code. */
function explain(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.ok;
    const message =
      error.code === 'commander.help'
        ? 'no subcommand given'
        : error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
    complain(message, 'see quiesce run --help');
    return EXIT.usage;
  }
  if (error instanceof QuiesceError) {
    complain(error.message, error.hint);
    return error instanceof UsageError ? EXIT.usage : EXIT.environment;
  }
  complain(`internal error: ${error instanceof Error ? error.stack : String(error)}`);
  return EXIT.environment;
}

function complain(message: string, hint?: string): void {
  process.stderr.write(`quiesce: error: ${message}${hint === undefined ? '' : ` (${hint})`}\n`);
}

// A reader that went away, as `| head` does or a closed terminal, is no reason to stop or to complain.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  });
}
process.exitCode = await main().catch(explain);
