// Leases, locks, elections, software transactions and watches on three real members whose leader dies, which lose
// their majority, or one of which freezes; with authentication, too, whose tokens expire and are forgotten meanwhile.
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type EtcdCluster, type EtcdMember, startEtcdCluster } from '@quiesce/test-services';
import {
  type CallTrace,
  type ConnectOptions,
  channelNames,
  connect as connectAny,
  Election,
  type EtcdClient,
  EtcdError,
  LeaseLostError,
  Mutex,
  op,
  prefix,
  Session,
  type Watch,
} from '../src/index.js';
import { overEachTransport } from './support/clients.js';
import { eventually } from './support/eventually.js';

const ELECTION_MS = 600;
const root = { username: 'root', password: 'root-secret' };

/** What a call gave; where it failed, as calls do in a failover, whether it may have been applied all the same. */
async function attempt<T>(
  call: () => Promise<T>,
): Promise<{ readonly done: true; readonly value: T } | { readonly done: false; readonly sent: boolean }> {
  try {
    return { done: true, value: await call() };
  } catch (error) {
    assert.ok(error instanceof EtcdError, String(error));
    return { done: false, sent: error.sent };
  }
}

/** Of calls that count up in etcd: those that were acknowledged, and those that may have been applied. */
class Counts {
  acknowledged = 0;
  #uncertain = 0;

  async of<T>(call: () => Promise<T>): Promise<T | undefined> {
    const result = await attempt(call);
    if (result.done) this.acknowledged += 1;
    else if (result.sent) this.#uncertain += 1;
    return result.done ? result.value : undefined;
  }

  /** None was lost, and none applied twice. */
  check(counted: number): void {
    const told = `${counted} counted, ${this.acknowledged} acknowledged, ${this.#uncertain} uncertain`;
    assert.ok(counted >= this.acknowledged && counted <= this.acknowledged + this.#uncertain, told);
  }
}

/** Loops until stopped, and counts its turns. */
class Worker {
  turns = 0;
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(turn: () => Promise<void>) {
    this.#done = (async () => {
      for (; !this.#stopped; this.turns += 1) await turn();
    })();
    // Reported by `stop()`; a worker that has failed makes no progress until then.
    this.#done.catch(() => {});
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }
}

/** What goes on while members fail, and what must hold afterwards. */
interface Subject {
  readonly workers: readonly Worker[];
  /** Once the workers have stopped. */
  check(): Promise<void>;
}

/** All of them make progress from now on. */
async function progress(workers: readonly Worker[]): Promise<void> {
  const before = workers.map(({ turns }) => turns);
  try {
    await eventually('all workers make progress', () =>
      workers.every(({ turns }, i) => turns >= (before[i] ?? 0) + 3),
    );
  } catch (error) {
    await Promise.all(workers.map((worker) => worker.stop()));
    throw error;
  }
}

