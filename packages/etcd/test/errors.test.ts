// What errors say of the request that they come of: `sent` and `mayBeApplied`, and that there was none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type EtcdServer, startTcpProxy } from '@quiesce/test-services';
import {
  Barrier,
  Cache,
  ClusterMismatchError,
  CodecError,
  DeadlineExceededError,
  DoubleBarrier,
  Election,
  type EtcdClient,
  EtcdError,
  json,
  Mutex,
  op,
  PriorityQueue,
  Queue,
  Session,
  StmConflictError,
  StoreReplacedError,
} from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { aborted } from './support/eventually.js';

const NO_REQUEST = { sent: false, mayBeApplied: false };
const CHANGED_NOTHING = { sent: true, mayBeApplied: false };
const IN_DOUBT = { sent: true, mayBeApplied: true };

function fateOf(error: unknown): { sent: boolean; mayBeApplied: boolean } {
  assert.ok(error instanceof EtcdError, String(error));
  return { sent: error.sent, mayBeApplied: error.mayBeApplied };
}

async function fails(promise: Promise<unknown>): Promise<{ sent: boolean; mayBeApplied: boolean }> {
  return fateOf(
    await promise.then(
      () => assert.fail('it has not failed'),
      (error: unknown) => error,
    ),
  );
}

