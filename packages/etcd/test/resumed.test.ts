// What is resumed while its first holder still has it: there is one holder, and the earlier one is notified.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EtcdServer, startEtcd, startTcpProxy } from '@quiesce/test-services';
import {
  compare,
  connect as connectPlainly,
  DeadlineExceededError,
  Election,
  type EtcdClient,
  EtcdError,
  type Leadership,
  LeaseLostError,
  type Lock,
  Mutex,
  type Namespace,
  OwnershipLostError,
  op,
  prefix,
  RwMutex,
  Session,
  StatusCode,
  tryLockKey,
} from '../src/index.js';
import { keysBelow, limitLocker, overEachTransport, shortElections, withEtcd } from './support/clients.js';
import { aborted, eventually } from './support/eventually.js';
import { UncertainSpace } from './support/uncertain-space.js';

const isResumed = (error: unknown): boolean => error instanceof OwnershipLostError && error.why === 'resumed';

async function losesIt(owned: Lock | Leadership): Promise<void> {
  const reason = await aborted(owned.signal);
  assert.ok(isResumed(reason), String(reason));
}

/** A view of a real etcd whose watches report nothing, as when the news is still on its way. */
function withoutNews(real: Namespace): Namespace {
  return new Proxy(real, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name !== 'watch') return typeof value === 'function' ? value.bind(target) : value;
      return (key: string, options: object) => target.watch(key, { ...options, filters: ['put', 'delete'] });
    },
  });
}

