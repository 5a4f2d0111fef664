// Interrupted at any moment, the tester leaves a report and nothing else, and goes on from that report.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const cli = fileURLToPath(new URL('../src/cli.js', import.meta.url));
let dir: string;
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'quiesce-resume-test-'));
});
after(() => rmSync(dir, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

function start(...args: string[]): { kill(): void; ended: Promise<Ended> } {
  const options = {
    cwd: dir,
    stdio: ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  };
  const child = spawn(process.execPath, [cli, ...args], options);
  let output = '';
  child.stdout.on('data', (text) => (output += text));
  child.stderr.on('data', (text) => (output += text));
  return {
    kill: () => child.kill('SIGINT'),
    ended: new Promise((resolve) => child.once('close', (code) => resolve({ code, output }))),
  };
}

interface Report {
  readonly interrupted: boolean;
  readonly scenarios: readonly {
    readonly state: string;
    readonly completedRuns: number;
    readonly failedRuns: number;
    readonly runs: readonly { readonly run: number }[];
    readonly failures: readonly { readonly evidence: { readonly stderr: string } }[];
  }[];
}

const read = (file: string): Report => JSON.parse(readFileSync(join(dir, file), 'utf8'));
/** How often the program was started. */
const started = (): number => readFileSync(join(dir, 'started'), 'utf8').length;

test('an interrupted run is gone on with, and makes no run twice', async () => {
  const RUNS = 60;
  // Its second run fails; each takes a while, so that there is something to interrupt.
  const program = 'printf x >> started; sleep 0.03; [ "$QUIESCE_RUN" != 2 ] || { echo oh dear >&2; exit 7; }';
  const command = ['-n', String(RUNS), '--json', 'report.json', '--', 'sh', '-c', program];
  writeFileSync(join(dir, 'started'), '');
  const first = start('run', ...command);
  for (let i = 0; started() < 3 && i < 3_000; i++) await sleep(5);
  first.kill();
  const { code, output } = await first.ended;
  assert.equal(code, 130, output);
  let report = read('report.json');
  assert.equal(report.interrupted, true);
  let made = report.scenarios[0]?.completedRuns ?? 0;
  assert.ok(made >= 2 && made < RUNS, `${made}`);

  let interrupts = 1;
  for (let delay = 700; report.interrupted; delay += 400) {
    const again = start('run', '--resume', 'report.json', ...command);
    const timer = setTimeout(() => again.kill(), delay);
    const ended = await again.ended;
    clearTimeout(timer);
    // An interrupt before the first run, or after the last, may leave nothing to report.
    if (ended.code !== 130 && ended.code !== 1) assert.equal(ended.code, null, ended.output);
    report = read('report.json');
    const now = report.scenarios[0]?.completedRuns ?? 0;
    assert.ok(now >= made, `${now} after ${made}`);
    made = now;
    if (report.interrupted) interrupts++;
  }
  const [scenario] = report.scenarios;
  assert.equal(scenario?.state, 'completed');
  assert.equal(scenario?.completedRuns, RUNS);
  assert.deepEqual(
    scenario?.runs.map(({ run }) => run),
    Array.from({ length: RUNS }, (_, i) => i + 1),
  );
  assert.equal(scenario?.failedRuns, 1);
  assert.match(scenario?.failures[0]?.evidence.stderr ?? '', /oh dear/);
  // Killed runs were started too, one for each interrupt at most.
  assert.ok(started() >= RUNS && started() <= RUNS + interrupts + 1, `${started()} starts`);
  assert.deepEqual(readdirSync(dir).sort(), ['report.json', 'started']);

  // Nothing is left to do, so nothing is started.
  const before = started();
  const done = await start('run', '--resume', 'report.json', ...command).ended;
  assert.equal(done.code, 1, done.output);
  assert.equal(started(), before);
});

test('a program that can not be started any more leaves a report, with exit code 3', async () => {
  const self = join(dir, 'self');
  writeFileSync(self, '#!/bin/sh\n[ "$QUIESCE_RUN" != 3 ] || rm "$0"\n', { mode: 0o755 });
  const { code, output } = await start('run', '-n', '9', '--json', 'gone.json', '--', './self').ended;
  assert.equal(code, 3, output);
  assert.match(output, /stopped early: can't start/);
  const [scenario] = read('gone.json').scenarios;
  assert.deepEqual([scenario?.state, scenario?.completedRuns], ['stopped', 3]);
});

test('a report of another program, or none, is refused in one line', async () => {
  await start('run', '-n', '1', '--json', 'other.json', '--', 'true').ended;
  writeFileSync(
    join(dir, 'plan.json'),
    JSON.stringify({ scenarios: [{ name: 'true', command: ['false'], runs: 2 }] }),
  );
  for (const [file, args, line] of [
    ['other.json', ['--plan', 'plan.json'], /another command/],
    ['plan.json', ['--', 'true'], /no report/],
    ['nowhere.json', ['--', 'true'], /doesn't exist/],
  ] as const) {
    const { code, output } = await start('run', '--resume', file, ...args).ended;
    assert.equal(code, 2, output);
    assert.match(output, /^quiesce: error: [^\n]+\n$/);
    assert.match(output, line);
  }
});
