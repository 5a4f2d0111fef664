// A store that was restored from a backup, a member that only lags, and endpoints of two clusters: what remembers a
// revision ends with an error that says so, or reads anew; it is never silent.
import assert from 'node:assert/strict';
import { type EventEmitter, once } from 'node:events';
import { test } from 'node:test';
import { type EtcdServer, startEtcd, startEtcdCluster, startTcpProxy } from '@quiesce/test-services';
import {
  Cache,
  ClusterMismatchError,
  CompactedError,
  type ConnectionEvent,
  connect as connectAny,
  DeadlineExceededError,
  Election,
  type EtcdClient,
  EtcdError,
  Mirror,
  type MirrorChange,
  Mutex,
  OrderedReads,
  OwnershipLostError,
  prefix,
  Queue,
  Session,
  StoreReplacedError,
  UnavailableError,
} from '../src/index.js';
import { attemptFailed } from '../src/watch/watch.js';
import { type Connect, overEachTransport, shortElections } from './support/clients.js';
import { aborted, eventually } from './support/eventually.js';
import { type Backup, backUp, cannotRestore, restore } from './support/restore.js';
import { take } from './support/take.js';

const LONG_MS = 60_000;

/** A server with a backup of what `before` has written, and a client that has seen later revisions. */
async function withBackup(
  connect: Connect,
  before: (etcd: EtcdClient) => Promise<unknown>,
  use: (given: { server: EtcdServer; etcd: EtcdClient; backup: Backup }) => Promise<void>,
): Promise<void> {
  await using server = await startEtcd({ extraArgs: shortElections });
  await using etcd = await connect(server.endpoint);
  await before(etcd);
  const backup = await backUp(server, etcd);
  for (let i = 0; i < 50; i++) await etcd.put('later', String(i));
  await use({ server, etcd, backup });
}

/** Resolves with the error that a promise rejects with; handled from the beginning. */
function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => assert.fail(`it resolved, with ${String(value)}`),
    (error: unknown) => error,
  );
}

function assertReplaced(error: unknown): asserts error is StoreReplacedError {
  assert.ok(error instanceof StoreReplacedError, String(error));
}