for (const auth of [undefined, root]) {
  overEachTransport(`failover with auth ${auth ? 'on' : 'off'}`, (connectHere) => {
    let cluster: EtcdCluster;
    before(async () => {
      cluster = await startEtcdCluster({
        electionMs: ELECTION_MS,
        extraArgs: ['--auth-token-ttl=2', '--bcrypt-cost=4', '--grpc-keepalive-min-time=100ms'],
      });
      if (auth === undefined) return;
      await using etcd = await connectAny({ endpoints: cluster.endpoints });
      await etcd.auth.userAdd('root', { password: root.password });
      await etcd.auth.roleAdd('root').catch(() => {});
      await etcd.auth.userGrantRole('root', 'root');
      await etcd.auth.enable();
    });
    after(() => cluster.stop());
    afterEach(() => cluster.recover());

    const connect = (options: ConnectOptions = {}): Promise<EtcdClient> =>
      connectHere({ endpoints: cluster.endpoints, ...(auth && { auth }), ...options });

    /** Kills the leader, waits for the next, and has the old one back: it has forgotten all tokens. */
    async function killLeader(): Promise<void> {
      const leader = await cluster.leader();
      leader.kill();
      await leader.exited;
      await cluster.leader();
      await leader.restart();
    }

    /** The member that serves a client's stream of this method, which `open` opens. */
    async function serving(method: string, open: () => Promise<unknown>): Promise<EtcdMember> {
      let endpoint: string | undefined;
      const listener = (message: unknown): void => {
        const call = message as CallTrace;
        if (call.method.endsWith(method)) endpoint = call.endpoint;
      };
      subscribe(channelNames.callEnd, listener);
      try {
        await open();
        await eventually('the stream is there', () => endpoint !== undefined);
      } finally {
        unsubscribe(channelNames.callEnd, listener);
      }
      const member = cluster.members.find((each) => each.endpoint === endpoint);
      assert.ok(member !== undefined, endpoint);
      return member;
    }

    /**
     * Leases that are kept: for longer than their TTL, which is told by the time that the other subjects need. A renewal is
     * due after a third of it; the rest must be enough for an election and a new stream, on a busy machine, too.
     */
    async function leases(etcd: EtcdClient): Promise<Subject> {
      const ids = await Promise.all(Array.from({ length: 40 }, async () => (await etcd.lease.grant(16)).id));
      const keepAlives = await Promise.all(ids.map((id) => etcd.lease.keepAlive(id)));
      const start = performance.now();
      return {
        workers: [],
        check: async () => {
          await delay(Math.max(0, 17_000 - (performance.now() - start)));
          for (const { lost, remainingMs } of keepAlives) {
            assert.equal(lost.reason, undefined);
            assert.ok(remainingMs > 0);
          }
          const there = new Set(await etcd.lease.list());
          assert.deepEqual(
            ids.filter((id) => !there.has(id)),
            [],
          );
          await Promise.all(ids.map((id) => etcd.lease.revoke(id)));
        },
      };
    }

    /** Holders of a lock count in a key, which only the lock keeps from losing one. */
    async function locks(clients: readonly EtcdClient[]): Promise<Subject> {
      const sessions = await Promise.all(clients.map((etcd) => Session.create(etcd, { ttlSeconds: 20 })));
      const holders = new Set<Session>();
      const revisions: bigint[] = [];
      const counts = new Counts();
      const workers = sessions.map(
        (session) =>
          new Worker(async () => {
            await using lock = await new Mutex(session, 'lock').lock({ timeoutMs: 30_000 });
            holders.add(session);
            assert.equal(holders.size, 1, 'holders of the lock');
            revisions.push(lock.revision);
            const count = Number((await session.space.get('locked'))?.text() ?? 0);
            const succeeded = await counts.of(async () => {
              const success = [op.put<string, string>('locked', String(count + 1))];
              return (await session.space.txn({ compare: [lock.isOwner()], success })).succeeded;
            });
            assert.notEqual(succeeded, false, 'the holder owns it');
            holders.delete(session);
          }),
      );
      return {
        workers,
        check: async () => {
          assert.deepEqual(
            revisions,
            revisions.toSorted((a, b) => Number(a - b)),
          );
          for (const { signal } of sessions) assert.equal(signal.reason, undefined);
          const etcd = clients[0] as EtcdClient;
          counts.check(Number((await etcd.get('locked'))?.text()));
          assert.equal((await etcd.range(prefix('lock/'))).count, 0n);
          await Promise.all(sessions.map((session) => session.close()));
        },
      };
    }

    /** A leader who proclaims, one who waits to be the next, and an observer. */
    async function election(etcd: EtcdClient, other: EtcdClient): Promise<Subject> {
      const session = await Session.create(etcd, { ttlSeconds: 20 });
      const next = await Session.create(other, { ttlSeconds: 20 });
      const leadership = await new Election(etcd, 'election').campaign(session, '0');
      const waiting = new Election(other, 'election').campaign(next, 'second');
      const seen: string[] = [];
      const over = new AbortController();
      const observer = (async () => {
        for await (const kv of new Election(other, 'election').observe({ signal: over.signal })) {
          seen.push(kv.text());
        }
      })();
      observer.catch(() => {});
      await eventually('the observer sees the leader', () => seen.length === 1);
      const told = ['0'];
      const proclaimer = new Worker(async () => {
        const value = String(told.length);
        // Again where it may not have come through: then it may be seen twice.
        while (!(await attempt(() => leadership.proclaim(value))).done) leadership.signal.throwIfAborted();
        told.push(value);
        await delay(10);
      });
      return {
        workers: [proclaimer],
        check: async () => {
          assert.equal(leadership.signal.reason, undefined);
          await leadership.resign();
          const second = await waiting;
          told.push('second');
          await eventually('the observer sees the next leader', () => seen.at(-1) === 'second');
          over.abort();
          await assert.rejects(observer, { name: 'AbortError' });
          assert.deepEqual(
            seen.filter((value, i) => value !== seen[i - 1]),
            told,
          );
          assert.equal(second.signal.reason, undefined);
          await session.close();
          await next.close();
        },
      };
    }

    /** Transfers between accounts, whose sum stays. */
    async function transfers(etcd: EtcdClient): Promise<Subject> {
      const accounts = Array.from({ length: 8 }, (_, i) => `account/${i}`);
      for (const account of accounts) await etcd.put(account, '1000');
      await etcd.put('transfers', '0');
      const counts = new Counts();
      const workers = accounts.slice(0, 4).map(
        (from, i) =>
          new Worker(async () => {
            const to = accounts[4 + ((i + counts.acknowledged) % 4)] as string;
            await counts.of(() =>
              etcd.stm(async (txn) => {
                const [a, b, count] = await txn.getAll([from, to, 'transfers']);
                txn.put(from, String(Number(a?.text()) - 1));
                txn.put(to, String(Number(b?.text()) + 1));
                txn.put('transfers', String(Number(count?.text()) + 1));
              }),
            );
          }),
      );
      return {
        workers,
        check: async () => {
          const { kvs } = await etcd.range(prefix('account/'));
          assert.equal(
            kvs.reduce((sum, kv) => sum + Number(kv.text()), 0),
            8_000,
          );
          counts.check(Number((await etcd.get('transfers'))?.text()));
        },
      };
    }

    test('the leader dies: leases are kept, locks and leaderships held, transactions applied once', async () => {
      const clients = await Promise.all([connect(), connect(), connect()]);
      const [etcd, other] = clients;
      try {
        const subjects = [
          await leases(etcd),
          await locks(clients),
          await election(etcd, other),
          await transfers(other),
        ];
        const workers = subjects.flatMap((subject) => subject.workers);
        await progress(workers);
        await killLeader();
        await progress(workers);
        await Promise.all(workers.map((worker) => worker.stop()));
        for (const { check } of subjects) await check();
      } finally {
        await Promise.all(clients.map((client) => client.close()));
      }
    });

    test('a lease is reported to be lost within its TTL once there is no majority', async () => {
      await using etcd = await connect();
      const session = await Session.create(etcd, { ttlSeconds: 2 });
      const lock = await new Mutex(session, 'majority').lock();
      for (const follower of await cluster.followers()) follower.kill();
      // A leader renews leases until it has noticed, within two election timeouts, that it is alone. So the time counts
      // from the last renewal.
      let until = 0;
      await eventually('the session is lost', () => {
        if (!session.signal.aborted) until = performance.now() + session.remainingMs;
        return session.signal.aborted;
      });
      const { reason } = session.signal;
      assert.ok(performance.now() - until < 1_500, 'by the clock of this process');
      assert.ok(reason instanceof LeaseLostError && reason.why === 'expired', String(reason));
      assert.equal(lock.signal.reason, reason);
    });

    test('a lease leaves a member that has frozen before its TTL has passed', async () => {
      await using etcd = await connect();
      const { id } = await etcd.lease.grant(3);
      await etcd.put('leased', '', { lease: id });
      let lost: AbortSignal | undefined;
      const frozen = await serving('/LeaseKeepAlive', async () => {
        ({ lost } = await etcd.lease.keepAlive(id));
      });
      frozen.pause();
      // Calls go round, also to the frozen one, and so move whose turn it is.
      const calls = Array.from({ length: 7 }, () => etcd.get('k', { timeoutMs: 15_000 }).catch(() => {}));
      await delay(4_500);
      assert.equal(lost?.reason, undefined);
      const leased = await etcd.get('leased', { attemptTimeoutMs: 1_000, timeoutMs: 15_000 });
      assert.ok(leased !== undefined, 'the server has it, too');
      // A leader that wakes up may revoke, in its last moment as such, what others have renewed: that is etcd's.
      frozen.resume();
      await Promise.all(calls);
    });

    test('with HTTP/2 keepalive, a watch and a lease leave a member that has frozen under writes', async () => {
      await using etcd = await connect({ keepAlive: { intervalMs: 500, timeoutMs: 500 } });
      let watch: Watch | undefined;
      const frozen = await serving('/Watch', async () => {
        watch = etcd.watch(prefix('frozen/'));
        await watch.ready;
      });
      const others = cluster.members.filter((member) => member !== frozen);
      await using writer = await connect({ endpoints: others.map(({ endpoint }) => endpoint) });
      const { revision } = await writer.put('frozen/n', '0');
      const { id } = await etcd.lease.grant(5);
      const { lost } = await etcd.lease.keepAlive(id);
      const seen: bigint[] = [];
      const reader = (async () => {
        for await (const { kv } of watch as Watch) seen.push(kv.modRevision);
      })();
      let written = 0;
      const worker = new Worker(async () => {
        const n = written + 1;
        for (let over = false; !over; ) {
          const result = await attempt(() => writer.put('frozen/n', String(n), { timeoutMs: 3_000 }));
          over = result.done || result.sent;
        }
        written = n;
      });
      await progress([worker]);
      frozen.pause();
      const start = performance.now();
      const before = seen.length;
      await eventually('the watch goes on elsewhere', () => seen.length > before + 20);
      const member = etcd.endpoints[cluster.members.indexOf(frozen)];
      assert.equal(member?.state, 'failed', `after ${Math.round(performance.now() - start)} ms`);
      await progress([worker]);
      await delay(Math.max(0, 5_500 - (performance.now() - start)));
      assert.equal(lost.reason, undefined);
      frozen.resume();
      await worker.stop();
      // The member that was frozen may have led: what it was sent is answered with a time-out of the server's.
      let ending = await attempt(() => writer.put('frozen/n', 'last'));
      while (!ending.done) ending = await attempt(() => writer.put('frozen/n', 'last'));
      const last = ending.value.revision;
      await eventually('the watch has seen all', () => seen.includes(last));
      watch?.close();
      await reader;
      // Writes that were given up may be applied at any time, also after the last: etcd's history decides.
      const history: bigint[] = [];
      for await (const { kv } of writer.watch(prefix('frozen/'), { startRevision: revision })) {
        history.push(kv.modRevision);
        if (kv.modRevision === last) break;
      }
      assert.deepEqual(seen.slice(0, history.length), history);
    });
  });
}
