import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startEtcd } from '@quiesce/test-services';
import { livingCommand, SUBJECT } from './clients.js';
import { compareCell, judge } from './gate.js';
import { startLiving } from './living.js';
import { writeKeys } from './operations.js';

const floor = { op: 'get', concurrency: 8, rateAtLeast: 0.9, cpuAtMost: 1.1 } as const;

test('a cell is met only where both its rate and its CPU time are', () => {
  assert.equal(judge(floor, { rate: 0.9, cpu: 1.1 }).met, true);
  assert.equal(judge(floor, { rate: 0.89, cpu: 1 }).met, false);
  assert.equal(judge(floor, { rate: 1, cpu: 1.11 }).met, false);
});

test('a client that is slower by half is seen as such', async () => {
  const client = (name: string, seconds: number) => ({
    name,
    run: async ({ ops }: { ops: number }) => ({ seconds: ops * seconds, cpuSeconds: ops * seconds }),
    [Symbol.asyncDispose]: async () => undefined,
  });
  const ratios = await compareCell(client('slow', 0.003), client('fast', 0.002), floor, 100, 5);
  assert.ok(Math.abs(ratios.rate - 2 / 3) < 1e-9);
  assert.ok(Math.abs(ratios.cpu - 3 / 2) < 1e-9);
});

test('living clients do every operation, in small batches', { timeout: 60_000 }, async () => {
  await using server = await startEtcd({ extraArgs: ['--unsafe-no-fsync'] });
  await writeKeys(server.endpoint, 32);
  const command = livingCommand(SUBJECT, server.endpoint, 1000, 32);
  await using one = startLiving('one', command);
  await using two = startLiving('two', command);
  for (const op of ['get', 'put', 'range', 'txn'] as const) {
    const { rate, cpu } = await compareCell(one, two, { op, concurrency: 4 }, 5, 3);
    assert.ok(rate > 0.01 && rate < 100, `${op}: ${rate}`);
    assert.ok(cpu > 0.01 && cpu < 100, `${op}: ${cpu}`);
  }
});

test('a living client that ends is an error', { timeout: 30_000 }, async () => {
  await using client = startLiving('gone', [process.execPath, '-e', '0']);
  await assert.rejects(client.run({ op: 'get', concurrency: 1, ops: 1 }), /gone has ended|EPIPE/);
});
