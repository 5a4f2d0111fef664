// Interrupted at any moment, the tester leaves a report and nothing else, and continues from that report.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkpoints } from '../src/cli/checkpoint.js';
import { run } from '../src/index.js';
import { type RunningCli, runCli, startCli } from './support/cli.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('resume');
/** For the testers' own temporary files. A killed tester leaves some. */
const scratch = temporaryDirectory('resume-scratch');

const start = (...args: string[]): RunningCli => startCli(args, { cwd: dir, env: { TMPDIR: scratch } });

interface Report {
  readonly interrupted: boolean;
  readonly scenarios: readonly {
    readonly state: string;
    readonly completedRuns: number;
    readonly failedRuns: number;
    readonly perturb: { readonly seed: number } | null;
    readonly runs: readonly { readonly run: number; readonly perturbation: string | null }[];
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
    ['other.json', ['--plan', 'plan.json'], /a different command/],
    ['plan.json', ['--', 'true'], /not a report/],
    ['nowhere.json', ['--', 'true'], /doesn't exist/],
  ] as const) {
    const { code, output } = await start('run', '--resume', file, ...args).ended;
    assert.equal(code, 2, output);
    assert.match(output, /^quiesce: error: [^\n]+\n$/);
    assert.match(output, line);
  }
});

test('a tester that was killed has left a checkpoint to go on from', async () => {
  writeFileSync(
    join(dir, 'two.json'),
    JSON.stringify({
      defaults: { runs: 4 },
      scenarios: [
        { name: 'quick', command: ['sh', '-c', 'echo no >&2; exit 7'] },
        // It is slow in the tester that will be killed.
        { name: 'slow', command: ['sh', '-c', '[ -e slow ] && sleep 2; exit 0'], runs: 12 },
        { name: 'last', command: ['true'] },
      ],
    }),
  );
  writeFileSync(join(dir, 'slow'), '');
  writeFileSync(join(dir, 'killed.json'), 'an older file');
  const plan = ['--plan', 'two.json', '--json', 'killed.json'];
  const killed = start('run', ...plan);
  const isThere = (): boolean => readFileSync(join(dir, 'killed.json'), 'utf8') !== 'an older file';
  for (let i = 0; !isThere() && i < 3_000; i++) await sleep(10);
  killed.kill('SIGKILL');
  assert.equal((await killed.ended).code, null);
  const checkpoint = read('killed.json');
  assert.equal(checkpoint.interrupted, true);
  assert.deepEqual(
    checkpoint.scenarios.map(({ state }) => state),
    ['completed', 'stopped', 'not-run'],
  );
  const made = checkpoint.scenarios[1]?.completedRuns ?? 0;
  assert.ok(made >= 1 && made < 12, `${made}`);
  assert.match(checkpoint.scenarios[0]?.failures[0]?.evidence.stderr ?? '', /no/);

  rmSync(join(dir, 'slow'));
  const { code, output } = await start('run', '--resume', 'killed.json', ...plan).ended;
  assert.equal(code, 1, output);
  const report = read('killed.json');
  assert.equal(report.interrupted, false);
  assert.deepEqual(
    report.scenarios.map(({ completedRuns, failedRuns }) => [completedRuns, failedRuns]),
    [
      [4, 4],
      [12, 0],
      [4, 0],
    ],
  );
});

