// Elections: who leads, what observers see, and what becomes of it when leaders and connections die.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type EtcdServer, startTcpProxy } from '@quiesce/test-services';
import {
  DeadlineExceededError,
  Election,
  type EtcdClient,
  InvalidArgumentError,
  LeaseLostError,
  OwnershipLostError,
  op,
  Session,
} from '../src/index.js';
import { keysBelow, overEachTransport, withEtcd } from './support/clients.js';
import { deferred } from './support/deferred.js';
import { aborted, eventually } from './support/eventually.js';

overEachTransport('election', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });

  const candidates = (name: string): Promise<number> => keysBelow(etcd, name);

  /** What an observer sees, until stopped. */
  function observe(election: Election) {
    const control = new AbortController();
    const seen: string[] = [];
    const loop = (async () => {
      for await (const leader of election.observe({ signal: control.signal })) seen.push(leader.text());
    })();
    const over = assert.rejects(loop, { name: 'AbortError' });
    return {
      seen,
      async stop() {
        control.abort();
        await over;
      },
    };
  }

  test('leads in the order of the campaigns; observers see each leader', async () => {
    const election = new Election(etcd, 'order');
    assert.equal(await election.leader(), undefined);
    const observers = [observe(election), observe(election)];
    const sessions = await Promise.all([1, 2, 3, 4].map(() => Session.create(etcd)));
    const campaigns: Promise<void>[] = [];
    const allCampaign = deferred();
    for (const [index, session] of sessions.entries()) {
      const value = `candidate ${index}`;
      campaigns.push(
        election.campaign(session, value).then(async (leadership) => {
          await allCampaign.promise;
          assert.equal((await election.leader())?.text(), value);
          for (const { seen } of observers) {
            await eventually(`${value} is seen`, () => seen.at(-1) === value);
          }
          await leadership.resign();
        }),
      );
      await eventually('its key is there', async () => (await candidates('order')) === index + 1);
    }
    allCampaign.resolve();
    await Promise.all(campaigns);
    const expected = ['candidate 0', 'candidate 1', 'candidate 2', 'candidate 3'];
    for (const observer of observers) {
      assert.deepEqual(observer.seen, expected);
      await observer.stop();
    }
    assert.equal(await election.leader(), undefined);
    await Promise.all(sessions.map((session) => session.close()));
  });

  test('observers see each proclaimed value, in order', async () => {
    await using session = await Session.create(etcd);
    const election = new Election(etcd, 'proclaim');
    const observer = observe(election);
    await using leadership = await election.campaign(session, '0');
    await eventually('the leader is seen', () => observer.seen.length === 1);
    for (let i = 1; i < 20; i++) await leadership.proclaim(String(i));
    await eventually('all are seen', () => observer.seen.length === 20);
    assert.deepEqual(
      observer.seen,
      Array.from({ length: 20 }, (_, i) => String(i)),
    );
    await observer.stop();
  });

  test('observers see the next leader, whose key is older than what the last one has proclaimed', async () => {
    await using one = await Session.create(etcd);
    await using two = await Session.create(etcd);
    const election = new Election(etcd, 'older');
    const leadership = await election.campaign(one, 'one');
    const next = election.campaign(two, 'two');
    await eventually('both campaign', async () => (await candidates('older')) === 2);
    const observer = observe(election);
    await eventually('the leader is seen', () => observer.seen.length === 1);
    await leadership.proclaim('one, again');
    await leadership.resign();
    await using _ = await next;
    await eventually('all are seen', () => observer.seen.length === 3);
    assert.deepEqual(observer.seen, ['one', 'one, again', 'two']);
    await observer.stop();
  });

  test('fails over when the leader’s session ends', async () => {
    const leader = await Session.create(etcd);
    await using follower = await Session.create(etcd);
    const election = new Election(etcd, 'failover');
    const leadership = await election.campaign(leader, 'one');
    const next = election.campaign(follower, 'two');
    await eventually('two campaigns', async () => (await candidates('failover')) === 2);
    await leader.close();
    assert.ok(leadership.signal.aborted);
    assert.ok((await next).revision > leadership.revision);
    await assert.rejects(leadership.proclaim('late'), LeaseLostError);
    assert.equal((await election.leader())?.text(), 'two');
  });

  test('a session that campaigns again proclaims the new value', async () => {
    await using session = await Session.create(etcd);
    const election = new Election(etcd, 'again');
    const first = await election.campaign(session, 'one');
    const second = await election.campaign(session, 'two', { timeoutMs: 60_000 });
    assert.equal(second.revision, first.revision);
    assert.equal((await election.leader())?.text(), 'two');
  });

  test('a campaign that is given up leaves no candidacy', async () => {
    await using leader = await Session.create(etcd);
    await using session = await Session.create(etcd);
    const election = new Election(etcd, 'give-up');
    await using _ = await election.campaign(leader, 'one');
    await assert.rejects(election.campaign(session, 'two', { timeoutMs: 100 }), (error) => {
      assert.ok(error instanceof DeadlineExceededError);
      // On a busy machine its key may take longer to remove than the call waits for that.
      assert.equal(error.mayBeApplied, error.message.includes('; its key may be there'));
      return true;
    });
    await session.settled();
    assert.equal(await candidates('give-up'), 1);
  });

  test('one of two campaigns of a session is given up: the other goes on, and leads', async () => {
    await using leader = await Session.create(etcd);
    await using session = await Session.create(etcd);
    const election = new Election(etcd, 'two-calls');
    const first = await election.campaign(leader, 'one');
    const stays = election.campaign(session, 'two');
    await eventually('two candidates', async () => (await candidates('two-calls')) === 2);
    await assert.rejects(election.campaign(session, 'three', { timeoutMs: 100 }), (error) => {
      assert.ok(error instanceof DeadlineExceededError);
      assert.match(error.message, /; its new value may be there$/);
      return error.mayBeApplied;
    });
    await session.settled();
    assert.equal(await candidates('two-calls'), 2);
    await first.resign();
    const next = await stays;
    next.signal.throwIfAborted();
    assert.equal((await election.leader())?.createRevision, next.revision);
    await next.resign();
  });

  test('to resign ends the leadership for all calls of the session that have it', async () => {
    await using session = await Session.create(etcd);
    const election = new Election(etcd, 'both-resign');
    const one = await election.campaign(session, 'one');
    const two = await election.campaign(session, 'two');
    await one.resign();
    assert.ok(two.signal.reason instanceof OwnershipLostError && two.signal.reason.why === 'released');
  });

  test('a campaign at once after a resignation leads anew', async () => {
    await using session = await Session.create(etcd);
    const election = new Election(etcd, 'at-once');
    let last = 0n;
    for (let n = 0; n < 20; n++) {
      const leadership = await election.campaign(session, String(n));
      leadership.signal.throwIfAborted();
      assert.ok(leadership.revision > last, 'it was another leadership');
      last = leadership.revision;
      void leadership.resign();
    }
  });

  test('a campaign that was under way when another one was given up has the candidacy, and keeps it', async () => {
    await using proxy = await startTcpProxy({ port: server.port });
    await using slow = await connect(`127.0.0.1:${proxy.port}`);
    await using session = await Session.create(slow);
    await using other = await Session.create(etcd);
    const leader = await new Election(etcd, 'under-way').campaign(other, 'other');
    const election = new Election(slow, 'under-way');
    const enough = new AbortController();
    const reason = new Error('enough');
    const givenUp = assert.rejects(election.campaign(session, 'one', { signal: enough.signal }), reason);
    await eventually('two candidates', async () => (await candidates('under-way')) === 2);
    proxy.pause();
    const stays = election.campaign(session, 'two', { timeoutMs: 60_000 });
    await delay(200);
    enough.abort(reason);
    await givenUp;
    proxy.resume();
    await delay(500);
    assert.equal(await candidates('under-way'), 2);
    await leader.resign();
    const leadership = await stays;
    await delay(200);
    leadership.signal.throwIfAborted();
    assert.equal((await election.leader())?.createRevision, leadership.revision);
    await leadership.resign();
  });

  test('a campaign after one that was given up while no answer came leads, and is not deposed', async () => {
    await using proxy = await startTcpProxy({ port: server.port });
    await using slow = await connect(`127.0.0.1:${proxy.port}`);
    await using session = await Session.create(slow);
    await using other = await Session.create(etcd);
    const election = new Election(slow, 'given-up');
    for (let n = 0; n < 4; n++) {
      const leader = await new Election(etcd, 'given-up').campaign(other, 'other');
      const enough = new AbortController();
      const reason = new Error('enough');
      const waiting = assert.rejects(election.campaign(session, 'one', { signal: enough.signal }), reason);
      await eventually('two candidates', async () => (await candidates('given-up')) === 2);
      proxy.pause();
      enough.abort(reason);
      await waiting;
      await leader.resign();
      const again = election.campaign(session, 'two', { timeoutMs: 60_000 });
      proxy.resume();
      const leadership = await again;
      await delay(200);
      leadership.signal.throwIfAborted();
      assert.equal((await election.leader())?.createRevision, leadership.revision);
      await leadership.resign();
    }
  });

  test('names that start alike are different elections', async () => {
    await using session = await Session.create(etcd);
    await using other = await Session.create(etcd);
    await using _a = await new Election(etcd, 'testA').campaign(session, 'a');
    await using _b = await new Election(etcd, 'test').campaign(other, 'b', { timeoutMs: 60_000 });
    assert.equal((await new Election(etcd, 'test').leader())?.text(), 'b');
  });

  test('a leadership can be resumed in another session, but only while it exists', async () => {
    const before = await Session.create(etcd, { ttlSeconds: 3 });
    const election = new Election(etcd, 'resume');
    const { key, revision } = await election.campaign(before, 'value');
    await using session = await Session.create(etcd);
    const leadership = await election.resume(session, { key, revision });
    before.orphan();
    await eventually(
      'its lease expires',
      async () => (await etcd.lease.timeToLive(before.leaseId)) === undefined,
    );
    assert.equal((await election.leader())?.text(), 'value');
    await leadership.proclaim('resumed');
    const { succeeded } = await etcd.txn({ compare: [leadership.isOwner()], success: [op.put('proof', '')] });
    assert.equal(succeeded, true);
    await leadership.resign();
    await assert.rejects(election.resume(session, { key, revision }), OwnershipLostError);
  });

  test('a leader is notified when its key is deleted', async () => {
    await using session = await Session.create(etcd);
    const leadership = await new Election(etcd, 'deposed').campaign(session, 'value');
    await etcd.delete(leadership.key);
    assert.ok((await aborted(leadership.signal)) instanceof OwnershipLostError);
    await assert.rejects(leadership.proclaim('late'), OwnershipLostError);
    await leadership.resign();
  });

  test('observing continues over cut connections and compactions', async () => {
    await using proxy = await startTcpProxy(server);
    await using far = await connect(`http://127.0.0.1:${proxy.port}`);
    await using session = await Session.create(etcd);
    const leadership = await new Election(etcd, 'observed').campaign(session, '0');
    const observer = observe(new Election(far, 'observed'));
    await eventually('the leader is seen', () => observer.seen.length === 1);
    for (let i = 1; i <= 4; i++) {
      proxy.cut();
      await leadership.proclaim(`${i} missed, perhaps`);
      await leadership.proclaim(String(i));
      await etcd.compact((await etcd.put('other', '')).revision);
      await eventually('it is seen', () => observer.seen.at(-1) === String(i));
    }
    await observer.stop();
  });

  test('a namespace has its own, for its own sessions', async () => {
    const space = etcd.namespace('space/');
    await using session = await Session.create(space);
    await using outside = await Session.create(etcd);
    const election = new Election(space, 'ns');
    await using _ = await election.campaign(session, 'in');
    assert.equal(await new Election(etcd, 'ns').leader(), undefined);
    assert.equal((await new Election(etcd, 'space/ns').leader())?.text(), 'in');
    await assert.rejects(election.campaign(outside, 'out'), InvalidArgumentError);
  });
});
