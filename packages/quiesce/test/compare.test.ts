// Comparisons, with real programs that fail as often as they are told to.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { compare, compareCounts, comparePairs, comparePlan, run, UsageError } from '../src/index.js';
import { type CliResult, runCli } from './support/cli.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('compare');

const quiesce = (...args: string[]): Promise<CliResult> => runCli(args, { cwd: dir });

/** Fails in its first `n` runs. */
const failsFirst = (n: number): string[] => ['sh', '-c', `[ "$QUIESCE_RUN" -gt ${n} ]`];

describe('compare', () => {
  test('proves a cure, with the counts and p values of Fisher', async () => {
    const result = await compare({
      before: { command: failsFirst(8) },
      after: { command: ['true'] },
      runs: 20,
    });
    assert.deepEqual([result.before.failed, result.before.runs], [8, 20]);
    assert.deepEqual([result.after.failed, result.after.runs], [0, 20]);
    // scipy.stats.fisher_exact([[0, 20], [8, 12]]), and with alternative='less'
    assert.ok(Math.abs(result.p.twoSided - 0.003276) < 1e-6, `${result.p.twoSided}`);
    assert.ok(Math.abs(result.p.lower - 0.001638) < 1e-6, `${result.p.lower}`);
    assert.equal(result.verdict, 'better');
    assert.equal(result.runsToProve, null);
  });

  test('makes the runs by turns', async () => {
    const log = join(dir, 'turns');
    const say = (word: string): string[] => ['sh', '-c', `echo ${word} >> ${log}`];
    await compare({ before: { command: say('a') }, after: { command: say('b') }, runs: 4 });
    assert.equal(readFileSync(log, 'utf8').replaceAll('\n', ''), 'abbaabba');
  });

  test('makes them by turns, too, when several are made at a time', async () => {
    const log = join(dir, 'parallel turns');
    // Each waits until another has begun after it, which takes two at a time. After every fourth there may be no other.
    const say = (word: string): string[] => [
      'sh',
      '-c',
      `echo ${word} >> '${log}'; n=$(wc -l < '${log}'); i=0
      while [ $(($(wc -l < '${log}') % 4)) != 0 ] && [ $(wc -l < '${log}') -eq $n ] && [ $i -lt 500 ]; do sleep 0.01; i=$((i+1)); done
      [ $i -lt 500 ]`,
    ];
    const sides = { before: { command: say('a') }, after: { command: say('b') } };
    const result = await compare({ ...sides, runs: 8, jobs: 4, timeout: '20s' });
    assert.deepEqual([result.before.failed, result.after.failed], [0, 0]);
    assert.deepEqual(
      result.result.scenarios.map(({ runs }) => runs.map(({ run }) => run)),
      [
        [1, 2, 3, 4, 5, 6, 7, 8],
        [1, 2, 3, 4, 5, 6, 7, 8],
      ],
    );
    const lines = readFileSync(log, 'utf8').trim().split('\n');
    // One side is never further ahead than the jobs and the alternation allow.
    let ahead = 0;
    for (const line of lines) {
      ahead += line === 'a' ? 1 : -1;
      assert.ok(Math.abs(ahead) <= 4, lines.join(''));
    }
  });

  test('of a plan, and says which scenarios there are', async () => {
    const plan = {
      defaults: { runs: 6 },
      scenarios: [
        { name: 'old', command: ['false'] },
        { name: 'new', command: ['true'] },
        { name: 'other', command: ['true'] },
      ],
    };
    const { verdict, result } = await comparePlan(plan, { before: 'old', after: 'new' });
    assert.equal(verdict, 'better');
    assert.deepEqual(
      result.scenarios.map(({ scenario }) => scenario.name),
      ['old', 'new'],
    );
    await assert.rejects(comparePlan(plan, { before: 'old', after: 'newer' }), /newer/);
    await assert.rejects(comparePlan(plan, { before: 'old', after: 'old' }), UsageError);
  });

  test('stops when asked, and compares what there is', async () => {
    const stop = new AbortController();
    const { result, before, after } = await compare({
      before: { command: ['true'] },
      after: { command: ['true'] },
      runs: 1_000,
      signal: stop.signal,
      onProgress: (event) => {
        if (event.type === 'run' && event.completed === 7) stop.abort(new Error('enough'));
      },
    });
    assert.equal(result.interrupted, true);
    assert.equal(before.runs + after.runs, 7);
    assert.ok(result.scenarios.every(({ state, reason }) => state === 'stopped' && reason === 'enough'));
  });
});

