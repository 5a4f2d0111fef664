// Failover and retry on three real members: killed, frozen, cut off, restarted, and leaders that move.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type EtcdCluster, type EtcdMember, startEtcdCluster } from '@quiesce/test-services';
import {
  ClosedError,
  type ConnectionEvent,
  DeadlineExceededError,
  type EtcdClient,
  EtcdError,
  Mirror,
  NoLeaderError,
  StatusCode,
  UnavailableError,
} from '../src/index.js';
import { overEachTransport } from './support/clients.js';
import { eventually, PATIENCE_MS } from './support/eventually.js';
import { OwnTime } from './support/own-time.js';
import { temporaryDirectory } from './support/temporary-directory.js';

let cluster: EtcdCluster;
before(async () => {
  cluster = await startEtcdCluster({ partitionable: true, electionMs: 1_500 });
});
after(() => cluster.stop());

/** Each test gets all members back, also after one that has failed. */
afterEach(() => cluster.recover());

/** Puts 1, 2, 3 … to a key of its own until stopped, and keeps what is known of each. */
class Writer {
  acknowledged = 0;
  /** Failed ones that may have been applied. */
  uncertain = 0;
  lastAcknowledged = 0;
  stopped = false;
  readonly done: Promise<void>;

  constructor(
    readonly etcd: EtcdClient,
    readonly key: string,
  ) {
    this.done = this.#write();
  }

  async #write(): Promise<void> {
    for (let n = 1; !this.stopped; n++) {
      try {
        await this.etcd.put(this.key, String(n), { timeoutMs: 3_000 });
        this.acknowledged += 1;
        this.lastAcknowledged = n;
      } catch (error) {
        assert.ok(error instanceof EtcdError, String(error));
        if (error.sent) this.uncertain += 1;
      }
    }
  }

  /** What etcd holds is what was acknowledged, and at most the uncertain ones besides, each once. */
  async check(): Promise<void> {
    const kv = await this.etcd.get(this.key, { timeoutMs: 60_000 });
    assert.ok(kv !== undefined, `${this.key} was never written`);
    const { acknowledged, uncertain } = this;
    const told = `${this.key}: version ${kv.version}, acknowledged ${acknowledged}, uncertain ${uncertain}`;
    assert.ok(kv.version >= acknowledged, `a write was lost: ${told}`);
    assert.ok(kv.version <= acknowledged + uncertain, `a write was applied twice: ${told}`);
    assert.ok(Number(kv.text()) >= this.lastAcknowledged, `an older write came last: ${told}`);
  }
}

/** Runs writers and a reader around `fault`; all must have made progress after it. */
async function underLoad(etcd: EtcdClient, name: string, fault: () => Promise<void>): Promise<void> {
  const writers = Array.from({ length: 48 }, (_, i) => new Writer(etcd, `${name}/${i}`));
  let reads = 0;
  let stopped = false;
  const reader = (async () => {
    while (!stopped) {
      await etcd.get(`${name}/0`, { timeoutMs: 60_000 });
      reads += 1;
    }
  })();
  reader.catch(() => {});
  await eventually('writes', () => writers.every(({ acknowledged }) => acknowledged > 3));
  try {
    await fault();
    const before = writers.map(({ acknowledged }) => acknowledged);
    const readsBefore = reads;
    await eventually('writes after the fault', () =>
      writers.every((w, i) => w.acknowledged > (before[i] ?? 0) + 3),
    );
    await eventually('reads after the fault', () => reads > readsBefore + 3);
  } finally {
    stopped = true;
    for (const writer of writers) writer.stopped = true;
    await Promise.all(writers.map(({ done }) => done));
  }
  await reader;
  for (const writer of writers) await writer.check();
}

