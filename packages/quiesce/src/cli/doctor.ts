import pc from 'picocolors';
import { asanLibrary } from '../perturb/checker.js';
import { unavailablePerturbations } from '../perturb/perturb.js';
import { findExecutable } from '../process/executable.js';
import { spawnGroup } from '../process/process-group.js';
import { SPAWNER_FILE, startedSpawner } from '../process/spawner.js';
import { threadStacks } from '../run/diagnose.js';
import { DONE_FD, witnessProblem, witnessVariables } from '../run/witness.js';
import { VERSION } from '../version.js';
import { interruptible } from './interrupt.js';
import { readerStream, writeOutput } from './output.js';
import type { Subcommand } from './subcommand.js';
import { EXIT } from './subcommand.js';

/** Something that the tester uses if it is available. */
interface Check {
  readonly name: string;
  /** Why it can't be used; `null` if it can. */
  readonly problem: string | null;
  /** What results lack without it. */
  readonly cost: string;
  /** How to get it. */
  readonly remedy: string;
  /**
   * Whether crashes and hangs can hardly be explained or provoked without it, although they are found. The exit code
   * reflects that.
   */
  readonly matters: boolean;
}

const SLEEP_S = 60;

const HELP = `
Outcomes and rates are just as exact without these. What is missing costs stacks, causes, and time to find a failure.

Exit codes:
  0  the witness, the amplifier and stacks of other processes are available
  1  one of them is not`;

/** `quiesce doctor`. */
export const doctor: Subcommand = {
  name: 'doctor',
  define: (command, finish) =>
    command
      .description('say what the tester can use on this machine, what is missing, and how to get it')
      .option('--json', 'write that as JSON to standard output')
      .addHelpText('after', HELP)
      .allowExcessArguments(false)
      .action(async ({ json }: { json?: boolean }) => {
        const { result: checks } = await interruptible(look);
        if (json) await writeOutput('-', `${JSON.stringify({ quiesce: VERSION, checks }, null, 2)}\n`);
        else {
          const { stream, colour } = readerStream(false);
          stream.write(text(checks, pc.createColors(colour)));
        }
        finish(
          checks.every(({ problem, matters }) => problem === null || !matters) ? EXIT.ok : EXIT.unexpected,
        );
      }),
};

async function look(signal: AbortSignal): Promise<Check[]> {
  const unavailable = new Map<string, string>(
    unavailablePerturbations().map(({ name, reason }) => [name, reason]),
  );
  return [
    {
      name: 'exit witness',
      problem: witnessProblem() ?? null,
      cost: 'no stacks of crashes, no report of threads, sockets and files left at exit, no --strict',
      remedy: 'use Linux with glibc, and the published package; in a clone, install Rust, then npm run build',
      matters: true,
    },
    {
      name: 'stacks',
      problem: await stacksProblem(signal),
      cost: 'crashes and hangs are reported without stacks, so the likely cause often stays unknown',
      remedy:
        'install gdb (apt-get install gdb), and make gdb --version work; in a container: docker run --cap-add SYS_PTRACE',
      matters: true,
    },
    {
      name: 'exit amplifier',
      problem: unavailable.get('amplify') ?? null,
      cost: 'no --perturb amplify: rare races take many more runs to show',
      remedy: 'as with the witness',
      matters: true,
    },
    ...(['affinity', 'nice'] as const).map((name) => ({
      name: `perturbation ${name}`,
      problem: unavailable.get(name) ?? null,
      cost: `--perturb all leaves ${name} out`,
      remedy: 'install util-linux and coreutils',
      matters: false,
    })),
    program(
      'prlimit',
      'each run takes about 1 ms longer, because a shell has to switch core dumps off',
      'install util-linux',
    ),
    program(
      'py-spy',
      'stacks without the Python lines that were running',
      'pip install py-spy, beside the Python under test',
    ),
    program('valgrind', 'no --valgrind', 'apt-get install valgrind'),
    {
      name: 'AddressSanitizer',
      problem: asanLibrary() === undefined ? "gcc's libasan.so was not found" : null,
      cost: 'no --asan',
      remedy: 'apt-get install gcc',
      matters: false,
    },
    {
      name: 'spawner',
      problem: (await startedSpawner()) === undefined ? `${SPAWNER_FILE} can't be started` : null,
      cost: 'each run takes milliseconds longer, and a tester that is killed with SIGKILL leaves what it ran',
      remedy: 'use Linux with glibc, and the published package; in a clone, install Rust, then npm run build',
      matters: false,
    },
    program('python3', 'no versions of PyPI packages in a matrix or bisect', 'install Python 3'),
    program('npm', 'no versions of npm packages or runtimes in a matrix or bisect', 'install Node with npm'),
  ];
}

function program(name: string, cost: string, remedy: string): Check {
  const found = findExecutable(name, process.cwd());
  const problem = found.path === undefined ? `${name} is not in PATH` : null;
  return { name, problem, cost, remedy, matters: false };
}

/**
 * Tries the debugger on a program that is started as a run starts it: only that shows whether the kernel and the
 * container let it attach.
 */
async function stacksProblem(signal: AbortSignal): Promise<string | null> {
  const sleeper = await spawnGroup(
    [process.execPath, '-e', `setTimeout(() => {}, ${SLEEP_S}e3); console.log()`],
    {
      cwd: process.cwd(),
      env: process.env,
      added: (way) => ({ ...witnessVariables(process.env, way), QUIESCE_DONE_FD: String(DONE_FD) }),
      outputs: 3,
    },
  );
  try {
    const started = await new Promise<boolean>((resolve) => {
      sleeper.output[0]?.read(() => resolve(true));
      sleeper.exited.then(() => resolve(false));
    });
    if (!started) return 'a trial program could not be started';
    const { problem } = await threadStacks([{ pid: sleeper.pid, command: 'node' }], { signal });
    return problem;
  } finally {
    sleeper.kill('SIGKILL');
    for (const stream of sleeper.output) stream.close();
    sleeper.release();
  }
}

function text(checks: readonly Check[], c: ReturnType<typeof pc.createColors>): string {
  const lines = checks.map(({ name, problem, cost, remedy, matters }) => {
    if (problem === null) return `${c.green('ok')}       ${name}`;
    const missing = matters ? c.red('missing') : c.yellow('missing');
    return [
      `${missing}  ${c.bold(name)}: ${problem}`,
      `         without it: ${cost}`,
      `         to get it: ${remedy}`,
    ].join('\n');
  });
  return `quiesce ${VERSION}, Node ${process.version.slice(1)}, ${process.platform} ${process.arch}\n\n${lines.join('\n')}\n`;
}
