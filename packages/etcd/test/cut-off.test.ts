// A client whose streams are at a member that is cut off from the others: whatever waits moves on to another member, and
// no copy passes for up to date meanwhile.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { startEtcdCluster } from '@quiesce/test-services';
import {
  Barrier,
  Cache,
  connect as connectAny,
  DoubleBarrier,
  Election,
  Mirror,
  type MirrorChange,
  Mutex,
  PriorityQueue,
  prefix,
  Queue,
  RwMutex,
  Session,
} from '../src/index.js';
import { overEachTransport } from './support/clients.js';
import { eventually } from './support/eventually.js';

/** A member gives its leader up after three times the election timeout, of 0.5 s here. */
const SECONDS = 20_000;

overEachTransport('beside a member that is cut off', (connect) => {
  test('who waits moves on, and copies say that they are old', async () => {
    await using cluster = await startEtcdCluster({ partitionable: true });
    const [alone, ...rest] = await cluster.followers();
    assert.ok(alone !== undefined);
    const others = cluster.members.filter((member) => member !== alone).map(({ endpoint }) => endpoint);
    assert.ok(rest.length > 0);
    const other = await connectAny({ endpoints: others });
    const etcd = await connect(alone.endpoint);
    try {
      const [theirs, ours] = await Promise.all([Session.create(other), Session.create(etcd)]);
      const lock = await new Mutex(theirs, 'mutex').lock();
      const reader = await new RwMutex(theirs, 'rw').readLock();
      const leader = await new Election(other, 'election').campaign(theirs, 'them');
      await new Barrier(other, 'barrier').hold();
      await other.put('copies/a', '1');

      const cache = await Cache.open(etcd, prefix('copies/'));
      const mirrored: MirrorChange[] = [];
      const mirror = new Mirror(etcd, prefix('copies/'));
      const mirroring = (async () => {
        for await (const change of mirror) {
          mirrored.push(change);
          if (change.type === 'update' && change.events.length > 0) return;
        }
      })();
      const observed: string[] = [];
      const observing = (async () => {
        for await (const leader of new Election(etcd, 'election').observe()) {
          observed.push(leader.text());
          if (leader.text() === 'us') return;
        }
      })();
      const waiting: Readonly<Record<string, Promise<unknown>>> = {
        lock: new Mutex(ours, 'mutex').lock(),
        writeLock: new RwMutex(ours, 'rw').writeLock(),
        campaign: new Election(etcd, 'election').campaign(ours, 'us'),
        barrier: new Barrier(etcd, 'barrier').wait(),
        enter: new DoubleBarrier(ours, 'double', 2).enter(),
        dequeue: new Queue(etcd, 'queue').dequeue(),
        priority: new PriorityQueue(etcd, 'priorities').dequeue(),
        mirror: mirroring,
        observe: observing,
      };
      const settled: string[] = [];
      for (const [name, promise] of Object.entries(waiting)) {
        promise.then(
          () => settled.push(name),
          (error: unknown) => settled.push(`${name}: ${String(error)}`),
        );
      }
      await eventually('all wait', async () => {
        const counts = await Promise.all(
          ['mutex/', 'rw/', 'election/', 'double/waiters/'].map(
            async (p) => (await other.range(prefix(p), { countOnly: true })).count,
          ),
        );
        return counts.join() === '2,2,2,1' && observed.length === 1 && mirrored.length > 0;
      });
      etcd.setEndpoints(cluster.endpoints);
      assert.deepEqual(settled, []);
      assert.equal(cache.disconnectedMs, 0);

      const disconnected = once(cache, 'disconnected');
      cluster.partition(alone);
      await cluster.leader();
      await other.put('copies/a', '2');
      await Promise.all([lock.unlock(), reader.unlock(), leader.resign()]);
      await new Barrier(other, 'barrier').release();
      const entering = new DoubleBarrier(theirs, 'double', 2).enter();
      await new Queue(other, 'queue').enqueue('');
      await new PriorityQueue(other, 'priorities').enqueue('', 1);
      await disconnected;
      // What it shows is old, or it says so no more.
      assert.ok(cache.get('copies/a')?.text() === '2' || cache.disconnectedMs > 0);
      await eventually('all have moved on', () => settled.length === Object.keys(waiting).length, SECONDS);
      assert.deepEqual(settled.sort(), Object.keys(waiting).sort());
      await entering;
      await eventually('the cache is up to date', () => cache.disconnectedMs === 0, SECONDS);
      assert.equal(cache.get('copies/a')?.text(), '2');
      assert.deepEqual(observed, ['them', 'us']);
      await Promise.all([theirs.close(), ours.close()]);
    } finally {
      await etcd.close();
      await other.close();
    }
  });
});
