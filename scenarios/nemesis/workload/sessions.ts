import { setTimeout as delay } from 'node:timers/promises';
import { Session } from '@quiesce/etcd';
import { isExpected, turns, uniqueNumber, type Work } from './turns.js';

/** Provides a session, and a new one when it is lost or has served for a while. */
export class Sessions {
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
    if (!session.signal.aborted) await close(this.work, session);
  }

  /** Closes the last session. Must be the last step. */
  async finish(): Promise<void> {
    try {
      await this.end();
    } catch (error) {
      if (!isExpected(error)) throw error;
    }
  }
}

/** Closes a session. Nothing of it may be left then. */
export async function close({ client, worker, history }: Work, session: Session): Promise<void> {
  const lease = session.leaseId.toString(16);
  const bound = 10_000;
  await history.call({ client, worker, kind: 'close', key: lease, bound }, () =>
    session.close({ timeoutMs: bound }),
  );
  history.add('closed', { lease, from: history.now() });
}

/**
 * TTLs of leases that outlive the test, so that each one that is left is seen. The TTL shows which worker granted the
 * lease.
 */
const ENDLESS_SECONDS = 1_000_000;

/** Makes sessions with short bounds. Closes them with even shorter ones, then without. */
export function shortSessions(work: Work): Promise<void> {
  const { etcd, client, worker, history, random } = work;
  return turns(work, 500, async () => {
    const ttlSeconds = ENDLESS_SECONDS + uniqueNumber();
    const bound = 100 + random(1_500);
    const call = { client, worker, key: String(ttlSeconds), bound };
    const options = (): object =>
      random(2) === 0 ? { timeoutMs: bound } : { signal: AbortSignal.timeout(bound) };
    let session: Session;
    if (random(2) === 0) {
      const { id } = await grant(work, ttlSeconds, 3_000);
      const of = { ...options(), leaseId: id };
      try {
        session = await history.call({ ...call, kind: 'session-on-lease' }, () => Session.create(etcd, of));
      } catch (error) {
        if (!isExpected(error)) throw error;
        await revoke(work, id, ttlSeconds);
        return;
      }
    } else {
      const of = { ...options(), ttlSeconds };
      session = await history.call({ ...call, kind: 'short-session' }, () => Session.create(etcd, of));
    }
    await etcd
      .put(`nem/session/${session.leaseId.toString(16)}`, '', { lease: session.leaseId, timeoutMs: 1_000 })
      .catch(() => {});
    const closeBound = 5 + random(300);
    const closing = { client, worker, kind: 'close-in-short', key: String(ttlSeconds), bound: closeBound };
    try {
      await history.call(closing, () => session.close({ timeoutMs: closeBound }));
    } catch (error) {
      if (!isExpected(error)) throw error;
      await delay(random(1_000));
      await close(work, session);
    }
  });
}

/** Grants leases and revokes them, with a key for each. What a failed call's error says must be true. */
export function grants(work: Work): Promise<void> {
  return turns(work, 200, async () => {
    const { etcd, client, worker, history } = work;
    const ttlSeconds = ENDLESS_SECONDS + uniqueNumber();
    const { id } = await grant(work, ttlSeconds, 2_500);
    const key = `nem/granted/${ttlSeconds}`;
    await history.call(
      { client, worker, kind: 'put', key, value: key, bound: 2_500 },
      () => etcd.put(key, key, { lease: id, timeoutMs: 2_500 }),
      ({ revision }) => ({ revision }),
    );
    await revoke(work, id, ttlSeconds);
  });
}

function grant({ etcd, client, worker, history }: Work, ttlSeconds: number, bound: number) {
  return history.call(
    { client, worker, kind: 'grant', key: String(ttlSeconds), bound },
    () => etcd.lease.grant(ttlSeconds, { timeoutMs: bound }),
    ({ id }) => ({ found: id.toString(16) }),
  );
}

function revoke({ etcd, client, worker, history }: Work, id: bigint, ttlSeconds: number): Promise<void> {
  const bound = 2_500;
  return history.call({ client, worker, kind: 'revoke', key: String(ttlSeconds), bound }, () =>
    etcd.lease.revoke(id, { timeoutMs: bound }),
  );
}

/** Keeps a lease alive, and relies on it. */
export function leases(work: Work): Promise<void> {
  const { etcd, client, worker, history, random, over } = work;
  return turns(work, 300, async () => {
    const bound = 4_000;
    const call = { client, worker, key: '', bound };
    const { id } = await history.call({ ...call, kind: 'grant' }, () =>
      etcd.lease.grant(8, { timeoutMs: bound }),
    );
    const keepAlive = await etcd.lease.keepAlive(id, { timeoutMs: bound });
    const key = `nem/leased/${worker}/${id.toString(16)}`;
    await history.call(
      { ...call, kind: 'put', key, value: key },
      () => etcd.put(key, key, { lease: id, timeoutMs: bound }),
      ({ revision }) => ({ revision }),
    );
    const from = history.now();
    const until = performance.now() + 3_000 + random(10_000);
    while (performance.now() < until && !keepAlive.lost.aborted && !over.aborted) await delay(20);
    keepAlive.stop();
    history.add('lease', { lease: id.toString(16), key, from, to: history.now() });
    await history.call({ ...call, kind: 'revoke', key }, () => etcd.lease.revoke(id, { timeoutMs: bound }));
  });
}
