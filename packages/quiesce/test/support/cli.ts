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
  /**
   * Added to this process's environment, from which variables that indicate CI are removed; `undefined` removes a
   * variable.
   */
  readonly env?: NodeJS.ProcessEnv;
  /** In ms. Default 300 000: only so that a test ends. */
  readonly timeoutMs?: number;
  /** A command that starts it, with its program and arguments appended; default: none. */
  readonly wrapper?: readonly string[];
}

/** A running tester. */
export interface RunningCli {
  readonly running: boolean;
  /** Sends it a signal; default SIGINT. */
  kill(signal?: NodeJS.Signals): void;
  /** Resolves once it has ended and all its output has arrived. */
  readonly ended: Promise<CliResult>;
}

/** Variables that are set when the tests run in CI, and that the tester reads: each test sets what it needs. */
const ofCi = ['GITHUB_ACTIONS', 'GITHUB_STEP_SUMMARY', 'GITHUB_SHA', 'CI_COMMIT_SHORT_SHA'];

/** Starts `quiesce` with these arguments. */
export function startCli(args: readonly string[], options: CliOptions): RunningCli {
  const inherited = Object.entries(process.env).filter(([name]) => !ofCi.includes(name));
  const env = { ...Object.fromEntries(inherited), NO_COLOR: '1', ...options.env };
  const { cwd, timeoutMs = 300_000, wrapper = [] } = options;
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
