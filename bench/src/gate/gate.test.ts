import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startEtcd } from '@quiesce/test-services';
import { livingCommand, SUBJECT } from '../clients.js';
import { writeListed } from '../list.js';
import { type Batch, startLiving } from '../living.js';
import { writeKeys } from '../operations.js';
import { measureResources } from '../programs/resources.js';
import { BESIDE_GO, type Floor, floor, isRate, isSingleCpu } from './floors.js';
import { judge, judgeCell } from './judge.js';
import { pairedBatches, pairedLeases } from './measure.js';
import { counted, mostRate } from './server-share.js';

const subject = { op: 'get', concurrency: 8 } as const;
const rate: Floor = { subject, figure: 'rate', measured: 1, bound: 0.9 };
const cpu: Floor = { subject, figure: 'CPU', measured: 1, bound: 1.1 };

/** A client whose every operation takes this long. */
const client = (name: string, seconds: number) => ({
  name,
  run: async ({ ops }: Batch) => {
    const all = ops * seconds;
    return { seconds: all, cpuSeconds: all, p50Micros: seconds * 1e6, p99Micros: seconds * 1e6 };
  },
  [Symbol.asyncDispose]: async () => undefined,
});

test('a figure is met only on its side of the bound, and not where it is missing', () => {
  const met = (floor: Floor, now: number) => judge([floor], [{ [floor.figure]: now }])[0]?.met;
  assert.equal(met(rate, 0.9), true);
  assert.equal(met(rate, 0.89), false);
  assert.equal(met(cpu, 1.1), true);
  assert.equal(met(cpu, 1.11), false);
  assert.equal(judge([rate], [{ CPU: 1 }])[0]?.met, false);
});

test('a second look counts with the first one', async () => {
  const look = (...looks: number[][]) => {
    let taken = 0;
    return judgeCell([rate], async () => (looks[taken++] as number[]).map((now) => ({ rate: now })));
  };
  assert.deepEqual(await look([1, 1, 0.5]), { figures: judge([rate], [{ rate: 1 }]), twice: false });
  // The second look alone would pass.
  const failed = await look([0.8, 0.8, 0.8], [0.85, 0.91, 0.91]);
  assert.deepEqual([failed.twice, failed.figures[0]?.met], [true, false]);
  const passed = await look([0.8, 0.8, 1], [1, 1, 1]);
  assert.deepEqual([passed.twice, passed.figures[0]?.met], [true, true]);
});

test('a client that is slower by half is seen as such', async () => {
  const measure = pairedBatches(
    { subject: client('slow', 0.003), other: client('fast', 0.002) },
    'get',
    8,
    100,
    5,
  );
  for (const sample of await measure()) {
    assert.ok(Math.abs((sample.rate ?? 0) - 2 / 3) < 1e-9);
    assert.ok(Math.abs((sample.CPU ?? 0) - 3 / 2) < 1e-9);
    assert.ok(Math.abs((sample.p99 ?? 0) - 3 / 2) < 1e-9);
  }
});

test('what the server leaves to a client is what its CPU time leaves', async () => {
  assert.equal(mostRate({ client: 9, server: 2, ops: 1 }, { client: 2, server: 4, ops: 2 }), 1.5);
  const busy = {
    ...client('busy', 0.001),
    run: async ({ ops }: Batch) => {
      const used = measureResources();
      while (used().cpuSeconds < 0.2);
      return { seconds: ops, cpuSeconds: ops / 2, p50Micros: 0, p99Micros: 0 };
    },
  };
  // This process stands for the server.
  const { client: watched, spent } = counted(busy, process.pid);
  for (let i = 0; i < 2; i++) await watched.run({ op: 'get', concurrency: 1, ops: 10 });
  assert.deepEqual([spent.client, spent.ops], [10, 20]);
  if (process.platform === 'linux') assert.ok(spent.server > 0.3 && spent.server < 2, `${spent.server} s`);
});

test('no floor on a rate, a p50, a start, or the CPU time of more than one call lets a slowdown of 20 % pass', () => {
  for (const floor of BESIDE_GO) {
    const { figure, measured } = floor;
    if (figure === 'p99' || isSingleCpu(floor.subject, figure)) continue;
    const slower = isRate(figure) ? measured / 1.2 : measured * 1.2;
    const name = `${floor.subject.op} x${floor.subject.concurrency ?? ''} ${figure}`;
    assert.equal(judge([floor], [{ [figure]: slower }])[0]?.met, false, name);
    assert.equal(judge([floor], [{ [figure]: measured }])[0]?.met, true, name);
  }
});

test('a target is beside the floor, not instead of it', () => {
  const [judged] = judge([floor(subject, 'rate', 0.8, 1.1)], [{ rate: 0.79 }]);
  assert.deepEqual([judged?.met, judged?.target], [true, 1.1]);
});

test('living clients do every operation, in small batches', { timeout: 120_000 }, async () => {
  await using server = await startEtcd({ extraArgs: ['--unsafe-no-fsync'] });
  await writeKeys(server.endpoint, 32);
  const startRevision = await writeListed(server.endpoint, 500);
  const command = (slower: number) =>
    livingCommand(SUBJECT, { endpoint: server.endpoint, keys: 1000, valueBytes: 32, startRevision, slower });
  await using one = startLiving('one', command(0));
  await using two = startLiving('two', command(0));
  for (const op of ['get', 'put', 'range', 'txn', 'list', 'watch'] as const) {
    for (const concurrency of [1, 4]) {
      const [sample] = await pairedBatches({ subject: one, other: two }, op, concurrency, 5, 1)();
      for (const [figure, now = Number.NaN] of Object.entries(sample ?? {})) {
        if (concurrency > 1 && figure.startsWith('p')) continue;
        assert.ok(now > 0.001 && now < 1000, `${op} x${concurrency}, ${figure}: ${now}`);
      }
    }
  }
});

test('leases are judged by windows of the same time', { timeout: 120_000 }, async () => {
  await using server = await startEtcd({ extraArgs: ['--unsafe-no-fsync'] });
  // Against itself: what a window costs more, both have.
  const sizes = { leases: 200, ttl: 2, seconds: 1.3, windows: 3, warmup: 2 };
  const samples = await pairedLeases(server.endpoint, SUBJECT, sizes)();
  assert.equal(samples.length, 3);
  for (const { CPU = Number.NaN } of samples) assert.ok(CPU > 0.05 && CPU < 20, String(CPU));
});

test('a client that is made slower on purpose is found to be', { timeout: 60_000 }, async () => {
  await using server = await startEtcd({ extraArgs: ['--unsafe-no-fsync'] });
  await writeKeys(server.endpoint, 32);
  const command = (slower: number) =>
    livingCommand(SUBJECT, {
      endpoint: server.endpoint,
      keys: 1000,
      valueBytes: 32,
      startRevision: 0n,
      slower,
    });
  await using slow = startLiving('slow', command(3_000));
  await using fast = startLiving('fast', command(0));
  const samples = await pairedBatches({ subject: slow, other: fast }, 'get', 8, 40, 15)();
  // Other work on the machine may slow down either client of a pair, but not half of the pairs by 3 ms a call.
  assert.equal(judge([{ ...rate, bound: 0.6 }], samples)[0]?.met, false);
});

test('a living client that ends is an error', { timeout: 30_000 }, async () => {
  await using client = startLiving('gone', [process.execPath, '-e', '0']);
  await assert.rejects(client.run({ op: 'get', concurrency: 1, ops: 1 }), /gone has ended|EPIPE/);
});
