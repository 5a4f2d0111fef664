// KV: every option of get, range, put, delete and compact against a real etcd, and paged iteration.
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { EtcdServer } from '@quiesce/test-services';
import {
  allKeys,
  CompactedError,
  type EtcdClient,
  EtcdError,
  fromKey,
  InvalidArgumentError,
  json,
  type KeyValue,
  keyRange,
  prefix,
  type RangeOptions,
  StatusCode,
} from '../src/index.js';
import { rangeRequest } from '../src/kv/kv.js';
import { RangeRequest_SortOrder } from '../src/rpc/generated/etcdserverpb/rpc.js';
import { overEachTransport, withClient, withServer } from './support/clients.js';

let server: EtcdServer;
withServer((started) => {
  server = started;
});

const keysOf = (kvs: readonly KeyValue[]): string[] => kvs.map((kv) => kv.keyText());

/** For `assert.rejects`: an EtcdError of a code, in words. */
const refusal =
  (code: StatusCode, message: RegExp) =>
  (error: unknown): true => {
    assert.ok(error instanceof EtcdError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };

overEachTransport('KV', (connect) => {
  let etcd: EtcdClient;
  withClient(
    () => connect(server.endpoint),
    (made) => {
      etcd = made;
    },
  );
  beforeEach(() => etcd.delete(allKeys()));

  describe('put', () => {
    test('a byte order mark is part of a text, and no part of JSON', async () => {
      await etcd.put('\ufeffmark', '\ufefftext');
      await etcd.put('mark', '\ufeff{"a":1}');
      const kv = await etcd.get('\ufeffmark');
      assert.deepEqual([kv?.keyText(), kv?.text()], ['\ufeffmark', '\ufefftext']);
      assert.deepEqual((await etcd.get('mark'))?.json(), { a: 1 });
      assert.deepEqual((await etcd.withCodec({ value: json() }).get('mark'))?.value, { a: 1 });
      await etcd.stm(async (stm) => stm.put('\ufeffmark', (await stm.get('\ufeffmark'))?.text() ?? ''));
      assert.equal((await etcd.get('\ufeffmark'))?.value.length, 7);
    });

    test('sets a key, and counts its versions', async () => {
      const first = await etcd.put('k', '1');
      const second = await etcd.put('k', '2');
      assert.equal(second.revision, first.revision + 1n);
      const kv = await etcd.get('k');
      assert.deepEqual(
        [kv?.text(), kv?.createRevision, kv?.modRevision, kv?.version, kv?.lease],
        ['2', first.revision, second.revision, 2n, 0n],
      );
    });

    test('takes any bytes as key and value, and empty values', async () => {
      const key = Uint8Array.of(0, 0xff, 0x80, 10);
      const value = Uint8Array.from({ length: 256 }, (_, byte) => byte);
      await etcd.put(key, value);
      const kv = await etcd.get(key);
      assert.deepEqual(kv?.key, key);
      assert.deepEqual(kv?.value, value);
      await etcd.put('ключ', '');
      assert.equal((await etcd.get('ключ'))?.text(), '');
    });

    test('returns the key from before with prevKv', async () => {
      assert.equal((await etcd.put('k', '1', { prevKv: true })).prevKv, undefined);
      const { prevKv } = await etcd.put('k', '2', { prevKv: true });
      assert.equal(prevKv?.text(), '1');
      assert.equal((await etcd.put('k', '3')).prevKv, undefined);
    });

    test('attaches to a lease, and detaches unless ignoreLease keeps it', async () => {
      const { id: lease } = await etcd.lease.grant(600);
      await etcd.put('k', '1', { lease });
      assert.equal((await etcd.get('k'))?.lease, lease);
      await etcd.put('k', '2', { ignoreLease: true });
      const kept = await etcd.get('k');
      assert.deepEqual([kept?.text(), kept?.lease], ['2', lease]);
      await etcd.put('k', '3');
      assert.equal((await etcd.get('k'))?.lease, 0n);
      await etcd.put('k', '', { ignoreValue: true, lease });
      const valued = await etcd.get('k');
      assert.deepEqual([valued?.text(), valued?.lease], ['3', lease]);
    });

    test('is refused where its options do not fit', async () => {
      const invalid = (message: RegExp) => refusal(StatusCode.INVALID_ARGUMENT, message);
      await assert.rejects(etcd.put('none', '', { ignoreValue: true }), invalid(/need a key that exists/));
      await assert.rejects(etcd.put('none', '1', { ignoreLease: true }), invalid(/need a key that exists/));
      await assert.rejects(etcd.put('k', '1', { ignoreValue: true }), invalid(/the value must be empty/));
      await assert.rejects(etcd.put('k', '1', { ignoreLease: true, lease: 7 }), invalid(/can't be combined/));
      await assert.rejects(etcd.put('k', '1', { lease: 7 }), refusal(StatusCode.NOT_FOUND, /it expired/));
      await assert.rejects(etcd.put('k', '1', { lease: -7 }), refusal(StatusCode.NOT_FOUND, /it expired/));
      await assert.rejects(
        etcd.put('k', '1', { lease: 2n ** 63n }),
        invalid(/lease is 9223372036854775808n/),
      );
      await assert.rejects(etcd.put('', '1'), invalid(/key is empty/));
      await assert.rejects(
        etcd.put('k', 7 as unknown as string),
        invalid(/strings or Uint8Arrays, not number/),
      );
    });
  });

  describe('range', () => {
    const revisions: bigint[] = [];
    beforeEach(async () => {
      revisions.length = 0;
      // Values fall and versions differ, so that each order is another one.
      const puts = [
        ['a', '5'],
        ['b', '4'],
        ['c/1', '3'],
        ['c/2', '2'],
        ['d', '1'],
        ['b', '4'],
        ['b', '4'],
        ['a', '5'],
      ] as const;
      for (const [key, value] of puts) revisions.push((await etcd.put(key, value)).revision);
    });
    const range = async (options: RangeOptions): Promise<string> =>
      keysOf((await etcd.range(allKeys(), options)).kvs).join(' ');

    test('finds one key, a prefix, an interval, the keys from one on, and all keys', async () => {
      assert.deepEqual(keysOf((await etcd.range('b')).kvs), ['b']);
      assert.deepEqual(keysOf((await etcd.range('c')).kvs), []);
      assert.deepEqual(keysOf((await etcd.range(prefix('c/'))).kvs), ['c/1', 'c/2']);
      assert.deepEqual(keysOf((await etcd.getPrefix('c/')).kvs), ['c/1', 'c/2']);
      assert.deepEqual(keysOf((await etcd.range(keyRange('b', 'c/2'))).kvs), ['b', 'c/1']);
      assert.deepEqual(keysOf((await etcd.range(fromKey('c/2'))).kvs), ['c/2', 'd']);
      assert.equal((await etcd.range(allKeys())).count, 5n);
      assert.equal((await etcd.range(prefix(''))).count, 5n);
    });

    test('a prefix that ends in 0xff ends where it should', async () => {
      await etcd.put(Uint8Array.of(1, 0xff, 7), 'in');
      await etcd.put(Uint8Array.of(2), 'out');
      const { kvs } = await etcd.range(prefix(Uint8Array.of(1, 0xff)));
      assert.deepEqual(
        kvs.map((kv) => kv.text()),
        ['in'],
      );
      await etcd.put(Uint8Array.of(0xff, 1), 'last');
      assert.equal((await etcd.range(prefix(Uint8Array.of(0xff)))).count, 1n);
    });

    test('limit cuts the result, and reports that there is more', async () => {
      const cut = await etcd.range(allKeys(), { limit: 2 });
      assert.deepEqual([keysOf(cut.kvs), cut.more, cut.count], [['a', 'b'], true, 5n]);
      const whole = await etcd.range(allKeys(), { limit: 5n });
      assert.deepEqual([whole.kvs.length, whole.more, whole.count], [5, false, 5n]);
    });

    test('sorts by each target, both ways, before limit', async () => {
      assert.equal(await range({ sortBy: 'key' }), 'a b c/1 c/2 d');
      assert.equal(await range({ sortOrder: 'descend' }), 'd c/2 c/1 b a');
      assert.equal(await range({ sortBy: 'value' }), 'd c/2 c/1 b a');
      assert.equal(await range({ sortBy: 'value', sortOrder: 'descend' }), 'a b c/1 c/2 d');
      assert.equal(await range({ sortBy: 'version', sortOrder: 'descend', limit: 2 }), 'b a');
      assert.equal(await range({ sortBy: 'createRevision', sortOrder: 'ascend' }), 'a b c/1 c/2 d');
      assert.equal(await range({ sortBy: 'modRevision', sortOrder: 'ascend' }), 'c/1 c/2 d b a');
      assert.equal(await range({ sortBy: 'modRevision', sortOrder: 'descend', limit: 3 }), 'a b d');
    });

    test('the order of keys asks etcd for no sorting, for which it would read the whole range', () => {
      const { NONE, ASCEND, DESCEND } = RangeRequest_SortOrder;
      const orderOf = (options: RangeOptions) =>
        rangeRequest(prefix('a'), { limit: 1, ...options }).sortOrder;
      assert.equal(orderOf({ sortBy: 'key' }), NONE);
      assert.equal(orderOf({ sortOrder: 'ascend' }), NONE);
      assert.equal(orderOf({ sortBy: 'key', sortOrder: 'descend' }), DESCEND);
      assert.equal(orderOf({ sortBy: 'value' }), ASCEND);
    });

    test('keysOnly leaves out values, countOnly leaves out everything', async () => {
      const { kvs } = await etcd.range(prefix('c/'), { keysOnly: true });
      assert.deepEqual(
        kvs.map((kv) => [kv.keyText(), kv.value.length, kv.version]),
        [
          ['c/1', 0, 1n],
          ['c/2', 0, 1n],
        ],
      );
      const counted = await etcd.range(allKeys(), { countOnly: true });
      assert.deepEqual([counted.kvs, counted.count], [[], 5n]);
    });

    test('filters by create and mod revision', async () => {
      const [a, b, c1, c2, , b2] = revisions as [bigint, bigint, bigint, bigint, bigint, bigint];
      assert.equal(await range({ minCreateRevision: c1 }), 'c/1 c/2 d');
      assert.equal(await range({ maxCreateRevision: b }), 'a b');
      assert.equal(await range({ minCreateRevision: b, maxCreateRevision: c2 }), 'b c/1 c/2');
      assert.equal(await range({ maxModRevision: c2 }), 'c/1 c/2');
      assert.equal(await range({ minModRevision: b2 }), 'a b');
      assert.equal(await range({ minModRevision: a, maxModRevision: b2 - 1n, limit: 2 }), 'c/1 c/2');
      const filtered = await etcd.range(allKeys(), { minModRevision: b2 });
      assert.equal(filtered.count, 5n, 'count knows no filters');
    });

    test('reads an older revision, by number or bigint', async () => {
      const [a, b] = revisions as [bigint, bigint];
      assert.equal(await range({ revision: b }), 'a b');
      assert.equal((await etcd.range('a', { revision: Number(a) })).count, 1n);
      assert.equal(await etcd.get('b', { revision: a }), undefined);
      assert.equal((await etcd.get('b', { revision: b }))?.version, 1n);
      const { revision } = await etcd.range('a', { revision: a });
      assert.equal(revision, revisions.at(-1), 'and tells the newest');
    });

    test('is refused for a revision yet to come', () =>
      assert.rejects(
        etcd.range('a', { revision: 1_000_000 }),
        refusal(StatusCode.OUT_OF_RANGE, /not reached that revision/),
      ));

    test('with serializable, reads only from the member that was asked', async () => {
      assert.equal((await etcd.get('a', { serializable: true }))?.text(), '5');
      assert.equal(await range({ serializable: true, limit: 1 }), 'a');
    });

    test('refuses what can not be', async () => {
      const refused = (call: Promise<unknown>, message: RegExp) =>
        assert.rejects(call, refusal(StatusCode.INVALID_ARGUMENT, message));
      await refused(etcd.get(''), /key is empty/);
      await refused(etcd.range('a', { limit: -1 }), /limit is -1/);
      await refused(etcd.range('a', { limit: 1.5 }), /limit is 1.5/);
      await refused(etcd.range('a', { revision: 2n ** 63n }), /revision is 9223372036854775808/);
      await refused(
        etcd.range('a', { sortBy: 'size' as 'key' }),
        /sortBy is 'size'; it must be 'key', 'version'/,
      );
      await refused(
        etcd.range('a', { sortOrder: 'up' as 'ascend' }),
        /sortOrder is .up.; it must be .ascend. or .descend./,
      );
      assert.throws(() => keyRange('b', 'a'), InvalidArgumentError);
      assert.throws(() => keyRange('a', 'a'), InvalidArgumentError);
    });
  });

  describe('delete', () => {
    beforeEach(async () => {
      for (const key of ['a', 'b/1', 'b/2', 'c']) await etcd.put(key, `value of ${key}`);
    });

    test('deletes one key, a prefix, the keys from one on, and all keys', async () => {
      assert.equal((await etcd.delete('a')).deleted, 1n);
      assert.equal((await etcd.delete('b')).deleted, 0n);
      assert.equal((await etcd.delete(prefix('b/'))).deleted, 2n);
      assert.deepEqual(keysOf((await etcd.range(allKeys())).kvs), ['c']);
      assert.equal((await etcd.delete(fromKey('b'))).deleted, 1n);
      assert.equal((await etcd.delete(allKeys())).deleted, 0n);
    });

    test('with prevKv, returns what it deleted', async () => {
      const { prevKvs, deleted } = await etcd.delete(prefix('b/'), { prevKv: true });
      assert.equal(deleted, 2n);
      assert.deepEqual(
        prevKvs.map((kv) => [kv.keyText(), kv.text()]),
        [
          ['b/1', 'value of b/1'],
          ['b/2', 'value of b/2'],
        ],
      );
      assert.deepEqual((await etcd.delete('c')).prevKvs, []);
    });

    test('makes a revision only when there was something', async () => {
      const { revision } = await etcd.delete('none');
      assert.equal((await etcd.delete('a')).revision, revision + 1n);
      assert.equal((await etcd.get('a', { revision }))?.text(), 'value of a', 'which history keeps');
      await etcd.put('a', 'again');
      const kv = await etcd.get('a');
      assert.deepEqual([kv?.version, kv?.createRevision], [1n, revision + 2n]);
    });
  });

  test('every answer has a header', async () => {
    const put = await etcd.put('k', '1');
    const { header } = put;
    assert.ok(header.clusterId > 0n && header.memberId > 0n && header.raftTerm > 0n);
    assert.equal(header.revision, put.revision);
    const others = [
      await etcd.range('k'),
      await etcd.txn({}),
      await etcd.compact(put.revision),
      await etcd.delete('none'),
    ];
    for (const other of others) assert.deepEqual(other.header, header);
  });

  describe('compact', () => {
    test('drops what was superseded, and only that', async () => {
      const { revision: first } = await etcd.put('k', '1');
      await etcd.put('kept', 'x');
      const { revision: last } = await etcd.put('k', '2');
      assert.equal((await etcd.compact(last)).revision, last);
      await assert.rejects(etcd.get('k', { revision: first }), CompactedError);
      assert.equal((await etcd.get('k', { revision: last }))?.text(), '2');
      assert.equal((await etcd.get('kept'))?.text(), 'x');
    });

    test('with physical, waits for the backend', async () => {
      const { revision } = await etcd.put('k', '1');
      await etcd.put('k', '2');
      await etcd.compact(revision, { physical: true });
      await assert.rejects(etcd.get('k', { revision: revision - 1n }), CompactedError);
    });

    test('is refused for a revision that is gone, or yet to come', async () => {
      const { revision } = await etcd.put('k', '1');
      await etcd.compact(revision);
      await assert.rejects(etcd.compact(revision - 1n), CompactedError);
      await assert.rejects(etcd.compact(revision), CompactedError);
      await assert.rejects(
        etcd.compact(revision + 100n),
        refusal(StatusCode.OUT_OF_RANGE, /not reached that/),
      );
      await assert.rejects(etcd.compact(-1), InvalidArgumentError);
    });
  });

  describe('iteration', () => {
    const count = 25;
    const name = (i: number): string => `p/${String(i).padStart(2, '0')}`;
    const names = Array.from({ length: count }, (_, i) => name(i));
    beforeEach(async () => {
      await Promise.all(names.map((key) => etcd.put(key, `value of ${key}`)));
      await etcd.put('p', 'before');
      await etcd.put('p0', 'after');
    });
    const collect = async (source: AsyncIterable<KeyValue>): Promise<string[]> => {
      const found: string[] = [];
      for await (const kv of source) found.push(kv.keyText());
      return found;
    };

    test('goes through all keys in order, whatever the page size', async () => {
      for (const pageSize of [1, 7, 24, 25, 26, 1000]) {
        assert.deepEqual(await collect(etcd.iterate(prefix('p/'), { pageSize })), names);
      }
      assert.deepEqual(await collect(etcd.iterate(prefix('p/'))), names);
      assert.deepEqual(await collect(etcd.iterate(prefix('q/'))), []);
      assert.deepEqual(await collect(etcd.iterate(name(3))), [name(3)]);
      assert.deepEqual(await collect(etcd.iterate(fromKey(name(23)), { pageSize: 2 })), [
        name(23),
        name(24),
        'p0',
      ]);
      assert.equal((await collect(etcd.iterate(allKeys(), { pageSize: 10 }))).length, count + 2);
    });

    test('sees one revision, whatever is written meanwhile', async () => {
      const found: string[] = [];
      for await (const kv of etcd.iterate(prefix('p/'), { pageSize: 4 })) {
        found.push(kv.text());
        await etcd.put(`${kv.keyText()}!`, 'inserted behind');
        await etcd.put(name(24), 'changed ahead');
        await etcd.delete(name(23));
      }
      assert.deepEqual(
        found,
        names.map((key) => `value of ${key}`),
      );
    });

    test('can see an older revision', async () => {
      const { revision } = await etcd.range('p', { countOnly: true });
      await etcd.delete(prefix('p/'));
      assert.deepEqual(await collect(etcd.iterate(prefix('p/'), { pageSize: 9, revision })), names);
      assert.deepEqual(await collect(etcd.iterate(prefix('p/'))), []);
    });

    test('ends early as a generator does, also with calls of next() that nobody waited for', async () => {
      const kvs = etcd.iterate(prefix('p/'), { pageSize: 2 });
      const first = await Promise.all([kvs.next(), kvs.next(), kvs.next(), kvs.next(), kvs.next()]);
      assert.deepEqual(
        first.map(({ value }) => value?.keyText()),
        names.slice(0, 5),
      );
      assert.deepEqual(await kvs.return(), { done: true, value: undefined });
      assert.deepEqual(await kvs.next(), { done: true, value: undefined });

      const ended = etcd.iterate(prefix('q/'));
      for (let i = 0; i < 2; i++) assert.deepEqual(await ended.next(), { done: true, value: undefined });

      const reason = new Error('no more of it');
      const thrown = etcd.iterate(prefix('p/'));
      await thrown.next();
      await assert.rejects(thrown.throw(reason), reason);
      assert.deepEqual(await thrown.next(), { done: true, value: undefined });

      const failing = etcd.iterate(prefix('p/'), { revision: 1n << 40n });
      await assert.rejects(failing.next(), { code: StatusCode.OUT_OF_RANGE });
      assert.deepEqual(await failing.next(), { done: true, value: undefined });
    });

    test('tells page by page which revision it sees', async () => {
      const { revision } = await etcd.range('p', { countOnly: true });
      const pages: unknown[] = [];
      for await (const page of etcd.pages(prefix('p/'), { pageSize: 10 })) {
        pages.push([page.kvs.length, page.revision, page.more]);
        await etcd.put('other', 'moves the store on');
      }
      assert.deepEqual(pages, [
        [10, revision, true],
        [10, revision, true],
        [5, revision, false],
      ]);
    });

    test('heeds filters and keysOnly', async () => {
      const { revision } = await etcd.put(name(7), 'changed');
      await etcd.put(name(20), 'changed');
      assert.deepEqual(await collect(etcd.iterate(prefix('p/'), { pageSize: 1, minModRevision: revision })), [
        name(7),
        name(20),
      ]);
      for await (const kv of etcd.iterate(prefix('p/'), { keysOnly: true })) assert.equal(kv.value.length, 0);
    });

    test('works below a namespace and through a codec', async () => {
      const view = etcd.namespace('p/').withCodec({ value: json<string>((value) => String(value)) });
      await etcd.delete(prefix('p/'));
      for (const key of ['a', 'b', 'c']) await view.put(key, key.toUpperCase());
      const found: unknown[] = [];
      for await (const { key, value } of view.iterate(allKeys(), { pageSize: 2 })) found.push([key, value]);
      assert.deepEqual(found, [
        ['a', 'A'],
        ['b', 'B'],
        ['c', 'C'],
      ]);
    });

    test('stops where its loop does', async () => {
      for await (const kv of etcd.iterate(prefix('p/'), { pageSize: 3 })) {
        if (kv.keyText() === name(4)) break;
      }
      assert.equal((await etcd.get('p'))?.text(), 'before');
    });

    test('fails when its revision is compacted away under it', async () => {
      await assert.rejects(async () => {
        for await (const kv of etcd.iterate(prefix('p/'), { pageSize: 5 })) {
          if (kv.keyText() === name(1)) await etcd.compact((await etcd.put('p', 'newer')).revision);
        }
      }, CompactedError);
    });

    test('heeds its signal between two keys of a page', async () => {
      const controller = new AbortController();
      const reason = new Error('enough');
      let found = 0;
      await assert.rejects(async () => {
        for await (const _kv of etcd.iterate(prefix('p/'), { pageSize: 5, signal: controller.signal })) {
          found += 1;
          controller.abort(reason);
        }
      }, reason);
      assert.equal(found, 1);
    });

    test('refuses a page size that is none', () => {
      for (const pageSize of [0, -1, 1.5, '10' as unknown as number]) {
        assert.throws(() => etcd.iterate(prefix('p/'), { pageSize }), /pageSize is/);
      }
    });
  });
});
