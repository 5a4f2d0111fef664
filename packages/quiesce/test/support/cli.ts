// The tester's command line, run as its users run it.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The program `quiesce`. */
export const cli = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

/** How it ended. */
export interface CliResult {
  /** Exit code; `null` when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Where and how it runs. */
export interface CliOptions {
  readonly cwd: string;
  /** Added to this process's environment, without what says that this is CI; `undefined` takes a variable away. */
  readonly env?: NodeJS.ProcessEnv;
  /** In ms. Default 60 000. */
  readonly timeoutMs?: number;
}

/** Set where the tests run in CI, and read by the tester: a test sets what it means. */
const ofCi = ['GITHUB_ACTIONS', 'GITHUB_STEP_SUMMARY', 'GITHUB_SHA', 'CI_COMMIT_SHORT_SHA'];

/** Runs `quiesce` with these arguments to its end. */
export function runCli(args: readonly string[], options: CliOptions): Promise<CliResult> {
  const inherited = Object.entries(process.env).filter(([name]) => !ofCi.includes(name));
  const env = { ...Object.fromEntries(inherited), NO_COLOR: '1', ...options.env };
  const { cwd, timeoutMs = 60_000 } = options;
  return new Promise((resolve) => {
    execFile(process.execPath, [cli, ...args], { cwd, env, timeout: timeoutMs }, (error, stdout, stderr) => {
      // What execFile gives as the code of a program that ran is its exit code.
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
      resolve({ code, stdout, stderr });
    });
  });
}
