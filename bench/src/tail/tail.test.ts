import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tailRows } from './tail.js';

test('the slowest calls are separate, with what happened during them', () => {
  const quick = { ms: 1, waitedMs: 0, runtimeWaitedMs: 0, collectedMs: 0 };
  const slow = { ms: 10, waitedMs: 1, runtimeWaitedMs: 2, collectedMs: 3 };
  const rows = tailRows([slow, ...Array.from({ length: 999 }, () => quick)]);
  assert.deepEqual(rows[0], {
    name: 'about p50',
    calls: 100,
    micros: 1000,
    collected: 0,
    waited: 0,
    runtimeWaited: 0,
    rest: 1000,
  });
  assert.deepEqual(rows[3], {
    name: 'beyond p99.9',
    calls: 1,
    micros: 10_000,
    collected: 3000,
    waited: 1000,
    runtimeWaited: 2000,
    rest: 4000,
  });
});
