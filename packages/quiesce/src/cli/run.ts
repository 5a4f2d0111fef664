import { UsageError } from '../errors.js';
import { addToHistory, HISTORY_FILE } from '../history/history.js';
import { PERTURBATIONS, unavailablePerturbations } from '../perturb/perturb.js';
import { expandMatrix } from '../plan/matrix.js';
import { loadPlan, type PlanOverrides, type ResolvedPlan, resolvePlan } from '../plan/plan.js';
import type { ShardChoice } from '../plan/shard.js';
import { progressView } from '../report/progress.js';
import { letDown, type PlanResult } from '../results/result.js';
import { readReport } from '../results/saved-report.js';
import type { Expect } from '../run/outcome.js';
import { type ProgressEvent, runResolved } from '../session/session.js';
import {
  append,
  count,
  duration,
  expectation,
  type OutputFlags,
  outputOptions,
  outputOverrides,
  perturbation,
  positiveInteger,
  rate,
  seed,
  shard,
} from './arguments.js';
import { checkpoints } from './checkpoint.js';
import { EXIT, EXIT_HELP, signalExitCode } from './exit-codes.js';
import { interruptible } from './interrupt.js';
import { checkReports, type ReportFlags, reportOptions, writeReports } from './reports.js';
import type { Subcommand } from './subcommand.js';

interface RunFlags extends ReportFlags, OutputFlags {
  readonly runs?: number;
  readonly until?: number;
  readonly allowFailures?: number;
  readonly confidence?: number;
  readonly jobs?: number;
  readonly strict?: boolean;
  readonly allowThread?: string[];
  readonly witness: boolean;
  readonly valgrind?: boolean;
  readonly asan?: boolean;
  readonly perturb?: string;
  readonly seed?: number;
  readonly shard?: ShardChoice;
  readonly timeout?: number;
  readonly plan?: string;
  readonly only?: string[];
  readonly expect?: Expect;
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
      .usage('[options] -- command [args...]\n       quiesce run [options] --plan FILE')
      .argument('[command...]', 'the program under test and its arguments')
      .option('-n, --runs <n>', 'runs of each scenario (default: 20, or as the plan says)', positiveInteger)
      .option('--until <rate>', 'run until the failure rate is shown to be below this, such as 0.1%', rate)
      .option('--allow-failures <n>', 'failed runs that still let --until be shown (default: 0)', count)
      .option('--confidence <level>', 'of what is said about failure rates (default: 95%)', rate)
      .option('-j, --jobs <n>', 'runs at a time (default: 1, or as the plan says)', positiveInteger)
      .option(
        '--perturb <parts>',
        `so that races show: all, none, or some of ${PERTURBATIONS.join(',')}, each with =value or drawn for each run`,
        perturbation,
      )
      .option('--seed <n>', 'what perturbations are drawn from (default: a new one, which is printed)', seed)
      .option(
        '--shard <i/n>',
        'make only this part of all runs, such as 2/5; auto or auto/5: as CI or Kubernetes tells (see quiesce merge)',
        shard,
      )
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
      .option('--strict', 'threads that still run at exit make a run fail')
      .option(
        '--allow-thread <name>',
        'with --strict: a thread, or the library that started it, that may be left; * and ? (repeatable)',
        append,
      )
      .option(
        '--no-witness',
        "don't load the exit witness into programs: no stacks of crashes, nothing of what is left at exit",
      )
      .option('--valgrind', 'run programs under valgrind, whose errors make a run fail')
      .option('--asan', "run programs with AddressSanitizer's library, for addons that were built with it")
      .option('--quiet-stderr', 'anything on stderr makes a run dirty')
      .option(
        '--resume <file>',
        'go on where the JSON report of an interrupted or killed session ends, with its seed; give the same command or plan',
      )
      .option('--history [file]', `keep the failure rates in a SQLite file (default: ${HISTORY_FILE})`)
      .option('--label <text>', 'what quiesce history calls this session, such as a commit');
    reportOptions(outputOptions(command))
      .addHelpText('after', EXIT_HELP)
      .passThroughOptions()
      .action(async (words: string[], flags: RunFlags) => finish(await runCommand(words, flags)));
  },
};

async function runCommand(command: readonly string[], flags: RunFlags): Promise<number> {
  const plan = await planOf(command, flags);
  checkReports(flags);
  if (flags.perturb === 'all') {
    for (const { name, reason } of unavailablePerturbations()) {
      process.stderr.write(`quiesce: note: the perturbation ${name} is left out: ${reason}\n`);
    }
  }
  if (flags.label !== undefined && flags.history === undefined) {
    throw new UsageError('--label goes with --history');
  }
  const resume = flags.resume === undefined ? undefined : await readReport(flags.resume);
  const { result, stoppedBy } = await interruptible(async (signal) => {
    const progress = progressView(process.stderr);
    const saved = checkpoints(flags.json, (line) => process.stderr.write(`${line}\n`));
    const onProgress = (event: ProgressEvent): void => {
      progress.onProgress(event);
      saved.onProgress(event);
    };
    try {
      const result = await runResolved(plan, { signal, onProgress, ...(resume && { resume }) });
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

async function planOf(command: readonly string[], flags: RunFlags): Promise<ResolvedPlan> {
  if (flags.runs !== undefined && flags.until !== undefined)
    throw new UsageError('give -n or --until, not both');
  if (flags.valgrind && flags.asan) throw new UsageError('give --valgrind or --asan, not both');
  const overrides: PlanOverrides = {
    ...(flags.runs !== undefined && { runs: flags.runs }),
    ...(flags.until !== undefined && { until: flags.until }),
    ...(flags.allowFailures !== undefined && { allowFailures: flags.allowFailures }),
    ...(flags.confidence !== undefined && { confidence: flags.confidence }),
    ...(flags.jobs !== undefined && { jobs: flags.jobs }),
    ...(flags.strict !== undefined && { strict: flags.strict }),
    ...(flags.allowThread !== undefined && { allowThreads: flags.allowThread }),
    ...(!flags.witness && { witness: false }),
    ...outputOverrides(flags),
    ...(flags.valgrind && { checker: 'valgrind' as const }),
    ...(flags.asan && { checker: 'asan' as const }),
    ...(flags.perturb !== undefined && { perturb: flags.perturb }),
    ...(flags.seed !== undefined && { seed: flags.seed }),
    ...(flags.shard !== undefined && { shard: flags.shard }),
    ...(flags.timeout !== undefined && { timeout: flags.timeout }),
    ...(flags.only !== undefined && { only: flags.only }),
  };
  if (flags.plan !== undefined) {
    if (command.length > 0) throw new UsageError('give a command or --plan, not both');
    if (flags.expect !== undefined || flags.quietStderr) {
      throw new UsageError('--expect and --quiet-stderr go with a command', "set the plan's expect instead");
    }
    const { plan: written, baseDir } = await loadPlan(flags.plan);
    // Interrupted, it leaves no installer running.
    const { result: plan } = await interruptible((signal) => expandMatrix(written, { signal }));
    return { ...resolvePlan(plan, { ...overrides, baseDir }, flags.plan), file: flags.plan };
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

async function keep(result: PlanResult, { history, label }: RunFlags): Promise<void> {
  if (history === undefined) return;
  const { CI_COMMIT_SHORT_SHA, GITHUB_SHA } = process.env;
  const commit = CI_COMMIT_SHORT_SHA ?? GITHUB_SHA?.slice(0, 8);
  await addToHistory(history === true ? HISTORY_FILE : history, result, label ?? commit ?? null);
}
