// A long answer to a range is decoded when its keys are read. Nobody sees a difference to a short one.
import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import { inspect } from 'node:util';
import { connect, EtcdError, op, prefix, type RangeResult } from '../src/index.js';
import { rangeResult } from '../src/kv/kv.js';
import { txnCall } from '../src/kv/txn.js';
import { RangeResponse, TxnResponse } from '../src/rpc/generated/etcdserverpb/rpc.js';
import { MessageReader } from '../src/rpc/messages/message-reader.js';
import { inBytes } from '../src/rpc/messages/mvccpb.js';
import { RangeMessage } from '../src/rpc/messages/range-response.js';
import { TxnMessage } from '../src/rpc/messages/txn-response.js';
import { withServer } from './support/clients.js';

const KEYS = 500;

function encoded(value = 'value', more = true): Uint8Array {
  const message = RangeResponse.fromPartial({
    header: { clusterId: 1n, memberId: 2n, revision: 700n, raftTerm: 3n },
    kvs: Array.from({ length: KEYS }, (_, i) => ({
      key: Buffer.from(`a key that makes the answer long ${i}`),
      value: Buffer.from(`${value} ${i}`),
      createRevision: BigInt(i + 1),
      modRevision: BigInt(i + 2),
      version: 2n,
      lease: 5n,
    })),
    more,
    count: 1000n,
  });
  return new Uint8Array(RangeResponse.encode(message).finish());
}

const answerOf = (message: Uint8Array): RangeResult =>
  rangeResult(RangeMessage.decode(new MessageReader(message)), inBytes);

/** The same, in a buffer with others: that is decoded at once. */
function answerAtOnce(message: Uint8Array): RangeResult {
  const among = new Uint8Array(3 * message.length);
  among.set(message, message.length);
  return answerOf(among.subarray(message.length, 2 * message.length));
}

/** Of the answer to a range, with one way to look at it. */
const views: Record<string, (answer: RangeResult) => unknown> = {
  'its fields': (answer) => Object.keys(answer),
  'its entries': (answer) => Object.entries(answer),
  'a spread copy': (answer) => ({ ...answer }),
  'structuredClone()': (answer) => structuredClone(answer),
  'JSON.stringify()': (answer) => JSON.stringify(answer),
  'util.inspect()': (answer) =>
    inspect(answer, { maxArrayLength: KEYS, breakLength: Number.POSITIVE_INFINITY }),
  'util.inspect() of what holds it': (answer) => inspect({ deep: { deeper: { answer } } }),
  'hasOwn()': (answer) => Object.hasOwn(answer, 'kvs') && Object.propertyIsEnumerable.call(answer, 'kvs'),
  destructuring: ({ kvs: [first, ...others] }) => [first, others],
};

