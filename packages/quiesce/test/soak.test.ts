// A short soak; ten thousand runs: npm run bench -- tester-soak.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { soak } from '../bench/soak.js';

test('many runs leave no descriptor, process or file, and little memory', {
  skip: process.platform !== 'linux' && 'what is left is counted in /proc',
}, async () => {
  const soaked = await soak(400);
  assert.equal(soaked.runs, 400);
  assert.equal(soaked.failed, 10);
  assert.equal(soaked.leaking, 1);
  assert.equal(soaked.descriptors, 0);
  assert.equal(soaked.processes, 0);
  assert.equal(soaked.files, 0);
  assert.ok(soaked.heapBytesPerRun < 4_096, `${soaked.heapBytesPerRun} bytes of heap a run`);
});