overEachTransport('what errors say of requests', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });

  test('a read in flight when the client is closed has changed nothing', async () => {
    const closing = await connect(server.endpoint);
    const calls: [Promise<unknown>, object][] = [
      [closing.get('k'), CHANGED_NOTHING],
      [closing.range('k'), CHANGED_NOTHING],
      [closing.cluster.memberList(), CHANGED_NOTHING],
      [closing.put('k', 'v'), IN_DOUBT],
    ];
    const outcomes = Promise.all(calls.map(([call]) => fails(call)));
    await closing.close();
    assert.deepEqual(
      await outcomes,
      calls.map(([, fate]) => fate),
    );
  });

  test('a keepalive that reached no server was not sent', async () => {
    await using lazy = await connect({ endpoints: 'http://127.0.0.1:1', lazy: true, timeoutMs: 300 });
    assert.deepEqual(await fails(lazy.lease.keepAliveOnce(5n)), NO_REQUEST);
    await assert.rejects(
      lazy.lease.keepAlive(5n),
      /no etcd answers at http:..127.0.0.1:1: connection refused/,
    );
  });

  test('the end of a session, a lock or a leadership is of no request', async () => {
    await using session = await Session.create(etcd);
    const lock = await new Mutex(session, 'errors/lock').lock();
    await lock.unlock();
    assert.deepEqual(fateOf(lock.signal.reason), NO_REQUEST);
    const leadership = await new Election(etcd, 'errors/lead').campaign(session, 'me');
    await etcd.delete(leadership.key);
    assert.deepEqual(fateOf(await aborted(leadership.signal)), NO_REQUEST);
    assert.deepEqual(await fails(leadership.proclaim('late')), NO_REQUEST);
    await session.close();
    assert.deepEqual(fateOf(session.signal.reason), NO_REQUEST);
    assert.deepEqual(await fails(new Mutex(session, 'errors/lock').lock()), NO_REQUEST);
  });

  test('refusals made here, and waits that need no request, are of none', async () => {
    await using session = await Session.create(etcd);
    const barrier = new DoubleBarrier(session, 'errors/double', 1);
    assert.deepEqual(await fails(barrier.leave()), NO_REQUEST);
    await barrier.enter();
    assert.deepEqual(await fails(barrier.enter()), NO_REQUEST);
    await barrier.leave();
    await using cache = await Cache.open(etcd, 'errors/cache');
    assert.deepEqual(await fails(cache.waitForRevision(2n ** 40n, { timeoutMs: 50 })), NO_REQUEST);
    await etcd.put('errors/json', '{');
    const kv = await etcd.withCodec({ value: json() }).get('errors/json');
    assert.throws(
      () => kv?.value,
      (error) => error instanceof CodecError && assert.deepEqual(fateOf(error), NO_REQUEST) === undefined,
    );
    const timeoutMs = Number.MIN_VALUE;
    assert.deepEqual(
      await fails(new PriorityQueue(etcd, 'errors/q').enqueue('', 1, { timeoutMs })),
      NO_REQUEST,
    );
  });

  test('a wait that was in vain has changed nothing', async () => {
    await using session = await Session.create(etcd);
    const mutex = new Mutex(session, 'errors/wait');
    await using _lock = await mutex.lock();
    const timeoutMs = 50;
    const other = new Mutex(session, 'errors/wait');
    assert.deepEqual(await fails(other.lock({ timeoutMs })), CHANGED_NOTHING);
    const barrier = new Barrier(etcd, 'errors/barrier');
    await barrier.hold();
    assert.deepEqual(await fails(barrier.hold()), CHANGED_NOTHING);
    assert.deepEqual(await fails(barrier.wait({ timeoutMs })), CHANGED_NOTHING);
    assert.deepEqual(await fails(new Queue(etcd, 'errors/queue').dequeue({ timeoutMs })), CHANGED_NOTHING);
    const double = new DoubleBarrier(session, 'errors/alone', 2);
    assert.deepEqual(await fails(double.enter({ timeoutMs })), CHANGED_NOTHING);
    const conflict = etcd.stm(
      async (stm) => {
        await stm.get('errors/stm');
        await etcd.put('errors/stm', '');
        stm.put('errors/stm', '');
      },
      { maxAttempts: 2 },
    );
    await assert.rejects(conflict, StmConflictError);
    assert.deepEqual(await fails(conflict), CHANGED_NOTHING);
  });

  test('of calls without an answer those that only read change nothing, and the others may', async () => {
    await using proxy = await startTcpProxy({ port: Number(new URL(server.endpoint).port) });
    await using far = await connect(`http://127.0.0.1:${proxy.port}`);
    await using session = await Session.create(far, { ttlSeconds: 60 });
    const leadership = await new Election(far, 'errors/far').campaign(session, 'me');
    const lock = await new Mutex(session, 'errors/far-lock').lock();
    await far.get('k');
    proxy.pause();
    const bound = { timeoutMs: 200 };
    const outcomes = await Promise.all([
      fails(far.get('k', bound)),
      fails(far.lease.list(bound)),
      fails(far.cluster.memberList(bound)),
      fails(far.put('k', '', bound)),
      fails(far.txn({ success: [] }, bound)),
      fails(far.txn({ failure: [op.delete('k')] }, bound)),
      fails(leadership.proclaim('you', bound)),
      fails(lock.unlock(bound)),
    ]);
    const [get, list, members, put, reading, ...others] = outcomes;
    const writes = [put, ...others];
    for (const read of [get, list, members, reading]) assert.deepEqual(read, CHANGED_NOTHING);
    for (const write of writes) assert.deepEqual(write, IN_DOUBT);
    // Lost while a proclamation is on its way, which the signal's reason knows nothing of.
    const proclaimed = fails(leadership.proclaim('they'));
    await delay(50);
    session.orphan();
    assert.deepEqual(await proclaimed, IN_DOUBT);
    assert.deepEqual(fateOf(leadership.signal.reason), NO_REQUEST);
    proxy.resume();
  });
});

test('another cluster has carried out the write; that a store was replaced is of no request', () => {
  const ids = { clusterId: 2n, expectedClusterId: 1n, adopted: false };
  assert.deepEqual(fateOf(new ClusterMismatchError('http://127.0.0.1:1', ids)), IN_DOUBT);
  const state = { clusterId: 1n, revision: 2n, raftTerm: 2n };
  assert.deepEqual(fateOf(new StoreReplacedError(state, { ...state, revision: 1n })), NO_REQUEST);
});

test('who makes an error says whether something was sent', () => {
  // @ts-expect-error a default would be wrong for some
  const made = new DeadlineExceededError('late', { code: 4 });
  assert.ok(made instanceof EtcdError);
});
