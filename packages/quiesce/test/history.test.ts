// The history of failure rates: kept as JSON lines, read back, and plotted. No session is lost, whatever writes.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { addToHistory, readHistory, runPlan, UsageError } from '../src/index.js';
import { type CliResult, runCli } from './support/cli.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('history');

const quiesce = (...args: string[]): Promise<CliResult> => runCli(args, { cwd: dir });

test('is kept by run, and plotted with the interval of each session', async () => {
  const bad = ['--', 'sh', '-c', '[ "$QUIESCE_RUN" != 2 ] || kill -ABRT $$'];
  assert.equal((await quiesce('run', '-n', '10', '--history', '--label', 'v1', ...bad)).code, 1);
  assert.equal((await quiesce('run', '-n', '4', '--history', '--label', 'v2', ...bad)).code, 1);
  await quiesce('run', '-n', '3', '--history', '.quiesce/history.jsonl', '--', 'true');
  assert.deepEqual(readdirSync(join(dir, '.quiesce')), ['history.jsonl']);
  const lines = readFileSync(join(dir, '.quiesce', 'history.jsonl'), 'utf8')
    .trimEnd()
    .split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).label),
    ['v1', 'v2', null],
  );
  const entries = await readHistory(join(dir, '.quiesce', 'history.jsonl'));
  assert.deepEqual(
    entries.map(({ label, runs, failed, outcomes }) => ({ label, runs, failed, outcomes })),
    [
      { label: 'v1', runs: 10, failed: 1, outcomes: { SIGABRT: 1 } },
      { label: 'v2', runs: 4, failed: 1, outcomes: { SIGABRT: 1 } },
      { label: null, runs: 3, failed: 0, outcomes: {} },
    ],
  );
  await quiesce(
    'run',
    '-n',
    '1',
    '--history',
    'odd',
    '--label',
    'a\n\x1b[31mb',
    '--name',
    'c\nd',
    '--',
    'true',
  );
  const odd = (await quiesce('history', 'odd')).stdout;
  assert.match(odd, /^c d\n/);
  assert.match(odd, /\d {2}a b {5,}0\/1 /);
  const { code, stdout } = await quiesce('history');
  assert.equal(code, 0);
  // 1 of 4 is within 0.6 % and 80.6 %: 25 % of 100 % is the 11th of 40 columns.
  assert.match(stdout, /v2 +1\/4 {2}─{10}●─{21} {10}1 SIGABRT|v2 +1\/4 {2}─{10}●─{20,22} +1 SIGABRT/);
  assert.match(stdout, /3 {2}○─/);
  const one = await quiesce('history', '--only', 'sh *', '--last', '1', '--json');
  assert.deepEqual(
    JSON.parse(one.stdout).map(({ label }: { label: string }) => label),
    ['v2'],
  );
});

test('loses no session of writers that end at once', async () => {
  const file = join(dir, 'many', 'history.jsonl');
  const scenarios = ['a', 'b', 'c'].map((name) => ({ name, command: ['true'], runs: 1 }));
  const result = await runPlan({ scenarios });
  await Promise.all(Array.from({ length: 12 }, (_, i) => addToHistory(file, result, `${i}`)));
  const entries = await readHistory(file);
  assert.equal(entries.length, 36);
  for (let i = 0; i < 12; i++) {
    const names = entries.filter(({ label }) => label === `${i}`).map(({ scenario }) => scenario);
    assert.deepEqual(names.sort(), ['a', 'b', 'c']);
  }
  // A writer that was killed left its lock.
  writeFileSync(`${file}.lock`, '');
  const longAgo = new Date(Date.now() - 60_000);
  utimesSync(`${file}.lock`, longAgo, longAgo);
  await addToHistory(file, result);
  assert.equal((await readHistory(file)).length, 39);
  assert.deepEqual(readdirSync(join(dir, 'many')), ['history.jsonl']);
});

test('has the runs of a session once that was resumed', async () => {
  const keep = ['--history', 'resumed.jsonl', '--json', 'resumed.json'];
  const stopped = await quiesce('run', '-n', '9', '--bail', '2', ...keep, '--', 'false');
  assert.equal(stopped.code, 1, stopped.stderr);
  for (let i = 0; i < 2; i++) {
    const whole = await quiesce('run', '-n', '4', '--resume', 'resumed.json', ...keep, '--', 'false');
    assert.equal(whole.code, 1, whole.stderr);
    const entries = await readHistory(join(dir, 'resumed.jsonl'));
    assert.deepEqual(
      entries.map(({ runs }) => runs),
      [4],
    );
  }
});

test('that is none is refused, and stays as it is', async () => {
  const file = join(dir, 'text');
  writeFileSync(file, 'my diary');
  await assert.rejects(readHistory(file), UsageError);
  await assert.rejects(readHistory(join(dir, 'nowhere')), /doesn't exist/);
  const { code, stderr } = await quiesce('run', '-n', '1', '--history', 'text', '--', 'touch', 'ran');
  assert.equal(code, 2, stderr);
  assert.match(stderr, /quiesce: error: text is not a history[^\n]+another file, or remove line 1\)\n$/);
  assert.equal(readFileSync(file, 'utf8'), 'my diary');
  assert.equal(existsSync(join(dir, 'ran')), false, 'it is seen before the runs');
  const same = await quiesce('run', '-n', '1', '--json', 'one', '--history', 'one', '--', 'touch', 'ran');
  assert.match(same.stderr, /--history and --json name the same file, one/);
  symlinkSync('target', join(dir, 'link'));
  for (const [one, other] of [
    ['two', './two'],
    ['target', 'link'],
    ['link', join(dir, 'link')],
  ] as const) {
    const twice = await quiesce('run', '--json', one, '--junit', other, '--', 'touch', 'ran');
    assert.equal(twice.code, 2, one);
    assert.match(twice.stderr, /--json and --junit name the same file/);
  }
  symlinkSync('/dev/null', join(dir, 'device'));
  const device = await quiesce('run', '-n', '1', '--history', 'device', '--', 'touch', 'ran');
  assert.equal(device.code, 2, device.stderr);
  assert.match(device.stderr, /can't read history device: it is not a regular file/);
  const lost = await quiesce('run', '-n', '1', '--history', 'a/b/c', '--', 'touch', 'ran');
  assert.equal(lost.code, 2, lost.stderr);
  assert.match(lost.stderr, /--history a file in a directory that exists/);
  assert.deepEqual([existsSync(join(dir, 'a')), existsSync(join(dir, 'ran'))], [false, false]);
  const blocked = temporaryDirectory('blocked');
  writeFileSync(join(blocked, '.quiesce'), '');
  const late = await runCli(['run', '-n', '1', '--history', '--', 'touch', 'ran'], { cwd: blocked });
  assert.equal(late.code, 2, late.stderr);
  assert.deepEqual(readdirSync(blocked), ['.quiesce']);
  assert.equal((await quiesce('run', '--label', 'x', '--', 'true')).code, 2);
  assert.match((await quiesce('history', 'text')).stderr, /line 1: it is not JSON/);
  for (const [content, problem] of [
    ['', /other is empty/],
    ['{"history":2}', /line 1: "history" is not 1/],
    ['{"history":1}', /line 1: "startedAt" is missing/],
    ['[]', /line 1: it is not an object/],
  ] as const) {
    writeFileSync(join(dir, 'other'), content);
    assert.match((await quiesce('history', 'other')).stderr, problem);
  }
});
