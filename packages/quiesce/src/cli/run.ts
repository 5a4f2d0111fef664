import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { Option } from 'commander';
import { definedOnly } from '../defined.js';
import { UsageError } from '../errors.js';
import { addToHistory, checkHistory, HISTORY_FILE } from '../history/history.js';
import { unavailablePerturbations } from '../perturb/perturb.js';
import { findPlan } from '../plan/file/load.js';
import { expandMatrix } from '../plan/matrix.js';
import { planNotes } from '../plan/notes.js';
import type { ScenarioDefaults } from '../plan/options.js';
import { type PlanOverrides, refuseContradiction, resolvePlan } from '../plan/resolve.js';
import type { ResolvedPlan } from '../plan/scenario.js';
import type { ShardChoice } from '../plan/shard.js';
import { progressView } from '../report/progress.js';
import { letDown, type PlanResult } from '../results/result.js';
import { readReport } from '../results/saved-report.js';
import type { Expect } from '../run/outcome.js';
import { type ProgressEvent, runResolved } from '../session/session.js';
import { append, checkCommand, givenOptions, positiveInteger, scenarioOptions, shard } from './arguments.js';
import { checkpoints } from './checkpoint.js';
import { InterruptedError } from './interrupt.js';
import { checkWritable, keepStdoutForReport } from './output.js';
import { interruptibleOf, readPlanFile } from './plan-file.js';
import { checkReports, type ReportFlags, reportOnStdout, reportOptions, writeReports } from './reports.js';
import type { Subcommand } from './subcommand.js';
import { EXIT, EXIT_HELP, signalExitCode } from './subcommand.js';

interface RunFlags extends ReportFlags {
  readonly shard?: ShardChoice;
  readonly plan?: string;
  readonly name?: string;
  readonly bail?: number | true;
  readonly maxFailures?: number;
  readonly only?: string[];
  readonly quietStderr?: boolean;
  readonly resume?: string;
  readonly history?: string | true;
  readonly label?: string;
}

/** `quiesce run`. */
export const run: Subcommand = {
  name: 'run',
  define: (command, finish) => {
    command
      .description('run one command, or the scenarios of a plan file')
      .usage('[options] -- command [args...]\n       quiesce run [options] [--plan FILE]')
      .argument('[command...]', 'the program under test and its arguments');
    scenarioOptions(command)
      .option('--quiet-stderr', 'anything on stderr makes a run dirty')
      .option(
        '--shard <i/n>',
        'make only this part of all runs, such as 2/5; auto or auto/5: the part that CI or Kubernetes assigns (see quiesce merge)',
        shard,
      )
      .option(
        '--plan <file>',
        'scenarios and services, as YAML, JSON, TypeScript or JavaScript (default: shutdown.plan.* in this directory)',
      )
      .option('--name <text>', 'name of the command in reports (default: the command itself)')
      .option('--bail [n]', 'stop after this many failed runs (default: 1)', positiveInteger)
      .addOption(new Option('--max-failures <n>', 'the same as --bail <n>').argParser(positiveInteger))
      .option('--only <name>', "run only the plan's scenarios of this name or pattern (repeatable)", append)
      .option(
        '--resume <file>',
        'continue the session that was interrupted or killed, from its JSON report and with its seed; give the same command or plan',
      )
      .option(
        '--history [file]',
        `record the failure rates in a file of JSON lines (default: ${HISTORY_FILE})`,
      )
      .option('--label <text>', 'what quiesce history calls this session, such as a commit');
    reportOptions(command)
      .addHelpText('after', EXIT_HELP)
      .passThroughOptions()
      .action(async (words: string[], flags: RunFlags) =>
        finish(await runCommand(words, flags, givenOptions(command))),
      );
  },
};