overEachTransport('a store that was restored at a lower revision', (connect) => {
  for (const cluster of ['same id', 'other id'] as const) {
    test(`is noticed by watches, copies and recipes: ${cluster}`, { skip: cannotRestore }, async () => {
      const put = (etcd: EtcdClient): Promise<unknown> => etcd.put('k/a', 'backed up');
      await withBackup(connect, put, async ({ server, etcd, backup }) => {
        await etcd.put('k/a', 'later');
        const watch = etcd.watch(prefix('k/'));
        const quiet = etcd.watch('nothing happens here');
        await Promise.all([watch.ready, quiet.ready]);
        const cache = await Cache.open(etcd, prefix('k/'));
        const { revision: last } = await etcd.put('k/b', 'later');
        assert.equal((await take(watch, 1))[0]?.revision, last);
        await cache.waitForRevision(last);
        const changes: MirrorChange[] = [];
        const mirror = new Mirror(etcd, prefix('k/'));
        const mirroring = (async () => {
          for await (const change of mirror) changes.push(change);
        })();
        await eventually('the mirror is there', () => changes.at(-1)?.type === 'synced');
        const dequeued = new Queue(etcd, 'queue').dequeue();
        const inVain = failureOf(cache.waitForRevision(last + 1_000n, { timeoutMs: LONG_MS }));
        const ended = [failureOf(take(watch, 1)), failureOf(take(quiet, 1))];
        const resynced = once(cache, 'resync');

        await restore(server, backup, cluster);
        await using direct = await connectAny(server.endpoint);
        const { revision } = await direct.put('k/a', 'restored');
        assert.ok(revision < last);

        for (const error of await Promise.all(ended)) {
          assertReplaced(error);
          assert.equal(error.before.revision >= last, true);
          assert.equal(error.now.revision < last, true);
          assert.equal(error.now.clusterId === error.before.clusterId, cluster === 'same id');
          assert.match(error.message, /read the keys again/);
          assert.equal(error.cause instanceof ClusterMismatchError, cluster === 'other id');
        }
        assertReplaced(await inVain);
        const [shown, cause] = await resynced;
        assertReplaced(cause);
        assert.ok((shown as bigint) < last);
        await cache.waitForRevision(revision);
        assert.equal(cache.get('k/a')?.text(), 'restored');
        assert.equal(cache.get('k/b'), undefined);
        await eventually('the cache is up to date', () => cache.disconnectedMs === 0);
        const again = await etcd.put('k/a', 'once more');
        await cache.waitForRevision(again.revision);
        assert.equal(cache.get('k/a')?.text(), 'once more');

        await eventually('the mirror has started over', () => {
          const resets = changes.filter((change) => change.type === 'reset');
          return resets.length === 2 && resets[1]?.cause instanceof StoreReplacedError;
        });
        await eventually('the mirror goes on', () =>
          changes.some(({ ...change }) => change.type === 'update' && change.revision === again.revision),
        );
        mirror.close();
        await mirroring;
        await new Queue(direct, 'queue').enqueue('item');
        assert.equal((await dequeued).text(), 'item');
        cache.close();

        await using next = etcd.watch('k/a', { startRevision: again.revision });
        assert.deepEqual(
          (await take(next, 1)).map(({ kv }) => kv.text()),
          ['once more'],
        );
      });
    });
  }

  test('takes locks away that it knows nothing of, and observers see its leader', {
    skip: cannotRestore,
  }, async () => {
    let session: Session | undefined;
    let election: Election | undefined;
    const before = async (etcd: EtcdClient): Promise<void> => {
      session = await Session.create(etcd, { ttlSeconds: 600 });
      election = new Election(etcd, 'election');
      const leadership = await election.campaign(session, 'first');
      assert.ok(leadership.revision > 0n);
    };
    await withBackup(connect, before, async ({ server, etcd, backup }) => {
      assert.ok(session !== undefined && election !== undefined);
      const lock = await new Mutex(session, 'mutex').lock();
      const leadership = await election.campaign(session, 'second');
      const observed: string[] = [];
      const stop = new AbortController();
      const observing = failureOf(
        (async () => {
          for await (const leader of new Election(etcd, 'election').observe({ signal: stop.signal }))
            observed.push(leader.text());
        })(),
      );
      await eventually('it observes', () => observed.length === 1);

      await restore(server, backup, 'same id');
      const lost = await aborted(lock.signal);
      assert.ok(lost instanceof OwnershipLostError, String(lost));
      assert.equal(lost.why, 'deleted');
      await eventually('it observes what the store has', () => observed.length === 2);
      assert.deepEqual(observed, ['second', 'first']);
      // The backup had it.
      assert.equal(session.signal.aborted, false);
      assert.equal(leadership.signal.aborted, false);
      stop.abort(new Error('enough'));
      assert.match(String(await observing), /enough/);
      await session.close();
    });
  });

  test('is noticed by code that reads several times', { skip: cannotRestore }, async () => {
    const put = async (etcd: EtcdClient): Promise<void> => {
      for (const key of ['p/1', 'p/2', 'p/3', 'p/4', 'p/5', 'n']) await etcd.put(key, key);
    };
    await withBackup(connect, put, async ({ server, etcd, backup }) => {
      const reads = new OrderedReads(etcd);
      await reads.get('n', { serializable: true });
      const pages = etcd.pages(prefix('p/'), { pageSize: 1 });
      await pages.next();
      let runs = 0;
      const read = etcd.stm(async (stm) => {
        runs += 1;
        await stm.get('p/1');
        if (runs === 1) await restore(server, backup, 'same id');
        const now = await stm.get('p/2');
        stm.put('p/1', `${now?.text()} in run ${runs}`);
      });
      await read;
      assert.equal(runs, 2);
      assert.equal((await etcd.get('p/1'))?.text(), 'p/2 in run 2');

      const error = await failureOf(reads.get('n', { serializable: true }));
      assertReplaced(error);
      assert.ok(error.now.revision < error.before.revision);
      assert.equal((await reads.get('n', { serializable: true }))?.text(), 'n');
      // The second page was asked for with the first.
      assertReplaced(await failureOf(pages.next().then(() => pages.next())));
    });
  });

  test('fails a transaction that was read from the former one', { skip: cannotRestore }, async () => {
    const put = (etcd: EtcdClient): Promise<unknown> => etcd.put('n', '1');
    await withBackup(connect, put, async ({ server, etcd, backup }) => {
      const error = await failureOf(
        etcd.stm(async (stm) => {
          const before = (await stm.get('n'))?.text();
          await restore(server, backup, 'same id');
          stm.put('n', `${before}+1`);
        }),
      );
      assertReplaced(error);
      assert.equal(error.mayBeApplied, true);
      assert.match(error.message, /the transaction was applied there/);
      assert.equal((await etcd.get('n'))?.text(), '1+1');
    });
  });

  test('is noticed by its raft term once its revision has passed the former one', {
    skip: cannotRestore,
  }, async () => {
    await using server = await startEtcd({ extraArgs: shortElections });
    // Each start of the only member begins another term.
    await server.restart();
    const proxy = await startTcpProxy({ port: server.port });
    const { port } = proxy;
    await using etcd = await connect(`http://127.0.0.1:${port}`);
    const backup = await backUp(server, etcd);
    const watch = etcd.watch('key');
    await watch.ready;
    for (let i = 0; i < 5; i++) await etcd.put('key', String(i));
    assert.equal((await take(watch, 5)).length, 5);
    const ended = failureOf(take(watch, 1));
    await proxy.close();
    await restore(server, backup, 'same id');
    await using direct = await connectAny(server.endpoint);
    for (let i = 0; i < 20; i++) await direct.put('key', `restored ${i}`);
    await using _again = await startTcpProxy({ port: server.port }, port);
    const error = await ended;
    assertReplaced(error);
    assert.ok(error.now.revision > error.before.revision);
    assert.ok(error.now.raftTerm < error.before.raftTerm);
    assert.match(error.message, /raft term went back from \d+ to \d+/);
  });

  test('is a compaction where revisions were bumped and marked as compacted', {
    skip: cannotRestore,
  }, async () => {
    const put = (etcd: EtcdClient): Promise<unknown> => etcd.put('key', 'backed up');
    await withBackup(connect, put, async ({ server, etcd, backup }) => {
      await etcd.put('key', 'later');
      const watch = etcd.watch('key');
      await watch.ready;
      const cache = await Cache.open(etcd, 'key');
      const shown = cache.revision;
      const resynced = once(cache, 'resync');
      const ended = failureOf(take(watch, 1));
      await restore(server, backup, 'same id', ['--bump-revision=1000000', '--mark-compacted']);
      const [revision, cause] = await resynced;
      assert.ok(cause instanceof CompactedError, String(cause));
      assert.ok((await ended) instanceof CompactedError);
      assert.ok((revision as bigint) > shown);
      assert.equal(cache.get('key')?.text(), 'backed up');
      cache.close();
    });
  });

  test('with another id fails the write that finds out, and no read', { skip: cannotRestore }, async () => {
    const put = (etcd: EtcdClient): Promise<unknown> => etcd.put('n', '1');
    await withBackup(connect, put, async ({ server, etcd, backup }) => {
      await using reader = await connect(server.endpoint);
      await restore(server, backup, 'other id');
      assert.equal((await reader.get('n'))?.text(), '1');
      await reader.put('n', '2');
      const error = await failureOf(etcd.put('n', '3'));
      assert.ok(error instanceof ClusterMismatchError, String(error));
      assert.equal(error.adopted, true);
      assert.equal(error.mayBeApplied, true);
      assert.equal(error.endpoint, server.endpoint);
      const { header } = await etcd.range('n');
      assert.equal(error.clusterId, header.clusterId);
      assert.notEqual(error.expectedClusterId, header.clusterId);
      for (const id of [error.clusterId, error.expectedClusterId]) {
        assert.ok(error.message.includes(id.toString(16)), error.message);
      }
      await etcd.put('n', '4');
    });
  });
});

