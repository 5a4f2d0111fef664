import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { startEtcd } from '@quiesce/test-services';
import { isAvailable, pressureCommand, SUBJECT } from '../clients.js';
import { benchOperations, writeKeys } from '../operations.js';
import { writeHistory } from '../watch.js';
import { type Load, type LoadMeasurement, type LoadSize, quantileMicros } from './measurement.js';
import { CALLS } from './pressure.js';

test('quantiles are of sorted latencies, in µs', () => {
  const micros = quantileMicros([3, 1, 2, 4]);
  assert.deepEqual([micros(0), micros(0.5), micros(1)], [1000, 3000, 4000]);
  assert.equal(quantileMicros([])(0.5), 0);
});

/** How many entries of its log etcd lets be unapplied before it refuses writes: `maxGapBetweenApplyAndCommitIndex`. */
const UNAPPLIED_LIMIT = 5_000;

test('the server takes as many calls as are in flight, of each kind', { timeout: 120_000 }, async () => {
  const much = CALLS.filter(({ concurrency }) => concurrency.some((calls) => calls > 1000));
  assert.deepEqual(
    much.flatMap(({ ops }) => ops),
    ['get', 'put'],
  );
  // Whether a slow machine gets that far behind is chance.
  const puts = CALLS.filter(({ ops }) => ops.includes('put')).flatMap(({ concurrency }) => concurrency);
  assert.ok(Math.max(...puts) < UNAPPLIED_LIMIT, String(puts));
  const only = [SUBJECT, 'clientv3'];
  for (const cell of much) await benchOperations({ ...cell, only, seconds: 0.5, rounds: 1, floors: false });
});

test('each client does each load, of as many events and calls as are wanted', {
  timeout: 120_000,
}, async () => {
  await using server = await startEtcd({ extraArgs: ['--unsafe-no-fsync'] });
  await writeKeys(server.endpoint, 32);
  const startRevision = await writeHistory(server.endpoint, 1000);
  const run = async (client: string, load: Load, size: Partial<LoadSize>): Promise<LoadMeasurement> => {
    const [file, ...args] = pressureCommand(client, server.endpoint, load, { startRevision, ...size });
    return JSON.parse((await promisify(execFile)(file, args)).stdout) as LoadMeasurement;
  };
  for (const client of [SUBJECT, 'clientv3'].filter(isAvailable)) {
    const bursts = await run(client, 'bursts', { watches: 20, bursts: 3 });
    assert.equal(bursts.ops, 60);
    assert.ok(bursts.p50Micros > 0 && bursts.p99Micros >= bursts.p50Micros, JSON.stringify(bursts));
    assert.equal((await run(client, 'slow', { watches: 2, events: 1000, slow: 1 })).ops, 2000);
    assert.ok((await run(client, 'idle', { seconds: 0.1 })).maxRssMiB > 1);
  }
  const workers = await run(SUBJECT, 'workers', { threads: 2, concurrency: 4, seconds: 0.2 });
  assert.ok(workers.ops > 2 && workers.p99Micros > 0, JSON.stringify(workers));
});
