// Sessions that end early because enough runs failed; and what a command or plan can omit: its name, its file.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { run, runPlan, type ScenarioResult } from '../src/index.js';
import { type CliResult, runCli } from './support/cli.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('early-stop');
const quiesce = (...args: string[]): Promise<CliResult> => runCli(args, { cwd: dir });
const made = (scenarios: readonly ScenarioResult[]): [string, number, string][] =>
  scenarios.map(({ scenario, runs, state }) => [scenario.name, runs.length, state]);

const FAILS = 'kill -ABRT $$';
const plan = {
  defaults: { runs: 6, witness: false },
  scenarios: [
    { name: 'control', command: ['sh', '-c', FAILS], expect: 'any' as const },
    { name: 'third', command: ['sh', '-c', `[ "$QUIESCE_RUN" != 3 ] || ${FAILS}`] },
    { name: 'bad', command: ['sh', '-c', FAILS] },
    { name: 'last', command: ['true'] },
  ],
};

test('--bail stops after so many failed runs, of scenarios that could fail', async () => {
  const one = await runPlan(plan, { bail: 1 });
  assert.deepEqual(made(one.scenarios), [
    ['control', 6, 'completed'],
    ['third', 3, 'stopped'],
    ['bad', 0, 'not-run'],
    ['last', 0, 'not-run'],
  ]);
  assert.equal(one.scenarios[1]?.reason, '--bail: 1 run failed');
  assert.equal(one.interrupted, false);
  const three = await runPlan(plan, { bail: 3 });
  assert.deepEqual(
    three.scenarios.map(({ runs }) => runs.length),
    [6, 6, 2, 0],
  );
  // Failures ended it, not the machine.
  assert.ok(three.scenarios.slice(2).every(({ endedByFailures }) => endedByFailures));

  writeFileSync(join(dir, 'plan.json'), JSON.stringify(plan));
  for (const flags of [['--bail'], ['--max-failures', '1']]) {
    const { code, stdout } = await quiesce('run', '--plan', 'plan.json', ...flags, '--json', 'out.json');
    assert.equal(code, 1, stdout);
    assert.match(stdout, /third: stopped early: --bail: 1 run failed/);
    const report = JSON.parse(readFileSync(join(dir, 'out.json'), 'utf8'));
    assert.deepEqual(
      report.scenarios.map((one: { completedRuns: number }) => one.completedRuns),
      [6, 3, 0, 0],
    );
  }
  // The rest can be made later.
  const resumed = await quiesce('run', '--plan', 'plan.json', '--resume', 'out.json', '--json', 'out.json');
  assert.equal(resumed.code, 1);
  const { scenarios } = JSON.parse(readFileSync(join(dir, 'out.json'), 'utf8'));
  assert.ok(scenarios.every((one: { completedRuns: number }) => one.completedRuns === 6));

  assert.equal((await quiesce('run', '--bail', '0', '--', 'true')).code, 2);
  assert.equal((await quiesce('run', '--bail', '1', '--max-failures', '1', '--', 'true')).code, 2);
});

test('one run at a time is one, and none follows the last', async () => {
  // Each holds a lock until all of its processes have ended, some after the main one.
  const alone = 'exec 9>lock; flock -n 9 || exit 9; if [ $((QUIESCE_RUN % 5)) = 0 ]; then sleep 0.03 & fi';
  const { failed, runs } = await run({ command: ['sh', '-c', alone], cwd: dir, runs: 40 });
  assert.deepEqual([failed, runs.length], [0, 40]);

  const made = join(dir, 'made');
  const { state } = await run({ command: ['sh', '-c', 'echo >> made; exit 1'], cwd: dir, runs: 6, bail: 1 });
  assert.deepEqual([state, readFileSync(made, 'utf8')], ['stopped', '\n']);

  // Only the tester knows that these fail.
  const printed = 'echo >> printed; if [ $QUIESCE_RUN = 3 ]; then echo "Fatal Python error: x" >&2; fi';
  for (let sessions = 1; sessions <= 10; sessions++) {
    const { failed } = await run({ command: ['sh', '-c', printed], cwd: dir, runs: 9, bail: 1 });
    assert.deepEqual([failed, readFileSync(join(dir, 'printed'), 'utf8')], [1, '\n'.repeat(3 * sessions)]);
  }
});

