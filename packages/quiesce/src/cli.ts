#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { refuseForgottenValues, refuseRepeated } from './cli/arguments.js';
import { bisect } from './cli/bisect.js';
import { compare } from './cli/compare.js';
import { doctor } from './cli/doctor.js';
import { history } from './cli/history.js';
import { init } from './cli/init.js';
import { InterruptedError, keepIgnored, passUncaught, UncaughtError } from './cli/interrupt.js';
import { merge } from './cli/merge.js';
import { allPrinted } from './cli/output.js';
import { run } from './cli/run.js';
import { runsNeeded } from './cli/runs-needed.js';
import type { Subcommand } from './cli/subcommand.js';
import { EXIT, signalExitCode } from './cli/subcommand.js';
import { EnvironmentError, messageOf, QuiesceError, UsageError } from './errors.js';
import { findExecutable } from './process/executable.js';
import { endSpawner } from './process/spawner.js';
import { printable, shellLine } from './report/text.js';
import { VERSION } from './version.js';

const subcommands: readonly Subcommand[] = [run, compare, merge, bisect, runsNeeded, history, init, doctor];

// Commander's own error text is not printed; `explain` says it in one line.
const silent = { writeErr: () => {}, outputError: () => {} };

/** Longest command line that is shown in full, in characters. */
const MOST_SHOWN = 120;

/** How long a session may take to end after an exception that nothing caught. */
const MOST_ENDING_MS = 20_000;

const program = new Command('quiesce');

async function main(): Promise<number> {
  let exitCode: number = EXIT.ok;
  program
    .description('Shutdown stress tester: runs a command many times and decides for each run how it ended.')
    .version(VERSION, '--version', 'print the version')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput(silent);
  for (const { name, define } of subcommands) {
    const command = program.command(name).exitOverride().configureOutput(silent);
    define(command, (code) => {
      exitCode = code;
    });
    refuseForgottenValues(command);
    refuseRepeated(command);
  }
  refuseLostDirectory();
  await program.parseAsync();
  return exitCode;
}

/** Everything is relative to the working directory, which another process may have removed. */
function refuseLostDirectory(): void {
  try {
    process.cwd();
  } catch (error) {
    throw new EnvironmentError("the working directory doesn't exist any more", 'cd to one that does', {
      cause: error,
    });
  }
}

/** Tells the user in one line what went wrong, and returns the exit code. */
function explain(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.ok;
    const message =
      error.code === 'commander.help'
        ? helpProblem(process.argv.slice(2))
        : error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
    const known = subcommands.find(({ name }) => name === process.argv[2]);
    const meant = known === undefined ? meantRun(process.argv.slice(2)) : undefined;
    if (meant !== undefined) complain(message.replace(/ \(Did you mean .*\)$/, ''), `did you mean ${meant}?`);
    else complain(message, `see quiesce ${known === undefined ? '' : `${known.name} `}--help`);
    return EXIT.usage;
  }
  if (error instanceof InterruptedError) {
    process.stderr.write(`quiesce: ${error.message}\n`);
    return signalExitCode(error.signal);
  }
  if (error instanceof QuiesceError) {
    complain(error.message, error.hint);
    return error instanceof UsageError ? EXIT.usage : EXIT.environment;
  }
  const internal = error instanceof UncaughtError ? error.cause : error;
  complain(`internal error: ${internal instanceof Error ? internal.stack : String(internal)}`);
  return EXIT.environment;
}

/** Why commander has only its help to show. */
const helpProblem = ([first, topic]: readonly string[]): string =>
  first === 'help' && topic !== undefined ? `unknown subcommand '${topic}'` : 'no subcommand given';

/** What to type instead, for words without a subcommand that are a command to test, or options of its runs. */
function meantRun(words: readonly string[]): string | undefined {
  const [first = ''] = words;
  const options = program.commands.find((command) => command.name() === run.name)?.options ?? [];
  const isOption = (word: string): boolean =>
    options.some(
      ({ short, long }) =>
        word.replace(/=.*/s, '') === long ||
        (short !== undefined && /^-\w/.test(word) && word.startsWith(short)),
    );
  if (first === '--' ? words.length === 1 : first.startsWith('-') ? !isOption(first) : !isProgram(first)) {
    return undefined;
  }
  const line = shellLine(['quiesce', run.name, ...(first.startsWith('-') ? [] : ['--']), ...words]);
  return line.length > MOST_SHOWN || line.includes('\n') ? `quiesce ${run.name} [options] -- command` : line;
}

const isProgram = (word: string): boolean => findExecutable(word, process.cwd()).path !== undefined;

function complain(message: string, hint?: string): void {
  // The message may quote a file or a program.
  process.stderr.write(printable(`quiesce: error: ${message}${hint === undefined ? '' : ` (${hint})`}\n`));
}

// A reader that has gone away (`| head`, a closed terminal) is not a reason to stop or to complain. Any other error,
// such as a full disk, is reported once, by every subcommand; its other files are still written.
let unwritten = false;
for (const [name, stream] of [
  ['output', process.stdout],
  ['error', process.stderr],
] as const) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || error.code === 'EIO' || unwritten) return;
    unwritten = true;
    complain(`can't write standard ${name}: ${messageOf(error)}`);
  });
}
let done = false;
process.on('exit', (code) => {
  if (unwritten && code <= EXIT.unexpected) process.exitCode = EXIT.environment;
  if (done) return;
  // Whatever the exit code is, it isn't that of a session.
  complain('this process ended before its work was done', 'does the plan module call process.exit()?');
  process.exitCode = EXIT.usage;
});
// Includes exceptions of a plan module. Node's own exit code, 1, would say that runs failed.
process.on('uncaughtException', (error) => {
  const atOnce = (): void => end(explain(error));
  // If the tester itself is broken, what it was doing may never end.
  if (passUncaught(error)) setTimeout(atOnce, MOST_ENDING_MS);
  else atOnce();
});

keepIgnored();
end(await main().catch(explain));

/**
 * Ends this process once its output is written and its spawner has ended, even if a plan module left something open
 * that would keep the process alive.
 */
function end(exitCode: number): void {
  done = true;
  void Promise.all([allPrinted(), endSpawner()]).then(() => process.exit(exitCode));
}
