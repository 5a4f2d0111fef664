import { setTimeout as delay } from 'node:timers/promises';
import {
  CompactedError,
  compare,
  DoubleBarrier,
  Election,
  type EtcdClient,
  EtcdError,
  type Lock,
  Mutex,
  op,
  prefix,
  Session,
} from '@quiesce/etcd';
import type { Random } from '@quiesce/test-services';
import type { History } from './history.js';

/** What each worker of the workload has. */
export interface Work {
  readonly etcd: EtcdClient;
  readonly client: string;
  readonly worker: string;
  readonly history: History;
  readonly random: Random;
  /** Aborts when no more work is to begin. */
  readonly over: AbortSignal;
}

let values = 0;
const uniqueValue = (): string => `v${++values}`;

/** Runs a worker's turns; calls that fail are in the history. */
async function turns(work: Work, pauseMs: number, turn: () => Promise<void>): Promise<void> {
  while (!work.over.aborted) {
    try {
      await turn();
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      await delay(100);
    }
    await delay(work.random(pauseMs));
  }
}

/** Reads, writes, and compares and swaps registers. */
export function registers(work: Work): Promise<void> {
  const { etcd, client, worker, history, random } = work;
  return turns(work, 60, async () => {
    const key = `nem/r/${random(4)}`;
    const bound = 3_000;
    const read = () =>
      history.call(
        { client, worker, kind: 'read', key, bound },
        () => etcd.range(key, { timeoutMs: bound }),
        ({ kvs, revision }) => ({ revision, found: kvs[0]?.text() ?? '', mod: kvs[0]?.modRevision ?? 0n }),
      );
    const value = uniqueValue();
    switch (random(3)) {
      case 0:
        await read();
        return;
      case 1:
        await history.call(
          { client, worker, kind: 'put', key, value, bound },
          () => etcd.put(key, value, { timeoutMs: bound }),
          ({ revision }) => ({ revision }),
        );
        return;
      default: {
        const expect = (await read()).kvs[0]?.text() ?? '';
        if (expect === '') return;
        await history.call(
          { client, worker, kind: 'cas', key, value, expect, bound },
          () =>
            etcd.txn(
              {
                compare: [compare.value(key, '=', expect)],
                success: [op.put(key, value)],
                failure: [op.get(key)],
              },
              { timeoutMs: bound },
            ),
          (result) => ({
            revision: result.revision,
            applied: result.succeeded,
            ...(!result.succeeded && { found: result.responses[0]?.text() ?? '' }),
          }),
        );
      }
    }
  });
}

/** Counts by software transactions. */
export function counters(work: Work): Promise<void> {
  const { etcd, client, worker, history, random } = work;
  return turns(work, 150, async () => {
    const key = `nem/c/${random(2)}`;
    const bound = 4_000;
    const own = uniqueValue();
    // A value is the count with a name: so each is unique, and unknown outcomes can be found.
    const value = `+${own}`;
    await history.call(
      { client, worker, kind: 'inc', key, value, bound },
      () =>
        etcd.stm(
          async (stm) => {
            const before = (await stm.get(key))?.text() ?? '';
            stm.put(key, value);
            return before;
          },
          { timeoutMs: bound },
        ),
      ({ value: expect, revision }) => ({ revision, expect }),
    );
  });
}

/** Gives a session, and another one when that is lost or has served for a while. */
class Sessions {
  #session: Session | undefined;
  #uses = 0;

  constructor(
    readonly work: Work,
    readonly lifetime: number,
  ) {}

  async get(): Promise<Session> {
    if (this.#session !== undefined && (this.#session.signal.aborted || ++this.#uses > this.lifetime)) {
      await this.end();
    }
    const { etcd, client, worker, history } = this.work;
    const bound = 5_000;
    this.#session ??= await history.call({ client, worker, kind: 'session', key: '', bound }, () =>
      Session.create(etcd, { ttlSeconds: 30, timeoutMs: bound }),
    );
    return this.#session;
  }

  async end(): Promise<void> {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    this.#uses = 0;
    if (session.signal.aborted) return;
    const { client, worker, history } = this.work;
    const bound = 10_000;
    await history.call({ client, worker, kind: 'close', key: session.leaseId.toString(16), bound }, () =>
      session.close({ timeoutMs: bound }),
    );
    history.add('closed', { lease: session.leaseId.toString(16), from: history.now() });
  }
}

/** Holds a lock or a leadership for a moment, and gives it back with default settings. */
async function hold(
  work: Work,
  session: Session,
  name: string,
  kind: readonly [string, string],
  acquire: (timeoutMs: number) => Promise<Lock | Awaited<ReturnType<Election['campaign']>>>,
): Promise<void> {
  const { etcd, client, worker, history, random } = work;
  const lease = session.leaseId.toString(16);
  const claim = { name, lease, worker, from: history.now(), to: 0, clean: false };
  try {
    const bound = 8_000;
    const owned = await history.call({ client, worker, kind: kind[0], key: name, bound: bound + 1_000 }, () =>
      acquire(bound),
    );
    const from = history.now();
    let to = 0;
    owned.signal.addEventListener(
      'abort',
      () => {
        to ||= history.now();
      },
      { once: true },
    );
    const guard = `nem/guard/${name.replaceAll('/', '-')}`;
    await etcd
      .txn(
        { compare: [owned.isOwner()], success: [op.put(guard, `${owned.revision} ${uniqueValue()}`)] },
        { timeoutMs: 2_000 },
      )
      .catch(() => {});
    await delay(random(100));
    to ||= history.now();
    history.add('hold', { name, worker, lease, token: owned.revision, from, to });
    await history.call({ client, worker, kind: kind[1], key: name, bound: 10_000 }, () => owned.release({}));
    claim.clean = true;
  } finally {
    history.add('claim', { ...claim, to: history.now() });
  }
}

