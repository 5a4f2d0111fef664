import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clopperPearson, upperBound } from '../src/index.js';

const near = (actual: number, expected: number): void =>
  assert.ok(Math.abs(actual - expected) < 1e-6, `${actual} is not ${expected}`);

test('the upper bound after runs without a failure is 1 - 0.05^(1/n)', () => {
  for (const n of [1, 5, 20, 300, 10_000]) near(upperBound(0, n), 1 - 0.05 ** (1 / n));
});

test('bounds are those of the binomial distribution', () => {
  // The defining property, with the tail summed directly.
  const tail = (k: number, n: number, p: number): number => {
    let term = (1 - p) ** n;
    let sum = term;
    for (let i = 1; i <= k; i++) {
      term *= ((n - i + 1) / i) * (p / (1 - p));
      sum += term;
    }
    return sum;
  };
  for (const [k, n] of [
    [1, 60],
    [8, 60],
    [3, 20],
    [19, 20],
  ] as const) {
    near(tail(k, n, upperBound(k, n)), 0.05);
    const { lower, upper } = clopperPearson(k, n);
    near(tail(k, n, upper), 0.025);
    near(1 - tail(k - 1, n, lower), 0.025);
  }
});

test('the interval reaches 0 and 1 at the edges', () => {
  assert.equal(clopperPearson(0, 10).lower, 0);
  assert.equal(clopperPearson(10, 10).upper, 1);
  assert.equal(upperBound(10, 10), 1);
});
