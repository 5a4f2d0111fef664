// Mirrors and caches of a range, and ordered reads.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EtcdServer, startEtcdCluster, startTcpProxy, type TcpProxy } from '@quiesce/test-services';
import {
  allKeys,
  Cache,
  ClosedError,
  compare,
  connect as connectAny,
  DeadlineExceededError,
  EndpointManager,
  type EtcdClient,
  InvalidArgumentError,
  type KeyValue,
  keyRange,
  Mirror,
  type MirrorChange,
  OrderedReads,
  op,
  prefix,
  UnavailableError,
} from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { eventually } from './support/eventually.js';
import { OwnTime } from './support/own-time.js';

let server: EtcdServer;
let direct: EtcdClient;
withEtcd(connectAny, (given) => {
  ({ server, etcd: direct } = given);
});

let names = 0;
const fresh = (): string => `mirror-${++names}/`;
const told = (kvs: readonly KeyValue[]): string[] => kvs.map((kv) => `${kv.keyText()}=${kv.text()}`);

overEachTransport('mirror', (connect) => {
  let proxy: TcpProxy;
  let etcd: EtcdClient;
  before(async () => {
    proxy = await startTcpProxy({ port: server.port });
    etcd = await connect({ endpoints: `http://127.0.0.1:${proxy.port}`, timeoutMs: 1_000 });
  });
  after(async () => {
    await etcd.close();
    await proxy.close();
  });

  /** What came of it, and the first revision of what is missing. */
  class Copy {
    readonly keys = new Map<string, string>();
    resets = 0;
    apply(change: MirrorChange): void {
      if (change.type === 'reset') {
        this.keys.clear();
        this.resets += 1;
      } else if (change.type === 'base') {
        for (const kv of change.kvs) this.keys.set(kv.keyText(), kv.text());
      } else if (change.type === 'update') {
        for (const { type, kv } of change.events) {
          if (type === 'put') this.keys.set(kv.keyText(), kv.text());
          else this.keys.delete(kv.keyText());
        }
      }
    }
  }

  test('reads a base in pages at one revision while keys change, then each change', async () => {
    const p = fresh();
    for (let i = 0; i < 25; i++) await direct.put(`${p}${String(i).padStart(2, '0')}`, 'old');
    const copy = new Copy();
    const types: string[] = [];
    await using mirror = new Mirror(etcd, prefix(p), { pageSize: 10 });
    for await (const change of mirror) {
      types.push(change.type);
      copy.apply(change);
      if (change.type === 'base' && types.length === 2) {
        // Later than the base: none of its pages may show them.
        await direct.txn({
          success: [op.put(`${p}00`, 'new'), op.put(`${p}24`, 'new'), op.delete(`${p}12`)],
        });
      }
      if (change.type === 'synced') assert.ok([...copy.keys.values()].every((value) => value === 'old'));
      if (change.type === 'update' && change.events.length > 0) {
        assert.equal(change.events.length, 3);
        break;
      }
    }
    assert.deepEqual(types, ['reset', 'base', 'base', 'base', 'synced', 'update']);
    assert.equal(copy.keys.size, 24);
    assert.equal(copy.keys.get(`${p}24`), 'new');
  });

  test('starts over after a compaction of what it has not seen', async () => {
    const p = fresh();
    await direct.put(`${p}a`, '1');
    await direct.put(`${p}b`, '1');
    const copy = new Copy();
    await using mirror = new Mirror(etcd, prefix(p));
    const changes = mirror[Symbol.asyncIterator]();
    const until = async (wanted: (change: MirrorChange) => boolean): Promise<void> => {
      for (;;) {
        const { done, value } = await changes.next();
        assert.ok(!done);
        copy.apply(value);
        if (wanted(value)) return;
      }
    };
    await until(({ type }) => type === 'synced');
    await direct.put('elsewhere', '');
    await mirror.requestProgress();
    const { port } = proxy;
    await proxy.close();
    await direct.delete(`${p}a`);
    const { revision } = await direct.put(`${p}c`, '1');
    await direct.compact(revision);
    proxy = await startTcpProxy({ port: server.port }, port);
    await until(({ type }) => type === 'synced');
    assert.equal(copy.resets, 2);
    assert.deepEqual([...copy.keys.keys()], [`${p}b`, `${p}c`]);
    await direct.put(`${p}d`, '1');
    await until((change) => change.type === 'update' && change.events.length > 0);
    assert.ok(copy.keys.has(`${p}d`));
    const next = changes.next();
    mirror.close();
    assert.equal((await next).done, true);
  });

  test('the first reading fails as a read does', async () => {
    const { port } = proxy;
    await proxy.close();
    try {
      await assert.rejects(
        Cache.open(etcd, prefix('x')),
        (error) => error instanceof Error && /UNAVAILABLE|refused|connect/i.test(String(error)),
      );
    } finally {
      proxy = await startTcpProxy({ port: server.port }, port);
    }
  });

  test('a cache shows keys and ranges, and each write once it is waited for', async () => {
    const p = fresh();
    for (const key of ['b', 'a', 'd']) await etcd.put(p + key, key);
    await using cache = await Cache.open(etcd, prefix(p));
    assert.equal(cache.size, 3);
    assert.deepEqual(told(cache.range()), [`${p}a=a`, `${p}b=b`, `${p}d=d`]);
    assert.equal(cache.get(`${p}x`), undefined);
    const { revision } = await etcd.put(`${p}c`, 'c');
    await cache.waitForRevision(revision);
    assert.equal(cache.get(`${p}c`)?.text(), 'c');
    await cache.waitForRevision((await etcd.delete(`${p}a`)).revision);
    assert.deepEqual(told(cache.range(keyRange(`${p}a`, `${p}d`))), [`${p}b=b`, `${p}c=c`]);
    // A change elsewhere, which no event reports.
    const elsewhere = await etcd.put('elsewhere', '');
    await cache.waitForRevision(elsewhere.revision);
    assert.ok(cache.revision >= elsewhere.revision);
    assert.equal(cache.disconnectedMs, 0);
    assert.throws(() => cache.get('elsewhere'), InvalidArgumentError);
    assert.throws(() => cache.range(prefix('e')), InvalidArgumentError);
    await assert.rejects(
      cache.waitForRevision(cache.revision + 100n, { timeoutMs: 30 }),
      DeadlineExceededError,
    );
  });

  test('a cache comes to the revision of a change elsewhere, beside a watch that starts in the future', async () => {
    const p = fresh();
    await using cache = await Cache.open(etcd, prefix(p));
    const { revision } = await etcd.put('elsewhere', '');
    // What the guide says: read, then watch.
    await using watch = etcd.watch(prefix('elsewhere'), { startRevision: revision + 1n });
    await watch.ready;
    await using other = await Cache.open(etcd, prefix(fresh()));
    await cache.waitForRevision(revision);
    assert.ok(other.revision >= revision);
  });

  test('a wait for a revision ends by its signal, and many wait at once', async () => {
    const p = fresh();
    await using cache = await Cache.open(etcd, prefix(p));
    const giveUp = new AbortController();
    const before = cache.revision;
    const given = cache.waitForRevision(before + 1_000n, { signal: giveUp.signal });
    const waiting = Array.from({ length: 20 }, (_, i) => cache.waitForRevision(before + BigInt(i)));
    giveUp.abort('enough');
    await assert.rejects(given, (error) => error === 'enough');
    for (let i = 0; i < 20; i++) await direct.put(i % 2 === 0 ? `${p}a` : 'elsewhere', String(i));
    await Promise.all(waiting);
    await assert.rejects(
      cache.waitForRevision(1n << 40n, { signal: AbortSignal.abort('at once') }),
      (error) => error === 'at once',
    );
  });

  test('a cache of a namespace, and of all keys', async () => {
    const p = fresh();
    const app = etcd.namespace(p);
    await app.put('a', '1');
    await using cache = await Cache.open(app, allKeys());
    await cache.waitForRevision((await app.put('b', '2')).revision);
    assert.deepEqual(told(cache.range()), ['a=1', 'b=2']);
    assert.deepEqual(told(cache.range(prefix('b'))), ['b=2']);
  });

  test('a cache tells of its changes, its connection and a resync', async () => {
    const p = fresh();
    await etcd.put(`${p}a`, '1');
    await etcd.put(`${p}b`, '1');
    await using cache = await Cache.open(etcd, prefix(p));
    const seen: string[] = [];
    cache.on('put', ({ kv, prevKv }) =>
      seen.push(`${kv.keyText().slice(p.length)}=${kv.text()} was ${prevKv?.text()}`),
    );
    cache.on('delete', ({ kv }) => seen.push(`-${kv.keyText().slice(p.length)}`));
    await cache.waitForRevision((await etcd.put(`${p}c`, '1')).revision);
    const connections: string[] = [];
    cache.on('connected', () => connections.push('connected'));
    cache.on('disconnected', () => connections.push('disconnected'));
    const down = once(cache, 'disconnected');
    const { port } = proxy;
    await proxy.close();
    await down;
    await sleep(500); // several attempts to connect
    assert.ok(cache.disconnectedMs > 450);
    assert.equal(cache.get(`${p}a`)?.text(), '1');
    await direct.delete(`${p}a`);
    await direct.put(`${p}b`, '2');
    const { revision } = await direct.put(`${p}d`, '1');
    await direct.compact(revision);
    const resync = once(cache, 'resync');
    proxy = await startTcpProxy({ port: server.port }, port);
    await resync;
    // The watch after the compaction is another one.
    const alternating = connections.map((_, i) => ['disconnected', 'connected'][i % 2]);
    assert.deepEqual(connections, alternating, 'however many attempts failed');
    assert.ok(connections.length >= 2);
    assert.deepEqual(seen, ['c=1 was undefined', 'b=2 was 1', 'd=1 was undefined', '-a']);
    assert.deepEqual(told(cache.range()), [`${p}b=2`, `${p}c=1`, `${p}d=1`]);
    assert.ok(cache.revision >= revision);
  });

  test('progress is known in a store at rest, too', async () => {
    const p = fresh();
    await using mirror = new Mirror(etcd, prefix(p));
    const changes: MirrorChange[] = [];
    const following = (async () => {
      for await (const change of mirror) changes.push(change);
    })();
    await eventually('it is synced', () => changes.at(-1)?.type === 'synced');
    const { revision } = await etcd.range(prefix(p));
    assert.equal(await mirror.requestProgress({ timeoutMs: 60_000 }), revision);
    await using watch = etcd.watch(prefix(p), { startRevision: revision + 1n, ownStream: true });
    await watch.ready;
    assert.equal(await watch.requestProgress({ timeoutMs: 60_000 }), revision);
    const put = await direct.put(`${p}a`, '1');
    assert.equal(await watch.requestProgress({ timeoutMs: 60_000 }), put.revision);
    mirror.close();
    await following;
  });

  test('a copy that has no connection for longer than its bound ends', async () => {
    const bound = { maxDisconnectedMs: 500 };
    const p = fresh();
    await using cache = await Cache.open(etcd, prefix(p), bound);
    const failed = once(cache, 'error');
    const loops = [new Mirror(etcd, prefix(p), bound), new EndpointManager(etcd, p).watch(bound)];
    const ended = loops.map(async (loop) => {
      for await (const _ of loop);
    });
    for (const end of ended) end.catch(() => {});
    await sleep(100);
    const { port } = proxy;
    await proxy.close();
    using time = new OwnTime();
    const unreached = (error: unknown): boolean => {
      assert.match(String(error), /the mirror had no connection for 500 ms; the last attempt: /);
      return error instanceof UnavailableError;
    };
    for (const end of ended) await assert.rejects(end, unreached);
    unreached((await failed)[0]);
    assert.throws(() => cache.get(`${p}a`), unreached);
    // Longer than the time limit of a call, if it didn't end.
    assert.ok(time.ms < 8_000, `${time.ms} ms`);
    // The base can't be read.
    await assert.rejects(Cache.open(etcd, prefix(p), bound), unreached);
    proxy = await startTcpProxy({ port: server.port }, port);
  });

  test('a copy that has a connection again in time goes on', async () => {
    const p = fresh();
    await using cache = await Cache.open(etcd, prefix(p), { maxDisconnectedMs: 5_000 });
    const down = once(cache, 'disconnected');
    const up = once(cache, 'connected');
    const { port } = proxy;
    await proxy.close();
    await down;
    proxy = await startTcpProxy({ port: server.port }, port);
    await up;
    await cache.waitForRevision((await direct.put(`${p}a`, '1')).revision);
    assert.equal(cache.get(`${p}a`)?.text(), '1');
  });

  test('a cache is up to date again once it shows what it has missed, also where that is elsewhere', async () => {
    const p = fresh();
    await using cache = await Cache.open(etcd, prefix(p));
    for (const key of ['elsewhere', `${p}a`]) {
      const down = once(cache, 'disconnected');
      const { port } = proxy;
      await proxy.close();
      await down;
      const { revision } = await direct.put(key, '');
      await sleep(5);
      const old: boolean[] = [];
      cache.once('connected', () => old.push(cache.disconnectedMs > 0));
      proxy = await startTcpProxy({ port: server.port }, port);
      await eventually('it is up to date', () => cache.disconnectedMs === 0);
      assert.deepEqual(old, [true]);
      assert.ok(cache.revision >= revision);
    }
  });

  test('a signal ends the opening of a cache, and has no effect once it is open', async () => {
    const name = fresh();
    const give = new AbortController();
    await using cache = await Cache.open(etcd, prefix(name), { signal: give.signal });
    give.abort();
    const { revision } = await etcd.put(`${name}/key`, 'value');
    await cache.waitForRevision(revision);
    assert.equal(cache.size, 1);

    await using proxy = await startTcpProxy({ port: server.port });
    await using client = await connect(`http://127.0.0.1:${proxy.port}`);
    proxy.pause();
    const tooLate = new Error('the opening takes too long');
    const waiting = new AbortController();
    const opening = Cache.open(client, prefix(name), { signal: waiting.signal });
    waiting.abort(tooLate);
    await assert.rejects(opening, tooLate);
    proxy.resume();
    await assert.rejects(Cache.open(etcd, prefix(name), { signal: waiting.signal }), tooLate);
    const wrong = { signal: 'soon' } as never;
    await assert.rejects(Cache.open(etcd, prefix(name), wrong), InvalidArgumentError);
  });

  test('a closed cache, or one whose client is closed, can not be read', async () => {
    const client = await connect(server.endpoint);
    const cache = await Cache.open(client, prefix(fresh()));
    const ended = once(cache, 'close');
    const waiting = cache.waitForRevision(1n << 40n);
    await client.close();
    await ended;
    await assert.rejects(waiting, ClosedError);
    assert.throws(() => cache.range(), ClosedError);

    const closed = await Cache.open(etcd, prefix(fresh()));
    closed.close();
    closed.close();
    assert.throws(() => closed.range(), ClosedError);
  });
});

