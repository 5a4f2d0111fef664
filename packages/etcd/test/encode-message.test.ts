import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PutRequest, RangeRequest, TxnRequest } from '../src/rpc/generated/etcdserverpb/rpc.js';
import { encodeMessage } from '../src/rpc/messages/encode-message.js';

const put = (bytes: number, lease = 0n): PutRequest =>
  PutRequest.fromPartial({ key: Buffer.from('key'), value: new Uint8Array(bytes).fill(bytes), lease });

test('messages are encoded as by a writer of their own, whatever came before', () => {
  const kept: [Uint8Array, Uint8Array][] = [];
  for (const bytes of [0, 1, 50, 127, 128, 300, 1 << 20, 10, 70_000, 5]) {
    const message = put(bytes, BigInt(bytes) << 40n);
    kept.push([encodeMessage(PutRequest, message), PutRequest.encode(message).finish()]);
    const txn = TxnRequest.fromPartial({
      success: [{ request: { $case: 'requestPut', value: message } }],
      failure: [{ request: { $case: 'requestRange', value: { key: message.key } } }],
    });
    kept.push([encodeMessage(TxnRequest, txn), TxnRequest.encode(txn).finish()]);
  }
  // Only now: none may be a view of what the next one overwrites.
  for (const [actual, expected] of kept) assert.deepEqual(actual, expected);
});

test('a message that cannot be encoded leaves nothing behind', () => {
  const broken = RangeRequest.fromPartial({ key: Buffer.from('a key'), revision: 1n << 70n });
  assert.throws(() => encodeMessage(RangeRequest, broken), /too large/);
  const nested = TxnRequest.fromPartial({ success: [{ request: { $case: 'requestPut', value: put(9) } }] });
  const [first] = nested.success;
  if (first?.request?.$case === 'requestPut') first.request.value.lease = 1n << 70n;
  assert.throws(() => encodeMessage(TxnRequest, nested), /too large/);
  const message = put(20);
  assert.deepEqual(encodeMessage(PutRequest, message), PutRequest.encode(message).finish());
});
