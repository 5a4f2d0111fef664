import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tailRows } from './tail.js';

test('the slowest calls are separate', () => {
  const calls = [{ micros: 10 }, ...Array.from({ length: 999 }, () => ({ micros: 1 }))];
  const rows = tailRows(calls, { µs: ({ micros }) => micros });
  assert.deepEqual(rows[0], { name: 'about p50', calls: 100, means: { µs: 1 } });
  assert.deepEqual(rows.at(-1), { name: 'beyond p99.9', calls: 1, means: { µs: 10 } });
});
