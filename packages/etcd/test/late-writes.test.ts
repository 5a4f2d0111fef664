// Writes whose fate isn't known: whatever comes late, nothing comes back that was given up.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type EtcdServer,
  startEtcd,
  startEtcdCluster,
  startTcpProxy,
  uniformFrom,
} from '@quiesce/test-services';
import {
  DeadlineExceededError,
  DoubleBarrier,
  Election,
  type EtcdClient,
  Mutex,
  prefix,
  RwMutex,
  Session,
} from '../src/index.js';
import { limitLocker, overEachTransport, shortElections, withEtcd } from './support/clients.js';
import { eventually } from './support/eventually.js';
import { OwnTime } from './support/own-time.js';
import { type Fate, UncertainSpace } from './support/uncertain-space.js';

const fates: readonly Fate[] = ['answered', 'unanswered', 1, 2, Number.POSITIVE_INFINITY];

/** All sequences of fates of that length. */
function* sequences(length: number): Generator<readonly Fate[]> {
  if (length === 0) yield [];
  else for (const rest of sequences(length - 1)) for (const fate of fates) yield [...rest, fate];
}

/** Runs a job for each item, so many at a time. */
async function forEachOf<T>(
  items: Iterable<T>,
  width: number,
  job: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const work = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await job(item);
  };
  await Promise.all(Array.from({ length: width }, work));
}

/** What a session does with the thing of that name, and gives back; nothing of it may stay, or come back. */
type Scenario = (session: Session, name: string, others: Session) => Promise<void>;

const scenarios: Readonly<Record<string, Scenario>> = {
  'lock and unlock': async (session, name) => {
    await (await new Mutex(session, name).lock()).unlock();
  },
  'lock and unlock, twice': async (session, name) => {
    const mutex = new Mutex(session, name);
    const first = await mutex.lock();
    await first.unlock();
    const second = await mutex.lock();
    assert.ok(second.revision > first.revision);
    // Nothing that comes late takes it away.
    const stillOwner = { compare: [second.isOwner()] };
    assert.ok((await session.space.txn(stillOwner)).succeeded);
    await second.unlock();
  },
  'tryLock and unlock': async (session, name) => {
    await (await new Mutex(session, name).tryLock())?.unlock();
  },
  'tryLock of what others have': async (session, name, others) => {
    const theirs = await new Mutex(others, name).lock();
    assert.equal(await new Mutex(session, name).tryLock(), undefined);
    await session.settled();
    await theirs.unlock();
  },
  'a lock that is given up': async (session, name, others) => {
    const theirs = await new Mutex(others, name).lock();
    await assert.rejects(new Mutex(session, name).lock({ timeoutMs: 20 }), DeadlineExceededError);
    await session.settled();
    await theirs.unlock();
  },
  'a lock that somebody deletes': async (session, name, others) => {
    const lock = await new Mutex(session, name).lock();
    await others.space.delete(lock.key);
    await eventually('it is noticed', () => lock.signal.aborted);
    await lock.unlock();
  },
  'write lock and unlock': async (session, name) => {
    await (await new RwMutex(session, name).writeLock()).unlock();
  },
  'read lock and unlock': async (session, name) => {
    await (await new RwMutex(session, name).readLock()).unlock();
  },
  'campaign and resign, twice': async (session, name) => {
    const election = new Election(session.space, name);
    await (await election.campaign(session, 'first')).resign();
    await (await election.campaign(session, 'second')).resign();
  },
  'a double barrier': async (session, name, others) => {
    const [one, two] = [new DoubleBarrier(session, name, 2), new DoubleBarrier(others, name, 2)];
    const entering = two.enter();
    await eventually('the other one is there', async () => {
      return (await others.space.range(prefix(`${name}/waiters/`), { countOnly: true })).count === 1n;
    });
    await Promise.all([entering, one.enter()]);
    await Promise.all([one.leave(), two.leave()]);
  },
  'a double barrier for one': async (session, name) => {
    const barrier = new DoubleBarrier(session, name, 1);
    await barrier.enter();
    await barrier.leave();
  },
};

