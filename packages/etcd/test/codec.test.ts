// Codecs: what is written and read through one, the types that follow from it, and what fails.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { EtcdServer } from '@quiesce/test-services';
import {
  allKeys,
  bytes,
  type Codec,
  CodecError,
  type EtcdClient,
  InvalidArgumentError,
  json,
  type Keyspace,
  type KeyValueCodec,
  OrderedReads,
  prefix,
  StatusCode,
  type TypedKeyValue,
  utf8,
  type WatchEvent,
} from '../src/index.js';
import { overEachTransport, withServer } from './support/clients.js';

let server: EtcdServer;
withServer((started) => {
  server = started;
});

interface User {
  readonly name: string;
  readonly role: 'admin' | 'guest';
}

/** A key of two parts, ordered as they are. */
const shardKey: Codec<{ shard: number; id: string }> = {
  encode: ({ shard, id }) => Buffer.concat([Uint8Array.of(shard), Buffer.from(id)]),
  decode: (encoded) => ({ shard: encoded[0] as number, id: Buffer.from(encoded.subarray(1)).toString() }),
};

/** Compiles only if the two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const checkType = <_T extends true>(): void => {};

overEachTransport('a view with codecs', (connect) => {
  let etcd: EtcdClient;
  before(async () => {
    etcd = await connect(server.endpoint);
    await etcd.delete(allKeys());
  });
  after(() => etcd.close());

  test('types what is written and read', async () => {
    const users = etcd.namespace('users/').withCodec({ key: utf8, value: json<User>() });
    await users.put('ada', { name: 'Ada', role: 'admin' });
    const kv = await users.get('ada');
    checkType<Same<typeof kv, TypedKeyValue<string, User> | undefined>>();
    assert.equal(kv?.key, 'ada');
    assert.deepEqual(kv.value, { name: 'Ada', role: 'admin' });
    assert.equal(kv.value, kv.value, 'is decoded once');
    assert.equal(kv.version, 1n);
    assert.equal(kv.createRevision, kv.modRevision);
    assert.equal(kv.lease, 0n);
    assert.equal((await etcd.get('users/ada'))?.text(), '{"name":"Ada","role":"admin"}');
    // @ts-expect-error a user needs a role
    const wrong = () => users.put('bob', { name: 'Bob' });
    assert.equal(typeof wrong, 'function');
  });

  test('has the types of its codecs, wherever the view goes', () => {
    type Numbers<Key> = Keyspace<Key, number, TypedKeyValue<Key, number>>;
    const take = (_view: Numbers<Uint8Array>): void => {};
    const never = () => {
      // @ts-expect-error keys and values are text
      const wrong: Numbers<number> = etcd.withCodec({});
      // @ts-expect-error keys are text
      take(etcd.withCodec({ value: json<number>() }));
      // @ts-expect-error values are text
      take(etcd.withCodec({ key: bytes }));
      return wrong;
    };
    assert.equal(typeof never, 'function');
    const reads = new OrderedReads(etcd.withCodec({ value: json<number>() }));
    checkType<Same<ReturnType<typeof reads.get>, Promise<TypedKeyValue<string, number> | undefined>>>();
    const both: KeyValueCodec<string, number> = { value: json<number>() };
    const views = [etcd.withCodec(both), etcd.withCodec<string, number>({ value: json<number>() })];
    checkType<Same<typeof views, Numbers<string>[]>>();
    const shards = etcd.withCodec({ key: shardKey });
    checkType<Same<Parameters<typeof shards.put>[1], string>>();
  });

  test('types prevKv, ranges, deletes and watch events', async () => {
    const users = etcd.namespace('all/').withCodec({ value: json<User>() });
    await using watch = users.watch(prefix(''));
    await watch.ready;
    await users.put('a', { name: 'A', role: 'guest' });
    const { prevKv } = await users.put('a', { name: 'A', role: 'admin' }, { prevKv: true });
    assert.equal(prevKv?.value.role, 'guest');
    const { kvs } = await users.range(prefix(''));
    assert.deepEqual(
      kvs.map(({ key, value }) => [key, value.role]),
      [['a', 'admin']],
    );
    const { prevKvs } = await users.delete('a', { prevKv: true });
    assert.equal(prevKvs[0]?.value.role, 'admin');
    const seen: unknown[] = [];
    for await (const event of watch) {
      seen.push([event.type, event.kv.key, event.type === 'put' ? event.kv.value.role : undefined]);
      if (event.type === 'delete') break;
    }
    assert.deepEqual(seen, [
      ['put', 'a', 'guest'],
      ['put', 'a', 'admin'],
      ['delete', 'a', undefined],
    ]);
  });

  test('takes codecs of your own, for keys too, below a namespace', async () => {
    const shards = etcd.namespace('shards/').withCodec({ key: shardKey, value: bytes });
    await shards.put({ shard: 2, id: 'x' }, Uint8Array.of(1, 2));
    await shards.put({ shard: 2, id: 'y' }, 'text');
    await shards.put({ shard: 3, id: 'x' }, 'other');
    const { kvs } = await shards.range(prefix(Uint8Array.of(2)));
    assert.deepEqual(
      kvs.map(({ key, value }) => [key, [...value]]),
      [
        [{ shard: 2, id: 'x' }, [1, 2]],
        [{ shard: 2, id: 'y' }, [...Buffer.from('text')]],
      ],
    );
    checkType<Same<(typeof kvs)[number], TypedKeyValue<{ shard: number; id: string }, Uint8Array>>>();
  });

  test('fails for a value that is not what it should be, when that is read', async () => {
    await etcd.put('bad/1', 'not JSON');
    await etcd.put('bad/2', '{"name":"B","role":"guest"}');
    const { kvs } = await etcd.namespace('bad/').withCodec({ value: json<User>() }).range(prefix(''));
    assert.equal(kvs[1]?.value.name, 'B');
    assert.equal(kvs[0]?.key, '1');
    assert.throws(
      () => kvs[0]?.value,
      (error: unknown) => {
        assert.ok(error instanceof CodecError);
        assert.equal(error.code, StatusCode.INTERNAL);
        assert.ok(error.cause instanceof SyntaxError);
        assert.match(error.message, /the value of "1" can't be decoded: .*raw\.value/);
        return true;
      },
    );
    assert.equal(kvs[0]?.raw.text(), 'not JSON');
  });

  test('decodes no value of a deleted key', async () => {
    const numbers = etcd.namespace('deleted/').withCodec({
      value: { encode: (value: number) => String(value), decode: (bytes) => Number(Buffer.from(bytes)) },
    });
    await using watch = numbers.watch(prefix(''));
    await watch.ready;
    await numbers.put('a', 5);
    await numbers.delete('a');
    const events: WatchEvent<TypedKeyValue<string, number>>[] = [];
    for await (const event of watch) if (events.push(event) === 2) break;
    assert.equal(events[0]?.kv.value, 5);
    assert.throws(() => events[1]?.kv.value, /"a" was deleted, and has no value/);
    assert.equal(JSON.parse(JSON.stringify(events[1])).kv.value, '');
  });

  test('reads keys alone without decoding values', async () => {
    await etcd.put('keys/1', 'not JSON');
    const { kvs } = await etcd
      .namespace('keys/')
      .withCodec({ value: json<User>() })
      .range(prefix(''), { keysOnly: true });
    assert.deepEqual(
      kvs.map(({ key }) => key),
      ['1'],
    );
  });

  test('rejects what its codec refuses, and sends nothing', async () => {
    const numbers = etcd.namespace('numbers/').withCodec({ value: json<unknown>() });
    for (const value of [undefined, 1n, () => {}]) {
      await assert.rejects(numbers.put('n', value), (error: unknown) => {
        assert.ok(error instanceof CodecError);
        assert.equal(error.code, StatusCode.INVALID_ARGUMENT);
        assert.equal(error.sent, false);
        assert.ok(error.cause instanceof InvalidArgumentError);
        return true;
      });
    }
    assert.equal(await etcd.get('numbers/n'), undefined);
    const texts = etcd.withCodec({});
    await assert.rejects(texts.put('half a pair: \ud800', ''), CodecError);
    await assert.rejects(texts.get(''), InvalidArgumentError);
  });
});

describe('codecs', () => {
  test('utf8 gives back what was written, with a byte order mark too', () => {
    for (const text of ['', 'plain', 'ä€😀', '\ufeffmark', '\0']) {
      assert.equal(utf8.decode(Buffer.from(utf8.encode(text))), text);
    }
    assert.throws(() => utf8.decode(Uint8Array.of(0xff)), CodecError);
    assert.throws(() => utf8.encode(7 as unknown as string), InvalidArgumentError);
  });

  test('json checks with the given function', () => {
    const positive = json((value) => {
      if (typeof value !== 'number' || value <= 0) throw new RangeError('not positive');
      return value;
    });
    assert.equal(positive.decode(Buffer.from('7')), 7);
    assert.throws(() => positive.decode(Buffer.from('-7')), RangeError);
  });
});
