// @ts-check
// The script of the GitHub Action. It runs the tester with the workflow's inputs, and writes the step's outputs. It writes the
// reports into a folder of the runner's temporary directory. The tester itself makes annotations and the step's summary.
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The exit code for an environment failure, as in the tester's exit codes. The other one is for wrong usage. */
const ENVIRONMENT = 3;
const USAGE = 2;

const input = (/** @type {string} */ name) => (process.env[`QUIESCE_INPUT_${name}`] ?? '').trim();

/**
 * An error as the workflow's page shows it. Lines and percent signs have an escape there.
 * @param {string} message
 * @param {number} exitCode
 * @returns {never}
 */
function fail(message, exitCode) {
  const escaped = message.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
  console.log(`::error title=quiesce::${escaped}`);
  process.exit(exitCode);
}

/** The tester's command: `QUIESCE_COMMAND`, otherwise the project's own, otherwise npm's. */
function tester() {
  const given = process.env.QUIESCE_COMMAND;
  if (given) return given.split(' ');
  const own = join(process.cwd(), 'node_modules', '.bin', 'quiesce');
  if (input('VERSION') === '' && existsSync(own)) return [own];
  const manifest = new URL('../package.json', import.meta.url);
  const version = input('VERSION') || JSON.parse(readFileSync(manifest, 'utf8')).version;
  return ['npx', '--yes', `quiesce@${version}`];
}

/** The subject of the run: the words after `quiesce run`. */
function subject() {
  const [command, plan] = [input('COMMAND'), input('PLAN')];
  if ((command === '') === (plan === '')) fail('give either `command` or `plan`', USAGE);
  // The shell splits the command into words, and is replaced by the program. So a signal that ends the program is seen
  // as such.
  return plan === '' ? ['--', 'sh', '-c', `exec ${command}`] : ['--plan', plan];
}

/**
 * @param {string} flag
 * @param {string} value
 */
const option = (flag, value) => (value === '' ? [] : [flag, value]);

const folder = join(process.env.RUNNER_TEMP ?? tmpdir(), `quiesce-${process.pid}`);
mkdirSync(folder, { recursive: true });
const html = join(folder, 'report.html');
const json = join(folder, 'report.json');
const what = subject();
const [program = '', ...before] = tester();
const { status, error } = spawnSync(
  program,
  [
    ...before,
    'run',
    ...option('--perturb', input('PERTURB')),
    ...option('--until', input('UNTIL')),
    ...option('--runs', input('RUNS')),
    ...(input('STRICT') === 'true' ? ['--strict'] : []),
    ...['--html', html, '--json', json],
    ...input('ARGS').split(/\s+/).filter(Boolean),
    ...what,
  ],
  { stdio: 'inherit' },
);
if (error !== undefined) fail(`${program} can't be started: ${error.message}`, ENVIRONMENT);

if (existsSync(json) && process.env.GITHUB_OUTPUT) {
  /** @type {{ ok: boolean, scenarios: { failedRuns: number }[] }} */
  const { ok, scenarios } = JSON.parse(readFileSync(json, 'utf8'));
  const failed = scenarios.reduce((sum, scenario) => sum + scenario.failedRuns, 0);
  const outputs = { ok, failed, html, json, folder };
  appendFileSync(
    process.env.GITHUB_OUTPUT,
    Object.entries(outputs)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );
}
process.exitCode = status ?? ENVIRONMENT;
