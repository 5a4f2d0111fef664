// The tester's command line, run as its users run it.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The program `quiesce`. */
export const cli = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

/** How it ended. */
export interface CliResult {
  /** Exit code; `null` when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Both, in the order in which they came. */
  readonly output: string;
}

/** Where and how it runs. */
export interface CliOptions {
  readonly cwd: string;
  /** Added to this process's environment, without what says that this is CI; `undefined` takes a variable away. */
  readonly env?: NodeJS.ProcessEnv;
  /** In ms. Default 60 000. */
  readonly timeoutMs?: number;
  /** What starts it, which takes its program and arguments as further words; default: nothing. */
  readonly wrapper?: readonly string[];
}

/** One that runs. */
export interface RunningCli {
  readonly running: boolean;
  /** Sends it a signal; default SIGINT. */
  kill(signal?: NodeJS.Signals): void;
  /** Resolves once it has ended and its output is all there. */
  readonly ended: Promise<CliResult>;
}

/** Set where the tests run in CI, and read by the tester: a test sets what it means. */
const ofCi = ['GITHUB_ACTIONS', 'GITHUB_STEP_SUMMARY', 'GITHUB_SHA', 'CI_COMMIT_SHORT_SHA'];

/** Starts `quiesce` with these arguments. */
export function startCli(args: readonly string[], options: CliOptions): RunningCli {
  const inherited = Object.entries(process.env).filter(([name]) => !ofCi.includes(name));
  const env = { ...Object.fromEntries(inherited), NO_COLOR: '1', ...options.env };
  const { cwd, timeoutMs = 60_000, wrapper = [] } = options;
  const [program = '', ...words] = [...wrapper, process.execPath, cli, ...args];
  const child = spawn(program, words, {
    ...{ cwd, env, timeout: timeoutMs },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const texts = { stdout: '', stderr: '', output: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      texts[name] += text;
      texts.output += text;
    });
  }
  return {
    get running() {
      return child.exitCode === null && child.signalCode === null;
    },
    kill: (signal = 'SIGINT') => void child.kill(signal),
    ended: new Promise((resolve) => child.once('close', (code) => resolve({ code, ...texts }))),
  };
}

/** Runs `quiesce` with these arguments to its end. */
export const runCli = (args: readonly string[], options: CliOptions): Promise<CliResult> =>
  startCli(args, options).ended;
