// While a list awaits its next keys, it holds none that it has given.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type RangePage, rangePages, rangePortions } from '../src/kv/range-pages.js';
import { RangeResponse } from '../src/rpc/generated/etcdserverpb/rpc.js';
import type { KeyValue } from '../src/rpc/messages/key-value.js';
import { MessageReader } from '../src/rpc/messages/message-reader.js';
import { inBytes } from '../src/rpc/messages/mvccpb.js';
import { RangeMessage } from '../src/rpc/messages/range-response.js';
import type { Rpc } from '../src/rpc/rpc.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };

function answerOf(keys: number): RangeMessage {
  const message = RangeResponse.fromPartial({
    header: { clusterId: 1n, memberId: 2n, revision: 700n, raftTerm: 3n },
    kvs: Array.from({ length: keys }, (_, i) => ({ key: Buffer.from(`${i}`.padStart(20, '0')) })),
    more: true,
    count: 1_000_000n,
  });
  return RangeMessage.decode(new MessageReader(new Uint8Array(RangeResponse.encode(message).finish())));
}

type Some = KeyValue[] | RangePage;

const lists: Record<string, (rpc: Rpc, pageSize: number) => AsyncGenerator<Some, void, void>> = {
  'by pages': (rpc, pageSize) => rangePages(rpc, everything, { pageSize }, inBytes),
  'in portions': (rpc, pageSize) => rangePortions(rpc, everything, { pageSize }, inBytes),
};

/** Takes so many keys. In a function of its own, whose variables are gone at its end. */
async function taken(items: AsyncGenerator<Some, void, void>, keys: number): Promise<WeakRef<object>[]> {
  const held: WeakRef<object>[] = [];
  for (let got = 0; got < keys; ) {
    const { value } = await items.next();
    assert.ok(value);
    const kvs = Array.isArray(value) ? value : value.kvs;
    held.push(new WeakRef(kvs), new WeakRef(kvs[0] as KeyValue));
    got += kvs.length;
  }
  return held;
}

for (const [name, list] of Object.entries(lists)) {
  for (const keys of [10, 1_000]) {
    test(`${name}, an answer of ${keys} keys`, async () => {
      const held: WeakRef<object>[] = [];
      const second = new Promise<never>(() => {});
      const call = async (): Promise<RangeMessage> => {
        if (held.length > 0) return second;
        const answer = answerOf(keys);
        assert.equal(Array.isArray(answer.kvs), keys === 10);
        held.push(new WeakRef(answer.kvs));
        return answer;
      };
      const items = list({ call } as unknown as Rpc, keys);
      held.push(...(await taken(items, keys)));
      void items.next();
      // A WeakRef holds its object until the turn is over.
      await setImmediate();
      collect();
      assert.deepEqual(
        held.map((ref) => ref.deref()),
        held.map(() => undefined),
      );
    });
  }
}
