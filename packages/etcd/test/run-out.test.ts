// A lease that runs out while this process can't notice, because its event loop was blocked or it was stopped: whatever
// runs first after that must not take what the lease guarded for its own.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import type { EtcdServer } from '@quiesce/test-services';
import {
  DoubleBarrier,
  Election,
  type EtcdClient,
  LeaseLostError,
  LeaseNotFoundError,
  Mutex,
  op,
  prefix,
  RwMutex,
  Session,
} from '../src/index.js';
import { isStopped } from '../src/testing/stopped.js';
import { blockAfter } from './support/block.js';
import { busyFor } from './support/busy-for.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { eventually } from './support/eventually.js';
import { program } from './support/program.js';

const TTL_SECONDS = 2;
/** Longer than the TTL lasts from any renewal before it. */
const BLOCK_MS = 2_100;
/** For a lease that is kept for a while before its holder is stopped. */
const STOPPED_TTL_SECONDS = 5;

function isExpiry(error: unknown): true {
  assert.ok(error instanceof LeaseLostError, String(error));
  assert.equal(error.why, 'expired');
  return true;
}

overEachTransport('after the event loop was blocked for longer than the TTL', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });

  test('the signals tell at once that the lease has run out, and their events come by that', async () => {
    await using session = await Session.create(etcd, { ttlSeconds: TTL_SECONDS });
    const lock = await new Mutex(session, 'looked-at').lock();
    const leadership = await new Election(etcd, 'led').campaign(session, '');
    const keepAlive = await etcd.lease.keepAlive(session.leaseId);
    const signals = [lock.signal, leadership.signal, session.signal, keepAlive.lost];
    const events: number[] = [];
    for (const [i, signal] of signals.entries()) signal.addEventListener('abort', () => events.push(i));
    const derived = AbortSignal.any([lock.signal]);
    busyFor(BLOCK_MS);
    assert.deepEqual(events, []);
    assert.equal(lock.signal.aborted, true);
    // The lock is lost because the lease is, with all that hangs on it.
    assert.deepEqual(events.toSorted(), [0, 1, 2, 3]);
    assert.equal(derived.aborted, true);
    for (const signal of signals) {
      isExpiry(signal.reason);
      assert.throws(() => signal.throwIfAborted(), isExpiry);
    }
    assert.equal(session.remainingMs, 0);
    keepAlive.stop();
  });

  for (const [what, look] of [
    ['reason', (signal: AbortSignal) => isExpiry(signal.reason)],
    ['throwIfAborted()', (signal: AbortSignal) => assert.throws(() => signal.throwIfAborted(), isExpiry)],
  ] as const) {
    test(`${what} alone looks, too`, async () => {
      await using session = await Session.create(etcd, { ttlSeconds: TTL_SECONDS });
      const lock = await new Mutex(session, `looked-at-by-${what}`).lock();
      busyFor(BLOCK_MS);
      look(lock.signal);
    });
  }

  test('calls with the signal of a lock are refused at once, and nothing is sent', async () => {
    await using session = await Session.create(etcd, { ttlSeconds: TTL_SECONDS });
    await using lasting = await Session.create(etcd);
    const { signal } = await new Mutex(session, 'guard').lock();
    busyFor(BLOCK_MS);
    const calls: Promise<unknown>[] = [
      etcd.put('guarded/put', 'late', { signal }),
      etcd.txn({ success: [op.put('guarded/txn', 'late')] }, { signal }),
      etcd.stm(async (stm) => stm.put('guarded/stm', 'late'), { signal }),
      etcd.watch('guarded/', { signal }).ready,
      new Mutex(lasting, 'guarded/lock').lock({ signal }),
    ];
    for (const result of await Promise.allSettled(calls)) {
      assert.equal(result.status, 'rejected');
      isExpiry(result.reason);
    }
    assert.deepEqual((await etcd.range(prefix('guarded/'))).kvs, []);
  });

  test('a timer of the program that comes first finds the lock lost', async () => {
    await using session = await Session.create(etcd, { ttlSeconds: TTL_SECONDS });
    const { signal } = await new Mutex(session, 'timer').lock();
    const lost = new Promise<boolean>((resolve) => {
      setTimeout(() => resolve(signal.aborted), 1);
    });
    busyFor(BLOCK_MS);
    assert.equal(await lost, true);
  });

  // What it hangs on, and the last call that it makes.
  const handedOver: readonly (readonly [
    name: string,
    last: string,
    take: (
      session: Session,
      key: string,
      client: EtcdClient,
    ) => Promise<{ readonly signal: AbortSignal } | undefined>,
  ])[] = [
    ['Mutex.lock', 'Txn', (session, key) => new Mutex(session, key).lock()],
    ['Mutex.tryLock', 'Txn', (session, key) => new Mutex(session, key).tryLock()],
    ['RwMutex.readLock', 'Txn', (session, key) => new RwMutex(session, key).readLock()],
    ['RwMutex.writeLock', 'Txn', (session, key) => new RwMutex(session, key).writeLock()],
    ['Election.campaign', 'Txn', (session, key, client) => new Election(client, key).campaign(session, '')],
    [
      'DoubleBarrier.enter',
      'Txn',
      async (session, key) => {
        await new DoubleBarrier(session, key, 1).enter();
        return session;
      },
    ],
    [
      'Session.create',
      'LeaseKeepAlive',
      (_session, _key, client) => Session.create(client, { ttlSeconds: TTL_SECONDS }),
    ],
    [
      'Session.create with a lease',
      'LeaseKeepAlive',
      ({ leaseId }, _key, client) => Session.create(client, { leaseId }),
    ],
    [
      'keepAlive',
      'LeaseKeepAlive',
      async ({ leaseId }, _key, client) => ({ signal: (await client.lease.keepAlive(leaseId)).lost }),
    ],
  ];
  for (const [name, last, take] of handedOver) {
    test(`${name} does not resolve with a lease that has run out`, async () => {
      // An answer may come, on a busy machine, before the block begins; then the promise was right when it resolved.
      for (let round = 0; ; round++) {
        await using other = await connect(server.endpoint);
        await using session = await Session.create(etcd, { ttlSeconds: TTL_SECONDS });
        await other.get('warm-up');
        const blocked = blockAfter(last, BLOCK_MS);
        let resolvedAt: number | undefined;
        const taken = take(session, `taken/${name}/${round}`, other).then((owned) => {
          resolvedAt = performance.now();
          assert.equal(owned?.signal.aborted, false, 'it is lost already');
        });
        taken.catch(() => {});
        const start = await blocked;
        await taken.catch((error) => {
          const expected = [LeaseLostError, LeaseNotFoundError].some((type) => error instanceof type);
          if (!expected) throw error;
        });
        if (resolvedAt === undefined || resolvedAt > start) break;
        assert.ok(round < 50, 'the block never came in time');
      }
    });
  }

  test('Election.resume refuses a session that has run out', async () => {
    await using one = await Session.create(etcd);
    const election = new Election(etcd, 'resumed');
    const leadership = await election.campaign(one, '');
    await using session = await Session.create(etcd, { ttlSeconds: TTL_SECONDS });
    busyFor(BLOCK_MS);
    await assert.rejects(election.resume(session, leadership), isExpiry);
  });
});