describe('a long answer', () => {
  for (const [name, view] of Object.entries(views)) {
    it(`looks as one that is decoded at once: ${name}`, () => {
      const message = encoded();
      assert.deepEqual(view(answerOf(message)), view(answerAtOnce(message)));
    });
  }

  it('is compared by its keys', () => {
    assert.deepEqual(answerOf(encoded()), answerOf(encoded()));
    assert.deepEqual(answerOf(encoded()), answerAtOnce(encoded()));
    assert.notDeepEqual(answerOf(encoded()), answerOf(encoded('other')));
    assert.notDeepEqual(answerAtOnce(encoded()), answerOf(encoded('other')));
  });

  it('keeps what was made of its keys', () => {
    const answer = answerOf(encoded());
    const { kvs } = answer;
    kvs.reverse();
    assert.equal(answer.kvs, kvs);
    assert.equal(answer.kvs[0]?.text(), `value ${KEYS - 1}`);
    const others = kvs.slice(0, 2);
    Object.assign(answer, { kvs: others });
    assert.equal(answer.kvs, others);
  });

  it('gives its keys to loops over itself, which keep none of them', () => {
    const answer = answerOf(encoded());
    const expected = answerAtOnce(encoded()).kvs;
    assert.deepEqual([...answer], expected);
    for (const kv of answer) {
      assert.deepEqual(kv, expected[0]);
      break;
    }
    assert.deepEqual([...answer], expected);
    assert.notEqual([...answer][0], [...answer][0]);
    // Like those of arrays: with `map()` and others where the host has them.
    const iterator = answer[Symbol.iterator]();
    assert.equal(iterator[Symbol.iterator](), iterator);
    assert.equal('map' in iterator, 'map' in [].values());
    const { kvs } = answer;
    assert.deepEqual(kvs, expected);
    assert.equal([...answer][7], kvs[7]);
    const [, second] = answerAtOnce(encoded());
    assert.deepEqual(second, expected[1]);
  });

  it('gives each loop its own bytes, also of a value that makes up most of the answer', () => {
    const first = { key: Buffer.from('k'), value: new Uint8Array(40_000).fill(7) };
    const message = RangeResponse.fromPartial({
      header: { revision: 1n },
      kvs: [first, { key: Buffer.from('l') }],
    });
    const answer = answerOf(new Uint8Array(RangeResponse.encode(message).finish()));
    const loop = answer[Symbol.iterator]();
    const untouched = structuredClone([...answer]);
    for (const { value } of answer) value.fill(0);
    assert.deepEqual(structuredClone([...answer]), untouched);
    const { kvs } = answer;
    assert.deepEqual(structuredClone(kvs), untouched);
    for (const { value } of kvs) value.fill(0);
    assert.deepEqual(structuredClone([...loop]), untouched);
  });

  it('is decoded when its keys are read, and holds nothing of the message from then on', () => {
    const message = encoded();
    const read = answerOf(message);
    assert.equal(read.kvs.length, KEYS);
    const unread = answerOf(message);
    message.fill(0xff);
    assert.equal(read.kvs.at(-1)?.text(), `value ${KEYS - 1}`);
    assert.deepEqual([unread.revision, unread.more, unread.count], [700n, true, 1000n]);
    assert.throws(() => unread.kvs);
    assert.throws(() => unread.kvs, /can't be read/);
  });

  it('is refused where it is cut off, and decoded at once where its keys are in several places', () => {
    const message = encoded();
    for (const length of [message.length - 1, message.length - 40, 17_000]) {
      const cut = message.slice(0, length);
      assert.throws(() => answerOf(cut), RangeError);
    }
    const twice = new Uint8Array([...message, ...message]);
    assert.deepEqual(answerOf(twice), answerAtOnce(twice));
    assert.equal(answerOf(twice).kvs.length, 2 * KEYS);
  });
});

describe('a long answer to a transaction', () => {
  const all = prefix('');
  const txn = {
    success: [
      op.range(all),
      op.put('a', 'b', { prevKv: true }),
      op.get('a'),
      op.delete('b', { prevKv: true }),
      op.txn({ success: [op.range(all), op.range(all)] }),
      op.range(all),
    ],
  } as const;
  const call = txnCall(txn, inBytes);
  const range = RangeResponse.decode(encoded());
  const prevKv = { key: Buffer.from('a'), value: Buffer.from('b'), modRevision: 8n };
  const several = {
    header: { clusterId: 1n, memberId: 2n, revision: 700n, raftTerm: 3n },
    succeeded: true,
    responses: [
      { response: { $case: 'responseRange', value: range } },
      { response: { $case: 'responsePut', value: { header: { revision: 699n }, prevKv } } },
      { response: { $case: 'responseRange', value: { kvs: [{ ...prevKv, value: Buffer.alloc(20_000) }] } } },
      { response: { $case: 'responseDeleteRange', value: { deleted: 1n, prevKvs: [prevKv] } } },
      {
        response: {
          $case: 'responseTxn',
          value: {
            succeeded: true,
            responses: [
              { response: { $case: 'responseRange', value: range } },
              { response: { $case: 'responseRange', value: { count: 3n } } },
            ],
          },
        },
      },
      { response: { $case: 'responseRange', value: { ...range, kvs: range.kvs.slice(0, 3) } } },
    ],
  } as const;
  const bytesOf = (message: object): Uint8Array =>
    new Uint8Array(TxnResponse.encode(TxnResponse.fromPartial(message)).finish());
  const oneRange = { ...several, responses: several.responses.slice(0, 1) };
  const single = txnCall({ success: [op.range(all)] }, inBytes);

  it('has what the generated code decodes', () => {
    const message = bytesOf(several);
    const lazy = call.result(TxnMessage.decode(new MessageReader(message)));
    const atOnce = call.result(TxnResponse.decode(new MessageReader(message)));
    assert.equal(inspect(lazy, { depth: 9 }), inspect(atOnce, { depth: 9 }));
    assert.equal(JSON.stringify(lazy), JSON.stringify(atOnce));
    assert.deepEqual(lazy, atOnce);
    const [first, , got] = lazy.responses;
    assert.equal((first as RangeResult).kvs.length, KEYS);
    assert.deepEqual([...(first as RangeResult)], (first as RangeResult).kvs);
    assert.equal((got as { value: Uint8Array }).value.length, 20_000);
  });

  it('keeps the keys of a range encoded, and only those', () => {
    const message = bytesOf(oneRange);
    const [answer] = single.result(TxnMessage.decode(new MessageReader(message))).responses;
    message.fill(0xff);
    assert.throws(
      () => answer?.kvs,
      (error) =>
        error instanceof EtcdError && /the answer to \/etcdserverpb.KV\/Txn can't/.test(error.message),
    );
    // One of several has bytes of its own.
    const others = bytesOf(several);
    const [one] = call.result(TxnMessage.decode(new MessageReader(others))).responses;
    others.fill(0xff);
    assert.deepEqual((one as RangeResult).kvs, range.kvs);
  });

  it('is refused where it is cut off', () => {
    const message = bytesOf(oneRange);
    for (const length of [message.length - 1, message.length - 40, 17_000]) {
      assert.throws(() => TxnMessage.decode(new MessageReader(message.slice(0, length))), RangeError);
    }
  });
});

let endpoint: string;
withServer((started) => {
  ({ endpoint } = started);
});

for (const transport of ['native', 'grpc-js'] as const) {
  test(`${transport}: ranges, pages and iteration give the same keys, below a prefix, too`, async () => {
    await using etcd = await connect({ endpoints: endpoint, transport });
    const below = etcd.namespace('long/');
    const names = Array.from({ length: 1000 }, (_, i) => `key ${String(i).padStart(4, '0')} of many`);
    for (let from = 0; from < names.length; from += 100) {
      await etcd.txn({
        success: names.slice(from, from + 100).map((name) => op.put(`long/${name}`, `value of ${name}`)),
      });
    }
    const { kvs, count, more } = await below.range(prefix(''), { limit: 900 });
    assert.deepEqual([count, more, kvs.length], [1000n, true, 900]);
    assert.deepEqual(
      kvs.map((kv) => [kv.keyText(), kv.text()]),
      names.slice(0, 900).map((name) => [name, `value of ${name}`]),
    );
    const whole = await below.range(prefix(''));
    const { responses } = await below.txn({ success: [op.range(prefix('')), op.range(prefix('key 00'))] });
    assert.deepEqual(responses[0], whole);
    assert.deepEqual(responses[1]?.kvs, whole.kvs.slice(0, 100));
    for (const pageSize of [1, 400, 999, 1000, 2000]) {
      const one: unknown[] = [];
      for await (const kv of below.iterate(prefix(''), { pageSize })) one.push(kv);
      assert.deepEqual(one, whole.kvs);
      if (pageSize === 1) continue;
      const paged: unknown[] = [];
      for await (const page of below.pages(prefix(''), { pageSize })) paged.push(...page.kvs);
      assert.deepEqual(paged, whole.kvs);
    }
  });
}