test('a program that can not do its work is not run again and again', async () => {
  const missing = ['run', '-n', '40', '--', process.execPath, '-e', 'require("./not-there")'];
  const { code, stdout } = await quiesce(...missing);
  assert.equal(code, 1, stdout);
  assert.match(stdout, /5 of 40/);
  assert.match(
    stdout,
    /stopped early: each of its first 5 runs failed in the same way.*: Error: Cannot find module/,
  );

  // A program that reaches its exit, crashes, prints nothing, sometimes fails differently, or may end in any way
  // continues.
  const words = 'echo Error >&2';
  const commands: Record<string, string> = {
    exit: `echo done >&$QUIESCE_DONE_FD; ${words}; exit 1`,
    crash: `${words}; kill -ABRT $$`,
    silent: 'exit 1',
    other: `${words}; [ "$QUIESCE_RUN" = 2 ] || exit 1`,
    otherCode: `${words}; [ "$QUIESCE_RUN" = 2 ] && exit 2; exit 1`,
  };
  const scenarios = Object.entries(commands).map(([name, script]) => ({
    ...{ name, command: ['sh', '-c', script], runs: 7, witness: false },
  }));
  const control = { ...scenarios[0], name: 'any', command: ['sh', '-c', `${words}; exit 1`], runs: 7 };
  const { scenarios: results } = await runPlan({
    scenarios: [...scenarios, { ...control, expect: 'any' as const }],
  });
  for (const { scenario, runs, state } of results) {
    assert.deepEqual([runs.length, state], [7, 'completed'], scenario.name);
  }
});

test('shutdown.plan.* is found, and named', async () => {
  const none = await quiesce('run');
  assert.equal(none.code, 2);
  assert.match(none.stderr, /no command given.*no shutdown\.plan\.\*/);
  const text = JSON.stringify({ scenarios: [{ name: 'found', command: ['true'], runs: 1 }] });
  writeFileSync(join(dir, 'shutdown.plan.yaml'), text);
  const found = await quiesce('run', '-n', '2');
  assert.equal(found.code, 0, found.stderr);
  assert.match(found.stderr, /the plan is shutdown\.plan\.yaml/);
  assert.match(found.stdout, /^found +2 /m);
  // A command is no plan's.
  assert.doesNotMatch((await quiesce('run', '-n', '1', '--', 'true')).stdout, /found/);
  writeFileSync(join(dir, 'shutdown.plan.json'), text);
  const two = await quiesce('run');
  assert.equal(two.code, 2);
  assert.match(two.stderr, /shutdown\.plan\.json and shutdown\.plan\.yaml/);
  for (const name of ['shutdown.plan.yaml', 'shutdown.plan.json']) rmSync(join(dir, name));
});

test('--name is what reports call a command', async () => {
  const { code, stdout } = await quiesce('run', '-n', '1', '--name', 'my addon', '--', 'true');
  assert.equal(code, 0);
  assert.match(stdout, /^my addon +1 /m);
  assert.equal((await quiesce('run', '--name', 'x', '--plan', 'plan.json')).code, 2);
});

test('no stacks are taken where none are shown', async () => {
  const { scenarios } = await runPlan(
    { scenarios: [{ name: 'crash', command: [process.execPath, '-e', 'process.abort()'], runs: 1 }] },
    { stacks: false },
  );
  assert.equal(scenarios[0]?.failed, 1);
  assert.equal(scenarios[0]?.failures[0]?.evidence.stacks, null);
});
