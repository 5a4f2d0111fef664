import { existsSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import {
  COMPARED_RUNS,
  type CompareOptions,
  compare as compareCommands,
  compareCounts,
  comparePairs,
  comparePlan,
} from '../compare/compare.js';
import { UsageError } from '../errors.js';
import { splitCommand } from '../plan/command-line.js';
import { definedOnly, loadPlan, type Plan, resolvePlan } from '../plan/plan.js';
import { comparisonReport, type NamedComparison } from '../report/comparison.js';
import { htmlReport } from '../report/html/html.js';
import { jsonReport } from '../report/json.js';
import { progressView } from '../report/progress.js';
import { terminalReport } from '../report/terminal.js';
import { REPORT_VERSION } from '../results/report-schema.js';
import { countsOf, letDown, type PlanResult, type ScenarioResult } from '../results/result.js';
import { readReport } from '../results/saved-report.js';
import type { Expect } from '../run/outcome.js';
import { runResolved, type SessionOptions } from '../session/session.js';
import type { Counts } from '../statistics/intervals.js';
import {
  duration,
  expectation,
  type OutputFlags,
  outputOptions,
  outputOverrides,
  perturbation,
  positiveInteger,
  rate,
  seed,
} from './arguments.js';
import { EXIT, signalExitCode } from './exit-codes.js';
import { interruptible } from './interrupt.js';
import { readerStream, writeOutput } from './output.js';
import { checkReports } from './reports.js';
import type { Subcommand } from './subcommand.js';

interface CompareFlags extends OutputFlags {
  readonly before: string;
  readonly after: string;
  readonly runs?: number;
  readonly jobs?: number;
  readonly witness: boolean;
  readonly perturb?: string;
  readonly seed?: number;
  readonly timeout?: number;
  readonly confidence?: number;
  readonly expect?: Expect;
  readonly plan?: string;
  readonly demand: 'better' | 'no-worse';
  readonly json?: string;
  readonly html?: string;
}

const HELP = `
Each side is a command, run without a shell; or with --plan the name of one of its scenarios; or a JSON report that
quiesce run wrote (FILE.json, or FILE.json#SCENARIO). Programs are run by turns, before, after, after, before, ...
Two reports of several scenarios are compared scenario by scenario, with Holm's adjustment.

Exit codes:
  0  as demanded: after is proven to fail less (better), or not proven to fail more (no-worse)
  1  not so
  2  wrong usage, or a wrong plan or report
  3  the environment failed
  130, 143, 129  stopped by SIGINT, SIGTERM, SIGHUP`;

/** `quiesce compare`. */
export const compare: Subcommand = {
  name: 'compare',
  define: (command, finish) =>
    outputOptions(command)
      .description('say whether one program fails less than another, by an exact test')
      .requiredOption('--before <what>', 'a command, a scenario of --plan, or a JSON report')
      .requiredOption('--after <what>', 'the same')
      .option(
        '-n, --runs <n>',
        `runs of each (default: ${COMPARED_RUNS}, or as the plan says)`,
        positiveInteger,
      )
      .option(
        '-j, --jobs <n>',
        'runs at a time, of both together (default: 1, or the smaller of what the plan says of each)',
        positiveInteger,
      )
      .option('--perturb <parts>', 'so that races show, alike on both sides; see quiesce run', perturbation)
      .option('--seed <n>', 'what perturbations are drawn from (default: a new one)', seed)
      .option('--no-witness', "don't load the exit witness into programs; see quiesce run")
      .option('--timeout <duration>', 'a run that takes longer is a hang (default: 10s)', duration)
      .option('--confidence <level>', 'how sure a proof has to be (default: 95%)', rate)
      .option(
        '--expect <end>',
        'how runs shall end: clean, exit:N or a signal name (default: clean)',
        expectation,
      )
      .option('--plan <file>', 'plan whose scenarios --before and --after name')
      .option('--demand <what>', 'what exit code 0 means: better or no-worse', demanded, 'better')
      .option('--json <file>', 'write the comparison as JSON; - for standard output, as for --html')
      .option('--html <file>', 'write it as one self-contained HTML page')
      .addHelpText('after', HELP)
      .allowExcessArguments(false)
      .action(async (flags: CompareFlags) => finish(await compareSides(flags))),
};

async function compareSides(flags: CompareFlags): Promise<number> {
  checkReports(flags);
  const { result: compared, stoppedBy } = await interruptible(async (signal) => {
    const progress = progressView(process.stderr);
    try {
      return await comparisonsOf(flags, { signal, onProgress: progress.onProgress });
    } finally {
      progress.stop();
    }
  });
  const { comparisons, run: made } = compared;
  const { stream, colour } = readerStream(flags.json === '-' || flags.html === '-');
  stream.write(`\n${comparisonReport(comparisons, colour)}`);
  if (made !== null && letDown(made)) {
    stream.write(`\n${terminalReport(made, colour)}`);
  }
  if (flags.json !== undefined) {
    const report = made === null ? { version: REPORT_VERSION, comparisons } : jsonReport(made, comparisons);
    await writeOutput(flags.json, `${JSON.stringify(report, null, 2)}\n`);
  }
  if (flags.html !== undefined) await writeOutput(flags.html, htmlReport(made, comparisons));
  if (stoppedBy !== undefined) return signalExitCode(stoppedBy);
  if (made !== null && letDown(made)) return EXIT.environment;
  const verdicts = comparisons.map(({ verdict }) => verdict);
  const asDemanded =
    flags.demand === 'better' ? verdicts.every((v) => v === 'better') : !verdicts.includes('worse');
  return asDemanded ? EXIT.ok : EXIT.unexpected;
}

/** The comparisons, and what was run for them. */
interface Compared {
  readonly comparisons: readonly NamedComparison[];
  readonly run: PlanResult | null;
}

async function comparisonsOf(flags: CompareFlags, session: SessionOptions): Promise<Compared> {
  const { before, after, confidence } = flags;
  const { runs, jobs, timeout, perturb, seed } = flags;
  const witness = flags.witness ? undefined : false;
  const looked = outputOverrides(flags);
  const given = { ...definedOnly({ runs, jobs, witness, timeout, confidence, perturb, seed }), ...looked };
  if (flags.plan !== undefined) {
    if (flags.expect !== undefined) {
      throw new UsageError('--expect goes with commands', "set the plan's expect instead");
    }
    const { plan, baseDir } = await loadPlan(flags.plan);
    const options = { ...session, ...given, baseDir, before, after };
    const { result, ...comparison } = await comparePlan(plan as Plan, options);
    return { comparisons: [{ names: { before, after }, ...comparison }], run: result };
  }
  const sides = { before: await sideOf(before), after: await sideOf(after) };
  if (Array.isArray(sides.before) && Array.isArray(sides.after)) {
    const forCommands = [runs, jobs, timeout, flags.expect, perturb, seed, witness, ...Object.values(looked)];
    if (forCommands.some((value) => value !== undefined)) {
      throw new UsageError(
        '--runs, --jobs, --timeout, --expect, --perturb, --seed, --no-witness, --no-signatures and --ignore-output go with commands',
        'both sides are reports',
      );
    }
    return { comparisons: compareSaved(sides.before, sides.after, confidence), run: null };
  }
  const spec = { ...given, ...definedOnly({ expect: flags.expect }), ...session };
  if (!Array.isArray(sides.before) && !Array.isArray(sides.after)) {
    const { result, ...comparison } = await compareCommands({ ...spec, ...sides } as CompareOptions);
    return { comparisons: [{ names: { before, after }, ...comparison }], run: result };
  }
  // One side was run before, so only the other is run now.
  const { command } = (Array.isArray(sides.before) ? sides.after : sides.before) as { command: string[] };
  const scenario = { name: command.join(' '), runs: COMPARED_RUNS, ...given, command };
  const plan = resolvePlan({ scenarios: [{ ...scenario, ...definedOnly({ expect: flags.expect }) }] });
  const result = await runResolved(plan, session);
  const counts = (side: Side, text: string): Counts =>
    countsOf(onlyOne(Array.isArray(side) ? side : result.scenarios, text));
  const comparison = compareCounts(counts(sides.before, before), counts(sides.after, after), confidence);
  return { comparisons: [{ names: { before, after }, ...comparison }], run: result };
}

/** Scenarios of a saved report, or a command to run. */
type Side = readonly ScenarioResult[] | { readonly command: string[] };

async function sideOf(text: string): Promise<Side> {
  const [, file, name] = /^(.*\.json)(?:#(.*))?$/s.exec(text) ?? [];
  if (file === undefined || (name === undefined && !existsSync(file))) return { command: splitCommand(text) };
  const { scenarios } = await readReport(file);
  if (name === undefined) return scenarios;
  const found = scenarios.filter(({ scenario }) => scenario.name === name);
  if (found.length > 0) return found;
  const names = scenarios.map(({ scenario }) => scenario.name).join(', ');
  throw new UsageError(`${file} has no scenario ${JSON.stringify(name)}`, `it has: ${names}`);
}

function onlyOne(scenarios: readonly ScenarioResult[], text: string): ScenarioResult {
  const [first, ...others] = scenarios;
  if (first !== undefined && others.length === 0) return first;
  const names = scenarios.map(({ scenario }) => scenario.name).join(', ');
  throw new UsageError(`${text} has ${scenarios.length} scenarios`, `name one as ${text}#NAME: ${names}`);
}

function compareSaved(
  before: readonly ScenarioResult[],
  after: readonly ScenarioResult[],
  confidence: number | undefined,
): NamedComparison[] {
  const alone = before.length === 1 && after.length === 1;
  const pairs = before.flatMap((first) => {
    const second = alone ? after[0] : after.find(({ scenario }) => scenario.name === first.scenario.name);
    return second === undefined ? [] : [{ before: first, after: second }];
  });
  if (pairs.length === 0) {
    throw new UsageError('the two reports have no scenario in common', 'name one of each as FILE.json#NAME');
  }
  const counts = pairs.map((pair) => ({ before: countsOf(pair.before), after: countsOf(pair.after) }));
  return comparePairs(counts, confidence).map((comparison, i) => ({
    names: {
      before: pairs[i]?.before.scenario.name ?? '',
      after: pairs[i]?.after.scenario.name ?? '',
    },
    ...comparison,
  }));
}

function demanded(text: string): CompareFlags['demand'] {
  if (text === 'better' || text === 'no-worse') return text;
  throw new InvalidArgumentError('Give better or no-worse.');
}
