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
import { differentJudgement } from '../plan/difference.js';
import { flagOf, type OptionName, type ScenarioDefaults } from '../plan/options.js';
import { refuseContradiction, resolvePlan } from '../plan/resolve.js';
import type { RecordedScenario } from '../plan/scenario.js';
import { comparisonReport, type NamedComparison } from '../report/comparison.js';
import { jsonReport } from '../report/json.js';
import { progressView } from '../report/progress.js';
import { terminalReport } from '../report/terminal.js';
import { REPORT_VERSION } from '../results/report-schema.js';
import { countsOf, letDown, overlap, type PlanResult, type ScenarioResult } from '../results/result.js';
import { readReport } from '../results/saved-report.js';
import { runResolved, type SessionOptions } from '../session/session.js';
import type { Rate } from '../statistics/rate-goal.js';
import { givenOptions, scenarioOptions } from './arguments.js';
import { keepStdoutForReport, readerStream, writeOutput } from './output.js';
import { interruptibleOf, readPlanFile } from './plan-file.js';
import { checkReports, reportOnStdout } from './reports.js';
import type { Subcommand } from './subcommand.js';
import { EXIT, signalExitCode } from './subcommand.js';

interface CompareFlags {
  readonly before: string;
  readonly after: string;
  readonly plan?: string;
  readonly demand: 'better' | 'no-worse';
  readonly json?: string;
  readonly html?: string;
}

/** Doesn't apply to compare: each side is run a fixed number of times. */
const WITHOUT = ['until', 'allowFailures'] as const;

const HELP = `
Each side is a command, run without a shell; or with --plan the name of one of its scenarios; or a JSON report that
quiesce run wrote (FILE.json, or FILE.json#SCENARIO). Programs are run alternately: before, after, after, before, ...
Two reports of several scenarios are compared scenario by scenario, with Holm's adjustment.

Exit codes:
  0  as required: after is proven to fail less (better), or not proven to fail more (no-worse)
  1  not as required
  2  wrong usage, or a wrong plan or report
  3  the environment failed
  130, 143, 129  stopped by SIGINT, SIGTERM, SIGHUP`;

/** `quiesce compare`. */
export const compare: Subcommand = {
  name: 'compare',
  define: (command, finish) => {
    command
      .description('say whether one program fails less than another, by an exact test')
      .requiredOption('--before <what>', 'a command, a scenario of --plan, or a JSON report')
      .requiredOption('--after <what>', 'the same');
    const help = {
      runs: `runs of each (default: ${COMPARED_RUNS}, or as the plan says)`,
      jobs: 'runs at a time, both programs together (default: 1, or the smaller value in the plan)',
      confidence: 'confidence that a proof needs (default: 95%)',
    };
    scenarioOptions(command, help, WITHOUT)
      .option('--plan <file>', 'plan whose scenarios --before and --after name')
      .option('--demand <what>', 'what exit code 0 means: better or no-worse', demanded, 'better')
      .option('--json <file>', 'write the comparison as JSON; - for standard output, as for --html')
      .option('--html <file>', 'write it as one self-contained HTML page')
      .addHelpText('after', HELP)
      .allowExcessArguments(false)
      .action(async (flags: CompareFlags) => finish(await compareSides(flags, givenOptions(command))));
  },
};

async function compareSides(flags: CompareFlags, given: ScenarioDefaults): Promise<number> {
  if (reportOnStdout(flags)) keepStdoutForReport();
  checkReports(flags);
  const { result: compared, stoppedBy } = await interruptibleOf(flags.plan, async (signal) => {
    const progress = progressView(process.stderr);
    try {
      return await comparisonsOf(flags, given, {
        ...{ signal, onProgress: progress.onProgress },
        // The terminal shows no stacks.
        stacks: flags.json !== undefined || flags.html !== undefined,
      });
    } finally {
      progress.stop();
    }
  });
  const { comparisons, run: made } = compared;
  const { stream, colour, columns } = readerStream(reportOnStdout(flags));
  stream.write(`\n${comparisonReport(comparisons, colour)}`);
  if (made !== null && letDown(made)) {
    stream.write(`\n${terminalReport(made, colour, columns)}`);
  }
  if (flags.json !== undefined) {
    const report = made === null ? { version: REPORT_VERSION, comparisons } : jsonReport(made, comparisons);
    await writeOutput(flags.json, `${JSON.stringify(report, null, 2)}\n`);
  }
  if (flags.html !== undefined) {
    const { htmlReport } = await import('../report/html/html.js');
    await writeOutput(flags.html, htmlReport(made, comparisons));
  }
  if (stoppedBy !== undefined) return signalExitCode(stoppedBy);
  if (made !== null && letDown(made)) return EXIT.environment;
  const verdicts = comparisons.map(({ verdict }) => verdict);
  const asDemanded =
    flags.demand === 'better' ? verdicts.every((v) => v === 'better') : !verdicts.includes('worse');
  return asDemanded ? EXIT.ok : EXIT.unexpected;
}

/** The comparisons, and the runs made for them. */
interface Compared {
  readonly comparisons: readonly NamedComparison[];
  readonly run: PlanResult | null;
}

