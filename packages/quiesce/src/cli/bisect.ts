import { bisect as bisectPackage, type Tried } from '../bisect/bisect.js';
import { definedOnly } from '../defined.js';
import { formatMs } from '../duration.js';
import { UsageError } from '../errors.js';
import { parsePackageName } from '../install/installation.js';
import type { ScenarioDefaults } from '../plan/options.js';
import type { Plan } from '../plan/plan.js';
import { progressView } from '../report/progress.js';
import { failureCounts, runsText } from '../report/text.js';
import { append, checkCommand, givenOptions, scenarioOptions } from './arguments.js';
import { interruptibleOf, readPlanFile } from './plan-file.js';
import type { Subcommand } from './subcommand.js';
import { EXIT } from './subcommand.js';

interface BisectFlags {
  readonly from?: string;
  readonly to?: string;
  readonly python?: string;
  readonly plan?: string;
  readonly only?: string[];
}

/** Doesn't apply to bisect: a version is bad when any of its runs fails. */
const WITHOUT = ['until', 'allowFailures', 'confidence', 'expect'] as const;

const HELP = `
The command names the installation: \${python} is the Python of an environment with the version, \${npm} a folder with
it in node_modules. A version is bad when any of its runs fails. If the program reports when its work is done (see
docs/tester.md), a version with which it never gets that far and ends with an exit code is left out: it says nothing about
the exit. Installations are kept in QUIESCE_CACHE.

Exit codes:
  0  a version was found
  1  no version was found: the oldest and the newest behave alike
  2  wrong usage
  3  a version can't be installed, a service failed, or runs can't be made
  130, 143, 129  stopped by SIGINT, SIGTERM, SIGHUP`;

/** `quiesce bisect`. */
export const bisect: Subcommand = {
  name: 'bisect',
  define: (command, finish) => {
    command
      .description('find the published version of a package that introduced or cured a failure')
      .usage('[options] <npm:NAME | pypi:NAME> -- command [args...]')
      .argument('<package>', 'npm:NAME or pypi:NAME')
      .argument('[command...]', 'the program under test and its arguments')
      .option('--from <version>', 'the oldest version to look at (default: the first)')
      .option('--to <version>', 'the newest (default: the last)')
      .option('--python <program>', 'the Python for PyPI packages (default: python3)');
    scenarioOptions(command, { runs: 'runs of each version (default: 20, or as the plan says)' }, WITHOUT)
      .option('--plan <file>', 'plan with the scenario and its services, instead of a command')
      .option('--only <name>', 'which scenario of the plan', append)
      .addHelpText('after', HELP)
      .action(async (name: string, words: string[], flags: BisectFlags) =>
        finish(await bisectCommand(name, words, flags, givenOptions(command))),
      );
  },
};

async function bisectCommand(
  name: string,
  command: readonly string[],
  { plan: file, from, to, python, only }: BisectFlags,
  given: ScenarioDefaults,
): Promise<number> {
  const target = parsePackageName(name);
  checkCommand(command);
  if ((file === undefined) === (command.length === 0)) throw new UsageError('give a command or --plan');
  const loaded = file === undefined ? undefined : await readPlanFile(file);
  const plan = (loaded?.plan ?? { scenarios: [{ name: command.join(' '), command }] }) as Plan;
  const sayOf = ({ version, result }: Tried): void => {
    const said = result.failed === 0 ? 'none failed' : failureCounts(result);
    const exit = result.exitMs === null ? '' : `, exit time ${formatMs(result.exitMs.median)}`;
    process.stdout.write(`${target.name} ${version}: ${runsText(result.runs.length)}, ${said}${exit}\n`);
  };
  const { result } = await interruptibleOf(file, async (signal) => {
    const progress = progressView(process.stderr);
    try {
      const session = { signal, onProgress: progress.onProgress, onTried: sayOf };
      return await bisectPackage(plan, {
        ...given,
        ...definedOnly({ from, to, python, only, baseDir: loaded?.baseDir }),
        ...session,
        package: target,
      });
    } finally {
      progress.stop();
    }
  });
  const { change, unusable, tried } = result;
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  say('');
  if (unusable.length > 0) {
    say(
      `Left out, because the program fails before it reports that its work is done: ${unusable.join(', ')}`,
    );
  }
  if (change === null) {
    say('The oldest and the newest version behave alike: no version introduced or cured it');
    const speaks = tried.some(({ result }) => result.runs.some(({ workDone }) => workDone));
    if (!speaks && tried.some(({ result }) => result.failed > 0)) {
      say("The program doesn't report when its work is done, so a version that can't do the work looks bad");
    }
    const bad = tried.at(-1)?.result.failed !== 0;
    say(
      `A range of ${bad ? 'good' : 'bad'} versions between them wouldn't show: ` +
        `give --from or --to a version that is known to be ${bad ? 'good' : 'bad'}, or make more runs (-n)`,
    );
    return EXIT.unexpected;
  }
  const what = change.kind === 'cured' ? 'cured it' : 'brought it';
  const between = change.between.length === 0 ? '' : `, or one of ${change.between.join(', ')}`;
  const before =
    between === '' ? 'is the version before' : 'is the last earlier version that the program works with';
  say(`${target.name} ${change.version}${between} ${what} (${change.after} ${before})`);
  return EXIT.ok;
}
