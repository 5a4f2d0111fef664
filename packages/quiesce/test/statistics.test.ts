// Compared with SciPy's figures: reference/statistics.py makes statistics.json.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  clopperPearson,
  comparisonPower,
  comparisonRuns,
  fisherExact,
  holm,
  lowerBound,
  runsNeeded,
  upperBound,
} from '../src/index.js';

interface Reference {
  readonly clopperPearson: readonly {
    readonly failed: number;
    readonly runs: number;
    readonly lower: number;
    readonly upper: number;
    readonly upperBound: number;
    readonly lowerBound: number;
  }[];
  readonly fisher: readonly {
    readonly first: readonly [number, number];
    readonly second: readonly [number, number];
    readonly twoSided: number;
    readonly lower: number;
    readonly higher: number;
  }[];
  readonly runsNeeded: readonly {
    readonly rate: number;
    readonly confidence: number;
    readonly failures: number;
    readonly runs: number;
  }[];
  readonly power: readonly {
    readonly first: number;
    readonly second: number;
    readonly runs: number;
    readonly power: number;
  }[];
}

const scipy = JSON.parse(
  readFileSync(new URL('../../test/reference/statistics.json', import.meta.url), 'utf8'),
) as Reference;

const near = (actual: number, expected: number, what = ''): void =>
  assert.ok(Math.abs(actual - expected) <= 1e-6 * expected + 1e-300, `${what}: ${actual} is not ${expected}`);

test("bounds and intervals are SciPy's", () => {
  assert.ok(scipy.clopperPearson.length > 10);
  for (const { failed, runs, ...expected } of scipy.clopperPearson) {
    const what = `${failed} of ${runs}`;
    const { lower, upper } = clopperPearson(failed, runs);
    near(lower, expected.lower, what);
    near(upper, expected.upper, what);
    near(upperBound(failed, runs), expected.upperBound, what);
    near(lowerBound(failed, runs), expected.lowerBound, what);
  }
});

test("p values of Fisher's exact test are SciPy's", () => {
  assert.ok(scipy.fisher.length > 10);
  for (const { first, second, ...expected } of scipy.fisher) {
    const counts = ([failed, runs]: readonly [number, number]): { failed: number; runs: number } => ({
      failed,
      runs,
    });
    const p = fisherExact(counts(first), counts(second));
    for (const side of ['twoSided', 'lower', 'higher'] as const) {
      near(p[side], expected[side], `${first.join('/')} and ${second.join('/')} ${side}`);
    }
  }
});

test("numbers of runs are SciPy's, and the bound they promise holds", () => {
  for (const { rate, confidence, failures, runs } of scipy.runsNeeded) {
    assert.equal(runsNeeded(rate, confidence, failures), runs);
    assert.ok(upperBound(failures, runs, confidence) <= rate * (1 + 1e-9));
    assert.ok(upperBound(failures, runs - 1, confidence) > rate);
  }
});

test('the power of a comparison is what enumerating all tables with SciPy gives', () => {
  for (const { first, second, runs, power } of scipy.power) {
    const what = `${first} and ${second}, ${runs} runs`;
    assert.ok(Math.abs(comparisonPower(first, second, runs) - power) < 1e-4, what);
  }
  const runs = comparisonRuns(0.13, 0) as number;
  assert.ok(comparisonPower(0.13, 0, runs) >= 0.8);
  assert.ok(comparisonPower(0.13, 0, runs - 1) < 0.8);
  assert.equal(comparisonRuns(0.1, 0.1), null);
  assert.equal(comparisonRuns(0.1, 0.10001), null);
});

test('nothing is known without runs', () => {
  assert.deepEqual(clopperPearson(0, 0), { lower: 0, upper: 1 });
  assert.deepEqual(fisherExact({ failed: 0, runs: 0 }, { failed: 3, runs: 9 }), {
    twoSided: 1,
    lower: 1,
    higher: 1,
  });
});

test('bounds at the highest confidence are exact', () => {
  const most = 0.999999999;
  near(upperBound(0, 3, most), 1 - Math.cbrt(1e-9));
  near(clopperPearson(0, 3, most).upper, 1 - Math.cbrt(0.5e-9));
  near(lowerBound(3, 3, most), Math.cbrt(1e-9));
});

test('counts and levels that make no sense are refused', () => {
  for (const wrong of [
    () => upperBound(3, 2),
    () => upperBound(-1, 2),
    () => upperBound(0.5, 2),
    () => upperBound(0, 2, 1),
    () => clopperPearson(0, 2, 1 - 1e-16),
    () => runsNeeded(0),
    () => runsNeeded(1),
    () => runsNeeded(1e-12),
    () => fisherExact({ failed: 2, runs: 1 }, { failed: 0, runs: 1 }),
  ]) {
    assert.throws(wrong, RangeError);
  }
});

test("Holm's adjustment is that of R's p.adjust", () => {
  // p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
  for (const [i, p] of [0.03, 0.06, 0.06, 0.02].entries()) {
    near(holm([0.01, 0.04, 0.03, 0.005])[i] as number, p);
  }
  assert.deepEqual(holm([0.9, 0.8]), [1, 1]);
});
