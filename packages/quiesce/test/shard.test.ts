// Shards make each run exactly once. Merged, their reports are as if one machine had made all runs.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LineCounter, parseDocument } from 'yaml';
import { parseShard } from '../src/index.js';
import { shareOf } from '../src/plan/shard.js';
import { type CliResult, runCli } from './support/cli.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('shard');

const quiesce = (args: readonly string[], env?: NodeJS.ProcessEnv): Promise<CliResult> =>
  runCli(args, { cwd: dir, ...(env && { env }) });

interface Scenario {
  readonly state: string;
  readonly reason: string | null;
  readonly verdict: string | null;
  readonly completedRuns: number;
  readonly plannedRuns: number;
  readonly failedRuns: number;
  readonly failureRate: { readonly upperBound: number };
  readonly perturb: unknown;
  readonly runs: readonly { readonly run: number; readonly perturbation: string | null }[];
  readonly failures: readonly {
    readonly runs: readonly number[];
    readonly evidence: { readonly stderr: string };
  }[];
}

const saved = (file: string): Scenario => JSON.parse(readFileSync(join(dir, file), 'utf8')).scenarios[0];

describe('a shard', () => {
  test('has each run in exactly one of the shards, in shares that differ by one at most', () => {
    for (const count of [1, 2, 3, 7, 50]) {
      for (const runs of [1, 2, 20, 299, 3_000_000]) {
        const shares = Array.from({ length: count }, (_, i) => shareOf({ index: i + 1, count }, runs));
        let next = 1;
        for (const share of shares) {
          assert.equal(share.first, next);
          next += share.runs;
        }
        assert.equal(next, runs + 1);
        const sizes = shares.map((share) => share.runs);
        assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
      }
    }
  });

  test('is given in words, or by the variables of a CI system', () => {
    const cases: [string, NodeJS.ProcessEnv, [number, number]][] = [
      ['2/5', {}, [2, 5]],
      ['auto', { CI_NODE_INDEX: '1', CI_NODE_TOTAL: '4' }, [1, 4]],
      ['auto', { CIRCLE_NODE_INDEX: '0', CIRCLE_NODE_TOTAL: '4' }, [1, 4]],
      ['auto', { BUILDKITE_PARALLEL_JOB: '3', BUILDKITE_PARALLEL_JOB_COUNT: '4' }, [4, 4]],
      ['auto', { SEMAPHORE_JOB_INDEX: '2', SEMAPHORE_JOB_COUNT: '4' }, [2, 4]],
      ['auto', { SYSTEM_JOBPOSITIONINPHASE: '2', SYSTEM_TOTALJOBSINPHASE: '4' }, [2, 4]],
      ['auto/8', { JOB_COMPLETION_INDEX: '0' }, [1, 8]],
      ['auto/8', { JOB_COMPLETION_INDEX: '7' }, [8, 8]],
      ['auto/4', { CI_NODE_INDEX: '2', CI_NODE_TOTAL: '4' }, [2, 4]],
    ];
    for (const [text, env, [index, count]] of cases)
      assert.deepEqual(parseShard(text, env), { index, count });
    const wrong: [string, NodeJS.ProcessEnv, RegExp][] = [
      ['0/5', {}, /not a shard/],
      ['6/5', {}, /not a shard/],
      ['5', {}, /not a shard/],
      ['1/0', {}, /not a shard/],
      ['auto', {}, /doesn't say/],
      ['auto', { JOB_COMPLETION_INDEX: '0' }, /number of shards/],
      ['auto/3', { JOB_COMPLETION_INDEX: '3' }, /JOB_COMPLETION_INDEX/],
      ['auto/5', { CI_NODE_INDEX: '2', CI_NODE_TOTAL: '4' }, /contradicts CI_NODE_TOTAL, which is 4/],
      ['auto', { CI_NODE_INDEX: 'x', CI_NODE_TOTAL: '2' }, /CI_NODE_INDEX/],
    ];
    for (const [text, env, message] of wrong) assert.throws(() => parseShard(text, env), message, text);
  });
});

describe('shards of a run', () => {
  // Fails in its runs 3, 6, ... of the whole, whichever shard makes them.
  const program =
    'echo $QUIESCE_RUN >> numbers; [ $((QUIESCE_RUN % 3)) != 0 ] || { echo "at $QUIESCE_RUN" >&2; exit 7; }';
  const command = ['-n', '20', '--perturb', 'nice', '--seed', '9'];

  test('merged are what one machine would have made', async () => {
    await quiesce(['run', ...command, '--json', 'whole.json', '--', 'sh', '-c', program]);
    writeFileSync(join(dir, 'numbers'), '');
    for (const index of [1, 2, 3]) {
      const files = ['--json', `part-${index}.json`];
      const { code, stderr } = await quiesce([
        'run',
        ...command,
        '--shard',
        `${index}/3`,
        ...files,
        '--',
        'sh',
        '-c',
        program,
      ]);
      assert.equal(code, 1, stderr);
    }
    const numbers = readFileSync(join(dir, 'numbers'), 'utf8').trim().split('\n').map(Number);
    assert.deepEqual(
      numbers,
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
    const parts = ['part-3.json', 'part-1.json', 'part-2.json'];
    const { code, stdout } = await quiesce(['merge', ...parts, '--json', 'merged.json']);
    assert.equal(code, 1, stdout);
    const [whole, merged] = [saved('whole.json'), saved('merged.json')];
    const facts = (scenario: Scenario): unknown => [
      [
        scenario.state,
        scenario.completedRuns,
        scenario.plannedRuns,
        scenario.failedRuns,
        scenario.failureRate,
      ],
      scenario.runs.map(({ run, perturbation }) => [run, perturbation]),
      scenario.failures.map(({ runs, evidence }) => [runs, evidence.stderr]),
    ];
    assert.deepEqual(facts(merged), facts(whole));
    assert.deepEqual(merged.failures[0]?.runs, [3, 6, 9, 12, 15, 18]);
  });

  test('one that is missing is reported, and one that is there twice is refused', async () => {
    const { code, stdout } = await quiesce(['merge', 'part-1.json', 'part-3.json', '--json', 'some.json']);
    assert.equal(code, 3, stdout);
    assert.match(stdout, /missing: shard 2 of 3/);
    const some = saved('some.json');
    assert.deepEqual([some.state, some.plannedRuns], ['stopped', 20]);
    const numbers = (from: number, to: number): number[] =>
      Array.from({ length: to - from + 1 }, (_, i) => from + i);
    assert.deepEqual(
      some.runs.map(({ run }) => run),
      [...numbers(1, 6), ...numbers(14, 20)],
    );
    assert.deepEqual(some.failures[0]?.runs, [3, 6, 15, 18]);
    // The missing ones are made later, with their numbers.
    writeFileSync(join(dir, 'numbers'), '');
    const again = ['run', ...command, '--resume', 'some.json', '--json', 'all.json'];
    await quiesce([...again, '-j', '2', '--', 'sh', '-c', program]);
    assert.deepEqual(
      readFileSync(join(dir, 'numbers'), 'utf8')
        .trim()
        .split('\n')
        .map(Number)
        .sort((a, b) => a - b),
      numbers(7, 13),
    );
    const all = saved('all.json');
    assert.deepEqual([all.state, all.completedRuns], ['completed', 20]);
    assert.deepEqual(all.failures[0]?.runs, [3, 6, 15, 18, 9, 12]);
    const twice = await quiesce(['merge', 'part-1.json', 'part-1.json']);
    assert.equal(twice.code, 2);
    assert.match(twice.stderr, /both shard 1 of 3/);
    const mixed = await quiesce(['merge', 'part-1.json', 'whole.json']);
    assert.equal(mixed.code, 2);
    assert.match(mixed.stderr, /with a different division into shards\b/);
  });

  test('are gone on with, each for itself', async () => {
    const report = JSON.parse(readFileSync(join(dir, 'part-2.json'), 'utf8'));
    const [scenario] = report.scenarios;
    const runs = scenario.runs.slice(0, 2);
    const failedRuns = runs.filter(({ failed }: { failed: boolean }) => failed).length;
    const cut = { ...scenario, completedRuns: 2, failedRuns, runs };
    writeFileSync(join(dir, 'cut.json'), JSON.stringify({ ...report, scenarios: [cut] }));
    const again = ['run', ...command, '--resume', 'cut.json', '--json', 'cut.json'];
    const other = await quiesce([...again, '--shard', '3/3', '--', 'sh', '-c', program]);
    assert.equal(other.code, 2, other.stderr);
    assert.match(other.stderr, /a different shard/);
    const { code, stderr } = await quiesce([...again, '--shard', '2/3', '--', 'sh', '-c', program]);
    assert.equal(code, 1, stderr);
    assert.deepEqual(
      saved('cut.json').runs.map(({ run }) => run),
      [7, 8, 9, 10, 11, 12, 13],
    );
  });

  test('show together the rate that they are run until', async () => {
    for (const [program, code, verdict] of [
      ['true', 0, 'below'],
      ['[ "$QUIESCE_RUN" != 9 ]', 1, 'not-below'],
    ] as const) {
      const parts: string[] = [];
      for (const index of [0, 1]) {
        const files = ['--json', `until-${index}.json`];
        const place = ['--shard', 'auto/2', '--until', '20%'];
        const ended = await quiesce(['run', ...place, ...files, '--', 'sh', '-c', program], {
          JOB_COMPLETION_INDEX: String(index),
        });
        assert.equal(ended.code, index === 1 ? code : 0, ended.stderr + ended.stdout);
        parts.push(`until-${index}.json`);
      }
      const merged = await quiesce(['merge', ...parts, '--json', 'until.json']);
      assert.equal(merged.code, code, merged.stdout);
      assert.equal(saved('until.json').verdict, verdict);
    }
  });

  test('that are perturbed need a seed for all', async () => {
    const { code, stderr } = await quiesce(['run', '--perturb', 'nice', '--shard', '1/2', '--', 'true']);
    assert.equal(code, 2);
    assert.match(stderr, /^quiesce: error: [^\n]*need a seed[^\n]*--seed[^\n]*\n$/);
    assert.equal((await quiesce(['run', '--perturb', 'nice=3', '--shard', '1/2', '--', 'true'])).code, 0);
    for (const seed of ['1', '2']) {
      const words = [
        '--perturb',
        'nice',
        '--seed',
        seed,
        '--shard',
        `${seed}/2`,
        '--json',
        `seed-${seed}.json`,
      ];
      assert.equal((await quiesce(['run', '-n', '4', ...words, '--', 'true'])).code, 0);
    }
    const merged = await quiesce(['merge', 'seed-1.json', 'seed-2.json']);
    assert.equal(merged.code, 2);
    assert.match(merged.stderr, /a different seed/);
  });
});

test('a shard without a run does not say that all is as expected', async () => {
  const { code, stdout } = await quiesce(['run', '-n', '2', '--shard', '1/5', '--', 'true']);
  assert.equal(code, 0);
  assert.match(stdout, /no runs\n\nNothing was run: this shard has no runs/);
});

test('whole reports are counted together, others refused', async () => {
  await quiesce(['run', '-n', '10', '--json', 'a.json', '--', 'true']);
  await quiesce(['run', '-n', '15', '--json', 'b.json', '--', 'true']);
  await quiesce(['run', '-n', '15', '--timeout', '3s', '--json', 'c.json', '--', 'true']);
  const { code } = await quiesce(['merge', 'a.json', 'b.json', '--json', 'ab.json']);
  assert.equal(code, 0);
  assert.deepEqual([saved('ab.json').completedRuns, saved('ab.json').runs.at(-1)?.run], [25, 25]);
  const other = await quiesce(['merge', 'a.json', 'c.json']);
  assert.equal(other.code, 2);
  assert.match(other.stderr, /a different timeout/);
});

test('reports from different seeds have none together, and are not resumed', async () => {
  const perturbed = ['run', '--perturb', 'nice'];
  for (const seed of ['1', '2'])
    await quiesce([...perturbed, '-n', '2', '--seed', seed, '--json', `s${seed}.json`, '--', 'true']);
  const { code, stdout } = await quiesce([
    'merge',
    's1.json',
    's2.json',
    '--json',
    's12.json',
    '--html',
    's12.html',
  ]);
  assert.equal(code, 0);
  assert.doesNotMatch(stdout + readFileSync(join(dir, 's12.html'), 'utf8'), /seed \d/);
  assert.deepEqual(saved('s12.json').perturb, { parts: 'nice', seed: null });
  assert.match((await quiesce(['merge', 's12.json'])).stdout, /as expected/);
  const resumed = await quiesce([...perturbed, '-n', '9', '--resume', 's12.json', '--', 'true']);
  assert.match(resumed.stderr, /from different seeds/);
});

test('what is no report, or of a later version, is refused with the reason', async () => {
  await quiesce(['run', '-n', '1', '--json', 'good.json', '--', 'true']);
  const good = readFileSync(join(dir, 'good.json'), 'utf8');
  const later = JSON.stringify({ ...JSON.parse(good), version: 2, quiesce: '9.1.0' });
  const damaged = (change: object): string => {
    const report = JSON.parse(good);
    return JSON.stringify({ ...report, scenarios: [{ ...report.scenarios[0], ...change }] });
  };
  const { runs } = JSON.parse(good).scenarios[0];
  const [one] = JSON.parse(good).scenarios;
  const twice = JSON.stringify({ ...JSON.parse(good), scenarios: [one, one] });
  for (const [text, problem] of [
    ['', /is empty/],
    [good.slice(0, 300), /is not JSON, or was cut off/],
    ['\u001b[31m', /is not JSON, or was cut off/],
    ['{"a":1}', /is not a report of quiesce/],
    ['[]', /is not a report of quiesce: it is not an object/],
    ['{"version":1}', /is not a report of quiesce: "\w+" is missing/],
    [damaged({ runs: [...runs, ...runs], completedRuns: 2 }), /is damaged: "true" has run 1 twice/],
    [damaged({ runs: [] }), /is damaged: "true" has 0 runs, and completedRuns is 1/],
    [JSON.stringify({ ...JSON.parse(good), scenarios: [] }), /is damaged: it has no scenarios/],
    [damaged({ plannedRuns: 1, failedRuns: 3 }), /is damaged: "true" has 0 failed runs, and failedRuns is 3/],
    [
      damaged({ runs: [{ ...runs[0], failed: true }], failedRuns: 1 }),
      /is damaged: run 1 of "true" counts as a failure, and its outcome is clean/,
    ],
    [
      damaged({ runs: [{ ...runs[0], outcome: { kind: 'signal', signal: 'SIGSEGV', exitCode: null } }] }),
      /is damaged: run 1 of "true" counts as no failure, and its outcome is SIGSEGV/,
    ],
    [
      damaged({ runs: [1, 2].map((run) => ({ ...runs[0], run })), completedRuns: 2 }),
      /is damaged: "true" has 2 runs, and plannedRuns is 1/,
    ],
    [twice, /is damaged: "true" is in it twice/],
    [JSON.stringify({ ...JSON.parse(good), sessions: [] }), /is damaged: it names no session/],
    [later, /was written by quiesce 9\.1\.0, whose reports have version 2/],
  ] as const) {
    writeFileSync(join(dir, 'wrong.json'), text);
    const { code, stderr } = await quiesce(['merge', 'wrong.json']);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /^quiesce: error: [^\n\p{Cc}]+\n$/u);
    assert.match(stderr, problem);
  }
});

test('no run is counted twice', async () => {
  await quiesce(['run', '-n', '2', '--json', 'one.json', '--', 'true']);
  await quiesce(['run', '-n', '2', '--json', 'other.json', '--', 'true']);
  await quiesce(['run', '-n', '3', '--resume', 'one.json', '--json', 'more.json', '--', 'true']);
  assert.equal((await quiesce(['merge', 'one.json', 'other.json', '--json', 'both.json'])).code, 0);
  // As an older version wrote it.
  const { sessions, ...older } = JSON.parse(readFileSync(join(dir, 'one.json'), 'utf8'));
  assert.equal(sessions.length, 1);
  writeFileSync(join(dir, 'older.json'), JSON.stringify(older));
  for (const [files, problem] of [
    [['one.json', 'one.json'], 'one.json is given twice'],
    [['one.json', join(dir, 'one.json')], 'have runs in common'],
    [['other.json', 'one.json', 'more.json'], 'one.json and more.json have runs in common'],
    [['both.json', 'other.json'], 'both.json and other.json have runs in common'],
    [['both.json', 'more.json'], 'have runs in common'],
    [['older.json', 'older.json'], 'older.json is given twice'],
  ] as const) {
    const { code, stderr } = await quiesce(['merge', ...files, '--json', 'never.json']);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /^quiesce: error: [^\n]+ \(give each report once[^\n]+\n$/);
    assert.ok(stderr.includes(problem), stderr);
    assert.equal(existsSync(join(dir, 'never.json')), false);
  }
  const merged = await quiesce(['merge', 'both.json', '--json', 'alone.json']);
  assert.equal(merged.code, 0, merged.stderr);
});

describe('docs/ci.md', () => {
  const page = readFileSync(fileURLToPath(new URL('../../../../docs/ci.md', import.meta.url)), 'utf8');
  const blocks = [...page.matchAll(/<!-- (\S+) -->\n\n```yaml\n(.*?)```/gs)];

  test('has YAML that is right, with commands that quiesce takes', async () => {
    assert.deepEqual(
      blocks.map(([, file]) => file),
      ['.github/workflows/shutdown.yaml', '.gitlab-ci.yml', 'shutdown-job.yaml'],
    );
    for (const [, file, yaml = ''] of blocks) {
      const document = parseDocument(yaml, { strict: true, lineCounter: new LineCounter() });
      assert.deepEqual([...document.errors, ...document.warnings], [], file);
      const commands = [
        ...yaml.replace(/\n +/g, ' ').matchAll(/quiesce (run|merge) (.*?)(?= - |$|\n| resources)/g),
      ];
      assert.ok(commands.length > 0, file);
      for (const [, subcommand = '', rest = ''] of commands) {
        const { stdout: help } = await quiesce([subcommand, '--help']);
        for (const [option] of rest.matchAll(/(?<= |^)--[a-z-]+/g))
          assert.ok(help.includes(option), `${file}: ${option}`);
      }
    }
  });

  test('has a Kubernetes Job and a GitHub workflow of the right form', () => {
    const document = (name: string): Record<string, never> =>
      parseDocument(blocks.find(([, file]) => file?.endsWith(name))?.[2] ?? '').toJS();
    const { spec } = document('shutdown-job.yaml') as unknown as {
      spec: {
        completionMode: string;
        completions: number;
        template: { spec: { containers: { args: string[] }[] } };
      };
    };
    assert.equal(spec.completionMode, 'Indexed');
    assert.ok(spec.template.spec.containers[0]?.args[0]?.includes(`--shard auto/${spec.completions} `));
    const { jobs } = document('shutdown.yaml') as unknown as {
      jobs: { runs: { strategy: { matrix: { shard: number[] } } }; verdict: { needs: string } };
    };
    assert.deepEqual(jobs.runs.strategy.matrix.shard, [1, 2, 3, 4]);
    assert.equal(jobs.verdict.needs, 'runs');
  });
});