test('ordered reads from a member that is behind are not older than what was seen', async () => {
  await using cluster = await startEtcdCluster({ partitionable: true });
  const [behind, ...others] = await cluster.followers();
  assert.ok(behind !== undefined);
  const ahead = await connectAny(others[0]?.endpoint as string);
  const client = await connectAny(behind.endpoint);
  try {
    await ahead.put('a', '1');
    cluster.partition(behind);
    let put = await ahead.put('a', '2');
    put = await ahead.put('a', '3');
    // What a client that fails over would do.
    let turn: EtcdClient = ahead;
    const reads = new OrderedReads({
      range: (keys, options) => turn.range(keys, options),
      txn: (txn, options) => turn.txn(txn, options),
    });
    assert.equal((await reads.get('a'))?.text(), '3');
    assert.equal(reads.revision, put.revision);
    turn = client;
    assert.notEqual((await client.get('a', { serializable: true }))?.text(), '3', 'the member is not behind');
    const local = { success: [op.get('a', { serializable: true })] } as const;
    assert.notEqual((await client.txn(local)).responses[0]?.text(), '3', 'the member is not behind');
    const decided = { compare: [compare.value('a', '=', '3')] };
    assert.equal((await client.txn(decided)).succeeded, false, 'the member is not behind');
    const read = reads.get('a', { serializable: true });
    const txn = reads.txn(local);
    const decision = reads.txn(decided);
    cluster.heal();
    assert.equal((await read)?.text(), '3');
    const { succeeded, responses } = await txn;
    assert.ok(succeeded);
    assert.deepEqual(
      responses.map((kv) => kv?.text()),
      ['3'],
    );
    assert.deepEqual([(await decision).succeeded, (await decision).responses], [true, []]);
    const written = await reads.txn({ success: [op.put('a', '4')] });
    assert.equal(reads.revision, written.revision);
  } finally {
    await ahead.close();
    await client.close();
  }
});
