// Sessions: a lease kept alive for as long as its holder lives.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EtcdServer, startTcpProxy } from '@quiesce/test-services';
import { type EtcdClient, LeaseLostError, LeaseNotFoundError, Mutex, Session } from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { aborted, eventually } from './support/eventually.js';

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

  test('have a TTL of 60 s, or what was asked for', async () => {
    await using session = await Session.create(etcd);
    assert.equal(session.ttlSeconds, 60);
    assert.ok(session.remainingMs > 50_000);
    await using other = await Session.create(etcd, { ttlSeconds: 7 });
    assert.equal(other.ttlSeconds, 7);
    assert.equal((await etcd.lease.timeToLive(other.leaseId))?.grantedTtlSeconds, 7);
  });

  test('take a lease that exists, and refuse one that doesn’t', async () => {
    const { id } = await etcd.lease.grant(30);
    await using session = await Session.create(etcd, { leaseId: id });
    assert.equal(session.leaseId, id);
    await assert.rejects(Session.create(etcd, { leaseId: 123 }), LeaseNotFoundError);
  });

  test('hold their lease beyond its TTL, and revoke it when closed', async () => {
    const session = await Session.create(etcd, { ttlSeconds: 1 });
    await etcd.put('session/key', '', { lease: session.leaseId });
    const start = performance.now();
    await eventually('2 s go by', () => performance.now() - start > 2000);
    assert.ok((await etcd.get('session/key')) !== undefined);
    await session.close();
    await session.close();
    assert.equal(why(session.signal.reason), 'closed');
    assert.equal(session.remainingMs, 0);
    assert.equal(await etcd.get('session/key'), undefined);
  });

  test('leave their keys until the TTL has passed when orphaned', async () => {
    const session = await Session.create(etcd, { ttlSeconds: 1 });
    await etcd.put('session/orphan', '', { lease: session.leaseId });
    session.orphan();
    assert.equal(why(session.signal.reason), 'closed');
    assert.ok((await etcd.get('session/orphan')) !== undefined);
    await eventually('the key goes', async () => (await etcd.get('session/orphan')) === undefined);
  });

  test('tell their loss: lease revoked', async () => {
    await using session = await Session.create(etcd, { ttlSeconds: 2 });
    await using other = await connect(server.endpoint);
    await other.lease.revoke(session.leaseId);
    assert.equal(why(await aborted(session.signal, 1900)), 'revoked');
  });

  test('tell their loss: no connection', async () => {
    await using proxy = await startTcpProxy(server);
    await using far = await connect(`http://127.0.0.1:${proxy.port}`);
    const session = await Session.create(far, { ttlSeconds: 1 });
    proxy.pause();
    assert.equal(why(await aborted(session.signal, 3000)), 'expired');
    await session.close();
  });

  test('tell their loss: client closed; closing them then does nothing', async () => {
    const client = await connect(server.endpoint);
    const session = await Session.create(client, { ttlSeconds: 1 });
    const lock = await new Mutex(session, 'session/mutex').lock();
    await client.close();
    assert.equal(why(session.signal.reason), 'halted');
    assert.equal(why(lock.signal.reason), 'halted');
    await lock.unlock();
    await session.close();
  });

  test('outlive the signal that they were made with', async () => {
    const control = new AbortController();
    await using session = await Session.create(etcd, { ttlSeconds: 1, signal: control.signal });
    control.abort();
    assert.equal(session.signal.aborted, false);
    await assert.rejects(Session.create(etcd, { signal: control.signal }), { name: 'AbortError' });
  });
});
