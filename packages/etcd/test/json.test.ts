// What the client gives can be printed and written as JSON, 64-bit numbers and bytes included.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import {
  Cache,
  connect,
  type EtcdClient,
  EtcdError,
  json,
  LeaseLostError,
  op,
  prefix,
  utf8,
} from '../src/index.js';
import { withServer } from './support/clients.js';

let endpoint: string;
withServer((started) => {
  ({ endpoint } = started);
});

/** A value as JSON has it, read again. */
const written = (value: unknown) => JSON.parse(JSON.stringify(value));

test('a key is printed as text, and as bytes where it is none', async () => {
  await using etcd = await connect(endpoint);
  await etcd.put('printed', 'größer');
  const kv = await etcd.get('printed');
  assert.ok(kv !== undefined);
  const { createRevision: revision } = kv;
  assert.equal(
    inspect(kv, { breakLength: Number.POSITIVE_INFINITY }),
    `KeyValue { key: 'printed', value: 'größer', createRevision: ${revision}n, modRevision: ${revision}n, version: 1n, lease: 0n }`,
  );
  assert.deepEqual(written(kv), {
    key: 'printed',
    value: 'größer',
    createRevision: String(revision),
    modRevision: String(revision),
    version: '1',
    lease: '0',
  });
  await etcd.put('binary', Uint8Array.of(0xff, 0));
  const binary = await etcd.get('binary');
  assert.match(inspect(binary), /value: .*ff 00|value: Uint8Array\(2\) \[ 255, 0 \]/);
  assert.deepEqual(written(binary).value, { base64: '/wA=' });
});

test('a decoded key is printed decoded', async () => {
  await using etcd = await connect(endpoint);
  const typed = etcd.withCodec({ key: utf8, value: json<{ n: number }>() });
  await typed.put('typed', { n: 1 });
  await etcd.put('broken', '{');
  const kv = await typed.get('typed');
  assert.deepEqual(written(kv).value, { n: 1 });
  assert.match(inspect(kv), /^TypedKeyValue \{\s+key: 'typed',\s+value: \{ n: 1 \},/);
  assert.deepEqual(written(await typed.get('broken')).value, '{');
});

/** One of each kind of result. */
async function results(etcd: EtcdClient): Promise<Record<string, unknown>> {
  const { id } = await etcd.lease.grant(60);
  const watch = etcd.watch(prefix('r/'), { prevKv: true });
  await watch.ready;
  const put = await etcd.put('r/1', 'v', { lease: id });
  const again = await etcd.put('r/1', 'w', { prevKv: true });
  const batches: unknown[] = [];
  for await (const batch of watch.batches()) {
    batches.push(batch);
    if (batch.revision >= again.revision) break;
  }
  const pages: unknown[] = [];
  for await (const page of etcd.pages(prefix('r/'))) pages.push(page);
  return {
    put,
    again,
    batches,
    pages,
    range: await etcd.range(prefix('r/')),
    txn: await etcd.txn({
      success: [op.put('r/2', 'v'), op.range(prefix('r/')), op.get('r/1'), op.delete('r/3')],
    }),
    stm: await etcd.stm(async (tx) => (await tx.get('r/1'))?.text()),
    delete: await etcd.delete('r/1', { prevKv: true }),
    timeToLive: await etcd.lease.timeToLive(id, { keys: true }),
    renewal: await etcd.lease.keepAliveOnce(id),
    members: await etcd.cluster.memberList(),
    status: await etcd.maintenance.status(endpoint),
    hash: await etcd.maintenance.hashKV(endpoint),
    alarms: await etcd.maintenance.alarmList(),
    auth: await etcd.auth.status(),
    compact: await etcd.compact(put.revision),
    compacted: await etcd.get('r/1', { revision: 1n }).catch((error: unknown) => error),
    refused: await etcd.lease.revoke(1n).catch((error: unknown) => error),
    endpoints: etcd.endpoints,
    lost: new LeaseLostError(5n, 'expired'),
  };
}

test('each result and each error can be written as JSON', async () => {
  await using etcd = await connect(endpoint);
  for (const [name, result] of Object.entries(await results(etcd))) {
    assert.notEqual(result, undefined, name);
    assert.doesNotThrow(() => JSON.stringify(result), `${name}: ${inspect(result)}`);
    assert.doesNotThrow(() => structuredClone(result instanceof Error ? undefined : result), name);
  }
  await etcd.lease.grant(60, { id: 77n });
  assert.ok(written(await etcd.lease.list()).includes('77'));
  await etcd.auth.roleAdd('reader');
  await etcd.auth.roleGrantPermission('reader', 'read', prefix('x/'));
  const keys = { key: 'x/', rangeEnd: 'x0' };
  assert.deepEqual(written(await etcd.auth.roleGet('reader')), [{ type: 'read', keys }]);
  await using cache = await Cache.open(etcd, prefix('x/'));
  assert.deepEqual(Object.keys(written(cache)), ['revision', 'size', 'disconnectedMs']);
  assert.match(inspect(cache), /^Cache \{ revision: '\d+'/);
  assert.match(inspect(etcd.watch('x')), /^Watch \{ revision: '\d+'/);
  const { revision } = await etcd.put('k', 'v');
  const range = written(await etcd.range('k'));
  assert.deepEqual(range.revision, String(revision));
  assert.deepEqual(range.kvs[0].value, 'v');
  assert.deepEqual(range.header.revision, String(revision));
  const error = await etcd.lease.revoke(1n).catch((failure: unknown) => failure);
  assert.ok(error instanceof EtcdError);
  assert.equal(written(error).message, error.message);
  assert.equal(written(error).name, 'LeaseNotFoundError');
  assert.equal(written(new LeaseLostError(5n, 'expired')).leaseId, '5');
});
