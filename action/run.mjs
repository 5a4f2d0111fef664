// @ts-check
// The GitHub Action's script: runs the tester with what the workflow asked for. It writes the reports into a folder of the runner's
// temporary directory, and the step's outputs. The tester itself makes annotations and the step's summary.
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** An environment failure, as in the tester's exit codes, and wrong usage. */
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

/** The tester's command: `QUIESCE_COMMAND`, or else the project's own, or else npm's. */
function tester() {
  const given = process.env.QUIESCE_COMMAND;
  if (given) return given.split(' ');
  const own = join(process.cwd(), 'node_modules', '.bin', 'quiesce');
  if (input('VERSION') === '' && existsSync(own)) return [own];
  const manifest = new URL('../package.json', import.meta.url);
  const version = input('VERSION') || JSON.parse(readFileSync(manifest, 'utf8')).version;
  return ['npx', '--yes', `quiesce@${version}`];
}

/** What is run: the words after `quiesce run`. */
function subject() {
  const [command, plan] = [input('COMMAND'), input('PLAN')];
  if ((command === '') === (plan === '')) fail('give either `command` or `plan`', USAGE);
  // The shell parts the words, and is replaced by the program: so that a signal that ends it is seen as such.
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