test('a report that does not fit on the disk: exit code 3, one line, and the older report stays', async () => {
  writeFileSync(join(dir, 'kept.json'), 'an older file');
  // No file may be larger than 512 bytes.
  const wrapper = ['sh', '-c', 'ulimit -f 1; exec "$0" "$@"'];
  for (const file of ['kept.json', '/dev/full']) {
    const { code, output } = await runCli(['run', '-n', '3', '--json', file, '--', 'true'], {
      cwd: dir,
      wrapper,
    });
    assert.equal(code, 3, output);
    assert.match(output, new RegExp(`^quiesce: error: can't write ${file}: (EFBIG|ENOSPC)[^\\n]*$`, 'm'));
  }
  assert.equal(readFileSync(join(dir, 'kept.json'), 'utf8'), 'an older file');
  assert.deepEqual(
    readdirSync(dir).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

test('a pipe that nobody reads is no place for a report, and one that is read is', async () => {
  const pipe = join(dir, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const unread = await start('run', '-n', '1', '--json', 'pipe', '--', 'true').ended;
  assert.equal(unread.code, 3, unread.output);
  assert.match(unread.output, /can't write pipe: it is a pipe that nobody reads/);
  const reader = spawn('cat', [pipe], { stdio: ['ignore', 'pipe', 'ignore'], timeout: 240_000 });
  let text = '';
  reader.stdout.on('data', (part) => (text += part));
  const read = new Promise((resolve) => reader.once('close', resolve));
  const { code, output } = await start('run', '-n', '400', '--json', 'pipe', '--', 'true').ended;
  await read;
  assert.equal(code, 0, output);
  assert.equal(JSON.parse(text).scenarios[0].completedRuns, 400);
});

test('a second interrupt ends a tester at once, even one that waits for a reader of its report', async () => {
  const pipe = join(dir, 'stuck');
  execFileSync('mkfifo', [pipe]);
  // It opens the pipe, and reads nothing.
  const reader = spawn('sh', ['-c', 'exec sleep 60 < stuck'], { cwd: dir, stdio: 'ignore' });
  try {
    // The output kept for one failure is more than a pipe holds.
    const program = 'x=$(head -c 60000 /dev/zero | tr "\\0" x); echo "$x"; echo "$x" >&2; exit 1';
    const tester = start('run', '-n', '2', '--json', 'stuck', '--', 'sh', '-c', program);
    let ended = false;
    void tester.ended.then(() => (ended = true));
    // The first signal may come before the runs are finished, and the second too. Each further one ends the tester in
    // any case.
    for (let i = 0; !ended && i < 300; i++) {
      await sleep(i < 2 ? 1_500 : 100);
      if (!ended) tester.kill();
    }
    const { code } = await tester.ended;
    assert.ok(code === null || code === 130, `${code}`);
  } finally {
    reader.kill('SIGKILL');
  }
});

test('a checkpoint that can not be written is reported once and stops nothing', async () => {
  const said: string[] = [];
  const { onProgress, stop } = checkpoints(
    join(dir, 'no', 'such', 'folder.json'),
    (line) => said.push(line),
    0,
  );
  const result = await run({
    command: ['true'],
    runs: 5,
    onProgress: (event) => onProgress(event),
  });
  await stop();
  assert.equal(result.runs.length, 5);
  assert.equal(said.length, 1);
  assert.match(said[0] ?? '', /no checkpoint: can't write .*ENOENT/);
});

test('a session that ends without a result leaves the runs until then', async () => {
  const file = join(dir, 'rescued.json');
  const said: string[] = [];
  const { onProgress, rescue } = checkpoints(file, (line) => said.push(line));
  await run({ command: ['true'], runs: 2, onProgress });
  await rescue();
  assert.equal(read('rescued.json').scenarios[0]?.completedRuns, 2);
  assert.deepEqual(said, [
    `quiesce: note: the runs until then are in ${file}; --resume continues from there`,
  ]);
});

test('perturbed runs go on with their seed, and nothing else is counted with them', async () => {
  const plan = (runs: number, perturb: string): string => {
    writeFileSync(
      join(dir, 'perturbed.plan.json'),
      JSON.stringify({ defaults: { perturb, runs }, scenarios: [{ name: 'true', command: ['true'] }] }),
    );
    return 'perturbed.plan.json';
  };
  const whole = ['--json', 'seeded.json', '--plan'];
  await start('run', ...whole, plan(3, 'tokio,allocator')).ended;
  const [first] = read('seeded.json').scenarios;
  const seed = first?.perturb?.seed as number;
  const again = ['run', '--resume', 'seeded.json', ...whole];
  const done = await start(...again, plan(6, 'tokio,allocator')).ended;
  assert.equal(done.code, 0, done.output);
  const [resumed] = read('seeded.json').scenarios;
  assert.equal(resumed?.perturb?.seed, seed);
  await start('run', '--json', 'fresh.json', '--seed', String(seed), '--plan', plan(6, 'tokio,allocator'))
    .ended;
  const drawn = (file: string): unknown =>
    read(file).scenarios[0]?.runs.map(({ perturbation }) => perturbation);
  assert.deepEqual(drawn('seeded.json'), drawn('fresh.json'));

  assert.equal((await start(...again, plan(6, 'tokio,allocator'), '--seed', String(seed)).ended).code, 0);
  for (const [args, line] of [
    [
      [plan(8, 'tokio,allocator'), '--seed', String((seed + 1) % 2 ** 32)],
      new RegExp(`a different seed.*--seed ${seed}`),
    ],
    [
      [plan(8, 'tokio,allocator'), '--perturb', 'none'],
      /a different perturbation.*--perturb tokio,allocator/,
    ],
    [[plan(8, 'tokio,allocator'), '--timeout', '3s'], /a different timeout.*--timeout 10000ms/],
    [[plan(8, 'tokio,allocator'), '--strict'], /a different strictness/],
  ] as const) {
    const { code, output } = await start(...again, ...args).ended;
    assert.equal(code, 2, output);
    assert.match(output, line);
    assert.match(output, /^quiesce: error: [^\n]+\n$/);
  }
});

test('a report of another command is refused', async () => {
  const make = (...words: string[]): RunningCli['ended'] =>
    start('run', '-n', '2', '--json', 'other.json', ...words).ended;
  assert.equal((await make('--', 'true')).code, 0);
  const before = readFileSync(join(dir, 'other.json'), 'utf8');
  const other = await make('--resume', 'other.json', '--', 'sleep', '0');
  assert.equal(other.code, 2, other.output);
  assert.match(other.output, /belongs to a different command or plan: it has "true"/);
  const named = await make('--resume', 'other.json', '--name', 'true', '--', 'sleep', '0');
  assert.equal(named.code, 2, named.output);
  assert.match(named.output, /with a different command/);
  const goal = await start('run', '--until', '50%', '--resume', 'other.json', '--', 'true').ended;
  assert.equal(goal.code, 2, goal.output);
  assert.match(goal.output, /with a different rate to be shown/);
  const fewer = await start('run', '-n', '1', '--resume', 'other.json', '--', 'true').ended;
  assert.equal(fewer.code, 2, fewer.output);
  assert.match(fewer.output, /has 2 runs of "true", more than the 1 to make \(give -n 2 or more\)/);
  assert.equal(readFileSync(join(dir, 'other.json'), 'utf8'), before);
});

test('what differs from the report is named with what to give instead, and another program is refused', async () => {
  const scripts = ['here', 'there'].map((name) => {
    const folder = join(dir, name);
    mkdirSync(folder);
    writeFileSync(join(folder, 'prog'), '#!/bin/sh\n', { mode: 0o755 });
    return folder;
  }) as [string, string];
  const inFolder = (folder: string, ...args: string[]) => runCli(args, { cwd: folder });
  const made = await inFolder(scripts[0], 'run', '-n', '2', '--json', '../placed.json', '--', './prog');
  assert.equal(made.code, 0, made.stderr);
  const resume = ['run', '--resume', '../placed.json'];
  for (const [folder, flags, message] of [
    [scripts[0], ['--until', '50%'], /different rate to be shown \(leave out --until, as before\)/],
    [scripts[0], ['-n', '3', '--shard', '1/2'], /different shard \(leave out --shard, as before\)/],
    [
      scripts[1],
      ['-n', '3'],
      /different working directory \(its program is \S+here\/prog, and this would be \S+there\/prog\)/,
    ],
  ] as const) {
    const { code, stderr } = await inFolder(folder, ...resume, ...flags, '--', './prog');
    assert.equal(code, 2, stderr);
    assert.match(stderr, message);
  }
  const goal = ['--until', '50%', '--confidence', '90%'];
  await inFolder(scripts[0], 'run', ...goal, '--json', '../goal.json', '--', './prog');
  const other = await inFolder(scripts[0], 'run', '-n', '9', '--resume', '../goal.json', '--', './prog');
  assert.match(other.stderr, /give --until 0\.5 --confidence 0\.9, as before/);
  // Where the earlier program is gone, as on another machine, this may be the same one.
  rmSync(scripts[0], { recursive: true });
  const moved = await inFolder(scripts[1], ...resume, '-n', '3', '--', './prog');
  assert.equal(moved.code, 0, moved.stderr);
});