overEachTransport('a member that lags', (connect) => {
  test('is no restored store: its watches go on', async () => {
    await using cluster = await startEtcdCluster({ partitionable: true });
    const [lagging] = await cluster.followers();
    assert.ok(lagging !== undefined);
    const leader = await cluster.leader();
    const target = { port: leader.port };
    await using proxy = await startTcpProxy(target);
    await using direct = await connectAny(leader.endpoint);
    await using etcd = await connect(`http://127.0.0.1:${proxy.port}`);
    const watch = etcd.watch('key');
    const quiet = etcd.watch('another key');
    const cache = await Cache.open(etcd, 'key');
    const resyncs: bigint[] = [];
    cache.on('resync', (revision) => resyncs.push(revision));
    await Promise.all([watch.ready, quiet.ready]);
    cluster.partition(lagging);
    for (let i = 0; i < 20; i++) await direct.put('key', String(i));
    assert.equal((await take(watch, 20)).length, 20);

    const disconnected = once(quiet, 'disconnected');
    target.port = lagging.port;
    proxy.cut();
    await disconnected;
    // Without a leader the member can't say whether it is behind.
    const [reason] = await once(quiet as EventEmitter, attemptFailed);
    assert.match(String(reason), /no leader|DEADLINE_EXCEEDED|timed out/);
    const connected = once(quiet, 'connected');
    cluster.heal();
    await connected;
    await direct.put('key', 'after');
    assert.deepEqual(
      (await take(watch, 1)).map(({ kv }) => kv.text()),
      ['after'],
    );
    await eventually('the cache goes on', () => cache.get('key')?.text() === 'after');
    assert.deepEqual(resyncs, []);
    cache.close();
  });
});

