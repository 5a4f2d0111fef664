// The error rates of `until`, by simulation with the code that real runs use.
import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { describe, test } from 'node:test';
import { parseRate, run, type Scenario, UsageError } from '../src/index.js';
import { resolvePlan } from '../src/plan/resolve.js';
import type { ScenarioResult } from '../src/results/result.js';
import { ScenarioTally } from '../src/results/tally.js';
import type { RunRecord } from '../src/run/run.js';

const node = (program: string): string[] => [process.execPath, '-e', program];
const noEvidence = { stdout: '', stderr: '', stacks: null, threads: [] };

function scenarioUntil(until: string, allowFailures: number): Scenario {
  const spec = { name: 'simulated', command: node('0'), until, allowFailures };
  return resolvePlan({ scenarios: [spec] }).scenarios[0] as Scenario;
}

/** Uniform in 0..1, the same for the same seed: the key stream of a cipher. */
function random(seed: number): () => number {
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed);
  const stream = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(4 * 4_096);
  let block = zeros;
  let at = block.length;
  return () => {
    if (at === block.length) {
      block = stream.update(zeros);
      at = 0;
    }
    at += 4;
    return block.readUInt32LE(at - 4) / 2 ** 32;
  };
}

function record(run: number, failed: boolean): RunRecord {
  return {
    run,
    failed,
    outcome: failed ? { kind: 'signal', signal: 'SIGABRT', exitCode: null } : { kind: 'clean' },
    durationMs: 1,
    workDone: false,
    exitMs: null,
    signature: null,
    leaked: [],
    childCrashes: [],
    diedIn: null,
    left: { threads: null, sockets: [], files: [] },
    perturbation: null,
    amplifier: null,
  };
}

function simulate(scenario: Scenario, trueRate: number, uniform: () => number): ScenarioResult {
  const tally = new ScenarioTally(scenario);
  while (!tally.finished) tally.add(record(tally.completed + 1, uniform() < trueRate), noEvidence);
  return tally.result('completed');
}

describe('a rate that is run until', () => {
  const TESTS = 4_000;
  // How often an event of probability 5 % may happen in this many tests: 5 % and four standard deviations.
  const MOST_OF_5_PERCENT = TESTS * 0.05 + 4 * Math.sqrt(TESTS * 0.05 * 0.95);

  for (const allowFailures of [0, 1, 4]) {
    const scenario = scenarioUntil('10%', allowFailures);
    for (const trueRate of [0.01, 0.05, 0.0999, 0.1, 0.15, 0.3]) {
      test(`allowing ${allowFailures} failures, at a true rate of ${trueRate * 100} %`, () => {
        const uniform = random(1_000 * allowFailures + Math.round(trueRate * 10_000));
        const verdicts = { below: 0, 'at-least': 0, 'not-below': 0, open: 0 };
        let outside = 0;
        let belowBound = 0;
        let runs = 0;
        for (let i = 0; i < TESTS; i++) {
          const result = simulate(scenario, trueRate, uniform);
          verdicts[result.verdict as keyof typeof verdicts]++;
          runs += result.runs.length;
          if (result.rate.upperBound < trueRate) belowBound++;
          if (result.rate.interval.lower > trueRate || result.rate.interval.upper < trueRate) outside++;
        }
        assert.equal(verdicts.open, 0);
        if (trueRate >= 0.1) assert.ok(verdicts.below <= MOST_OF_5_PERCENT, `${verdicts.below} wrong`);
        else assert.ok(verdicts['at-least'] <= MOST_OF_5_PERCENT, `${verdicts['at-least']} wrong`);
        // Stopping early doesn't make the stated bounds wrong.
        assert.ok(belowBound <= MOST_OF_5_PERCENT, `bound: ${belowBound}`);
        assert.ok(outside <= MOST_OF_5_PERCENT, `interval: ${outside}`);
        assert.ok(runs / TESTS <= scenario.runs);
        // It isn't just cautious: clear cases are decided, and at the edge the error is near the permitted one.
        if (trueRate === 0.01) assert.ok(verdicts.below > TESTS * (allowFailures === 0 ? 0.7 : 0.9));
        if (trueRate === 0.3) assert.ok(runs / TESTS < scenario.runs / 2, `${runs / TESTS} runs`);
        if (trueRate === 0.1) assert.ok(verdicts.below > TESTS * 0.02, `${verdicts.below} of ${TESTS}`);
      });
    }
  }

  test('is decided as the test of fixed size decides', () => {
    const scenario = scenarioUntil('10%', 2);
    for (let i = 0; i < 500; i++) {
      const uniform = random(i);
      const all = Array.from({ length: scenario.runs }, () => uniform() < 0.05);
      const tally = new ScenarioTally(scenario);
      for (const [at, failed] of all.entries()) {
        if (tally.finished) break;
        tally.add(record(at + 1, failed), noEvidence);
      }
      const fixed = all.filter(Boolean).length <= 2;
      assert.equal(tally.result('completed').verdict === 'below', fixed);
    }
  });
});

describe('runs until', () => {
  test('as many as the bound needs, of a program that exits cleanly', async () => {
    const result = await run({ command: ['true'], until: '10%' });
    assert.equal(result.runs.length, 29);
    assert.equal(result.verdict, 'below');
    assert.equal(result.ok, true);
    assert.ok(result.rate.upperBound <= 0.1);
  });

  test('the first failure, and the next one where one is allowed', async () => {
    const result = await run({ command: ['false'], until: '1%' });
    assert.equal(result.runs.length, 1);
    assert.equal(result.verdict, 'at-least'); // at once, which 1 % does in 1 of 100 tests only
    assert.equal(result.ok, false);
    const more = await run({ command: ['false'], until: '30%', allowFailures: 1 });
    assert.equal(more.runs.length, 2);
  });

  test('at another confidence', async () => {
    const result = await run({ command: ['true'], until: 0.2, confidence: '99%' });
    assert.equal(result.runs.length, 21); // ceil(log 0.01 / log 0.8)
  });

  test('and a number of runs exclude each other', async () => {
    await assert.rejects(run({ command: ['true'], until: '1%', runs: 3 }), UsageError);
    await assert.rejects(run({ command: ['true'], allowFailures: 1 }), /until/);
    const plan = { defaults: { until: '10%' }, scenarios: [{ name: 'a', command: ['true'], runs: 3 }] };
    assert.equal(resolvePlan(plan).scenarios[0]?.runs, 3);
    assert.equal(resolvePlan(plan, { until: '20%' }).scenarios[0]?.runs, 14);
  });
});

test('rates are percent or numbers', () => {
  assert.equal(parseRate('0.1%'), 0.001);
  assert.equal(parseRate(' 50 % '), 0.5);
  assert.equal(parseRate(0.02), 0.02);
  assert.equal(parseRate('0.02'), 0.02);
  assert.equal(parseRate('1e-3'), 0.001);
  assert.equal(parseRate('1E-1%'), 0.001);
  assert.equal(parseRate(1e-12), 1e-12);
  for (const wrong of ['', '5', '0%', '100%', '-1%', '1e3', '1e', 'e-3', 'x%', '0x1', 0, 1, Number.NaN]) {
    assert.throws(() => parseRate(wrong), UsageError, String(wrong));
  }
});
