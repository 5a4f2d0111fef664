// Transactions: conditions on every target, each kind of operation, nested ones, the types of results, and errors.
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { EtcdServer } from '@quiesce/test-services';
import {
  allKeys,
  type Compare,
  compare,
  type DeleteResult,
  type EtcdClient,
  fromKey,
  InvalidArgumentError,
  json,
  type KeyValue,
  type Op,
  op,
  type PutResult,
  prefix,
  type RangeResult,
} from '../src/index.js';
import { overEachTransport, withClient, withServer } from './support/clients.js';

let server: EtcdServer;
withServer((started) => {
  server = started;
});

/** Compiles only if the two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const checkType = <_T extends true>(): void => {};

overEachTransport('a transaction', (connect) => {
  let etcd: EtcdClient;
  withClient(
    () => connect(server.endpoint),
    (made) => {
      etcd = made;
    },
  );
  beforeEach(() => etcd.delete(allKeys()));

  const holds = async (...conditions: Compare<string, string>[]): Promise<boolean> =>
    (await etcd.txn({ compare: conditions })).succeeded;

  test('carries out one list or the other, as one step with one revision', async () => {
    const { revision } = await etcd.put('a', '1');
    const txn = {
      compare: [compare.value('a', '=', '1')],
      success: [op.put('b', '2'), op.put('c', '3')],
      failure: [op.put('d', '4')],
    };
    const first = await etcd.txn(txn);
    assert.equal(first.succeeded, true);
    assert.equal(first.revision, revision + 1n);
    const { kvs } = await etcd.range(allKeys());
    assert.deepEqual(
      kvs.map((kv) => [kv.keyText(), kv.text(), kv.modRevision - revision]),
      [
        ['a', '1', 0n],
        ['b', '2', 1n],
        ['c', '3', 1n],
      ],
    );
    await etcd.put('a', 'x');
    const second = await etcd.txn(txn);
    assert.equal(second.succeeded, false);
    assert.equal((await etcd.get('d'))?.modRevision, second.revision);
  });

  test('types each result after its operation and its branch', async () => {
    await etcd.put('a', '1');
    const result = await etcd.txn({
      compare: [compare.exists('a')],
      success: [op.get('a'), op.range(prefix('')), op.put('a', '2', { prevKv: true }), op.delete('b')],
      failure: [op.get('z')],
    });
    if (!result.succeeded) {
      checkType<Same<(typeof result)['responses'], readonly [KeyValue | undefined]>>();
      assert.fail('the condition holds');
    }
    checkType<
      Same<
        (typeof result)['responses'],
        readonly [KeyValue | undefined, RangeResult<KeyValue>, PutResult<KeyValue>, DeleteResult<KeyValue>]
      >
    >();
    const [got, range, put, deleted] = result.responses;
    assert.equal(got?.text(), '1');
    assert.equal(range.count, 1n);
    assert.equal(put.prevKv?.text(), '1');
    assert.equal(deleted.deleted, 0n);
    for (const { header, revision } of [range, put, deleted]) {
      assert.equal(header.clusterId, result.header.clusterId);
      assert.equal(header.memberId, result.header.memberId);
      assert.equal(header.raftTerm, result.header.raftTerm);
      assert.equal(header.revision, revision);
    }
    assert.equal(put.revision, result.revision);
  });

  test('reads what its own operations wrote before, in order', async () => {
    const result = await etcd.txn({ success: [op.get('a'), op.put('a', '1'), op.get('a')] });
    assert.ok(result.succeeded);
    assert.equal(result.responses[0], undefined);
    assert.equal(result.responses[2]?.text(), '1');
  });

  test('takes the options of each operation', async () => {
    for (const key of ['a1', 'a2', 'a3']) await etcd.put(key, key);
    const result = await etcd.txn({
      success: [
        op.range(prefix('a'), { limit: 2, sortBy: 'key', sortOrder: 'descend', keysOnly: true }),
        op.range(prefix('a'), { countOnly: true }),
        op.delete(prefix('a'), { prevKv: true }),
      ],
    });
    assert.ok(result.succeeded);
    const [range, count, deleted] = result.responses;
    assert.deepEqual(
      range.kvs.map((kv) => [kv.keyText(), kv.text()]),
      [
        ['a3', ''],
        ['a2', ''],
      ],
    );
    assert.equal(range.more, true);
    assert.equal(count.count, 3n);
    assert.deepEqual(
      deleted.prevKvs.map((kv) => kv.text()),
      ['a1', 'a2', 'a3'],
    );
  });

  test('can be nested, and checks all conditions before any operation', async () => {
    await etcd.put('a', '1');
    const result = await etcd.txn({
      success: [
        op.delete('a'),
        op.txn({
          compare: [compare.exists('a')],
          success: [op.get('a'), op.put('b', 'inner')],
          failure: [op.range('z')],
        }),
        op.txn({ compare: [compare.exists('b')], failure: [op.txn({ success: [op.get('b')] })] }),
      ],
    });
    assert.ok(result.succeeded);
    const [, inner, other] = result.responses;
    assert.ok(inner.succeeded, 'a was there when it began');
    checkType<Same<(typeof inner)['responses'], readonly [KeyValue | undefined, PutResult<KeyValue>]>>();
    assert.equal(inner.responses[0], undefined, 'a is deleted by now');
    assert.equal(inner.revision, result.revision);
    assert.equal(inner.header.memberId, result.header.memberId);
    assert.ok(!other.succeeded, 'b was not there when it began');
    const [innermost] = other.responses;
    assert.ok(innermost.succeeded);
    assert.equal(innermost.responses[0]?.text(), 'inner');
  });

  test('without conditions does success, and without operations tells whether they hold', async () => {
    const empty = await etcd.txn({});
    assert.equal(empty.succeeded, true);
    checkType<Same<(typeof empty)['responses'], []>>();
    assert.deepEqual(empty.responses, []);
    const unmet = await etcd.txn({ compare: [compare.exists('none')], success: [op.put('none', '')] });
    assert.equal(unmet.succeeded, false);
    assert.deepEqual(unmet.responses, []);
    assert.equal(await etcd.get('none'), undefined);
  });

  describe('compares', () => {
    test('versions, create and mod revisions, with each operator', async () => {
      const { revision } = await etcd.put('k', '1');
      await etcd.put('k', '2');
      const cases = [
        [compare.version, 2n],
        [compare.createRevision, revision],
        [compare.modRevision, revision + 1n],
      ] as const;
      for (const [make, actual] of cases) {
        assert.equal(await holds(make('k', '=', actual)), true);
        assert.equal(await holds(make('k', '=', actual + 1n)), false);
        assert.equal(await holds(make('k', '!=', actual)), false);
        assert.equal(await holds(make('k', '!=', actual + 1n)), true);
        assert.equal(await holds(make('k', '<', actual)), false);
        assert.equal(await holds(make('k', '<', actual + 1n)), true);
        assert.equal(await holds(make('k', '>', actual)), false);
        assert.equal(await holds(make('k', '>', actual - 1n)), true);
        assert.equal(await holds(make('none', '=', 0)), true);
      }
    });

    test('values in byte order, and never the value of a missing key', async () => {
      await etcd.put('k', 'b');
      assert.equal(await holds(compare.value('k', '=', 'b')), true);
      assert.equal(await holds(compare.value('k', '=', '')), false);
      assert.equal(await holds(compare.value('k', '!=', 'b')), false);
      assert.equal(await holds(compare.value('k', '<', 'ba')), true);
      assert.equal(await holds(compare.value('k', '>', 'b')), false);
      for (const operator of ['=', '!=', '<', '>'] as const) {
        assert.equal(await holds(compare.value('none', operator, '')), false);
      }
      await etcd.put('empty', '');
      assert.equal(await holds(compare.value('empty', '=', '')), true);
      const bytes = await etcd.txn({ compare: [compare.value('k', '=', Uint8Array.of(98))] });
      assert.equal(bytes.succeeded, true);
    });

    test('leases', async () => {
      await etcd.put('k', '1');
      assert.equal(await holds(compare.lease('k', '=', 0)), true);
      assert.equal(await holds(compare.lease('k', '>', 0)), false);
    });

    test('each key of a range', async () => {
      for (const key of ['r/1', 'r/2']) await etcd.put(key, 'same');
      assert.equal(await holds(compare.value(prefix('r/'), '=', 'same')), true);
      assert.equal(await holds(compare.version(prefix('r/'), '=', 1)), true);
      await etcd.put('r/2', 'other');
      assert.equal(await holds(compare.value(prefix('r/'), '=', 'same')), false);
      assert.equal(await holds(compare.version(prefix('r/'), '=', 1)), false);
      assert.equal(await holds(compare.version(prefix('r/'), '<', 3)), true);
    });

    test('existing keys and missing keys', async () => {
      await etcd.put('r/1', '');
      assert.equal(await holds(compare.exists('r/1')), true);
      assert.equal(await holds(compare.exists('none')), false);
      assert.equal(await holds(compare.missing('none')), true);
      assert.equal(await holds(compare.missing('r/1')), false);
      assert.equal(await holds(compare.missing(prefix('none'))), true);
      assert.equal(await holds(compare.missing(prefix('r/'))), false);
    });

    test('several conditions, which must all hold', async () => {
      await etcd.put('k', '1');
      assert.equal(await holds(compare.exists('k'), compare.value('k', '=', '1')), true);
      assert.equal(await holds(compare.exists('k'), compare.value('k', '=', '2')), false);
    });
  });

  test('stays in its namespace', async () => {
    const app = etcd.namespace('app/');
    await etcd.put('k', 'outside');
    assert.ok(
      (await app.txn({ compare: [compare.missing('k')], success: [op.put('k', 'inside')] })).succeeded,
    );
    const result = await app.txn({
      compare: [compare.value(allKeys(), '=', 'inside')],
      success: [
        op.get('k'),
        op.txn({ success: [op.range(allKeys()), op.delete(allKeys(), { prevKv: true })] }),
      ],
    });
    assert.ok(result.succeeded);
    const [kv, nested] = result.responses;
    assert.equal(kv?.keyText(), 'k');
    assert.ok(nested.succeeded);
    assert.deepEqual(
      nested.responses[0].kvs.map((kv) => kv.keyText()),
      ['k'],
    );
    assert.equal(nested.responses[1].prevKvs[0]?.keyText(), 'k');
    assert.equal((await etcd.get('k'))?.text(), 'outside');
  });

  test('goes through codecs', async () => {
    const users = etcd.namespace('u/').withCodec({ value: json<{ role: 'admin' | 'guest' }>() });
    await users.put('a', { role: 'guest' });
    const result = await users.txn({
      compare: [compare.value('a', '=', { role: 'guest' })],
      success: [op.put('a', { role: 'admin' }), op.get('a')],
    });
    assert.ok(result.succeeded);
    const role: 'admin' | 'guest' | undefined = result.responses[1]?.value.role;
    assert.equal(role, 'admin');
    // @ts-expect-error no such role
    const wrong = () => users.txn({ success: [op.put('a', { role: 'root' })] });
    // @ts-expect-error keys are text here
    const wrongKey = () => users.txn({ success: [op.get(7)] });
    assert.equal(typeof wrong, typeof wrongKey);
  });

  describe('is refused, by a typed error that says what to do,', () => {
    const refused = (txn: Parameters<EtcdClient['txn']>[0], message: RegExp): Promise<void> =>
      assert.rejects(etcd.txn(txn), (error: unknown) => {
        assert.ok(error instanceof InvalidArgumentError);
        assert.match(error.message, message);
        return true;
      });

    test('with too many operations', () =>
      refused(
        { success: Array.from({ length: 129 }, (_, i) => op.put(`k${i}`, '')) },
        /too many operations.*--max-txn-ops/,
      ));
    test('when it writes a key twice', async () => {
      await refused({ success: [op.put('k', '1'), op.put('k', '2')] }, /writes each key once/);
      await refused({ success: [op.put('k', '1'), op.delete(prefix('k'))] }, /writes each key once/);
      await refused(
        { success: [op.put('k', '1'), op.txn({ success: [op.put('k', '2')] })] },
        /each key once/,
      );
      // Only one of the branches is done, so both may write it.
      const branches = {
        compare: [compare.exists('k')],
        success: [op.put('k', '1')],
        failure: [op.put('k', '2')],
      };
      assert.equal((await etcd.txn(branches)).succeeded, false);
    });
    test('when etcd would crash on it', async () => {
      await etcd.put('k', '1');
      const remove = op.delete(fromKey('a'));
      const put = op.put('k', '', { ignoreValue: true });
      const putAndDelete = [remove, put];
      await refused({ success: putAndDelete }, /etcd crashes on that/);
      await refused({ failure: putAndDelete }, /etcd crashes on that/);
      await refused({ success: [op.txn({ success: putAndDelete })] }, /etcd crashes on that/);
      const mayRemove = op.txn({ compare: [compare.exists('k')], failure: [remove] });
      await refused({ success: [mayRemove, put] as never }, /etcd crashes on that/);
      await refused({ success: [remove, op.txn({ failure: [put] })] as never }, /etcd crashes on that/);
      const apart = [op.delete(fromKey('l')), op.put('k', '2', { ignoreLease: true })];
      assert.equal((await etcd.txn({ success: apart })).succeeded, true);
      // In the other order, and in branches of which one is done.
      const either = op.txn({ compare: [compare.exists('k')], success: [put], failure: [remove] });
      for (const success of [[put, remove], [either]]) {
        await etcd.put('k', '1');
        assert.equal((await etcd.txn({ success: success as never })).succeeded, true);
      }
    });
    test('with an operator that is none', () =>
      refused(
        { compare: [compare.version('k', '==' as '=', 1)] },
        /operator is '=='; it must be '=', '!=', '<' or '>'/,
      ));
    test('with what is no operation', async () => {
      await refused({ success: [{} as never] }, /op\.get, op\.range/);
      await refused({ success: [undefined as never] }, /op\.get, op\.range/);
    });
    test('with an empty key, or a number that is no revision', async () => {
      await refused({ success: [op.get('')] }, /key is empty/);
      await refused({ compare: [compare.modRevision('k', '=', -1)] }, /modRevision to compare with is -1/);
    });
  });

  test('heeds signal and deadline', async () => {
    const reason = new Error('enough');
    await assert.rejects(etcd.txn({}, { signal: AbortSignal.abort(reason) }), reason);
    await assert.rejects(etcd.txn({}, { timeoutMs: -1 }), InvalidArgumentError);
  });

  test('is the one that was given, whatever its lists hold by the time of the answer', async () => {
    const operations: Op<string, string>[] = [op.put('snapshot', '1'), op.get('snapshot')];
    const cleared = etcd.txn({ success: operations });
    operations.length = 0;
    const [put, entry] = (await cleared).responses as [PutResult, KeyValue | undefined];
    assert.ok(put.revision > 0n);
    assert.equal(entry?.text(), '1');
    operations.push(op.get('snapshot'));
    const grown = etcd.txn({ success: operations });
    operations.push(op.get('snapshot'));
    assert.equal((await grown).responses.length, 1);
  });

  test('in others is answered, or refused before it is sent', async () => {
    const nested = (depth: number): Op<string, string> =>
      op.txn({ success: [depth === 1 ? op.put('deep', String(depth)) : nested(depth - 1)] });
    assert.ok((await etcd.txn({ success: [nested(48)] })).succeeded);
    await etcd.delete('deep');
    await assert.rejects(etcd.txn({ success: [nested(49)] }), /nested more than 48 deep/);
    assert.equal(await etcd.get('deep'), undefined);
  });

  test('in itself is refused', async () => {
    const endless: { type: 'txn'; success: unknown[] } = { type: 'txn', success: [] };
    endless.success.push(endless);
    const call = etcd.txn(endless as never);
    await assert.rejects(call, {
      name: 'InvalidArgumentError',
      message: /does one of them contain itself\?/,
    });
  });
});