overEachTransport('failover', (connect) => {
  test('calls go round all endpoints', async () => {
    await using etcd = await connect({ endpoints: cluster.endpoints });
    // An endpoint gets calls once it has answered a probe, which the first calls don't wait for.
    await eventually('all endpoints are ready', async () => {
      await etcd.get('k');
      return etcd.endpoints.every(({ state }) => state === 'ready');
    });
    const asked = new Set<string>();
    for (let i = 0; i < 3; i++) asked.add(String((await etcd.range('k')).header.memberId));
    assert.equal(asked.size, 3);
  });

  test('the leader killed under load: no acknowledged write is lost, none applied twice, reads go on', async () => {
    await using etcd = await connect({ endpoints: cluster.endpoints });
    const leader = await cluster.leader();
    await underLoad(etcd, `killed-${etcd.transport}`, async () => {
      leader.kill();
      await leader.exited;
      await cluster.leader();
    });
    const index = cluster.members.indexOf(leader);
    assert.equal(etcd.endpoints[index]?.state, 'failed');
    await leader.restart();
    await eventually('the restarted member serves again', () => {
      etcd.get('k').catch(() => {});
      return etcd.endpoints[index]?.state === 'ready';
    });
  });

  // What it has passed on to the leader is applied though its answer is lost: sent again it would be applied twice.
  test('a follower killed under load: no acknowledged write is lost, none applied twice', async () => {
    await using etcd = await connect({ endpoints: cluster.endpoints });
    const [follower] = (await cluster.followers()) as [EtcdMember];
    await underLoad(etcd, `follower-${etcd.transport}`, async () => {
      follower.kill();
      await follower.exited;
    });
    await follower.restart();
  });

  test('a killed follower fails no read, and no write that was not sent', async () => {
    await using etcd = await connect({ endpoints: cluster.endpoints });
    const [follower] = await cluster.followers();
    assert.ok(follower);
    follower.kill();
    await follower.exited;
    // Refused connections are failures before anything was sent: each call goes elsewhere, writes too.
    for (let i = 0; i < 30; i++) {
      await etcd.put('follower', String(i)).catch((error: EtcdError) => {
        // The one that meets the dying connection may have been sent.
        assert.ok(error.sent, String(error));
      });
      await etcd.get('follower');
    }
    assert.equal((await etcd.get('follower'))?.text(), '29');
    await follower.restart();
  });

  test('snapshots are taken at another member where one is killed, and wait for the only one', async () => {
    const dir = temporaryDirectory();
    const [member] = (await cluster.followers()) as [EtcdMember];
    await using all = await connect({ endpoints: cluster.endpoints });
    await using one = await connect({ endpoints: member.endpoint });
    member.kill();
    await member.exited;
    for (let i = 0; i < 6; i++) await all.maintenance.snapshotTo(join(dir, `${i}.db`), { timeoutMs: 60_000 });
    await assert.rejects(
      one.maintenance.snapshotTo(join(dir, 'down.db'), { timeoutMs: 200 }),
      // An attempt may be under way then.
      (error) => error instanceof UnavailableError || error instanceof DeadlineExceededError,
    );
    const waiting = one.maintenance.snapshotTo(join(dir, 'waited.db'), { timeoutMs: 60_000 });
    waiting.catch(() => {});
    const controller = new AbortController();
    const { signal } = controller;
    const given = one.maintenance.snapshotTo(join(dir, 'aborted.db'), { signal });
    const closed = one.maintenance.snapshot();
    const next = closed[Symbol.asyncIterator]().next();
    next.catch(() => {});
    await delay(200);
    controller.abort(new Error('given up'));
    closed.close();
    await assert.rejects(given, /given up/);
    await assert.rejects(next, { code: StatusCode.CANCELLED });
    await member.restart();
    assert.ok((await waiting).bytes > 0);
  });

  test('a frozen member: reads move on after attemptTimeoutMs, and then avoid it', async () => {
    await using etcd = await connect({ endpoints: cluster.endpoints, attemptTimeoutMs: 1_000 });
    const [frozen] = await cluster.followers();
    assert.ok(frozen);
    for (let i = 0; i < 6; i++) await etcd.get('k');
    frozen.pause();
    using time = new OwnTime();
    for (let i = 0; i < 30; i++) await etcd.get('k', { timeoutMs: 60_000 });
    assert.ok(time.ms < 12_000, 'only the first call waited for it');
    assert.equal(etcd.endpoints[cluster.members.indexOf(frozen)]?.state, 'failed');
    frozen.resume();
    await eventually('it serves again', () => {
      etcd.get('k').catch(() => {});
      return etcd.endpoints.every(({ state }) => state === 'ready');
    });
  });

  test('a member that is cut off: requireLeader fails at once, or uses another endpoint', async () => {
    const [lone] = (await cluster.followers()) as [EtcdMember];
    await using one = await connect({ endpoints: lone.endpoint, retry: { maxAttempts: 1 } });
    await using all = await connect({ endpoints: cluster.endpoints, attemptTimeoutMs: 2_000 });
    cluster.partition(lone);
    let last: unknown;
    const deadline = performance.now() + PATIENCE_MS;
    while (performance.now() < deadline && !/no leader/.test(String(last))) {
      last = await one.get('k', { requireLeader: true, timeoutMs: 1_000 }).catch((error: unknown) => error);
    }
    assert.match(String(last), /etcdserver: no leader/);
    await one.get('k', { serializable: true });
    for (let i = 0; i < 12; i++) await all.put('cut', String(i), { requireLeader: true });
    assert.equal((await all.get('cut'))?.text(), '11');
    cluster.heal();
    await eventually('it serves again', () => {
      all.get('k', { requireLeader: true }).catch(() => {});
      return all.endpoints.every(({ state }) => state === 'ready');
    });
  });

  test('no member has a leader: requireLeader fails at once, or waits for one', async () => {
    const [lone, ...others] = (await cluster.followers()) as [EtcdMember, EtcdMember];
    const leader = await cluster.leader();
    const timeoutMs = 60_000;
    await using one = await connect({ endpoints: lone.endpoint, timeoutMs });
    await using all = await connect({ endpoints: cluster.endpoints, timeoutMs, connectTimeoutMs: 2_000 });
    await all.put('alone', 'before');
    for (const member of [leader, ...others]) member.kill();
    await Promise.all([leader, ...others].map(({ exited }) => exited));
    // Until it has noticed.
    const isLeaderless = async (): Promise<boolean> =>
      (await one.maintenance.status(lone.endpoint)).leader === 0n;
    await eventually('it has no leader', isLeaderless);
    for (const etcd of [one, all]) {
      using time = new OwnTime();
      const calls = {
        put: () => etcd.put('alone', 'after', { requireLeader: true }),
        get: () => etcd.get('alone', { requireLeader: true }),
        list: () => etcd.pages('alone', { requireLeader: true }).next(),
        grant: () => etcd.lease.grant(5, { requireLeader: true }),
        mirror: () => new Mirror(etcd, 'alone', { requireLeader: true })[Symbol.asyncIterator]().next(),
      };
      for (const [name, call] of Object.entries(calls)) {
        await assert.rejects(call(), (error: unknown) => {
          assert.ok(error instanceof NoLeaderError, `${name}: ${error}`);
          assert.equal(error.mayBeApplied, false, name);
          return true;
        });
      }
      assert.ok(time.ms < timeoutMs / 2, `${time.ms} ms`);
    }
    const waiting = all.put('alone', 'with a leader', { requireLeader: 'wait' });
    await cluster.recover();
    await waiting;
    assert.equal((await all.get('alone'))?.text(), 'with a leader');
  });

  test('the leader moves under load, and no write is lost or applied twice', async () => {
    await using etcd = await connect({ endpoints: cluster.endpoints });
    const [next] = (await cluster.followers()) as [EtcdMember];
    await underLoad(etcd, `moved-${etcd.transport}`, () =>
      // On a busy machine the members may elect another leader by themselves.
      eventually('it leads', async () => {
        const late = (error: unknown): void => assert.ok(error instanceof EtcdError, String(error));
        await etcd.maintenance.moveLeader(next.id).catch(late);
        return (await cluster.leader()) === next;
      }),
    );
  });

  test('state changes are reported', async () => {
    await using etcd = await connect({ endpoints: cluster.endpoints });
    const events: ConnectionEvent[] = [];
    const stop = etcd.onConnection((event) => events.push(event));
    const [member] = (await cluster.followers()) as [EtcdMember];
    for (let i = 0; i < 6; i++) await etcd.get('k');
    member.kill();
    await member.exited;
    const of = (state: string): ConnectionEvent | undefined =>
      events.findLast((event) => event.endpoint === member.endpoint && event.state === state);
    await eventually('its failure is reported', () => {
      etcd.get('k').catch(() => {});
      return of('failed') !== undefined;
    });
    assert.ok((of('failed')?.retryInMs ?? 0) > 0);
    assert.ok(of('failed')?.error instanceof EtcdError);
    events.length = 0;
    await member.restart();
    await eventually('its return is reported', () => {
      etcd.get('k').catch(() => {});
      return of('ready') !== undefined;
    });
    stop();
  });

  test('endpoints are synced with the members, and can be set', async () => {
    const [first] = cluster.endpoints as [string];
    await using etcd = await connect({ endpoints: first });
    assert.deepEqual(
      (await etcd.cluster.syncEndpoints()).toSorted(),
      cluster.members.map(({ endpoint }) => endpoint).toSorted(),
    );
    assert.equal(etcd.endpoints.length, 3);
    etcd.setEndpoints(first);
    await etcd.put('k', 'v');
    assert.deepEqual(
      etcd.endpoints.map(({ endpoint }) => endpoint),
      [first],
    );
    assert.throws(() => etcd.setEndpoints('ftp://x'), /malformed/);
  });

  test('autoSyncIntervalMs finds the members', async () => {
    await using etcd = await connect({ endpoints: cluster.endpoints[0] as string, autoSyncIntervalMs: 100 });
    await eventually('three endpoints', () => etcd.endpoints.length === 3);
  });

  test('nothing is pending after close, retries and probes included', async () => {
    const etcd = await connect({ endpoints: cluster.endpoints });
    for (const member of cluster.members) member.pause();
    const calls = Array.from({ length: 20 }, (_, i) =>
      i % 2 ? etcd.get('k') : etcd.put(`close/${i}`, 'v', { timeoutMs: 60_000 }),
    );
    await delay(50);
    await etcd.close();
    for (const result of await Promise.allSettled(calls)) {
      assert.ok(result.status === 'rejected' && result.reason instanceof ClosedError, JSON.stringify(result));
    }
    for (const member of cluster.members) member.resume();
  });
});