/** What each callback of the program found, one line each. */
interface Act {
  readonly by: string;
  readonly at: number;
  /** What the signal of the lock said. */
  readonly held: boolean;
  /** What a write with that signal failed with. */
  readonly write: string;
}

const library = JSON.stringify(new URL('../src/index.js', import.meta.url).href);

/** Holds a lock, waits for another, and does something in each kind of callback, all the time. */
const holder = (endpoints: string, transport: string): string => `
  import { readFile } from 'node:fs';
  const { connect, Election, Mutex, Session } = await import(${library});
  const etcd = await connect(${JSON.stringify({ endpoints, transport })});
  const session = await Session.create(etcd, { ttlSeconds: ${STOPPED_TTL_SECONDS} });
  const lock = await new Mutex(session, 'stopped').lock();
  const leadership = await new Election(etcd, 'stopped-leads').campaign(session, 'child');
  const tell = (what) => console.log(JSON.stringify(what));
  const queued = new Mutex(session, 'queued').lock().then(() => 'locked', (error) => error.name);
  const act = async (by) => {
    const at = Date.now();
    const held = !lock.signal.aborted && !leadership.signal.aborted;
    // Only what is found lost: the others may be on their way as the process stops.
    const write = held ? '' : await etcd.put('stopped-write', by, { signal: lock.signal }).then(() => 'done', (error) => error.name);
    tell({ by, at, held, write });
  };
  let over = false;
  process.stdin.on('data', () => act('input'));
  setInterval(() => act('interval'), 10);
  (function timer() { setTimeout(() => { act('timer'); timer(); }, 7); })();
  (function file() { readFile(import.meta.filename ?? process.argv[1], () => { act('file'); setTimeout(file, 3); }); })();
  setInterval(() => { setImmediate(() => act('immediate')); }, 13);
  tell({ up: true });
  tell({ queued: await queued });
`;

/** By its id: on Deno `child.kill()` sends one signal and no other after that. */
function send({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  process.kill(pid as number, signal);
}

async function stopped(child: ChildProcess): Promise<void> {
  send(child, 'SIGSTOP');
  await eventually('the process stops', () => isStopped(child.pid as number));
}

overEachTransport('after the process was stopped for longer than the TTL', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });

  test('no timer and no input finds the lock held, no write is made, and nothing is handed over', async () => {
    await using mine = await Session.create(etcd);
    const ahead = await new Mutex(mine, 'queued').lock();
    const child = spawn(process.execPath, [program(holder(server.endpoint, etcd.transport))], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    try {
      const acts: Act[] = [];
      let up = false;
      let queued: string | undefined;
      createInterface({ input: child.stdout }).on('line', (line) => {
        const told = JSON.parse(line) as Partial<Act> & { up?: boolean; queued?: string };
        if (told.up !== undefined) up = true;
        else if (told.queued !== undefined) queued = told.queued;
        else acts.push(told as Act);
      });
      await eventually('the program holds the lock', () => up && acts.length > 20, 60_000);
      assert.ok(acts.every(({ held }) => held));
      await stopped(child);
      // Both of what it will find when it goes on.
      await ahead.unlock();
      child.stdin.write('go on');
      const lock = await new Mutex(mine, 'stopped').lock({ timeoutMs: 60_000 });
      const lostAt = Date.now();
      send(child, 'SIGCONT');
      const later = (): Act[] => acts.filter(({ at }) => at >= lostAt);
      const kinds = ['file', 'immediate', 'input', 'interval', 'timer'];
      await eventually(
        'each kind of callback runs again, and the waiting call ends',
        () => queued !== undefined && new Set(later().map(({ by }) => by)).size === kinds.length,
        60_000,
      );
      assert.deepEqual([...new Set(later().map(({ by }) => by))].sort(), kinds);
      const wrong = later().filter(({ held, write }) => held || write !== 'LeaseLostError');
      assert.deepEqual(wrong, []);
      assert.equal(queued, 'LeaseLostError');
      assert.equal(await etcd.get('stopped-write'), undefined);
      await lock.unlock();
    } finally {
      if (child.exitCode === null) send(child, 'SIGKILL');
      await exited;
    }
  });
});
