// Whatever waits leaves the event loop free: to wait is to do nothing. A loop that spins on settled promises lets no
// timer and no input through.
import assert from 'node:assert/strict';
import { setMaxListeners } from 'node:events';
import { performance } from 'node:perf_hooks';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EtcdServer, startTcpProxy, type TcpProxy } from '@quiesce/test-services';
import {
  Barrier,
  Cache,
  DoubleBarrier,
  Election,
  type EtcdClient,
  Mirror,
  Mutex,
  OrderedReads,
  PriorityQueue,
  prefix,
  Queue,
  RwMutex,
  Session,
} from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';

/** How long each is watched, in ms. */
const WATCHED_MS = 400;

overEachTransport('who waits leaves the event loop free', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });
  let proxy: TcpProxy;
  /** A client whose server says nothing more, though its connections stay. */
  let mute: EtcdClient;
  let holder: Session;
  let session: Session;
  before(async () => {
    proxy = await startTcpProxy(server);
    mute = await connect({ endpoints: `http://127.0.0.1:${proxy.port}`, timeoutMs: 60_000 });
    proxy.pause();
    [holder, session] = await Promise.all([Session.create(etcd), Session.create(etcd)]);
    await new Mutex(holder, 'mutex').lock();
    await new RwMutex(holder, 'rw').writeLock();
    await new Election(etcd, 'election').campaign(holder, '');
    await new Barrier(etcd, 'barrier').hold();
  });
  after(async () => {
    await mute.close();
    await proxy.close();
  });

  const loop = async (iterable: AsyncIterable<unknown>): Promise<void> => {
    for await (const _ of iterable);
  };
  const future = 1n << 40n;
  /** Each waits for what doesn't come, until the signal aborts or the test takes it down. */
  const waits: Readonly<Record<string, (signal: AbortSignal) => Promise<unknown>>> = {
    'Cache.waitForRevision': async (signal) => {
      await using cache = await Cache.open(etcd, prefix('cache/'));
      await cache.waitForRevision(future, { signal, timeoutMs: Number.POSITIVE_INFINITY });
    },
    'Cache.waitForRevision, several': async (signal) => {
      await using cache = await Cache.open(etcd, prefix('cache/'));
      const waiting = Array.from({ length: 50 }, (_, i) =>
        cache.waitForRevision(future + BigInt(i), { signal }),
      );
      await Promise.all(waiting);
    },
    'Watch.requestProgress of a watch that is not made': (signal) =>
      mute.watch('progress', { signal }).requestProgress({ signal, timeoutMs: Number.POSITIVE_INFINITY }),
    'a loop over a watch': (signal) => loop(etcd.watch('watched', { signal })),
    'a loop over batches': (signal) => loop(etcd.watch('watched', { signal }).batches()),
    'a loop over a mirror': (signal) => loop(new Mirror(etcd, prefix('mirror/'), { signal })),
    'a loop over a keepalive': async (signal) =>
      loop(await etcd.lease.keepAlive((await etcd.lease.grant(60)).id, { signal })),
    'Mutex.lock': (signal) => new Mutex(session, 'mutex').lock({ signal }),
    'RwMutex.writeLock': (signal) => new RwMutex(session, 'rw').writeLock({ signal }),
    'RwMutex.readLock': (signal) => new RwMutex(session, 'rw').readLock({ signal }),
    'Election.campaign': (signal) => new Election(etcd, 'election').campaign(session, '', { signal }),
    'Election.observe': (signal) => loop(new Election(etcd, 'election').observe({ signal })),
    'Election.observe of none': (signal) => loop(new Election(etcd, 'nobody').observe({ signal })),
    'Barrier.wait': (signal) => new Barrier(etcd, 'barrier').wait({ signal }),
    'DoubleBarrier.enter': (signal) => new DoubleBarrier(session, 'double', 2).enter({ signal }),
    'Queue.dequeue': (signal) => new Queue(etcd, 'queue').dequeue({ signal }),
    'PriorityQueue.dequeue': (signal) => new PriorityQueue(etcd, 'priorities').dequeue({ signal }),
    'OrderedReads.get': (signal) => new OrderedReads(mute).get('key', { signal }),
    'a call': (signal) => mute.get('key', { signal }),
    'a watch that is not made': async (signal) => mute.watch('key', { signal }).ready,
    'a keepalive that is not answered': (signal) =>
      mute.lease.keepAlive(1n, { signal, timeoutMs: Number.POSITIVE_INFINITY }),
    'a cache that is not read': (signal) => Cache.open(mute, prefix('cache/'), { signal }),
    'connect()': (signal) =>
      connect({ endpoints: `http://127.0.0.1:${proxy.port}`, connectTimeoutMs: 60_000, signal }),
  };

  for (const [name, wait] of Object.entries(waits)) {
    test(name, async () => {
      const reason = new Error('enough');
      const giveUp = new AbortController();
      setMaxListeners(0, giveUp.signal);
      let over = false;
      const waiting = wait(giveUp.signal).then(
        () => {
          over = true;
        },
        (error: unknown) => {
          over = true;
          if (error !== reason) throw error;
        },
      );
      waiting.catch(() => {});
      await sleep(150);
      // It may take a while to begin, and other processes may have the CPUs. One that is never at rest waits busily.
      let utilization = 1;
      for (let i = 0; i < 20 && utilization >= 0.5; i++) {
        const before = performance.eventLoopUtilization();
        await sleep(WATCHED_MS);
        ({ utilization } = performance.eventLoopUtilization(before));
      }
      const waited = !over;
      giveUp.abort(reason);
      await waiting;
      assert.ok(waited, 'it did not wait');
      assert.ok(
        utilization < 0.5,
        `the event loop was busy for ${(100 * utilization).toFixed()} % of the time`,
      );
    });
  }
});
