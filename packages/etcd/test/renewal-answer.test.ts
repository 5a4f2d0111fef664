import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeRenewal } from '../src/lease/renewal-answer.js';
import { LeaseKeepAliveResponse, ResponseHeader } from '../src/rpc/generated/etcdserverpb/rpc.js';

const header = ResponseHeader.fromPartial({
  clusterId: 0xcdf8_1818_10f9_02a7n,
  memberId: 3n,
  revision: 7n,
  raftTerm: 2n,
});
const ids = [1n, 127n, 128n, 2n ** 28n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 35n, 7587895672123456789n];
const times = [-1n, 0n, 1n, 60n, 300n, 9_000_000_000n];

test('the answer to a renewal is read as the generated decoder reads it', () => {
  for (const ID of [...ids, ...ids.map((id) => -id), 2n ** 63n - 1n, -(2n ** 63n)]) {
    for (const TTL of times) {
      const message = LeaseKeepAliveResponse.encode({ header, ID, TTL }).finish();
      assert.deepEqual(decodeRenewal(message), { id: ID, ttlSeconds: Number(TTL) });
    }
  }
});

test('an answer without a header, or with fields in another order, is read too', () => {
  const plain = LeaseKeepAliveResponse.encode({ header: undefined, ID: 5n, TTL: 6n }).finish();
  assert.deepEqual(decodeRenewal(plain), { id: 5n, ttlSeconds: 6 });
  const reversed = Uint8Array.of(0x18, 6, 0x10, 5);
  assert.deepEqual(decodeRenewal(reversed), { id: 5n, ttlSeconds: 6 });
  const unknownField = Uint8Array.of(...plain, 0x20, 1);
  assert.deepEqual(decodeRenewal(unknownField), { id: 5n, ttlSeconds: 6 });
});

test('no part of an answer is read as something else', () => {
  const message = LeaseKeepAliveResponse.encode({ header, ID: 2n ** 62n, TTL: 600n }).finish();
  for (let end = 1; end < message.length; end++) {
    const part = message.subarray(0, end);
    let expected: unknown;
    try {
      const { ID, TTL } = LeaseKeepAliveResponse.decode(part);
      expected = { id: ID, ttlSeconds: Number(TTL) };
    } catch {
      assert.throws(() => decodeRenewal(part), `of ${end} bytes`);
      continue;
    }
    assert.deepEqual(decodeRenewal(part), expected, `of ${end} bytes`);
  }
});
