// Answers that came together, and callers that take their time over each.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { startEtcd } from '@quiesce/test-services';
import { connect } from '../src/index.js';
import { nativeUnavailable } from '../src/transport/native/native.js';
import { busyFor } from './support/busy-for.js';

const CALLS = 100;

describe('the pace of answers', { skip: nativeUnavailable()?.message ?? false }, () => {
  test('what their callers do is spread over turns of the event loop, and all of it is done', async () => {
    await using server = await startEtcd();
    await using etcd = await connect({ endpoints: server.endpoint, transport: 'native' });
    await etcd.put('key', 'value');
    for (const known of [false, true]) {
      let turn = 0;
      const turns: number[] = [];
      const answers = Array.from({ length: CALLS }, async () => {
        await etcd.get('key');
        turns.push(turn);
        busyFor(1);
      });
      // Once they are on their way; and then all of the answers come while nobody can take them.
      await nextTurn();
      busyFor(200);
      let done = false;
      const all = Promise.all(answers).then(() => {
        done = true;
      });
      for (; !done; turn++) await nextTurn();
      await all;
      assert.equal(turns.length, CALLS);
      const most = Math.max(...turns.map((turn) => turns.filter((other) => other === turn).length));
      // 3 ms a turn; the rest is for a machine whose clock jumps.
      if (known) assert.ok(most <= 8, `${most} in one turn`);
    }
  });
});