overEachTransport('endpoints of two clusters', (connect) => {
  test('are told apart before a write goes to the wrong one', async () => {
    await using ours = await startEtcd({ extraArgs: shortElections });
    await using foreign = await startEtcd({ extraArgs: shortElections });
    await using there = await connectAny(foreign.endpoint);
    await using etcd = await connect({ endpoints: [ours.endpoint, foreign.endpoint], timeoutMs: 2_000 });
    const events: ConnectionEvent[] = [];
    etcd.onConnection((event) => events.push(event));
    await using session = await Session.create(etcd);
    for (let i = 0; i < 20; i++) await etcd.put(`key/${i}`, '');
    await eventually('the other one is known', () => events.length > 0);
    for (let i = 0; i < 20; i++) await etcd.put(`key/${i}`, '');
    const { error, state } = etcd.endpoints[1] ?? {};
    assert.equal(state, 'failed');
    assert.ok(error instanceof ClusterMismatchError, String(error));
    assert.equal(error.adopted, false);
    assert.equal(error.endpoint, foreign.endpoint);
    assert.match(error.message, /endpoints of one cluster/);
    for (const event of events) {
      assert.equal(event.endpoint, foreign.endpoint);
      assert.ok(event.error instanceof ClusterMismatchError, String(event.error));
    }

    // Not even where there is no other.
    const watch = etcd.watch(prefix('key/'));
    const cut = once(watch, 'disconnected');
    await watch.ready;
    ours.kill();
    await cut;
    await assert.rejects(etcd.put('key/lost', ''));
    await assert.rejects(etcd.get('key/0'));
    await assert.rejects(etcd.lease.keepAliveOnce(session.leaseId), DeadlineExceededError);
    await ours.restart();
    await etcd.put('key/last', 'seen', { timeoutMs: 10_000 });
    assert.deepEqual(
      (await take(watch, 1)).map(({ kv }) => kv.text()),
      ['seen'],
    );
    await etcd.lease.keepAliveOnce(session.leaseId);
    assert.equal((await there.range(prefix(''), { countOnly: true })).count, 0n);
    assert.equal(session.signal.aborted, false);
  });

  test('are told apart where one comes to be behind an endpoint of the other', async () => {
    await using ours = await startEtcd({ extraArgs: shortElections });
    await using foreign = await startEtcd({ extraArgs: shortElections });
    await using there = await connectAny(foreign.endpoint);
    const target = { port: ours.port };
    await using proxy = await startTcpProxy(target);
    await using etcd = await connect([`http://127.0.0.1:${proxy.port}`, ours.endpoint].join());
    await eventually('both are ready', async () => {
      await etcd.get('key');
      return etcd.endpoints.every(({ state }) => state === 'ready');
    });
    await using session = await Session.create(etcd);
    const watch = etcd.watch(prefix('key/'));
    await watch.ready;

    target.port = foreign.port;
    proxy.cut();
    const made: string[] = [];
    let elsewhere = 0;
    for (let i = 0; i < 30; i++) {
      await etcd.lease.keepAliveOnce(session.leaseId);
      try {
        await etcd.put(`key/${i}`, '');
        made.push(`key/${i}`);
      } catch (error) {
        assert.ok(error instanceof EtcdError);
        if (error instanceof UnavailableError) continue;
        assert.ok(error instanceof ClusterMismatchError, String(error));
        assert.equal(error.adopted, false);
        elsewhere += 1;
      }
    }
    assert.deepEqual(
      (await take(watch, made.length)).map(({ kv }) => kv.keyText()),
      made,
    );
    assert.equal((await there.range(prefix('key/'), { countOnly: true })).count, BigInt(elsewhere));
    await eventually('it is left alone', async () => {
      await etcd.get('key');
      return etcd.endpoints[0]?.error instanceof ClusterMismatchError;
    });
    assert.equal(session.signal.aborted, false);
  });

  test('can be left for another one by setEndpoints()', async () => {
    await using first = await startEtcd({ extraArgs: shortElections });
    await using second = await startEtcd({ extraArgs: shortElections });
    await using etcd = await connect(first.endpoint);
    await etcd.put('key', 'first');
    const session = await Session.create(etcd, { ttlSeconds: 2 });
    const watch = etcd.watch('key');
    await watch.ready;
    const cache = await Cache.open(etcd, 'key');
    const told: string[] = [];
    cache.on('put', ({ kv, prevKv }) => told.push(`${kv.text()} was ${prevKv?.text()}`));
    const ended = failureOf(take(watch, 1));
    await using direct = await connectAny(second.endpoint);
    const { revision } = await direct.put('key', 'second');
    assert.equal(revision, cache.get('key')?.modRevision);
    etcd.setEndpoints(second.endpoint);
    await etcd.put('another', '');
    const error = await ended;
    assertReplaced(error);
    assert.ok(error.cause instanceof ClusterMismatchError);
    await eventually('the cache shows it', () => cache.get('key')?.text() === 'second');
    // The same revision in both stores isn't the same write.
    assert.deepEqual(told, ['second was first']);
    await aborted(session.signal);
    cache.close();
  });
});