/** Takes a lock, writes what it guards, and unlocks. */
export async function locks(work: Work): Promise<void> {
  const sessions = new Sessions(work, 40);
  await turns(work, 400, async () => {
    const session = await sessions.get();
    const name = `nem/lock/${work.random(3)}`;
    const mutex = new Mutex(session, name);
    await hold(work, session, name, ['lock', 'unlock'], (timeoutMs) => mutex.lock({ timeoutMs }));
  });
  await sessions.end();
}

/** Campaigns, leads, and resigns. */
export async function elections(work: Work): Promise<void> {
  const sessions = new Sessions(work, 40);
  await turns(work, 600, async () => {
    const session = await sessions.get();
    const name = `nem/election/${work.random(2)}`;
    const election = new Election(work.etcd, name);
    await hold(work, session, name, ['campaign', 'resign'], (timeoutMs) =>
      election.campaign(session, work.worker, { timeoutMs }),
    );
  });
  await sessions.end();
}

/** Enters and leaves a barrier of two; each side is a worker of another client. */
export async function barriers(work: Work, pair: string): Promise<void> {
  const { client, worker, history, random } = work;
  const sessions = new Sessions(work, Number.POSITIVE_INFINITY);
  let barrier: DoubleBarrier | undefined;
  await turns(work, 500, async () => {
    const session = await sessions.get();
    barrier ??= new DoubleBarrier(session, `nem/barrier/${pair}`, 2);
    const round = { name: pair, worker, from: history.now(), entered: 0, to: 0 };
    const bound = 15_000;
    const call = { client, worker, key: pair, bound: bound + 1_500 };
    const entered = barrier;
    try {
      await history.call({ ...call, kind: 'enter' }, () => entered.enter({ timeoutMs: bound }));
      round.entered = history.now();
      await delay(random(100));
      await history.call({ ...call, kind: 'leave' }, () => entered.leave({ timeoutMs: bound }));
    } catch (error) {
      barrier = undefined;
      await sessions.end();
      throw error;
    } finally {
      history.add('barrier', { ...round, to: history.now() });
    }
  });
  await sessions.end();
}

/** Keeps a lease alive, and relies on it. */
export function leases(work: Work): Promise<void> {
  const { etcd, client, worker, history, random, over } = work;
  return turns(work, 300, async () => {
    const bound = 4_000;
    const { id } = await history.call({ client, worker, kind: 'grant', key: '', bound }, () =>
      etcd.lease.grant(8, { timeoutMs: bound }),
    );
    const keepAlive = await etcd.lease.keepAlive(id, { timeoutMs: bound });
    const key = `nem/leased/${worker}/${id.toString(16)}`;
    await history.call(
      { client, worker, kind: 'put', key, value: key, bound },
      () => etcd.put(key, key, { lease: id, timeoutMs: bound }),
      ({ revision }) => ({ revision }),
    );
    const from = history.now();
    const until = performance.now() + 3_000 + random(10_000);
    while (performance.now() < until && !keepAlive.lost.aborted && !over.aborted) await delay(20);
    keepAlive.stop();
    history.add('lease', { lease: id.toString(16), key, from, to: history.now() });
    await history.call({ client, worker, kind: 'revoke', key, bound }, () =>
      etcd.lease.revoke(id, { timeoutMs: bound }),
    );
  });
}

/** Watches, and goes on where it stopped as the documents say: at `revision + 1`. */
export async function watches(work: Work, keys: string): Promise<void> {
  const { etcd, worker, history, random, over } = work;
  const id = { watch: worker, prefix: keys };
  let from = 0n;
  while (!over.aborted) {
    const watch = etcd.watch(prefix(keys), from === 0n ? {} : { startRevision: from });
    const stop = (): void => watch.close();
    over.addEventListener('abort', stop, { once: true });
    // Now and then before anything was delivered.
    const timer = setTimeout(stop, random(4) === 0 ? 0 : random(6_000));
    try {
      const ready = await watch.ready;
      if (from === 0n) {
        from = ready + 1n;
        history.add('seek', { ...id, from });
      }
      if (random(4) === 0) watch.close();
      for await (const { events, revision } of watch.batches()) {
        history.add('batch', {
          ...id,
          revision,
          events: events.map((event) => ({
            r: event.revision,
            d: event.type === 'delete',
            k: event.kv.keyText(),
            v: event.type === 'delete' ? '' : event.kv.text(),
          })),
        });
      }
    } catch (error) {
      if (!(error instanceof EtcdError)) throw error;
      if (error instanceof CompactedError && error.compactRevision !== undefined) {
        from = error.compactRevision;
        history.add('seek', { ...id, from });
        continue;
      }
    } finally {
      clearTimeout(timer);
      over.removeEventListener('abort', stop);
    }
    if (watch.revision > 0n) from = watch.revision + 1n;
    await delay(random(300));
  }
}
