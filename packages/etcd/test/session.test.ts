// Sessions: a lease kept alive for as long as its holder lives.
import assert from 'node:assert/strict';
import { channel } from 'node:diagnostics_channel';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type EtcdServer, startEtcd, startTcpProxy } from '@quiesce/test-services';
import {
  ClosedError,
  DeadlineExceededError,
  type EtcdClient,
  LeaseLostError,
  LeaseNotFoundError,
  Mutex,
  Session,
} from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { aborted, eventually } from './support/eventually.js';
import { OwnTime } from './support/own-time.js';

const why = (reason: unknown): string => {
  assert.ok(reason instanceof LeaseLostError, String(reason));
  return reason.why;
};

overEachTransport('sessions', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });

  test('have a TTL of 60 s, or the requested one', async () => {
    await using session = await Session.create(etcd);
    assert.equal(session.ttlSeconds, 60);
    assert.ok(session.remainingMs > 50_000);
    await using other = await Session.create(etcd, { ttlSeconds: 7 });
    assert.equal(other.ttlSeconds, 7);
    assert.equal((await etcd.lease.timeToLive(other.leaseId))?.grantedTtlSeconds, 7);
  });

  test('accept a lease that exists, and refuse one that doesn’t', async () => {
    const { id } = await etcd.lease.grant(30);
    await using session = await Session.create(etcd, { leaseId: id });
    assert.equal(session.leaseId, id);
    await assert.rejects(Session.create(etcd, { leaseId: 123 }), LeaseNotFoundError);
  });

  test('hold their lease beyond its TTL, and revoke it when closed', async () => {
    const session = await Session.create(etcd, { ttlSeconds: 3 });
    await etcd.put('session/key', '', { lease: session.leaseId });
    await delay(4000);
    assert.ok((await etcd.get('session/key')) !== undefined);
    await session.close();
    await session.close();
    assert.equal(why(session.signal.reason), 'closed');
    assert.equal(session.remainingMs, 0);
    assert.equal(await etcd.get('session/key'), undefined);
  });

  test('leave their keys until the TTL has passed when orphaned', async () => {
    const session = await Session.create(etcd, { ttlSeconds: 3 });
    await etcd.put('session/orphan', '', { lease: session.leaseId });
    session.orphan();
    assert.equal(why(session.signal.reason), 'closed');
    assert.ok((await etcd.get('session/orphan')) !== undefined);
    await eventually('the key goes', async () => (await etcd.get('session/orphan')) === undefined);
  });

  test('report their loss: lease revoked', async () => {
    await using session = await Session.create(etcd, { ttlSeconds: 6 });
    await using other = await connect(server.endpoint);
    await other.lease.revoke(session.leaseId);
    assert.equal(why(await aborted(session.signal)), 'revoked');
  });

  test('report their loss: no connection', async () => {
    await using proxy = await startTcpProxy(server);
    await using far = await connect(`http://127.0.0.1:${proxy.port}`);
    const session = await Session.create(far, { ttlSeconds: 1 });
    proxy.pause();
    assert.equal(why(await aborted(session.signal)), 'expired');
    await session.close();
  });

  test('report their loss: client closed; to close them then fails, as their keys stay', async () => {
    const client = await connect(server.endpoint);
    const session = await Session.create(client, { ttlSeconds: 10 });
    const lock = await new Mutex(session, 'session/mutex').lock();
    await client.close();
    assert.equal(why(session.signal.reason), 'halted');
    assert.equal(why(lock.signal.reason), 'halted');
    await assert.rejects(lock.unlock(), ClosedError);
    await assert.rejects(session.close(), ClosedError);
  });

  test('outlive the signal that they were made with', async () => {
    const control = new AbortController();
    await using session = await Session.create(etcd, { ttlSeconds: 10, signal: control.signal });
    control.abort();
    assert.equal(session.signal.aborted, false);
    await assert.rejects(Session.create(etcd, { signal: control.signal }), { name: 'AbortError' });
  });

  test('are made within their bounds, and leave nothing behind where that fails', async () => {
    const before = new Set(await etcd.lease.list());
    const left = async (): Promise<bigint[]> => (await etcd.lease.list()).filter((id) => !before.has(id));
    const { id } = await etcd.lease.grant(60);
    before.add(id);
    for (const after of ['nothing', 'LeaseGrant']) {
      for (const how of ['timeoutMs', 'signal']) {
        for (const lease of after === 'nothing' ? [{}, { leaseId: id }] : [{}]) {
          await using proxy = await startTcpProxy(server);
          await using far = await connect(`http://127.0.0.1:${proxy.port}`);
          await far.get('warm-up');
          const silence = (trace: unknown): void => {
            if ((trace as { method: string }).method.endsWith(after)) proxy.pause();
          };
          if (after === 'nothing') proxy.pause();
          else channel('quiesce-etcd:call:end').subscribe(silence);
          using time = new OwnTime();
          try {
            const reason = new Error('given up');
            const control = new AbortController();
            const timer = setTimeout(() => control.abort(reason), 300);
            const bound = how === 'signal' ? { signal: control.signal } : { timeoutMs: 300 };
            const failure = how === 'signal' ? reason : DeadlineExceededError;
            await assert.rejects(Session.create(far, { ...bound, ...lease }), failure);
            clearTimeout(timer);
          } finally {
            channel('quiesce-etcd:call:end').unsubscribe(silence);
          }
          assert.ok(time.ms < 3000, `${how} of 300 ms after ${after}: ${time.ms} ms`);
          proxy.resume();
          // What was sent before comes first. Who closes the client before that can't take it back.
          await far.get('warm-up', { timeoutMs: 60_000 });
          await delay(200);
          await eventually(`no lease is left, ${how}, ${after}`, async () => (await left()).length === 0);
        }
      }
    }
    assert.ok((await etcd.lease.timeToLive(id)) !== undefined);
  });

  test('have no say of the signal and the bound once they are there', async () => {
    const control = new AbortController();
    await using session = await Session.create(etcd, { signal: control.signal, timeoutMs: 2000 });
    control.abort();
    const start = performance.now();
    await eventually('the time passes', () => performance.now() - start > 2200);
    assert.equal(session.signal.aborted, false);
  });

  test('are closed again where that has failed', async () => {
    await using proxy = await startTcpProxy(server);
    await using far = await connect(`http://127.0.0.1:${proxy.port}`);
    const session = await Session.create(far, { ttlSeconds: 60 });
    await far.put('session/again', '', { lease: session.leaseId });
    proxy.pause();
    await assert.rejects(session.close({ timeoutMs: 200 }), DeadlineExceededError);
    assert.equal(why(session.signal.reason), 'closed');
    // The first request is lost.
    proxy.cut();
    proxy.resume();
    await session.close();
    assert.equal(await etcd.get('session/again'), undefined);
    assert.equal(await etcd.lease.timeToLive(session.leaseId), undefined);
    await session.close();
  });

  test('on one lease have different names: their locks exclude each other', async () => {
    await using one = await Session.create(etcd);
    await using two = await Session.create(etcd, { leaseId: one.leaseId });
    const lock = await new Mutex(one, 'session/shared').lock();
    assert.equal(await new Mutex(two, 'session/shared').tryLock(), undefined);
    await lock.unlock();
  });

  test('close within the bounds of each close()', async () => {
    await using own = await startEtcd();
    await using client = await connect(own.endpoint);
    const session = await Session.create(client, { ttlSeconds: 60 });
    own.pause();
    try {
      const first = session.close({ timeoutMs: 10_000 });
      first.catch(() => {});
      using time = new OwnTime();
      await assert.rejects(session.close({ timeoutMs: 100 }), { message: /not done within 100 ms/ });
      const reason = new Error('enough');
      await assert.rejects(session.close({ signal: AbortSignal.abort(reason) }), reason);
      // Neither waited for the first.
      assert.ok(time.ms < 8_000, `${time.ms} ms`);
    } finally {
      own.resume();
    }
    await session.close();
  });

  test('close for those who wait longer than whoever began to', async () => {
    await using own = await startEtcd();
    await using client = await connect(own.endpoint);
    const session = await Session.create(client, { ttlSeconds: 60 });
    own.pause();
    try {
      const began = assert.rejects(session.close({ timeoutMs: 200 }), { name: 'DeadlineExceededError' });
      const stopped = assert.rejects(session.close({ signal: AbortSignal.timeout(400) }), {
        name: 'TimeoutError',
      });
      const patient = session.close({ timeoutMs: 30_000 });
      await Promise.all([began, stopped]);
      own.resume();
      await patient;
    } finally {
      own.resume();
    }
    assert.equal(await client.lease.timeToLive(session.leaseId), undefined);
  });

  test('are gone from memory once they are closed, whatever their TTL', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const closed = async (): Promise<WeakRef<Session>> => {
      const session = await Session.create(etcd, { ttlSeconds: 86_400 });
      await session.close();
      return new WeakRef(session);
    };
    const session = await closed();
    await eventually('the session is collected', () => {
      collect();
      return session.deref() === undefined;
    });
  });
});
