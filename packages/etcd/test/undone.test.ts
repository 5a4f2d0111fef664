// A wait whose time is over says what its last attempt met, and whether anything was sent.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EtcdServer, startEtcd, startTcpProxy } from '@quiesce/test-services';
import {
  Barrier,
  Cache,
  ClosedError,
  compare,
  DeadlineExceededError,
  DoubleBarrier,
  Election,
  EtcdError,
  LeaseLostError,
  Mutex,
  type Namespace,
  OrderedReads,
  OwnershipLostError,
  op,
  PriorityQueue,
  prefix,
  Queue,
  RwMutex,
  Session,
  tryLockKey,
  UnavailableError,
} from '../src/index.js';
import { overEachTransport, withServer } from './support/clients.js';
import { eventually } from './support/eventually.js';

interface Bound {
  readonly timeoutMs: number;
}

/** Waits that need no session. */
const plain: Readonly<Record<string, (space: Namespace, bound: Bound) => Promise<unknown>>> = {
  'Queue.dequeue': (space, bound) => new Queue(space, 'q').dequeue(bound),
  'PriorityQueue.dequeue': (space, bound) => new PriorityQueue(space, 'pq').dequeue(bound),
  'Barrier.wait': (space, bound) => new Barrier(space, 'b').wait(bound),
  'Session.create': (space, bound) => Session.create(space, bound),
  'Session.create, of a lease': (space, bound) => Session.create(space, { leaseId: 7n, ...bound }),
  tryLockKey: (space, bound) => tryLockKey(space, 'k', bound),
};

/** Waits of a session. */
const ofSession: Readonly<Record<string, (session: Session, bound: Bound) => Promise<unknown>>> = {
  'Mutex.lock': (session, bound) => new Mutex(session, 'm').lock(bound),
  'Mutex.tryLock': (session, bound) => new Mutex(session, 'm').tryLock(bound),
  'Mutex.resume': (session, bound) =>
    new Mutex(session, 'm').resume({ key: Buffer.from('m/1'), revision: 2n }, bound),
  'RwMutex.readLock': (session, bound) => new RwMutex(session, 'rw').readLock(bound),
  'Election.campaign': (session, bound) => new Election(session.space, 'e').campaign(session, '', bound),
  'DoubleBarrier.enter': (session, bound) => new DoubleBarrier(session, 'd', 2).enter(bound),
};

/** The error of a wait that nobody could be asked in. */
function unreached(endpoint: string, timeoutMs: number): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof EtcdError, String(error));
    assert.ok(error.message.includes(`${endpoint}: connection refused`), error.message);
    // The last attempt of a call that has the same bound may end it.
    if (!(error instanceof UnavailableError)) {
      const late = `DEADLINE_EXCEEDED: not done within ${timeoutMs} ms; `;
      assert.ok(error instanceof DeadlineExceededError && error.message.startsWith(late), error.message);
    }
    assert.ok(error.cause instanceof UnavailableError);
    assert.deepEqual([error.sent, error.mayBeApplied, error.cause.sent], [false, false, false]);
    return true;
  };
}

