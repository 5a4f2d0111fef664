// @ts-check
// Runs the GitHub Action as the runner does: the steps of action.yml in bash, with the runner's variables.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { inRoot, tester } from '../lib/paths.mjs';

/** @typedef {{ id?: string, run?: string, uses?: string, shell?: string, env?: Record<string, string>, 'working-directory'?: string }} Step */
/** @type {{ inputs: Record<string, { default: string }>, outputs: Record<string, { value: string }>, runs: { steps: Step[] } }} */
const action = parse(readFileSync(inRoot('action.yml'), 'utf8'));

/** @type {string} */
let dir;
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'quiesce-action-'));
});
after(() => rmSync(dir, { recursive: true, force: true }));

/**
 * Runs a script step as the runner does.
 * @param {Record<string, string>} given
 * @param {NodeJS.ProcessEnv} [more]
 */
function use(given, more) {
  const unknown = Object.keys(given).filter((name) => !(name in action.inputs));
  assert.deepEqual(unknown, []);
  const inputs = Object.fromEntries(
    Object.entries(action.inputs).map(([name, input]) => [name, given[name] ?? input.default]),
  );
  const fill = (/** @type {string} */ text) =>
    text.replace(/\$\{\{ inputs\.([\w-]+) \}\}/g, (_, name) => {
      assert.ok(name in inputs, `there is no input ${name}`);
      return inputs[name] ?? '';
    });
  const [step] = action.runs.steps.filter(({ run }) => run !== undefined);
  assert.equal(step?.shell, 'bash');
  const own = mkdtempSync(join(dir, 'use-'));
  const [output, summary] = [join(own, 'output'), join(own, 'summary')];
  const { status, stdout, stderr } = spawnSync('bash', ['-e', '-o', 'pipefail', '-c', step?.run ?? ''], {
    cwd: join(dir, fill(step?.['working-directory'] ?? '.')),
    encoding: 'utf8',
    timeout: 120_000,
    env: {
      ...process.env,
      NODE_TEST_CONTEXT: undefined,
      ...Object.fromEntries(Object.entries(step?.env ?? {}).map(([name, value]) => [name, fill(value)])),
      CI: 'true',
      GITHUB_ACTIONS: 'true',
      GITHUB_ACTION_PATH: inRoot(),
      GITHUB_WORKSPACE: dir,
      GITHUB_OUTPUT: output,
      GITHUB_STEP_SUMMARY: summary,
      RUNNER_TEMP: own,
      QUIESCE_COMMAND: `${process.execPath} ${tester}`,
      ...more,
    },
  });
  const text = (/** @type {string} */ file) => (existsSync(file) ? readFileSync(file, 'utf8') : '');
  const outputs = Object.fromEntries(
    text(output)
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split(/=(.*)/s).slice(0, 2)),
  );
  return { status, stdout: stdout + stderr, outputs, summary: text(summary) };
}

describe('the GitHub Action', () => {
  it('passes where every run ends cleanly, with the arguments as a shell parts them', () => {
    const { status, stdout, outputs, summary } = use({
      command: `node -e "if (process.argv[1] !== 'a b') process.exit(1)" 'a b'`,
      runs: '2',
      perturb: 'none',
    });
    assert.equal(status, 0, stdout);
    assert.equal(outputs.ok, 'true');
    assert.equal(outputs.failed, '0');
    assert.match(readFileSync(outputs.html ?? '', 'utf8'), /^<!doctype html>/i);
    assert.equal(JSON.parse(readFileSync(outputs.json ?? '', 'utf8')).scenarios[0].completedRuns, 2);
    assert.notEqual(summary, '');
    // The action's outputs are those that its script writes.
    for (const { value } of Object.values(action.outputs)) {
      assert.ok((/steps\.run\.outputs\.(\w+)/.exec(value)?.[1] ?? '') in outputs, value);
    }
  });

  it('fails with an annotation that names the signal, in the folder that was asked for', () => {
    writeFileSync(
      join(dir, 'plan.yaml'),
      `scenarios: [{ name: dies, command: [sh, -c, "kill -ABRT $$"] }]\n`,
    );
    const { status, stdout, outputs } = use({
      plan: 'plan.yaml',
      runs: '2',
      perturb: 'none',
      args: '--timeout 30s\n-j 2',
    });
    assert.equal(status, 1, stdout);
    assert.match(stdout, /^::error .*SIGABRT/m);
    assert.equal(outputs.ok, 'false');
    assert.equal(outputs.failed, '2');
    assert.ok(existsSync(outputs.html ?? ''));
  });

  it('sees a signal that ends a command as such', () => {
    const { outputs } = use({ command: `sh -c 'kill -TERM $$'`, runs: '1', perturb: 'none' });
    const { scenarios } = JSON.parse(readFileSync(outputs.json ?? '', 'utf8'));
    assert.match(JSON.stringify(scenarios[0]), /SIGTERM/);
  });

  it('has the inputs that docs/ci.md lists, and is used there with inputs that it has', () => {
    const [section = ''] = readFileSync(inRoot('docs', 'ci.md'), 'utf8')
      .split('## The GitHub Action\n')[1]
      ?.split('\n## ') ?? [''];
    const rows = [...section.matchAll(/^\| `([\w-]+)` /gm)].map(([, name]) => name);
    assert.deepEqual(rows, Object.keys(action.inputs));
    const [use] = parse(/```yaml\n([\s\S]*?)```/.exec(section)?.[1] ?? '');
    for (const name of Object.keys(use.with)) assert.ok(name in action.inputs, name);
    for (const name of Object.keys(action.outputs)) assert.ok(section.includes(`\`${name}\``), name);
  });

  it('says what is wrong with how it is used', () => {
    /** @type {Record<string, string>[]} */
    const wrong = [{}, { command: 'true', plan: 'plan.yaml' }];
    for (const given of wrong) {
      const { status, stdout, outputs } = use(given);
      assert.equal(status, 2);
      assert.match(stdout, /^::error title=quiesce::give either `command` or `plan`$/m);
      assert.deepEqual(outputs, {});
    }
    const { status, stdout } = use({ command: 'true' }, { QUIESCE_COMMAND: '/nowhere/quiesce' });
    assert.equal(status, 3);
    assert.match(stdout, /::error .*\/nowhere\/quiesce can't be started/);
  });
});
