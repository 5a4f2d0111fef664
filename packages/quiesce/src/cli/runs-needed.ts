import { UsageError } from '../errors.js';
import { percent, runsText } from '../report/text.js';
import { CONFIDENCE } from '../statistics/intervals.js';
import { comparisonRuns, MOST_RUNS, runsNeeded as runsFor } from '../statistics/sample-size.js';
import { confidence, count, rate, rateOrZero } from './arguments.js';
import type { Subcommand } from './subcommand.js';
import { EXIT } from './subcommand.js';

interface RunsNeededFlags {
  readonly rate?: number;
  readonly before?: number;
  readonly after?: number;
  readonly confidence: number;
  readonly allowFailures: number;
  readonly power: number;
}

/** `quiesce runs-needed`. */
export const runsNeeded: Subcommand = {
  name: 'runs-needed',
  define: (command, finish) =>
    command
      .description('say how many runs it takes to see a failure rate, or to distinguish two')
      .usage('--rate <rate> [options]\n       quiesce runs-needed --before <rate> --after <rate> [options]')
      .option('--rate <rate>', 'the failure rate to see, such as 2%', rate)
      .option('--allow-failures <n>', 'with --rate: failed runs that still show it is lower', count, 0)
      .option('--before <rate>', 'the failure rate of one program', rateOrZero)
      .option('--after <rate>', 'the failure rate of the other', rateOrZero)
      .option('--power <chance>', 'with --before and --after: the chance of a proof', rate, 0.8)
      .option('--confidence <level>', 'how sure to be', confidence, CONFIDENCE)
      .allowExcessArguments(false)
      .action((flags: RunsNeededFlags) => {
        const given = (name: string): boolean => command.getOptionValueSource(name) === 'cli';
        if (flags.rate !== undefined && given('power')) {
          throw new UsageError('--power needs --before and --after');
        }
        if (flags.rate === undefined && given('allowFailures')) {
          throw new UsageError('--allow-failures needs --rate');
        }
        process.stdout.write(answer(flags));
        finish(EXIT.ok);
      }),
};

function answer({ rate, before, after, confidence, allowFailures, power }: RunsNeededFlags): string {
  const sure = percent(confidence);
  if (rate !== undefined && before === undefined && after === undefined) {
    const runs = runsOf(rate, confidence, allowFailures);
    const [seen, shown] =
      allowFailures === 0
        ? ['at least one of them fails', 'When none fails']
        : [`more than ${allowFailures} of them fail`, `When at most ${allowFailures} fail`];
    return (
      `${runsText(runs)}\n` +
      `If ${percent(rate)} of runs fail, ${seen} with a chance of ${sure}.\n` +
      `${shown}, the failure rate is below ${percent(rate)} at ${sure}.\n`
    );
  }
  if (rate !== undefined || before === undefined || after === undefined) {
    throw new UsageError('give --rate, or --before and --after');
  }
  const runs = comparisonRuns(before, after, confidence, power);
  if (runs === null) {
    throw new UsageError(
      before === after ? 'equal rates are never distinguished' : 'that takes more than 10,000 runs of each',
    );
  }
  return (
    `${runsText(runs)} of each\n` +
    `If ${percent(before)} and ${percent(after)} of runs fail, Fisher's exact test proves a difference ` +
    `at ${sure} with a chance of ${percent(power)}.\n`
  );
}

function runsOf(rate: number, confidence: number, failures: number): number {
  try {
    return runsFor(rate, confidence, failures);
  } catch (error) {
    throw new UsageError(`that takes more than ${MOST_RUNS} runs`, undefined, { cause: error });
  }
}
