import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniformFrom } from '@quiesce/test-services';
import { compare } from './beside.js';
import { ratioEstimate } from './signed-rank.js';

const close = (value: number, wanted: number): void =>
  assert.ok(Math.abs(value - wanted) < 1e-9, `${value}, not ${wanted}`);

/** Number of pairs that `beside` makes by default. */
const PAIRS = 24;

/** Ratios of pairs of processes that differ only by chance, times `factor`. */
function noisy(seed: number, pairs: number, factor = 1): number[] {
  const random = uniformFrom(seed);
  // The sum of some uniform numbers is close to normal: a standard deviation of 4 %.
  const normal = (): number => Array.from({ length: 12 }, random).reduce((sum, each) => sum + each, -6);
  return Array.from({ length: pairs }, () => factor * Math.exp(0.04 * normal()));
}

test('the interval is that of the signed-rank test', () => {
  // Like R's wilcox.test(log(x), conf.int = TRUE): of 36 averages it leaves out three at each end, since psignrank(3,
  // 8) = 0.0195 and psignrank(4, 8) = 0.0273.
  const ratios = [1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07, 1.08];
  const averages = ratios
    .flatMap((one, i) => ratios.slice(i).map((other) => Math.sqrt(one * other)))
    .toSorted((a, b) => a - b);
  const { middle, low, high } = ratioEstimate(ratios);
  close(low, averages[3] ?? 0);
  close(high, averages[32] ?? 0);
  close(middle, Math.sqrt((averages[17] ?? 0) * (averages[18] ?? 0)));
});

test('too few pairs have no interval', () => {
  assert.deepEqual(ratioEstimate([1, 1, 1, 1, 1]), { middle: 1, low: 0, high: Number.POSITIVE_INFINITY });
  assert.ok(Number.isFinite(ratioEstimate([1, 1, 1, 1, 1, 1]).high));
});

test('the interval of one build holds 1 and is within 3 % of it; that of 6 % more is not', () => {
  const sessions = 200;
  const found = { outside: 0, wide: 0, slower: 0 };
  for (let seed = 0; seed < sessions; seed++) {
    const { low, high } = ratioEstimate(noisy(seed, PAIRS));
    if (low > 1 || high < 1) found.outside += 1;
    if (high / low > 1.06) found.wide += 1;
    if (ratioEstimate(noisy(seed, PAIRS, 1.06)).low > 1) found.slower += 1;
  }
  assert.ok(found.outside <= 0.1 * sessions, `${found.outside} of ${sessions} without 1`);
  assert.ok(found.wide <= 0.02 * sessions, `${found.wide} of ${sessions} wide`);
  assert.ok(found.slower >= 0.98 * sessions, `${found.slower} of ${sessions} found`);
});

test('a comparison of one build with itself finds nothing, and one that is slower by 8 % is found', () => {
  const names = Array.from({ length: 12 }, (_, i) => `cell ${i}`);
  const sample = (rate: number, cpu: number) => ({ rate, CPU: cpu });
  let wrong = 0;
  for (let seed = 0; seed < 50; seed++) {
    const samples = names.map((_, i) => {
      const cpu = noisy(1000 * seed + 500 + i, PAIRS);
      return noisy(1000 * seed + i, PAIRS).map((rate, pair) => sample(rate, cpu[pair] ?? 1));
    });
    if (compare(names, samples).some(({ verdict }) => verdict !== 'no difference found')) wrong += 1;
  }
  assert.ok(wrong <= 8, `${wrong} of 50`);
  const slow = compare(['get x1'], [noisy(1, PAIRS).map((noise) => sample(noise / 1.08, noise * 1.08))]);
  assert.deepEqual(
    slow.map(({ figure, verdict }) => [figure, verdict]),
    [
      ['rate', 'slower'],
      ['CPU', 'slower'],
    ],
  );
});