overEachTransport('resumed', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });

  const keys = (name: string): Promise<number> => keysBelow(etcd, name);

  const holds = async (owned: Lock | Leadership): Promise<boolean> =>
    (await etcd.txn({ compare: [owned.isOwner()], success: [op.put('proof', '')] })).succeeded;

  /** Holds it now, and goes on to, whatever its earlier holder does. */
  async function stays(owned: Lock | Leadership): Promise<void> {
    await sleep(50);
    owned.signal.throwIfAborted();
    assert.ok(await holds(owned));
    assert.equal((await etcd.get(owned.key))?.lease, owned.session.leaseId);
  }

  test('a lock: its first holder is notified, proves nothing any more, and unlocks nothing', async () => {
    await using one = await Session.create(etcd);
    await using two = await Session.create(etcd);
    const first = await new Mutex(one, 'lock').lock();
    const second = await new Mutex(two, 'lock').resume(first);
    assert.equal(await holds(first), false);
    assert.ok(await holds(second));
    await losesIt(first);
    assert.equal(first.signal.reason.code, StatusCode.ABORTED);
    assert.match(first.signal.reason.message, /"lock\/.*" is no longer owned: somebody else has resumed it/);
    await first.unlock();
    await stays(second);
    await one.close();
    await stays(second);
    await second.unlock();
    assert.equal(await keys('lock'), 0);
  });

  test('a lock and a leadership, as they were stored as JSON', async () => {
    await using one = await Session.create(etcd);
    await using two = await Session.create(etcd);
    const lock = await new Mutex(one, 'stored').lock();
    const leadership = await new Election(etcd, 'stored-e').campaign(one, 'me');
    const again = await new Mutex(two, 'stored').resume(JSON.parse(JSON.stringify(lock)));
    assert.deepEqual([again.revision, Buffer.from(again.key)], [lock.revision, Buffer.from(lock.key)]);
    const led = await new Election(etcd, 'stored-e').resume(two, JSON.parse(JSON.stringify(leadership)));
    await stays(again);
    await stays(led);
  });

  test('what has a name that isn’t UTF-8, as it was stored as JSON', async () => {
    await using one = await Session.create(etcd);
    await using two = await Session.create(etcd);
    const name = Buffer.from([0xff, 1]);
    const lock = await new Mutex(one, name).lock();
    const again = await new Mutex(two, name).resume(JSON.parse(JSON.stringify(lock)));
    assert.deepEqual([again.key, again.revision], [lock.key, lock.revision]);
    const other = Buffer.from([0xff, 2]);
    const leadership = await new Election(etcd, other).campaign(one, '');
    const led = await new Election(etcd, other).resume(two, JSON.parse(JSON.stringify(leadership)));
    assert.deepEqual(led.key, leadership.key);
  });

  test('a lock: whatever its first holder does before the news comes, the second has it', async () => {
    await using one = await Session.create(withoutNews(etcd));
    await using two = await Session.create(etcd);
    const first = await new Mutex(one, 'no-news').lock();
    const second = await new Mutex(two, 'no-news').resume(first);
    assert.equal(first.signal.aborted, false);
    await first.unlock();
    await stays(second);
    await second.unlock();
  });

  test('a lock, in the same session: the earlier one of two is notified', async () => {
    await using session = await Session.create(etcd);
    const mutex = new Mutex(session, 'same');
    const first = await mutex.lock();
    const second = await mutex.resume(first);
    assert.equal(await holds(first), false);
    await losesIt(first);
    await first.unlock();
    await stays(second);
    const third = await mutex.resume(second);
    // Before it knows.
    await second.unlock();
    await stays(third);
    await third.unlock();
    assert.equal(await keys('same'), 0);
  });

  test('a lock for readers or writers, and one that is one key', async () => {
    await using one = await Session.create(etcd);
    await using two = await Session.create(etcd);
    for (const kind of ['readLock', 'writeLock'] as const) {
      const first = await new RwMutex(one, 'rw')[kind]();
      const second = await new Mutex(two, 'rw').resume(first);
      await losesIt(first);
      await first.unlock();
      await stays(second);
      await second.unlock();
    }
    const first = (await tryLockKey(etcd, 'one-key/lock')) as Lock;
    const second = await new Mutex(two, 'one-key').resume(first);
    await losesIt(first);
    await aborted(first.session.signal);
    await first.unlock();
    await stays(second);
    await second.unlock();
  });

  test('a lock that is waited for: the first wait fails, the second one goes on', async () => {
    await using one = await Session.create(etcd);
    await using two = await Session.create(etcd);
    const held = await new Mutex(one, 'waiting').lock();
    const first = new Mutex(one, 'waiting').lock({ timeoutMs: 60_000 });
    const failed = assert.rejects(first, isResumed);
    await eventually('it waits', async () => (await keys('waiting')) === 2);
    const { kvs } = await etcd.range(prefix('waiting/'), { sortBy: 'createRevision' });
    const { key, createRevision: revision } = kvs[1] ?? assert.fail();
    const second = new Mutex(two, 'waiting').resume({ key, revision });
    await failed;
    assert.equal(await keys('waiting'), 2);
    await held.unlock();
    const lock = await second;
    await stays(lock);
    await lock.unlock();
  });

  test('a leadership: its first holder is notified, and can neither proclaim nor resign', async () => {
    await using one = await Session.create(etcd);
    await using two = await Session.create(etcd);
    const election = new Election(etcd, 'leadership');
    const first = await election.campaign(one, 'first');
    await first.proclaim('first, again');
    const second = await election.resume(two, first);
    await losesIt(first);
    await assert.rejects(first.proclaim('late'), isResumed);
    await first.resign();
    await stays(second);
    assert.equal((await election.leader())?.text(), 'first, again');
    // The condition that tells them apart.
    const { leaseId } = first.session;
    const hangsOnFirst = compare.lease(first.key, '=', leaseId);
    assert.equal((await etcd.txn({ compare: [first.isOwner(), hangsOnFirst] })).succeeded, false);
    await second.proclaim('second');
    await second.proclaim('second, again');
    await stays(second);
    await second.resign();
    assert.equal(await keys('leadership'), 0);
  });

  test('a leadership: whatever its first holder does before the news comes, the second has it', async () => {
    await using one = await Session.create(withoutNews(etcd));
    await using two = await Session.create(etcd);
    const election = new Election(etcd, 'leader-no-news');
    const first = await election.campaign(one, 'first');
    const other = await election.campaign(one, 'first');
    const second = await election.resume(two, first);
    assert.equal(first.signal.aborted, false);
    await assert.rejects(first.proclaim('late'), isResumed);
    assert.ok(first.signal.aborted);
    await first.resign();
    await other.resign();
    await stays(second);
    assert.equal((await election.leader())?.text(), 'first');
    await second.resign();
  });

  test('a leadership, in the same session: both have it, and resigning ends it for both', async () => {
    await using session = await Session.create(etcd);
    const election = new Election(etcd, 'joined');
    const first = await election.campaign(session, 'first');
    const second = await election.resume(session, first);
    await first.proclaim('one');
    await second.proclaim('two');
    await first.proclaim('three');
    await stays(first);
    await stays(second);
    await first.resign();
    assert.ok(second.signal.aborted);
    assert.equal(await keys('joined'), 0);
  });

  test('a leadership: the first session campaigns again, and leads only after the second', async () => {
    await using one = await Session.create(etcd);
    await using two = await Session.create(etcd);
    const election = new Election(etcd, 'again');
    const first = await election.campaign(one, 'first');
    const second = await election.resume(two, first);
    await losesIt(first);
    await assert.rejects(election.campaign(one, 'not yet', { timeoutMs: 200 }), DeadlineExceededError);
    const again = election.campaign(one, 'again');
    await sleep(200);
    await stays(second);
    assert.equal((await election.leader())?.text(), 'first');
    await second.resign();
    const leadership = await again;
    assert.ok(leadership.revision > first.revision);
    assert.equal((await election.leader())?.text(), 'again');
    await stays(leadership);
    await leadership.resign();
  });

  test('observers see whoever resumes as a new announcement of the same value', async () => {
    await using one = await Session.create(etcd);
    await using two = await Session.create(etcd);
    const election = new Election(etcd, 'observed');
    const control = new AbortController();
    const seen: [string, bigint][] = [];
    const observing = (async () => {
      for await (const leader of election.observe({ signal: control.signal })) {
        seen.push([leader.text(), leader.lease]);
      }
    })();
    const first = await election.campaign(one, 'value');
    await eventually('the first is seen', () => seen.length === 1);
    const second = await election.resume(two, first);
    await eventually('the second is seen', () => seen.length === 2);
    await second.proclaim('other');
    await eventually('its value is seen', () => seen.length === 3);
    assert.deepEqual(seen, [
      ['value', one.leaseId],
      ['value', two.leaseId],
      ['other', two.leaseId],
    ]);
    control.abort();
    await assert.rejects(observing, { name: 'AbortError' });
  });

  test('a holder who is cut off is notified later, also after a compaction', async () => {
    await using proxy = await startTcpProxy(server);
    await using far = await connect(`http://127.0.0.1:${proxy.port}`);
    await using one = await Session.create(far);
    await using two = await Session.create(etcd);
    const lock = await new Mutex(one, 'cut-lock').lock();
    const leadership = await new Election(far, 'cut-leader').campaign(one, 'first');
    const kept = await new Mutex(one, 'cut-kept').lock();
    const led = await new Election(far, 'cut-led').campaign(one, 'first');
    await led.proclaim('second');
    proxy.pause();
    const resumedLock = await new Mutex(two, 'cut-lock').resume(lock);
    const resumedLeadership = await new Election(etcd, 'cut-leader').resume(two, leadership);
    await etcd.compact((await etcd.put('other', '')).revision);
    proxy.cut();
    proxy.resume();
    await losesIt(lock);
    await losesIt(leadership);
    await lock.unlock();
    await leadership.resign();
    await stays(resumedLock);
    await stays(resumedLeadership);
    // What nobody has resumed is still held.
    await stays(kept);
    await stays(led);
  });

  test('a holder who is frozen beyond its lease finds it lost, and what is resumed stays', async () => {
    await using proxy = await startTcpProxy(server);
    await using far = await connect(`http://127.0.0.1:${proxy.port}`);
    const one = await Session.create(far, { ttlSeconds: 3 });
    await using two = await Session.create(etcd);
    const first = await new Mutex(one, 'frozen').lock();
    proxy.pause();
    const second = await new Mutex(two, 'frozen').resume(first);
    const reason = await aborted(first.signal);
    assert.ok(reason instanceof LeaseLostError);
    proxy.resume();
    await first.unlock();
    await eventually('the first lease is gone', async () => !(await etcd.lease.timeToLive(one.leaseId)));
    await stays(second);
  });

  test('resuming while it is unlocked: it is either gone, or held', async () => {
    await using one = await Session.create(etcd);
    await using two = await Session.create(etcd);
    const outcomes = { gone: 0, held: 0 };
    for (let n = 0; n < 40; n++) {
      const first = await new Mutex(one, 'race').lock();
      const spread = n % 4;
      const unlocking = sleep(n % 8 < 4 ? spread : 0).then(() => first.unlock());
      await sleep(n % 8 < 4 ? 0 : spread);
      const resumed = await new Mutex(two, 'race').resume(first).catch((error: unknown) => {
        assert.ok(error instanceof OwnershipLostError && error.why === 'deleted', String(error));
      });
      await unlocking;
      if (resumed === undefined) {
        outcomes.gone += 1;
      } else {
        outcomes.held += 1;
        await stays(resumed);
        await resumed.unlock();
      }
      assert.equal(await keys('race'), 0);
    }
    assert.ok(outcomes.gone > 0, JSON.stringify(outcomes));
  });

  test('two who resume at once: one of them holds it', async () => {
    const sessions = await Promise.all([1, 2, 3, 4].map(() => Session.create(etcd)));
    const [session, ...others] = sessions as [Session, ...Session[]];
    for (let n = 0; n < 10; n++) {
      const election = new Election(etcd, 'both-lead');
      const lock = await new Mutex(session, 'both').lock();
      const leadership = await election.campaign(session, '');
      const owned = await Promise.all(
        others.flatMap((other) => [
          // Who is overtaken at once never gets it.
          new Mutex(other, 'both').resume(lock).catch((error: unknown) => {
            assert.ok(isResumed(error), String(error));
          }),
          election.resume(other, leadership),
        ]),
      );
      for (const kind of [0, 1]) {
        const some = owned.filter((one, index) => index % 2 === kind && one !== undefined) as Lock[];
        await eventually('all but one are notified', () => {
          return some.filter(({ signal }) => !signal.aborted).length === 1;
        });
        const holder = some.find(({ signal }) => !signal.aborted) as Lock;
        for (const one of some) if (one !== holder) await one[Symbol.asyncDispose]();
        await stays(holder);
        await holder[Symbol.asyncDispose]();
      }
      await losesIt(lock);
      await losesIt(leadership);
    }
    await Promise.all(sessions.map((one) => one.close()));
  });

  test('in a session that is closed meanwhile: the first still has it, or is notified', async () => {
    await using one = await Session.create(etcd);
    for (let n = 0; n < 20; n++) {
      const two = await Session.create(etcd);
      const lock = await new Mutex(one, 'closed').lock();
      const leadership = await new Election(etcd, 'closed-too').campaign(one, '');
      const over = (error: unknown): void => assert.ok(error instanceof EtcdError, String(error));
      const resuming = [
        new Mutex(two, 'closed').resume(lock).catch(over),
        new Election(etcd, 'closed-too').resume(two, leadership).catch(over),
      ];
      await sleep(n % 5);
      await two.close();
      for (const late of await Promise.all(resuming)) assert.ok(late === undefined || late.signal.aborted);
      for (const owned of [lock, leadership]) {
        const there = (await etcd.get(owned.key)) !== undefined;
        if (there) await stays(owned);
        else await aborted(owned.signal);
        await owned[Symbol.asyncDispose]();
      }
    }
  });

  test('an answer that is lost: who resumes again has it', async () => {
    await using one = await Session.create(etcd);
    const uncertain = new UncertainSpace(etcd, (write) => (write < 2 ? 'unanswered' : 'answered'));
    await using two = await Session.create(uncertain.space);
    const lock = await new Mutex(one, 'lost-answer').lock();
    const mutex = new Mutex(two, 'lost-answer');
    const maybe = (error: unknown): boolean => error instanceof EtcdError && error.mayBeApplied;
    await assert.rejects(mutex.resume(lock), maybe);
    await losesIt(lock);
    await assert.rejects(mutex.resume(lock), maybe);
    const resumed = await mutex.resume(lock);
    await stays(resumed);
    await resumed.unlock();
  });

  test('copies of the first placing that come late neither take it nor remove it', async () => {
    // The first two attempts come at the end.
    const late = (write: number) => (write < 2 ? Number.POSITIVE_INFINITY : 'answered');
    await using two = await Session.create(etcd);
    for (const told of [true, false]) {
      const name = `late-${told}`;
      const forLock = new UncertainSpace(told ? etcd : withoutNews(etcd), late);
      await using one = await Session.create(forLock.space);
      const lock = await new Mutex(one, name).lock();
      const resumed = await new Mutex(two, name).resume(lock);
      if (told) await losesIt(lock);
      await lock.unlock();
      await stays(resumed);
      await forLock.deliver(() => stays(resumed));
      await resumed.unlock();

      const forElection = new UncertainSpace(told ? etcd : withoutNews(etcd), late);
      await using candidate = await Session.create(forElection.space);
      const leadership = await new Election(forElection.space, name).campaign(candidate, '');
      const taken = await new Election(etcd, name).resume(two, leadership);
      if (told) await losesIt(leadership);
      await leadership.resign();
      await stays(taken);
      await forElection.deliver(() => stays(taken));
      await taken.resign();
      await candidate.settled();
      assert.equal(await keys(name), 0);
    }
  });

  test('a copy of the first placing that comes late isn’t let in by the end of who resumed', async () => {
    for (const first of ['lives', 'is gone']) {
      const name = `fenced-${first}`;
      const late = new UncertainSpace(etcd, (write) => (write < 2 ? Number.POSITIVE_INFINITY : 'answered'));
      const one = await Session.create(late.space);
      const lock = await new Mutex(one, name).lock();
      if (first === 'is gone') one.orphan();
      const two = await Session.create(etcd);
      const second = await new Mutex(two, name).resume(lock);
      if (first === 'lives') await losesIt(lock);
      await lock.unlock();
      const three = await Session.create(etcd);
      const third = await new Mutex(three, name).resume(second);
      await two.close();
      await stays(third);
      await third.unlock();
      await three.close();
      await late.deliver(async () => assert.equal(await keys(name), 0));
      await etcd.lease.revoke(one.leaseId);
      assert.equal(await keys(name), 0);
      assert.equal(await keys(`${name}~fence`), 0);
    }
  });

  test('where the first lease is gone, what was resumed from it is unlocked all the same', async () => {
    const one = await Session.create(etcd);
    await using two = await Session.create(etcd);
    const lock = await new Mutex(one, 'gone').lock();
    const resumed = await new Mutex(two, 'gone').resume(lock);
    await one.close();
    await resumed.unlock();
    assert.equal(await keys('gone'), 0);
    assert.equal(await keys('gone~fence'), 0);
  });

  test('where no fence may be written, what somebody resumed isn’t taken for a late copy', async () => {
    await using limitedServer = await startEtcd({ extraArgs: shortElections });
    await using root = await connectPlainly(limitedServer.endpoint);
    const password = 'secret';
    await limitLocker(root, 'job', password);
    const limited = { endpoints: limitedServer.endpoint, auth: { username: 'locker', password } };
    await using client = await connect(limited);
    await using other = await connect(limited);
    // The first write is refused for its fence, the second one comes late.
    const fate = (write: number) => (write === 1 ? Number.POSITIVE_INFINITY : 'answered');
    const uncertain = new UncertainSpace(client, fate);
    await using one = await Session.create(uncertain.space);
    await using two = await Session.create(other);
    const lock = await new Mutex(one, 'job').lock();
    const resumed = await new Mutex(two, 'job').resume(lock);
    await losesIt(lock);
    await lock.unlock();
    await sleep(200);
    resumed.signal.throwIfAborted();
    assert.equal((await other.get(resumed.key))?.lease, two.leaseId);
    await resumed.unlock();
    await uncertain.deliver(async () => {});
    await eventually('the late copy is removed', async () => (await other.get(lock.key)) === undefined);
  });

  test('a key that its session’s program writes itself is its holder’s no more', async () => {
    await using session = await Session.create(etcd);
    const lock = await new Mutex(session, 'written').lock();
    await etcd.put(lock.key, 'note', { ignoreLease: true });
    await losesIt(lock);
  });
});
