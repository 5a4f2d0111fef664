import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median } from '../src/index.js';

test('the median is the middle value, or the mean of the middle two', () => {
  assert.equal(median([3]), 3);
  assert.equal(median([5, 1, 10]), 5);
  assert.equal(median([4, 1, 2, 100]), 3);
  assert.equal(median([2, 1]), 1.5);
  assert.ok(Number.isNaN(median([])));
});