overEachTransport('late writes', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });

  /** The keys of what is guarded, fences aside. */
  const keys = async (name: string): Promise<string[]> =>
    (await etcd.range(prefix(`${name}/`))).kvs
      .map((kv) => kv.keyText())
      .filter((key) => !key.startsWith(`${name}/fence/`));

  describe('whatever becomes of each attempt, nothing comes back', () => {
    let others: Session;
    before(async () => {
      others = await Session.create(etcd);
    });
    after(() => others.close());

    for (const [index, [title, scenario]] of Object.entries(scenarios).entries()) {
      test(title, async () => {
        const { id } = await etcd.lease.grant(600);
        await using _ = await Session.create(etcd, { leaseId: id });
        await forEachOf(sequences(3), 25, async (sequence) => {
          const name = `late/${index}/${sequence.join('-')}`;
          const uncertain = new UncertainSpace(etcd, (write) => sequence[write] ?? 'answered');
          const session = await Session.create(uncertain.space, { leaseId: id });
          try {
            await scenario(session, name, others);
            // What is given up is removed in the background.
            await eventually(`${name} is given back`, async () => (await keys(name)).length === 0);
            await uncertain.deliver(async () => assert.deepEqual(await keys(name), [], name));
          } finally {
            session.orphan();
          }
        });
      });
    }
  });

  test('a proclamation that comes late does not undo a later one', async () => {
    await using others = await Session.create(etcd);
    await forEachOf(sequences(3), 25, async (sequence) => {
      const name = `proclaim/${sequence.join('-')}`;
      // The campaign is answered.
      const uncertain = new UncertainSpace(etcd, (write) => sequence[write - 1] ?? 'answered');
      const session = await Session.create(uncertain.space, { leaseId: others.leaseId });
      const election = new Election(uncertain.space, name);
      const leadership = await election.campaign(session, 'first');
      await leadership.proclaim('second');
      await leadership.proclaim('third');
      const announced = async (): Promise<void> =>
        assert.equal((await election.leader())?.text(), 'third', name);
      await announced();
      await uncertain.deliver(announced);
      await leadership.resign();
      session.orphan();
    });
  });

  test('a proclamation that says it was not sent is not sent later', async () => {
    await using proxy = await startTcpProxy({ port: server.port });
    await using far = await connect(`http://127.0.0.1:${proxy.port}`);
    await using session = await Session.create(far, { ttlSeconds: 60 });
    const election = new Election(far, 'proclaim/unsent');
    const leadership = await election.campaign(session, 'first');
    await proxy.close();
    // Where its time ends while a connection is tried, it says that it may have been sent.
    let unsent: string | undefined;
    for (let i = 0; unsent === undefined; i++) {
      assert.ok(i < 100, 'each says that it may have been sent');
      const error: unknown = await leadership.proclaim(`late ${i}`, { timeoutMs: 300 }).catch((each) => each);
      assert.ok(error instanceof DeadlineExceededError, String(error));
      if (!error.sent) unsent = `late ${i}`;
    }
    await using _again = await startTcpProxy({ port: server.port }, proxy.port);
    assert.notEqual((await election.leader({ timeoutMs: 60_000 }))?.text(), unsent);
    // An attempt that went on would be sent within a second.
    await sleep(1_500);
    assert.notEqual((await election.leader())?.text(), unsent);
    await leadership.proclaim('second');
    assert.equal((await election.leader())?.text(), 'second');
    await session.close();
  });

  test('a mutex excludes, and goes on, with any fates', async () => {
    for (let seed = 1; seed <= 3; seed++) {
      const random = uniformFrom(seed);
      const name = `random/${seed}`;
      const fate = (): Fate => {
        const n = random();
        if (n < 0.6) return 'answered';
        return n < 0.7 ? 'unanswered' : 1 + Math.floor(random() * 12);
      };
      let holders = 0;
      let held = 0;
      await Promise.all(
        Array.from({ length: 4 }, async () => {
          const uncertain = new UncertainSpace(etcd, fate);
          await using session = await Session.create(uncertain.space);
          for (let turn = 0; turn < 10; turn++) {
            const lock = await new Mutex(session, name).lock({ timeoutMs: 60_000 });
            assert.equal(++holders, 1, name);
            await sleep(1);
            holders -= 1;
            held += 1;
            await lock.unlock();
          }
          await uncertain.deliver(async () => {});
        }),
      );
      assert.equal(held, 40);
      assert.deepEqual(await keys(name), [], name);
    }
  });

  test('where permissions end at the keys themselves, what comes late is removed', async () => {
    await using server = await startEtcd({ extraArgs: shortElections });
    await using root = await connect(server.endpoint);
    const password = 'secret';
    await limitLocker(root, 'job', password);
    await using admin = await connect({
      endpoints: server.endpoint,
      auth: { username: 'root', password },
    });
    await using limited = await connect({
      endpoints: server.endpoint,
      auth: { username: 'locker', password },
    });
    const count = async (): Promise<bigint> => (await admin.range(prefix('job'), { countOnly: true })).count;
    const fate = (write: number): Fate => (write === 1 ? Number.POSITIVE_INFINITY : 'answered');
    const uncertain = new UncertainSpace(limited, fate);
    await using session = await Session.create(uncertain.space);
    // The first write is refused for its fence, the second one comes late.
    await (await new Mutex(session, 'job').lock()).unlock();
    assert.equal(uncertain.writes, 4);
    assert.equal(await count(), 0n);
    await uncertain.deliver(async () => {});
    await eventually('it is removed', async () => (await count()) === 0n);
    const election = new Election(uncertain.space, 'job');
    await (await election.campaign(session, '')).resign();
    assert.equal(await count(), 0n);
  });

  test('a fence lies within permissions for what starts with the name, and goes with the session', async () => {
    const fate = (write: number): Fate => (write === 0 ? 'unanswered' : 'answered');
    const uncertain = new UncertainSpace(etcd, fate);
    const session = await Session.create(uncertain.space);
    await (await new Mutex(session, 'app/job').lock()).unlock();
    const { kvs } = await etcd.range(prefix('app/job'));
    assert.match(kvs.map((kv) => kv.keyText()).join(), /^app\/job~fence\/[^,]+$/);
    assert.equal(kvs[0]?.lease, session.leaseId);
    // Nobody is held up by it.
    await using other = await Session.create(etcd);
    await (await new Mutex(other, 'app/job').tryLock())?.unlock();
    await session.close();
    assert.equal((await etcd.range(prefix('app/job'))).count, 0n);
  });
});