async function comparisonsOf(
  flags: CompareFlags,
  given: ScenarioDefaults,
  session: SessionOptions,
): Promise<Compared> {
  const { before, after } = flags;
  const { confidence, ...ofRuns } = given;
  if (flags.plan !== undefined) {
    const { expect, ...overrides } = given;
    if (expect !== undefined) {
      throw new UsageError('--expect needs a command', "set the plan's expect instead");
    }
    refuseContradiction(overrides);
    const { plan, baseDir } = await readPlanFile(flags.plan, overrides);
    const options = { ...session, ...overrides, baseDir, before, after };
    const { result, ...comparison } = await comparePlan(plan, options);
    return { comparisons: [{ names: { before, after }, ...comparison }], run: result };
  }
  const sides = { before: await sideOf(before), after: await sideOf(after) };
  if (isSaved(sides.before) && isSaved(sides.after)) {
    const [forCommands] = Object.keys(ofRuns) as OptionName[];
    if (forCommands !== undefined) {
      throw new UsageError(`${flagOf(forCommands)} needs a command`, 'both sides are reports');
    }
    return { comparisons: compareSaved(sides.before, sides.after, confidence), run: null };
  }
  if (!isSaved(sides.before) && !isSaved(sides.after)) {
    const { result, ...comparison } = await compareCommands({
      ...given,
      ...session,
      ...sides,
    } as CompareOptions);
    return { comparisons: [{ names: { before, after }, ...comparison }], run: result };
  }
  // One side was run before, so only the other one is run now.
  const { command } = (isSaved(sides.before) ? sides.after : sides.before) as { command: string[] };
  const saved = isSaved(sides.before)
    ? onlyOne(sides.before.scenarios, before)
    : onlyOne((sides.after as SavedSide).scenarios, after);
  const scenario = { name: command.join(' '), runs: COMPARED_RUNS, ...given, command };
  const plan = resolvePlan({ scenarios: [scenario] });
  refuseDifferent(saved.scenario, plan.scenarios[0] as RecordedScenario);
  const result = await runResolved(plan, session);
  const made = onlyOne(result.scenarios, command.join(' '));
  const [first, second] = isSaved(sides.before) ? [saved, made] : [made, saved];
  const comparison = compareCounts(countsOf(first), countsOf(second), confidence);
  return { comparisons: [{ names: { before, after }, ...comparison }], run: result };
}

/** Scenarios of a saved report, or a command to run. */
type Side = SavedSide | { readonly command: string[] };

interface SavedSide {
  readonly report: PlanResult;
  readonly scenarios: readonly ScenarioResult[];
}

const isSaved = (side: Side): side is SavedSide => 'report' in side;

async function sideOf(text: string): Promise<Side> {
  const [, file, name] = /^(.*\.json)(?:#(.*))?$/s.exec(text) ?? [];
  if (file === undefined || (name === undefined && !existsSync(file))) return { command: splitCommand(text) };
  const report = await readReport(file);
  const { scenarios } = report;
  if (name === undefined) return { report, scenarios };
  const found = scenarios.filter(({ scenario }) => scenario.name === name);
  if (found.length > 0) return { report, scenarios: found };
  const names = scenarios.map(({ scenario }) => scenario.name).join(', ');
  throw new UsageError(`${file} has no scenario ${JSON.stringify(name)}`, `it has: ${names}`);
}

function onlyOne(scenarios: readonly ScenarioResult[], text: string): ScenarioResult {
  const [first, ...others] = scenarios;
  if (first !== undefined && others.length === 0) return first;
  const names = scenarios.map(({ scenario }) => scenario.name).join(', ');
  throw new UsageError(`${text} has ${scenarios.length} scenarios`, `name one as ${text}#NAME: ${names}`);
}

/** @throws UsageError where the rates of two scenarios, the first from a report, say nothing about their programs. */
function refuseDifferent(first: RecordedScenario, second: RecordedScenario): void {
  const other = differentJudgement(first, second);
  if (other === undefined) return;
  throw new UsageError(
    `${JSON.stringify(first.name)} in the report has a different ${other.noun} than ${JSON.stringify(second.name)}`,
    other.hint,
  );
}

function compareSaved(
  { report: first, scenarios: before }: SavedSide,
  { report: second, scenarios: after }: SavedSide,
  confidence: Rate | undefined,
): NamedComparison[] {
  const alone = before.length === 1 && after.length === 1;
  const pairs = before.flatMap((one) => {
    const other = alone ? after[0] : after.find(({ scenario }) => scenario.name === one.scenario.name);
    return other === undefined ? [] : [{ before: one, after: other }];
  });
  const same = pairs.find((pair) => pair.before.scenario.name === pair.after.scenario.name);
  if (same !== undefined && overlap(first, second)) {
    throw new UsageError(
      `the two reports have runs of ${JSON.stringify(same.before.scenario.name)} in common`,
      'compare two scenarios, or reports of different sessions',
    );
  }
  if (pairs.length === 0) {
    throw new UsageError('the two reports have no scenario in common', 'name one of each as FILE.json#NAME');
  }
  for (const pair of pairs) refuseDifferent(pair.before.scenario, pair.after.scenario);
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
