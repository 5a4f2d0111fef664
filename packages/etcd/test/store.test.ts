// What a client knows of the store behind its endpoints, from the headers of responses as etcd writes them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uniformFrom } from '@quiesce/test-services';
import { PutResponse, RangeResponse, type ResponseHeader } from '../src/rpc/generated/etcdserverpb/rpc.js';
import { headerOf, Store } from '../src/rpc/store.js';

const uniform = uniformFrom(7);
const bits = (most: number): bigint => {
  let value = 0n;
  for (let i = Math.floor(uniform() * (most + 1)); i > 0; i--)
    value = value * 2n + (uniform() < 0.5 ? 1n : 0n);
  return value;
};

const response = (header: Partial<ResponseHeader>): Uint8Array =>
  RangeResponse.encode(
    RangeResponse.fromPartial({ header, kvs: [{ key: Buffer.from('k'), value: Buffer.from('v') }] }),
  ).finish();

test('knows its cluster and its highest revision, from any header', () => {
  for (let round = 0; round < 50; round++) {
    const store = new Store();
    const clusterId = bits(64);
    const other = clusterId ^ (1n << BigInt(Math.floor(uniform() * 64)));
    let highest = 0n;
    let known = 0n;
    for (let i = 0; i < 20; i++) {
      const header = {
        clusterId: uniform() < 0.8 ? clusterId : uniform() < 0.5 ? other : 0n,
        memberId: bits(64),
        revision: bits(45),
        raftTerm: bits(20),
      };
      const message = response(header);
      assert.deepEqual(headerOf(message), { ...header });
      const taken = store.takes(message);
      if (header.clusterId === 0n) assert.equal(taken, true);
      else {
        if (known === 0n) known = header.clusterId;
        assert.equal(taken, header.clusterId === known);
        if (taken && header.revision > highest) highest = header.revision;
      }
      assert.equal(store.clusterId, known);
      assert.equal(store.revision, highest);
    }
  }
});

test('takes a response without a header for nothing', () => {
  const store = new Store();
  assert.equal(store.takes(new Uint8Array(0)), true);
  assert.equal(store.takes(PutResponse.encode({ header: undefined, prevKv: undefined }).finish()), true);
  assert.equal(store.clusterId, 0n);
  assert.equal(store.takes(response({ clusterId: 5n, revision: 9n })), true);
  assert.equal(store.takes(new Uint8Array(0)), true);
  assert.equal(store.takes(response({ clusterId: 6n })), false);
  assert.equal(store.revision, 9n);
});