overEachTransport('waits that nothing came of', (connect) => {
  describe('where no etcd was ever reached', () => {
    for (const [title, wait] of Object.entries(plain)) {
      test(title, async () => {
        const endpoint = 'http://127.0.0.1:1';
        await using etcd = await connect({ endpoints: endpoint, lazy: true });
        // A busy machine may take longer to refuse a connection than the wait has.
        const known = new AbortController();
        const first = assert.rejects(etcd.get('a', { signal: known.signal, timeoutMs: 60_000 }));
        await eventually('it is refused', () => etcd.endpoints[0]?.state === 'failed');
        known.abort();
        await first;
        await assert.rejects(wait(etcd, { timeoutMs: 200 }), unreached(endpoint, 200));
      });
    }
  });

  describe('where etcd has gone', () => {
    test('before they began: nothing was sent', async () => {
      await using server = await startEtcd();
      // Of an attempt that is under way when the time is over, it isn't known whether it was sent.
      const retry = { backoffMs: 1_000, maxBackoffMs: 1_000 };
      await using etcd = await connect({ endpoints: server.endpoint, retry });
      const session = await Session.create(etcd, { ttlSeconds: 600 });
      const held = await new Mutex(session, 'held').lock();
      const leadership = await new Election(etcd, 'led').campaign(session, '');
      const gone = unreached(server.endpoint, 200);
      await server.kill('SIGKILL');
      await eventually('the client has noticed', async () => etcd.endpoints[0]?.state === 'failed');
      for (const [title, wait] of Object.entries(plain)) {
        await assert.rejects(wait(etcd, { timeoutMs: 200 }), gone, title);
      }
      for (const [title, wait] of Object.entries(ofSession)) {
        await assert.rejects(wait(session, { timeoutMs: 200 }), gone, title);
      }
      await assert.rejects(held.unlock({ timeoutMs: 200 }), gone, 'unlock');
      await assert.rejects(held.unlock({ timeoutMs: 200 }), gone, 'unlock again');
      await assert.rejects(leadership.resign({ timeoutMs: 200 }), gone, 'resign');
      const first = assert.rejects(session.close({ timeoutMs: 400 }), UnavailableError);
      await assert.rejects(session.close({ timeoutMs: 200 }), gone, 'close');
      await first;
    });

    test('while they wait: something was sent', async () => {
      await using server = await startEtcd();
      await using etcd = await connect(server.endpoint);
      await new Barrier(etcd, 'up').hold();
      const waiting = new Barrier(etcd, 'up').wait({ timeoutMs: 3_000 });
      const failed = assert.rejects(waiting, (error) => {
        assert.ok(error instanceof DeadlineExceededError);
        assert.match(error.message, /not done within 3000 ms; the last attempt: .*connection refused/);
        assert.deepEqual([error.sent, error.mayBeApplied], [true, false]);
        return error.cause instanceof UnavailableError;
      });
      // Answered after what it asks first.
      await etcd.get('up');
      await server.kill('SIGKILL');
      await failed;
    });
  });

  describe('with an etcd', () => {
    let server: EtcdServer;
    withServer((given) => {
      server = given;
    });

    test('that answers: others were first, and there is no cause', async () => {
      await using etcd = await connect(server.endpoint);
      await using session = await Session.create(etcd);
      await using _ = await new Mutex(session, 'taken').lock();
      await assert.rejects(new Mutex(session, 'taken').lock({ timeoutMs: 300 }), (error) => {
        assert.ok(error instanceof DeadlineExceededError);
        // On a busy machine its key may take longer to remove than the call waits for that.
        const [what, left] = error.message.split('; ');
        assert.equal(what, 'DEADLINE_EXCEEDED: not done within 300 ms');
        assert.equal(error.mayBeApplied, left?.startsWith('its key may be there') ?? false);
        return error.cause === undefined && error.sent;
      });
    });

    test('that was away for a while: what failed before is no cause', async () => {
      await using proxy = await startTcpProxy({ port: server.port });
      await using etcd = await connect(`http://127.0.0.1:${proxy.port}`);
      await new Barrier(etcd, 'away').hold();
      const waiting = new Barrier(etcd, 'away').wait({ timeoutMs: 5_000 });
      const states: string[] = [];
      etcd.onConnection(({ state }) => void states.push(state));
      const { port } = proxy;
      await proxy.close();
      await eventually('it was away', async () => states.includes('failed'));
      await using _ = await startTcpProxy({ port: server.port }, port);
      await assert.rejects(waiting, { message: 'DEADLINE_EXCEEDED: not done within 5000 ms' });
    });

    test('that does not answer: it is named', async () => {
      await using proxy = await startTcpProxy({ port: server.port });
      const endpoint = `http://127.0.0.1:${proxy.port}`;
      await using etcd = await connect(endpoint);
      proxy.pause();
      await assert.rejects(new Barrier(etcd, 'frozen').wait({ timeoutMs: 300 }), {
        message: `DEADLINE_EXCEEDED: not done within 300 ms; no answer from ${endpoint} so far`,
        sent: true,
      });
      // Its first attempt has a bound of 2 s.
      await assert.rejects(new Barrier(etcd, 'frozen').wait({ timeoutMs: 2_300 }), (error) => {
        assert.ok(error instanceof DeadlineExceededError && error.cause instanceof EtcdError);
        assert.ok(error.message.includes(endpoint), error.message);
        return error.sent;
      });
      proxy.resume();
    });

    test('that does not answer: what only reads has changed nothing', async () => {
      await using proxy = await startTcpProxy({ port: server.port });
      const endpoint = `http://127.0.0.1:${proxy.port}`;
      await using etcd = await connect(endpoint);
      proxy.pause();
      const short = { timeoutMs: 100 };
      const range = op.txn({ success: [op.range('a')] });
      const reads = [
        () => etcd.txn({ success: [op.get('a')] }, short),
        () => etcd.txn({ compare: [compare.exists('a')], failure: [range] }, short),
        () => new OrderedReads(etcd).txn({ success: [op.get('a')] }, short),
        () => etcd.maintenance.alarmList(short),
        () =>
          etcd.stm(async (stm) => {
            await stm.get('a');
            stm.put('a', '');
          }, short),
      ];
      for (const read of reads) {
        await assert.rejects(read, (error) => {
          assert.ok(error instanceof EtcdError && error.message.includes(`no answer from ${endpoint}`));
          return error.sent && !error.mayBeApplied;
        });
      }
      const write = etcd.txn({ failure: [op.txn({ failure: [op.put('a', '')] })] }, short);
      await assert.rejects(write, (error) => error instanceof EtcdError && error.mayBeApplied);
      const closing = etcd.txn({ success: [op.get('a')] });
      const closed = assert.rejects(closing, (error) => error instanceof EtcdError && !error.mayBeApplied);
      await etcd.close();
      await closed;
    });

    test('that does not answer: the key of a claim may be there until it does', async () => {
      await using proxy = await startTcpProxy({ port: server.port });
      await using etcd = await connect(`http://127.0.0.1:${proxy.port}`);
      const session = await Session.create(etcd);
      await using direct = await connect(server.endpoint);
      const short = { timeoutMs: 100 };
      const claims = [
        () => new Mutex(session, 'left').lock(short),
        () => new Mutex(session, 'left').tryLock(short),
        () => new RwMutex(session, 'left').readLock(short),
        () => new RwMutex(session, 'left').writeLock(short),
      ];
      for (const claim of claims) {
        proxy.pause();
        await assert.rejects(claim, (error) => {
          assert.ok(error instanceof DeadlineExceededError);
          assert.match(error.message, /; its key may be there until etcd answers or the lease ends$/);
          return error.sent && error.mayBeApplied;
        });
        proxy.resume();
        await eventually(
          'the key is gone',
          async () => (await direct.range(prefix('left/'))).kvs.length === 0,
        );
      }
      await session.close();
    });

    test('that does not answer, and whose session ends: what is under way may be applied', async () => {
      await using proxy = await startTcpProxy({ port: server.port });
      await using etcd = await connect(`http://127.0.0.1:${proxy.port}`);
      await using direct = await connect(server.endpoint);
      for (const [title, claim] of Object.entries(ofSession)) {
        if (title === 'Mutex.resume') continue;
        const session = await Session.create(etcd);
        // It asks before it writes.
        const reads = title === 'DoubleBarrier.enter';
        proxy.pause();
        const claiming = claim(session, { timeoutMs: 60_000 });
        claiming.catch(() => {});
        await sleep(100);
        session.orphan();
        await assert.rejects(claiming, (error) => {
          assert.ok(error instanceof LeaseLostError, title);
          assert.equal(error.mayBeApplied, !reads, title);
          assert.equal(error.cause, session.signal.reason);
          return true;
        });
        proxy.resume();
        await direct.lease.revoke(session.leaseId);
      }
    });

    test('whose session was lost before: nothing was sent, and the error has its caller', async () => {
      await using etcd = await connect(server.endpoint);
      const session = await Session.create(etcd);
      const leadership = await new Election(etcd, 'lost').campaign(session, '');
      await session.close();
      async function namedCaller(claim: () => Promise<unknown>): Promise<unknown> {
        return await claim();
      }
      const claims = Object.entries(ofSession).map(
        ([title, claim]) => [title, () => claim(session, { timeoutMs: 1_000 })] as const,
      );
      for (const [title, claim] of [...claims, ['proclaim', () => leadership.proclaim('')] as const]) {
        await assert.rejects(namedCaller(claim), (error) => {
          assert.ok(error instanceof LeaseLostError || error instanceof OwnershipLostError, title);
          assert.match(String(error.stack), /namedCaller/, title);
          return !error.sent && !error.mayBeApplied;
        });
      }
      const cache = await Cache.open(etcd, 'closed');
      cache.close();
      const read = (): unknown => cache.get('closed');
      assert.throws(read, (error) => error instanceof ClosedError && /at read/.test(String(error.stack)));
    });

    test('that a watch has never reached: nothing was sent', async () => {
      await using etcd = await connect({ endpoints: 'http://127.0.0.1:1', lazy: true });
      const unsent = (error: unknown): boolean => error instanceof EtcdError && !error.sent;
      await assert.rejects(etcd.watch('a', { maxDisconnectedMs: 100 }).ready, unsent);
      const watch = etcd.watch('a');
      await assert.rejects(watch.requestProgress({ timeoutMs: 100 }), unsent);
      watch.close();
      await assert.rejects(watch.ready, unsent);
      await assert.rejects(watch.requestProgress(), unsent);
    });

    test('that a cache or a watch has lost: it is said', async () => {
      await using proxy = await startTcpProxy({ port: server.port });
      await using etcd = await connect(`http://127.0.0.1:${proxy.port}`);
      await using cache = await Cache.open(etcd, prefix('cached/'));
      await using watch = etcd.watch('watched');
      await watch.ready;
      await proxy.close();
      await eventually('it was noticed', async () => cache.disconnectedMs > 0);
      await assert.rejects(cache.waitForRevision(cache.revision + 5n, { timeoutMs: 200 }), {
        message: /did not reach \d+ within 200 ms; it has no connection: .*127\.0\.0\.1/,
      });
      await assert.rejects(watch.requestProgress({ timeoutMs: 200 }), {
        message: /did not report progress within 200 ms; the watch has no connection: .*127\.0\.0\.1/,
      });
    });
  });
});
