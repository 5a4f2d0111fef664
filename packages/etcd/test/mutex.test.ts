// Mutexes: exclusion, fairness, fencing, and what becomes of them when holders and connections die.
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EtcdServer, startTcpProxy } from '@quiesce/test-services';
import {
  DeadlineExceededError,
  Election,
  type EtcdClient,
  InvalidArgumentError,
  json,
  LeaseLostError,
  type Lock,
  Mutex,
  OwnershipLostError,
  op,
  prefix,
  RwMutex,
  Session,
} from '../src/index.js';
import { keysBelow, overEachTransport, withEtcd } from './support/clients.js';
import { aborted, eventually } from './support/eventually.js';
import { temporaryDirectory } from './support/temporary-directory.js';
import { UncertainSpace } from './support/uncertain-space.js';

overEachTransport('mutex', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });

  const keys = (name: string): Promise<number> => keysBelow(etcd, name);

  test('has one holder at a time, in order of arrival', async () => {
    const sessions = await Promise.all(Array.from({ length: 5 }, () => Session.create(etcd)));
    const order: bigint[] = [];
    let holders = 0;
    const hold = async (lock: Lock): Promise<void> => {
      assert.equal(++holders, 1);
      order.push(lock.revision);
      await sleep(2);
      holders -= 1;
      await lock.unlock();
    };
    await Promise.all(
      sessions.flatMap((session) => [1, 2, 3].map(async () => hold(await new Mutex(session, 'fair').lock()))),
    );
    assert.equal(order.length, 15);
    assert.deepEqual(
      order,
      [...order].sort((a, b) => Number(a - b)),
    );
    assert.equal(await keys('fair'), 0);
    await Promise.all(sessions.map((session) => session.close()));
  });

  test('excludes who takes it through etcd’s own lock service', async () => {
    const service = async (call: string, body: object): Promise<{ key: string }> => {
      const response = await fetch(`${server.endpoint}/v3/lock/${call}`, {
        method: 'POST',
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(10_000),
      });
      assert.equal(response.status, 200);
      return (await response.json()) as { key: string };
    };
    await using session = await Session.create(etcd);
    await using other = await Session.create(etcd);
    const mutex = new Mutex(session, 'service');
    const named = { name: btoa('service'), lease: String(other.leaseId) };
    const { key } = await service('lock', named);
    assert.equal(await mutex.tryLock(), undefined);
    const waiting = mutex.lock();
    await eventually('both have keys', async () => (await keys('service')) === 2);
    await service('unlock', { key });
    const lock = await waiting;
    const theirs = service('lock', named);
    await eventually('both have keys', async () => (await keys('service')) === 2);
    await lock.unlock();
    await service('unlock', { key: (await theirs).key });
    await using _ = await mutex.lock();
  });

  test('of one session excludes itself, too', async () => {
    await using session = await Session.create(etcd);
    const mutex = new Mutex(session, 'self');
    const first = await mutex.lock();
    await assert.rejects(mutex.lock({ timeoutMs: 100 }), DeadlineExceededError);
    await first.unlock();
    await using _ = await mutex.lock();
  });

  test('tryLock takes it only when it is free', async () => {
    await using one = await Session.create(etcd);
    await using two = await Session.create(etcd);
    const lock = await new Mutex(one, 'try').tryLock();
    assert.ok(lock !== undefined);
    assert.equal(await new Mutex(two, 'try').tryLock(), undefined);
    assert.equal(await keys('try'), 1);
    await lock.unlock();
    await lock.unlock();
    assert.ok((await new Mutex(two, 'try').tryLock()) !== undefined);
    assert.equal(await new Mutex(one, 'try').tryLock(), undefined);
  });

  test('names that start alike are different locks', async () => {
    await using session = await Session.create(etcd);
    await using _a = await new Mutex(session, 'a').lock();
    await using _b = await new Mutex(session, 'ab').lock({ timeoutMs: 60_000 });
  });

  test('a wait that is given up leaves no key, and the next gets the lock', async () => {
    await using session = await Session.create(etcd);
    const mutex = new Mutex(session, 'wait');
    const first = await mutex.lock();
    const control = new AbortController();
    const second = mutex.lock({ signal: control.signal });
    const third = mutex.lock();
    await eventually('both wait', async () => (await keys('wait')) === 3);
    const reason = new Error('enough');
    control.abort(reason);
    await assert.rejects(second, reason);
    await session.settled();
    assert.equal(await keys('wait'), 2);
    await first.unlock();
    await (await third).unlock();
    assert.equal(await keys('wait'), 0);
    await assert.rejects(mutex.lock({ signal: control.signal }), reason);
    assert.equal(await keys('wait'), 0);
  });

  test('a wait given up at any moment leaves no key', async () => {
    await using session = await Session.create(etcd);
    const mutex = new Mutex(session, 'moments');
    const first = await mutex.lock();
    for (let ms = 0; ms < 12; ms++) {
      const control = new AbortController();
      const wait = assert.rejects(mutex.lock({ signal: control.signal }), { name: 'AbortError' });
      const end = performance.now() + ms / 2;
      while (performance.now() < end) await new Promise(setImmediate);
      control.abort();
      await wait;
    }
    await eventually('no key but the holder’s', async () => (await keys('moments')) === 1);
    await first.unlock();
  });

  test('is resumed in another session, before those who wait, and only while it is there', async () => {
    const before = await Session.create(etcd, { ttlSeconds: 3 });
    const { key, revision } = await new Mutex(before, 'resumed').lock();
    await using session = await Session.create(etcd);
    const mutex = new Mutex(session, 'resumed');
    const next = mutex.lock();
    await eventually('the next waits', async () => (await keys('resumed')) === 2);
    const lock = await mutex.resume({ key, revision });
    before.orphan();
    await eventually(
      'its lease expires',
      async () => (await etcd.lease.timeToLive(before.leaseId)) === undefined,
    );
    assert.equal(lock.revision, revision);
    const { succeeded } = await etcd.txn({ compare: [lock.isOwner()], success: [op.put('proof', '')] });
    assert.ok(succeeded && !lock.signal.aborted);
    await lock.unlock();
    await (await next).unlock();
    await assert.rejects(mutex.resume({ key, revision }), OwnershipLostError);
    await assert.rejects(mutex.resume({ key: Buffer.from('other/key'), revision }), InvalidArgumentError);
    assert.equal(await keys('resumed'), 0);
  });

  test('waits for its turn when who waited is resumed', async () => {
    await using session = await Session.create(etcd);
    const mutex = new Mutex(session, 'resumed-waiter');
    const held = await mutex.lock();
    const waiting = new AbortController();
    const first = mutex.lock({ signal: waiting.signal });
    first.catch(() => {});
    await eventually('it waits', async () => (await keys('resumed-waiter')) === 2);
    const { kvs } = await etcd.range(prefix('resumed-waiter/'), { sortBy: 'createRevision' });
    const { key, createRevision: revision } = kvs[1] ?? assert.fail();
    const given = new AbortController();
    const second = mutex.resume({ key, revision }, { signal: given.signal });
    await assert.rejects(first, OwnershipLostError);
    given.abort(new Error('enough'));
    await assert.rejects(second, /enough/);
    await eventually('it is given up', async () => (await keys('resumed-waiter')) === 1);
    await held.unlock();
  });

  test('once resumed, is not brought back by a copy of its placing that comes late', async () => {
    const uncertain = new UncertainSpace(etcd, (write) =>
      write === 0 ? Number.POSITIVE_INFINITY : 'answered',
    );
    await using before = await Session.create(uncertain.space);
    const { key, revision } = await new Mutex(before, 'resumed-late').lock();
    await using session = await Session.create(etcd);
    await (await new Mutex(session, 'resumed-late').resume({ key, revision })).unlock();
    assert.equal(await keys('resumed-late'), 0);
    await uncertain.deliver(async () => assert.equal(await keys('resumed-late'), 0));
  });

  test('fencing: the revision rises, and a transaction can prove ownership', async () => {
    await using session = await Session.create(etcd);
    const mutex = new Mutex(session, 'fence');
    const old = await mutex.lock();
    const write = (lock: Lock, value: string) =>
      etcd.txn({ compare: [lock.isOwner()], success: [op.put('fenced', value)] });
    assert.equal((await write(old, 'first')).succeeded, true);
    await old.unlock();
    assert.ok(old.signal.aborted);
    const now = await mutex.lock();
    assert.ok(now.revision > old.revision);
    assert.equal((await write(old, 'stale')).succeeded, false);
    assert.equal((await write(now, 'second')).succeeded, true);
    assert.equal((await etcd.get('fenced'))?.text(), 'second');
    await now.unlock();
  });

  test('guards a transaction of any view', async () => {
    const space = etcd.namespace('guarded/');
    await using session = await Session.create(space);
    const lock = await new Mutex(session, 'guard').lock();
    const leadership = await new Election(space, 'lead').campaign(session, 'me');
    const typed = space.withCodec({ value: json<{ done: boolean }>() });
    const keyed = space.withCodec({ key: json<number>(), value: json<{ done: boolean }>() });
    for (const held of [lock, leadership]) {
      const inTyped = { compare: [held.isOwner()], success: [op.put('typed', { done: true })] };
      assert.ok((await typed.txn(inTyped)).succeeded);
      const inKeyed = { compare: [held.isOwner()], success: [op.put(1, { done: true })] };
      assert.ok((await keyed.txn(inKeyed)).succeeded);
      // Of another namespace it is another key.
      assert.ok(!(await etcd.txn({ compare: [held.isOwner()] })).succeeded);
    }
    await lock.unlock();
    assert.ok(!(await typed.txn({ compare: [lock.isOwner()] })).succeeded);
    await leadership.resign();
  });

  test('tells its holder when somebody deletes its key, and waiters, too', async () => {
    await using session = await Session.create(etcd);
    const mutex = new Mutex(session, 'stolen');
    const lock = await mutex.lock();
    const waiting = mutex.lock();
    const rejected = assert.rejects(waiting, OwnershipLostError);
    await eventually('the other waits', async () => (await keys('stolen')) === 2);
    const [, waiter] = (await etcd.range(prefix('stolen/'), { sortBy: 'createRevision' })).kvs;
    await etcd.delete(waiter?.key as Uint8Array);
    await rejected;
    assert.equal(lock.signal.aborted, false);
    await etcd.delete(lock.key);
    const reason = await aborted(lock.signal);
    assert.ok(reason instanceof OwnershipLostError);
    assert.equal(reason.why, 'deleted');
  });

  test('locks and leaderships make no AbortSignal that nobody asks for', async (t) => {
    await using session = await Session.create(etcd);
    const election = new Election(etcd, 'no-signals');
    const mutex = new Mutex(session, 'no-signals-lock');
    const make = t.mock.method(AbortSignal.prototype, 'addEventListener');
    const lock = await mutex.lock();
    await lock.unlock();
    const leadership = await election.campaign(session, 'value');
    await leadership.resign();
    assert.equal(make.mock.callCount(), 0);
    // A signal that is asked for afterwards tells what came before.
    const { signal } = lock;
    assert.equal(signal.aborted, true);
    assert.ok(signal.reason instanceof OwnershipLostError && signal.reason.why === 'released');
    assert.equal(signal.reason, lock.signal.reason);
  });

  test('short locks and leaderships open no watch, and a later watch reports what came before it', async () => {
    const space = etcd.namespace('');
    let watches = 0;
    const watch = space.watch.bind(space);
    Object.defineProperty(space, 'watch', {
      value: (...given: Parameters<typeof watch>) => {
        watches += 1;
        return watch(...given);
      },
    });
    await using session = await Session.create(space);
    const mutex = new Mutex(session, 'short');
    for (let i = 0; i < 5; i++) await (await mutex.lock()).unlock();
    for (let i = 0; i < 5; i++) await (await mutex.tryLock())?.unlock();
    const election = new Election(space, 'short-election');
    for (let i = 0; i < 5; i++) await (await election.campaign(session, 'me')).resign();
    // Longer than a key is unwatched.
    await sleep(100);
    assert.equal(watches, 0);

    const held = await mutex.lock();
    const waiting = mutex.lock();
    await eventually('the holder is watched, and so is its key by who waits', () => watches === 2);
    await held.unlock();
    await (await waiting).unlock();
    assert.equal(watches, 2);

    const lock = await mutex.lock();
    await etcd.delete(lock.key);
    await etcd.put(lock.key, 'another');
    const reason = await aborted(lock.signal);
    assert.ok(reason instanceof OwnershipLostError);
    assert.equal(reason.why, 'deleted');
    assert.equal(watches, 3);
  });

  test('has one key for a session, however often it is taken', async () => {
    const counted = async (name: string, take: () => Promise<Lock | undefined>): Promise<number> => {
      const { revision } = await etcd.range(name);
      for (let i = 0; i < 20; i++) await (await take())?.unlock();
      const seen = new Set<string>();
      const end = (await etcd.put(`${name}~end`, '')).revision;
      for await (const event of etcd.watch(prefix(name), { startRevision: revision + 1n })) {
        if (event.kv.modRevision === end) break;
        seen.add(event.kv.keyText());
      }
      return seen.size;
    };
    await using session = await Session.create(etcd);
    const mutex = new Mutex(session, 'often');
    const shared = new RwMutex(session, 'shared');
    assert.equal(await counted('often', () => mutex.lock()), 1);
    assert.equal(await counted('often', () => mutex.tryLock()), 1);
    assert.equal(await counted('shared', () => shared.readLock()), 1);
    assert.equal(await counted('shared', () => shared.writeLock()), 1);
  });

  test('has a new key after a placing that may still come', async () => {
    const uncertain = new UncertainSpace(etcd, (write) =>
      write === 0 ? Number.POSITIVE_INFINITY : 'answered',
    );
    await using session = await Session.create(uncertain.space);
    const mutex = new Mutex(session, 'uncertain');
    const first = await mutex.lock();
    await first.unlock();
    const second = await mutex.lock();
    assert.notDeepEqual(second.key, first.key);
    await second.unlock();
    const third = await mutex.lock();
    assert.deepEqual(third.key, second.key);
    await uncertain.deliver(async () => assert.equal(await keys('uncertain'), 1));
    await third.unlock();
  });

  test('that somebody else has resumed leaves its key to them', async () => {
    await using session = await Session.create(etcd);
    await using other = await Session.create(etcd);
    const lock = await new Mutex(session, 'left').lock();
    const theirs = await new Mutex(other, 'left').resume(lock);
    await lock.unlock();
    const waiting = new Mutex(session, 'left').lock();
    await eventually('it waits', async () => (await keys('left')) === 2);
    await theirs.unlock();
    assert.notDeepEqual((await waiting).key, theirs.key);
  });

  test('is lost with its session, and waiters are notified at once', async () => {
    await using other = await Session.create(etcd);
    const session = await Session.create(etcd);
    const lock = await new Mutex(session, 'lost').lock();
    // The key's deletion may be seen before the answer that the lease is revoked.
    const lost = (reason: unknown): boolean =>
      reason instanceof LeaseLostError || reason instanceof OwnershipLostError;
    const waiting = assert.rejects(new Mutex(session, 'lost').lock(), lost);
    const next = new Mutex(other, 'lost').lock();
    await eventually('they wait', async () => (await keys('lost')) === 3);
    await etcd.lease.revoke(session.leaseId);
    assert.ok(session.signal.reason instanceof LeaseLostError);
    assert.ok(lock.signal.aborted && lost(lock.signal.reason));
    await waiting;
    await (await next).unlock();
    await assert.rejects(new Mutex(session, 'lost').lock(), LeaseLostError);
    await assert.rejects(new Mutex(session, 'lost').tryLock(), LeaseLostError);
    await lock.unlock();
  });

  test('waits and holds over cut connections and a compaction', async () => {
    await using proxy = await startTcpProxy(server);
    await using far = await connect(`http://127.0.0.1:${proxy.port}`);
    await using holder = await Session.create(etcd);
    await using session = await Session.create(far, { ttlSeconds: 30 });
    const held = await new Mutex(session, 'mine').lock();
    const lock = await new Mutex(holder, 'cut').lock();
    const waiting = new Mutex(session, 'cut').lock();
    await eventually('it waits', async () => (await keys('cut')) === 2);
    for (let i = 0; i < 5; i++) {
      proxy.cut();
      await etcd.put('other', String(i));
      await etcd.compact((await etcd.put('other', '')).revision);
      await sleep(50);
    }
    await lock.unlock();
    const got = await waiting;
    assert.equal(held.signal.aborted, false);
    assert.equal(got.signal.aborted, false);
    await etcd.delete(held.key);
    assert.ok((await aborted(held.signal)) instanceof OwnershipLostError);
    await got.unlock();
  });

  test('a namespace has its own locks', async () => {
    const space = etcd.namespace('space/');
    await using session = await Session.create(space);
    await using outside = await Session.create(etcd);
    const lock = await new Mutex(session, 'm').lock();
    assert.equal(await keys('space/m'), 1);
    await using _ = await new Mutex(outside, 'm').lock({ timeoutMs: 60_000 });
    const { succeeded } = await space.txn({ compare: [lock.isOwner()], success: [op.put('done', '')] });
    assert.equal(succeeded, true);
    await lock.unlock();
    assert.equal(await keys('space/m'), 0);
  });

  test('readers share, writers exclude, and nobody overtakes a waiting writer', async () => {
    await using session = await Session.create(etcd);
    const mutex = new RwMutex(session, 'rw');
    const one = await mutex.readLock();
    const two = await mutex.readLock({ timeoutMs: 60_000 });
    const log: string[] = [];
    const writer = mutex.writeLock().then((lock) => {
      log.push('writer');
      return lock;
    });
    await eventually('the writer waits', async () => (await keys('rw')) === 3);
    const late = mutex.readLock().then((lock) => {
      log.push('late');
      return lock;
    });
    await eventually('the reader waits', async () => (await keys('rw')) === 4);
    await one.unlock();
    await assert.rejects(mutex.writeLock({ timeoutMs: 100 }), DeadlineExceededError);
    assert.deepEqual(log, []);
    await two.unlock();
    const writing = await writer;
    await sleep(50);
    assert.deepEqual(log, ['writer']);
    await writing.unlock();
    await (await late).unlock();
    // The writer who gave up removes its key in the background.
    await session.settled();
    assert.equal(await keys('rw'), 0);
  });

  /** A process that locks `processes`, as often as asked, and counts under the lock without any other protection. */
  async function contender(dir: string, ttlSeconds: number, times: number): Promise<ChildProcess> {
    const library = JSON.stringify(new URL('../src/index.js', import.meta.url).href);
    const file = join(dir, 'contender.mjs');
    writeFileSync(
      file,
      `import { connect, Mutex, Session } from ${library};
       const [endpoint, transport, ttl, times] = process.argv.slice(2);
       const etcd = await connect({ endpoints: endpoint, transport });
       const session = await Session.create(etcd, { ttlSeconds: Number(ttl) });
       const mutex = new Mutex(session, 'processes');
       for (let i = 0; i < Number(times); i++) {
         const lock = await mutex.lock();
         process.send?.('locked');
         const count = Number((await etcd.get('processes-count'))?.text() ?? 0);
         if (times === '1') await new Promise(() => setInterval(() => {}, 1000));
         await etcd.put('processes-count', String(count + 1));
         await lock.unlock();
       }
       await etcd.close();
       process.disconnect();`,
    );
    return fork(file, [server.endpoint, etcd.transport, String(ttlSeconds), String(times)], {
      timeout: 240_000,
      killSignal: 'SIGKILL',
    });
  }

  test('excludes across processes: no count is lost', async () => {
    const dir = temporaryDirectory();
    await etcd.delete('processes-count');
    const processes = await Promise.all([1, 2, 3].map(() => contender(dir, 30, 20)));
    const codes = await Promise.all(processes.map(async (child) => (await once(child, 'exit'))[0]));
    assert.deepEqual(codes, [0, 0, 0]);
    assert.equal((await etcd.get('processes-count'))?.text(), '60');
  });

  test('a holder that is killed loses it when its TTL has passed', async () => {
    const holder = await contender(temporaryDirectory(), 3, 1);
    try {
      await eventually('no lease of others is in the way', async () => (await keys('processes')) <= 1);
      await once(holder, 'message');
      await using session = await Session.create(etcd);
      const start = performance.now();
      const waiting = new Mutex(session, 'processes').lock({ timeoutMs: 60_000 });
      await sleep(3500);
      assert.equal(await keys('processes'), 2);
      holder.kill('SIGKILL');
      const lock = await waiting;
      assert.ok(performance.now() - start >= 3500);
      await lock.unlock();
    } finally {
      holder.kill('SIGKILL');
    }
  });
});
