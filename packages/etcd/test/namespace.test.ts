// Namespaces: views of a client that see the keys below a prefix, as clientv3/namespace.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { EtcdServer } from '@quiesce/test-services';
import {
  allKeys,
  ClosedError,
  type EtcdClient,
  fromKey,
  InvalidArgumentError,
  type KeyValue,
  keyRange,
  prefix,
} from '../src/index.js';
import { overEachTransport, withServer } from './support/clients.js';

let server: EtcdServer;
withServer((started) => {
  server = started;
});

const keysOf = (kvs: readonly KeyValue[]): string[] => kvs.map((kv) => kv.keyText());

overEachTransport('a namespace', (connect) => {
  let etcd: EtcdClient;
  before(async () => {
    etcd = await connect(server.endpoint);
    await etcd.delete(allKeys());
    for (const key of ['a/', 'a/1', 'a/2', 'a/b/1', 'a/b/2', 'a0', 'b/1'])
      await etcd.put(key, `value of ${key}`);
  });
  after(() => etcd.close());

  test('reads and writes below its prefix', async () => {
    const app = etcd.namespace('put/');
    await app.put('key', 'x');
    const kv = await app.get('key');
    assert.equal(kv?.keyText(), 'key');
    assert.equal((await etcd.get('put/key'))?.text(), 'x');
    const { prevKv } = await app.put('key', 'y', { prevKv: true });
    assert.equal(prevKv?.keyText(), 'key');
    const { deleted, prevKvs } = await app.delete('key', { prevKv: true });
    assert.equal(deleted, 1n);
    assert.deepEqual(keysOf(prevKvs), ['key']);
    assert.equal(await etcd.get('put/key'), undefined);
  });

  // The key "a/" itself has no name in the namespace, as in clientv3.
  const ranges = {
    'all keys': [allKeys(), ['1', '2', 'b/1', 'b/2']],
    'an empty prefix': [prefix(''), ['1', '2', 'b/1', 'b/2']],
    'a prefix': [prefix('b/'), ['b/1', 'b/2']],
    'from a key': [fromKey('2'), ['2', 'b/1', 'b/2']],
    'an interval': [keyRange('1', 'b/2'), ['1', '2', 'b/1']],
    'one key': ['2', ['2']],
  } as const;
  for (const [name, [keys, expected]] of Object.entries(ranges)) {
    test(`maps ${name}`, async () => {
      const { kvs } = await etcd.namespace('a/').range(keys);
      assert.deepEqual(keysOf(kvs), expected);
    });
  }

  test('deletes nothing outside of it, not even by "all keys"', async () => {
    for (const key of ['del', 'del/', 'del/1', 'del/\xff', 'del0']) await etcd.put(key, '');
    assert.equal((await etcd.namespace('del/').delete(allKeys())).deleted, 2n);
    assert.deepEqual(keysOf((await etcd.getPrefix('del')).kvs), ['del', 'del/', 'del0']);
  });

  test('may have a prefix of 0xff bytes alone, which has no end', async () => {
    const last = Uint8Array.of(0xff, 0xff);
    await etcd.put(Uint8Array.of(0xff), 'outside');
    await etcd.put(Uint8Array.of(0xff, 0xff, 1), 'inside');
    const { kvs } = await etcd.namespace(last).range(allKeys());
    assert.deepEqual(
      kvs.map((kv) => [...kv.key]),
      [[1]],
    );
  });

  test('has namespaces in turn', async () => {
    const inner = etcd.namespace('a/').namespace('b/');
    assert.deepEqual(keysOf((await inner.range(allKeys())).kvs), ['1', '2']);
    assert.deepEqual(Buffer.from(inner.prefix).toString(), 'a/b/');
    await inner.put('3', 'x');
    assert.equal((await etcd.get('a/b/3'))?.text(), 'x');
    await etcd.delete('a/b/3');
  });

  test('with an empty prefix is the client again', async () => {
    assert.equal((await etcd.namespace('').get('a/1'))?.text(), 'value of a/1');
  });

  test('watches its keys under their names in the namespace', async () => {
    const app = etcd.namespace('watch/');
    await using watch = app.watch(allKeys(), { prevKv: true });
    await watch.ready;
    await etcd.put('watch-other', 'unseen');
    await etcd.put('watch/x', '1');
    await app.put('x', '2');
    await app.delete('x');
    const seen: unknown[] = [];
    for await (const { type, kv, prevKv } of watch) {
      seen.push([type, kv.keyText(), kv.text(), prevKv?.keyText()]);
      if (seen.length === 3) break;
    }
    assert.deepEqual(seen, [
      ['put', 'x', '1', undefined],
      ['put', 'x', '2', 'x'],
      ['delete', 'x', '', 'x'],
    ]);
  });

  test('refuses what is no key or no prefix', async () => {
    const app = etcd.namespace('a/');
    await assert.rejects(app.get(''), InvalidArgumentError);
    await assert.rejects(app.put('', 'x'), InvalidArgumentError);
    assert.throws(() => etcd.namespace(7 as unknown as string), InvalidArgumentError);
  });

  test('ends with its client', async () => {
    const other = await connect(server.endpoint);
    const app = other.namespace('a/');
    await other.close();
    await assert.rejects(app.get('1'), ClosedError);
  });
});