async function runCommand(
  command: readonly string[],
  flags: RunFlags,
  given: ScenarioDefaults,
): Promise<number> {
  const { maxFailures, bail = maxFailures } = flags;
  if (reportOnStdout(flags)) keepStdoutForReport();
  if (maxFailures !== undefined && flags.bail !== undefined) {
    throw new UsageError('--bail and --max-failures are the same', 'give one of them');
  }
  const plan = await planOf(command, flags, given);
  for (const note of planNotes(plan)) process.stderr.write(`quiesce: note: ${note}\n`);
  const history = flags.history === undefined ? undefined : historyFile(flags.history);
  checkReports(flags, history);
  if (given.perturb === 'all') {
    for (const { name, reason } of unavailablePerturbations()) {
      process.stderr.write(`quiesce: note: the perturbation ${name} is left out: ${reason}\n`);
    }
  }
  if (flags.label !== undefined && flags.history === undefined) {
    throw new UsageError('--label needs --history');
  }
  if (history !== undefined) {
    // Only the folder of the default file is created.
    const folder = dirname(HISTORY_FILE);
    checkWritable(history === HISTORY_FILE && !existsSync(folder) ? folder : history, '--history');
    await checkHistory(history);
  }
  const resume = flags.resume === undefined ? undefined : await readReport(flags.resume);
  const { result, stoppedBy } = await interruptibleOf(plan.file, async (signal) => {
    const progress = progressView(process.stderr);
    const saved = checkpoints(flags.json, (line) => process.stderr.write(`${line}\n`));
    const onProgress = (event: ProgressEvent): void => {
      progress.onProgress(event);
      saved.onProgress(event);
    };
    try {
      const result = await runResolved(plan, {
        ...{ signal, onProgress },
        ...definedOnly({ resume, bail: bail === true ? 1 : bail }),
      }).catch(async (error: unknown) => {
        if (!(error instanceof InterruptedError)) await saved.rescue();
        throw error;
      });
      progress.stop();
      await saved.stop();
      await writeReports(result, flags);
      await keep(result, flags);
      return result;
    } finally {
      progress.stop();
      await saved.stop();
    }
  });
  if (stoppedBy !== undefined) return signalExitCode(stoppedBy);
  if (letDown(result)) return EXIT.environment;
  return result.ok ? EXIT.ok : EXIT.unexpected;
}

async function planOf(
  command: readonly string[],
  flags: RunFlags,
  given: ScenarioDefaults,
): Promise<ResolvedPlan> {
  const { only, shard, quietStderr, name } = flags;
  const { expect, ...options } = given;
  if (options.runs !== undefined && options.until !== undefined)
    throw new UsageError('give -n or --until, not both');
  const overrides: PlanOverrides = { ...options, ...definedOnly({ shard, only }) };
  checkCommand(command);
  if (name === '') throw new UsageError('--name is empty');
  const file = flags.plan ?? (command.length === 0 ? await foundPlan() : undefined);
  if (file !== undefined) {
    if (command.length > 0) throw new UsageError('give a command or --plan, not both');
    if (expect !== undefined || quietStderr) {
      throw new UsageError('--expect and --quiet-stderr need a command', "set the plan's expect instead");
    }
    if (name !== undefined)
      throw new UsageError('--name needs a command', "set the scenario's name in the plan");
    refuseContradiction(overrides);
    const { plan: written, baseDir } = await readPlanFile(file, overrides);
    // If it is interrupted, no installer keeps running.
    const { result: plan } = await interruptibleOf(file, (signal) => expandMatrix(written, { signal }));
    return { ...resolvePlan(plan, { ...overrides, baseDir }, file), file };
  }
  if (only !== undefined) throw new UsageError('--only needs --plan');
  if (command.length === 0) {
    throw new UsageError(
      'no command given',
      'quiesce run -- command args..., or quiesce run --plan FILE; there is no shutdown.plan.* here',
    );
  }
  const scenario = { name: name ?? command.join(' '), command, expect: expectOf(expect, quietStderr) };
  return resolvePlan({ scenarios: [scenario] }, overrides, 'command');
}

/** The plan in this directory. A note names it, since the command line did not. */
async function foundPlan(): Promise<string | undefined> {
  const file = await findPlan();
  if (file !== undefined) process.stderr.write(`quiesce: note: the plan is ${file}\n`);
  return file;
}

function expectOf(expect: Expect = 'clean', quietStderr = false): Expect {
  if (!quietStderr) return expect;
  if (expect === 'any') throw new UsageError("--quiet-stderr can't be combined with --expect any");
  return { ...(expect === 'clean' ? {} : expect), stderr: 'empty' };
}

const historyFile = (given: string | true): string => (given === true ? HISTORY_FILE : given);

async function keep(result: PlanResult, { history, label }: RunFlags): Promise<void> {
  if (history === undefined) return;
  const { CI_COMMIT_SHORT_SHA, GITHUB_SHA } = process.env;
  const commit = CI_COMMIT_SHORT_SHA ?? GITHUB_SHA?.slice(0, 8);
  await addToHistory(historyFile(history), result, label ?? commit ?? null);
}