describe('counts', () => {
  test('without a difference prove nothing, and say what would', () => {
    const { verdict, runsToProve } = compareCounts({ failed: 1, runs: 60 }, { failed: 0, runs: 60 });
    assert.equal(verdict, 'not-proven');
    assert.equal(runsToProve, 473);
    assert.equal(compareCounts({ failed: 0, runs: 60 }, { failed: 9, runs: 60 }).verdict, 'worse');
    assert.equal(
      compareCounts({ failed: 8, runs: 60 }, { failed: 0, runs: 60 }, '99.9%').verdict,
      'not-proven',
    );
  });

  test('of many pairs need stronger evidence each', () => {
    const weak = { before: { failed: 6, runs: 60 }, after: { failed: 0, runs: 60 } };
    const same = { before: { failed: 0, runs: 60 }, after: { failed: 0, runs: 60 } };
    assert.equal(comparePairs([weak])[0]?.verdict, 'better');
    assert.equal(comparePairs([weak, same, same])[0]?.verdict, 'not-proven');
  });
});

describe('quiesce compare', () => {
  const six = ['-n', '6'];

  test('exits with 0 when after is proven better, else with 1', async () => {
    const better = await quiesce('compare', ...six, '--before', 'false', '--after', 'true');
    assert.equal(better.code, 0, better.stderr);
    assert.match(better.stdout, /Proven: after fails less .*p = 0\.0022 two-sided, 0\.0011 one-sided/);
    const worse = await quiesce('compare', ...six, '--before', 'true', '--after', 'false');
    assert.equal(worse.code, 1);
    assert.match(worse.stdout, /Proven: after fails more/);
    const same = await quiesce('compare', ...six, '--before', 'true', '--after', "sh -c 'exit 0'");
    assert.equal(same.code, 1);
    assert.match(same.stdout, /Not proven/);
  });

  test('--demand no-worse is content without a proof', async () => {
    const args = ['--demand', 'no-worse', ...six, '--before', 'true', '--after'];
    assert.equal((await quiesce('compare', ...args, 'true')).code, 0);
    assert.equal((await quiesce('compare', ...args, 'false')).code, 1);
  });

  test('takes saved reports, of one scenario or of many, and one beside a command', async () => {
    const plan = {
      scenarios: [
        { name: 'a', command: ['true'], runs: 6 },
        { name: 'b', command: ['false'], runs: 6 },
      ],
    };
    writeFileSync(join(dir, 'plan.json'), JSON.stringify(plan));
    await quiesce('run', '--plan', 'plan.json', '--json', 'two.json');
    await quiesce('run', '--plan', 'plan.json', '--json', 'again.json');
    const both = await quiesce('compare', '--before', 'two.json', '--after', 'again.json', '--json', '-');
    assert.deepEqual(
      JSON.parse(both.stdout).comparisons.map((c: { verdict: string }) => c.verdict),
      ['not-proven', 'not-proven'],
    );
    const named = await quiesce('compare', '--before', 'two.json#b', '--after', 'two.json#a');
    assert.equal(named.code, 0, named.stderr);
    const mixed = await quiesce('compare', '--before', 'two.json#b', '--after', 'true', ...six);
    assert.equal(mixed.code, 0, mixed.stderr);
    const vague = await quiesce('compare', '--before', 'two.json', '--after', 'true');
    assert.equal(vague.code, 2);
    assert.match(vague.stderr, /2 scenarios/);
  });

  test('refuses runs that were made or judged in another way', async () => {
    await quiesce('run', '-n', '6', '--json', 'plain.json', '--', 'true');
    await quiesce('run', '-n', '6', '--strict', '--json', 'strict.json', '--', 'true');
    await quiesce('run', '-n', '6', '--expect', 'exit:1', '--json', 'expect.json', '--', 'true');
    for (const [before, after, problem] of [
      [
        'strict.json',
        'true',
        /"true" in the report has a different \S.* than "true" \(give --strict, as before\)/,
      ],
      ['true', 'strict.json', /give --strict, as before/],
      ['strict.json', 'plain.json', /a different/],
      ['expect.json', 'true', /a different expect/],
    ] as const) {
      const { code, stderr } = await quiesce(
        'compare',
        '--before',
        before,
        '--after',
        after,
        ...(before === 'strict.json' && after === 'plain.json' ? [] : six),
      );
      assert.equal(code, 2, stderr);
      assert.match(stderr, problem);
    }
    const alike = await quiesce(
      'compare',
      '--before',
      'strict.json',
      '--after',
      'true',
      '--strict',
      ...six,
      '--demand',
      'no-worse',
    );
    assert.equal(alike.code, 0, alike.stderr);
  });

  test('refuses to compare runs with themselves', async () => {
    await quiesce('run', '-n', '3', '--json', 'three.json', '--', 'true');
    await quiesce('run', '-n', '6', '--resume', 'three.json', '--json', 'six.json', '--', 'true');
    for (const [before, after] of [
      ['three.json', 'three.json'],
      ['three.json', 'six.json#true'],
    ] as const) {
      const { code, stderr } = await quiesce('compare', '--before', before, '--after', after);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /^quiesce: error: the two reports have runs of "true" in common [^\n]+\n$/);
    }
  });

  test('writes a report that can be compared again', async () => {
    await quiesce('compare', ...six, '--before', 'false', '--after', 'true', '--json', 'compared.json');
    const again = await quiesce(
      'compare',
      '--before',
      'compared.json#before',
      '--after',
      'compared.json#after',
    );
    assert.equal(again.code, 0, again.stderr);
  });

  const wrong: [string, RegExp, string[]][] = [
    ['one side', /--after/, ['--before', 'true']],
    [
      'a quote that stays open',
      /a quote \("\) that is never closed/,
      ['--before', 'sh -c "x', '--after', 'x'],
    ],
    ['a parenthesis', /needs a shell for "\("/, ['--before', 'node -e process.exit(3)', '--after', 'true']],
    ['a pattern', /needs a shell for "a\*"/, ['--before', 'ls a*', '--after', 'true']],
    ['a pipe', /needs a shell for "\|"/, ['--before', 'true | cat', '--after', 'true']],
    ['an empty command', /empty/, ['--before', '', '--after', 'true']],
    ['a command that is not there', /no-such-program/, ['--before', 'no-such-program', '--after', 'true']],
    ['a report that is none', /not a report/, ['--before', 'none.json', '--after', 'true']],
    ['a report that is not there', /doesn't exist/, ['--before', 'nowhere.json#a', '--after', 'true']],
    ['a wrong demand', /no-worse/, ['--before', 'true', '--after', 'true', '--demand', 'joy']],
    ['a plan without the scenario', /old/, ['--plan', 'one.json', '--before', 'old', '--after', 'one']],
  ];
  for (const [name, line, args] of wrong) {
    test(`reports ${name} in one line`, async () => {
      writeFileSync(join(dir, 'none.json'), '{"version":1}');
      writeFileSync(join(dir, 'one.json'), '{"scenarios":[{"name":"one","command":["true"]}]}');
      const { code, stderr, stdout } = await quiesce('compare', ...args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /^quiesce: error: [^\n]+\n$/);
      assert.match(stderr, line);
      assert.equal(stdout, '');
    });
  }
});

test('a saved report is what was run', async () => {
  const result = await run({ command: failsFirst(2), runs: 3 });
  assert.equal(result.failed, 2);
  assert.deepEqual(
    result.runs.map(({ failed }) => failed),
    [true, true, false],
  );
});

describe('quiesce runs-needed', () => {
  test('for a rate, and to distinguish two', async () => {
    assert.match((await quiesce('runs-needed', '--rate', '2%', '--confidence', '95%')).stdout, /^149 runs\n/);
    const sure = await quiesce('runs-needed', '--rate', '1e-3', '--confidence', '99.9999999%');
    assert.match(sure.stdout, /^20713 runs\n.* chance of 99\.9999999 %\./);
    assert.match((await quiesce('runs-needed', '--rate', '0.1%')).stdout, /^2995 runs\n/);
    assert.match(
      (await quiesce('runs-needed', '--rate', '1%', '--allow-failures', '1')).stdout,
      /^473 runs\n/,
    );
    assert.match(
      (await quiesce('runs-needed', '--before', '13%', '--after', '0')).stdout,
      /^60 runs of each\n/,
    );
  });

  test('says what it lacks', async () => {
    for (const args of [
      ...[[], ['--rate', '2'], ['--before', '1%'], ['--before', '1%', '--after', '1%']],
      ['--rate', '2%', '--power', '0.9'],
      ['--before', '1%', '--after', '2%', '--allow-failures', '2'],
      ['--rate', '2%', '--confidence', '0.9999999999'],
    ]) {
      const { code, stderr } = await quiesce('runs-needed', ...args);
      assert.equal(code, 2);
      assert.match(stderr, /^quiesce: error: [^\n]+\n$/);
    }
  });
});
