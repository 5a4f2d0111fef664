import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { startEtcd } from '@quiesce/test-services';
import { checksCommand } from '../clients.js';
import { writeKeys } from '../operations.js';
import { type ChecksTaken, costOf } from './checks.js';

test('each process counts once', () => {
  const taken = (checkNanos: number): ChecksTaken => ({
    op: 'get',
    checks: 1,
    samples: [
      { checkNanos, guardNanos: 10, cpuMicros: 10, uncheckedCpuMicros: 8 },
      { checkNanos, guardNanos: 10, cpuMicros: 10, uncheckedCpuMicros: 8 },
    ],
  });
  const cost = costOf(
    'get',
    [90, 90, 90, 90, 90, 290].map((nanos) => taken(nanos)),
  );
  assert.equal(cost.checkNanos, 90);
  assert.ok(Math.abs(cost.share.middle - 0.01) < 1e-9);
  assert.ok(Math.abs(cost.ratio.middle - 1.25) < 1e-9);
});

test('its program finds the checks of each operation, and does without them', {
  timeout: 120_000,
}, async () => {
  await using server = await startEtcd({ extraArgs: ['--unsafe-no-fsync'] });
  await writeKeys(server.endpoint, 32);
  const workload = { concurrency: 8, rounds: 2, batchMs: 5, valueBytes: 32 };
  const [file, ...args] = checksCommand(server.endpoint, workload);
  const { stdout } = await promisify(execFile)(file, args);
  const taken = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as ChecksTaken);
  assert.deepEqual(
    taken.map(({ op, checks, samples }) => [op, checks, samples.length]),
    [
      ['get', 1, 2],
      ['put', 1, 2],
      // For the transaction, its comparison, its operation, that operation's options, and the call's options.
      ['txn', 5, 2],
    ],
  );
  for (const { samples } of taken) {
    for (const { checkNanos, cpuMicros } of samples) {
      assert.ok(checkNanos > 1 && checkNanos < cpuMicros * 1000, `${checkNanos} ns of ${cpuMicros} µs`);
    }
  }
});