overEachTransport('a frozen member, and default settings', (connect) => {
  test('locks, elections and barriers are given back through others', async () => {
    await using cluster = await startEtcdCluster();
    const [frozen] = await cluster.followers();
    assert.ok(frozen !== undefined);
    await using etcd = await connect({ endpoints: [...cluster.endpoints] });
    await using session = await Session.create(etcd, { ttlSeconds: 60 });
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const given = await Promise.all(
      names.flatMap((name) => [
        new Mutex(session, `frozen/${name}`).lock(),
        new RwMutex(session, `frozen/rw-${name}`).readLock(),
        new Election(etcd, `frozen/el-${name}`).campaign(session, name),
      ]),
    );
    const barriers = names.map((name) => new DoubleBarrier(session, `frozen/db-${name}`, 1));
    for (const barrier of barriers) await barrier.enter();
    frozen.pause();
    try {
      using time = new OwnTime();
      await Promise.all([
        ...given.map((owned) => owned[Symbol.asyncDispose]()),
        ...barriers.map((barrier) => barrier.leave()),
      ]);
      const mutex = new Mutex(session, 'frozen/later');
      for (let i = 0; i < 3; i++) await (await mutex.lock()).unlock();
      // Each is bounded by 10 s of its own.
      assert.ok(time.ms < 30_000, `took ${time.ms} ms`);
    } finally {
      frozen.resume();
    }
    const kept = async (): Promise<string[]> =>
      (await etcd.range(prefix('frozen/'))).kvs
        .map((kv) => kv.keyText())
        .filter((key) => !/~fence\/|\/fence\//.test(key));
    assert.deepEqual(await kept(), []);
    // What the frozen member had taken along is applied now.
    await sleep(1500);
    assert.deepEqual(await kept(), []);
  });

  test('the client’s bound on attempts holds for recipes, too', async () => {
    await using cluster = await startEtcdCluster();
    const [frozen, other] = await cluster.followers();
    assert.ok(frozen !== undefined && other !== undefined);
    await using etcd = await connect({ endpoints: frozen.endpoint, attemptTimeoutMs: 400 });
    await using session = await Session.create(etcd, { ttlSeconds: 60 });
    const lock = await new Mutex(session, 'attempts').lock();
    frozen.pause();
    try {
      using time = new OwnTime();
      const unlocking = lock.unlock();
      etcd.setEndpoints([frozen.endpoint, other.endpoint]);
      await unlocking;
      // An attempt of a recipe has 2 s by itself.
      assert.ok(time.ms < 1900, `took ${time.ms} ms`);
    } finally {
      frozen.resume();
    }
  });

  test('what can’t be given back in time is given back in the background', async () => {
    await using server = await startEtcd({ extraArgs: shortElections });
    await using etcd = await connect(server.endpoint);
    await using session = await Session.create(etcd, { ttlSeconds: 60 });
    const lock = await new Mutex(session, 'background').lock();
    server.pause();
    try {
      await assert.rejects(lock.unlock({ timeoutMs: 200 }), DeadlineExceededError);
      const control = new AbortController();
      const reason = new Error('enough');
      control.abort(reason);
      await assert.rejects(lock.unlock({ signal: control.signal }), reason);
    } finally {
      server.resume();
    }
    await eventually(
      'it is unlocked',
      async () => (await etcd.range(prefix('background/'), { countOnly: true })).count === 0n,
    );
    await lock.unlock();
    assert.equal(session.signal.aborted, false);
  });
});
