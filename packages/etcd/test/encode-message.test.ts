import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PutRequest, RangeRequest, TxnRequest } from '../src/rpc/generated/etcdserverpb/rpc.js';
import { encodeMessage } from '../src/rpc/messages/encode-message.js';
import { PlainPut, PlainRange } from '../src/rpc/messages/plain-request.js';

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

const lengths = [0, 1, 64, 127, 128, 300, 16_383, 16_384, 70_000];

test('plain requests are encoded as by the generated code', () => {
  for (const key of lengths) {
    for (const more of lengths) {
      const range = RangeRequest.fromPartial({
        key: new Uint8Array(key).fill(1),
        rangeEnd: new Uint8Array(more).fill(2),
      });
      assert.deepEqual(encodeMessage(PlainRange, range), RangeRequest.encode(range).finish());
      const write = PutRequest.fromPartial({ key: range.key, value: range.rangeEnd });
      assert.deepEqual(encodeMessage(PlainPut, write), PutRequest.encode(write).finish());
    }
  }
  assert.ok(PlainRange.plain(RangeRequest.fromPartial({ key: new Uint8Array(9) })), 'by the quick way');
});

test('each further field of a request is encoded', () => {
  const key = Buffer.from('k');
  const numbers = [
    'limit',
    'revision',
    'minModRevision',
    'maxModRevision',
    'minCreateRevision',
    'maxCreateRevision',
  ];
  const others = { sortOrder: 1, sortTarget: 2, serializable: true, keysOnly: true, countOnly: true };
  const fields = [...Object.entries(others), ...numbers.map((name) => [name, 5n] as const)];
  assert.equal(fields.length + 2, Object.keys(RangeRequest.fromPartial({})).length, 'all fields');
  for (const [name, value] of fields) {
    const message = RangeRequest.fromPartial({ key, [name]: value });
    assert.deepEqual(encodeMessage(PlainRange, message), RangeRequest.encode(message).finish(), name);
  }
  const ofPut = { lease: 5n, prevKv: true, ignoreValue: true, ignoreLease: true };
  assert.equal(Object.keys(ofPut).length + 2, Object.keys(PutRequest.fromPartial({})).length, 'all fields');
  for (const [name, value] of Object.entries(ofPut)) {
    const message = PutRequest.fromPartial({ key, [name]: value });
    assert.deepEqual(encodeMessage(PlainPut, message), PutRequest.encode(message).finish(), name);
  }
});
