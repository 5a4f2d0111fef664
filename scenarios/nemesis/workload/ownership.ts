import { setTimeout as delay } from 'node:timers/promises';
import {
  type CallControl,
  Election,
  type Leadership,
  type Lock,
  Mutex,
  op,
  RwMutex,
  Session,
} from '@quiesce/etcd';
import { close, Sessions } from './sessions.js';
import { isExpected, SLOW_MS, stayAway, turns, uniqueValue, type Work } from './turns.js';

interface Acquisition<Owned> {
  readonly session: Session;
  readonly name: string;
  /** Names of the calls that acquire and release. */
  readonly kinds: readonly [string, string];
  readonly mode?: string;
  readonly acquire: (timeoutMs: number) => Promise<Owned | undefined>;
  readonly meanwhile?: (owned: Owned) => Promise<void>;
  /** Takes it over in another session. */
  readonly resume?: (session: Session, owned: Owned, timeoutMs: number) => Promise<Owned>;
  readonly release: (owned: Owned, options: CallControl) => Promise<void>;
}

const ACQUIRE_MS = 8_000;

/** How long a worker that resumed something waits until the first holder is notified, in ms. */
const NOTIFIED_MS = 3_000;

/** Uses a lock or a leadership for a moment. */
async function relyOn<Owned extends Lock | Leadership>(
  { etcd, worker, history, random }: Work,
  { name, mode = '', meanwhile }: Acquisition<Owned>,
  owned: Owned,
  resumed: boolean,
): Promise<void> {
  const { signal, revision, session } = owned;
  const from = history.now();
  let to = 0;
  signal.addEventListener(
    'abort',
    () => {
      to ||= history.now();
    },
    { once: true },
  );
  if (mode !== 'read') {
    const guard = `nem/guard/${name.replaceAll('/', '-')}`;
    const put = op.put(guard, `${revision} ${uniqueValue()}`);
    await etcd.txn({ compare: [owned.isOwner()], success: [put] }, { timeoutMs: 2_000 }).catch(() => {});
  }
  await meanwhile?.(owned).catch(() => {});
  await delay(random(100));
  const lost = to !== 0;
  to ||= history.now();
  const lease = session.leaseId.toString(16);
  history.add('hold', { name, mode, worker, lease, token: revision, from, to, lost, resumed });
}

/** Takes over what the worker holds, in another session. The first handle must be notified. */
async function takeOver<Owned extends Lock | Leadership>(
  work: Work,
  { name, resume }: Acquisition<Owned>,
  owned: Owned,
): Promise<Owned | undefined> {
  const { etcd, client, worker, history } = work;
  const bound = ACQUIRE_MS + 1_000;
  let session: Session | undefined;
  try {
    session = await history.call({ client, worker, kind: 'session', key: '', bound }, () =>
      Session.create(etcd, { ttlSeconds: 30, timeoutMs: bound }),
    );
    const into = session;
    const resumed = await history.call({ client, worker, kind: 'resume', key: name, bound }, async () =>
      resume?.(into, owned, ACQUIRE_MS),
    );
    const from = history.now();
    while (!owned.signal.aborted && history.now() < from + NOTIFIED_MS) await delay(10);
    history.add('resumed', { name, worker, from, to: history.now(), lost: owned.signal.aborted });
    return resumed;
  } catch (error) {
    if (!isExpected(error)) throw error;
    // The key may belong to that session.
    for (let tries = 1; session !== undefined; tries++) {
      try {
        await close(work, session);
        session = undefined;
      } catch (failure) {
        if (!isExpected(failure) || tries === 5) throw failure;
      }
    }
    return undefined;
  }
}

/** Holds a lock or a leadership for a moment, and gives it back, either with default settings or within a short time. */
async function hold<Owned extends Lock | Leadership>(
  work: Work,
  acquisition: Acquisition<Owned>,
): Promise<void> {
  const { session, name, kinds, acquire, resume, release } = acquisition;
  const { client, worker, history, random } = work;
  const lease = session.leaseId.toString(16);
  const claim = { name, lease, worker, from: history.now(), to: 0, clean: false, key: '', token: 0n };
  let tookMs = 0;
  try {
    // If the call gives up, it takes another second to remove its key.
    const acquiring = { client, worker, kind: kinds[0], key: name, bound: ACQUIRE_MS + 1_000 };
    let acquired: Owned | undefined;
    try {
      acquired = await history.call(acquiring, () => acquire(ACQUIRE_MS));
    } finally {
      tookMs = history.now() - claim.from;
    }
    if (acquired === undefined) return;
    let owned = acquired;
    claim.key = Buffer.from(owned.key).toString();
    claim.token = owned.revision;
    await relyOn(work, acquisition, owned, false);
    const first = owned;
    const resumed =
      resume !== undefined && random(4) === 0 ? await takeOver(work, acquisition, owned) : undefined;
    if (resumed !== undefined) {
      owned = resumed;
      // Changes nothing for the session that has it now.
      void release(first, {}).catch(() => {});
      await relyOn(work, acquisition, owned, true);
    }
    const releasing = history.now();
    if (random(5) === 0) {
      // The release continues in the background.
      const bound = 5 + random(500);
      await history.call({ client, worker, kind: `${kinds[1]}-in-short`, key: name, bound }, () =>
        release(owned, { timeoutMs: bound }),
      );
    } else {
      await history.call({ client, worker, kind: kinds[1], key: name, bound: 10_000 }, () =>
        release(owned, {}),
      );
    }
    if (owned !== first) await close(work, owned.session);
    claim.clean = true;
    tookMs = Math.max(tookMs, history.now() - releasing);
  } finally {
    history.add('claim', { ...claim, to: history.now() });
    await stayAway(work, tookMs);
  }
}

const unlock = (lock: Lock, options: CallControl): Promise<void> => lock.unlock(options);

/** Takes a lock, or tries to; writes what the lock guards; and unlocks. */
export async function locks(work: Work): Promise<void> {
  const sessions = new Sessions(work, 40);
  await turns(work, 400, async () => {
    const session = await sessions.get();
    const name = `nem/lock/${work.random(4)}`;
    const mutex = new Mutex(session, name);
    const kind = work.random(3) === 0 ? 'tryLock' : 'lock';
    await hold(work, {
      session,
      name,
      kinds: [kind, 'unlock'],
      acquire: (timeoutMs) => mutex[kind]({ timeoutMs }),
      resume: (other, lock, timeoutMs) => new Mutex(other, name).resume(lock, { timeoutMs }),
      release: unlock,
    });
  });
  await sessions.finish();
}

/** Takes a lock for readers or writers. */
export async function rwLocks(work: Work): Promise<void> {
  const sessions = new Sessions(work, 40);
  await turns(work, 500, async () => {
    const session = await sessions.get();
    const name = `nem/rw/${work.random(2)}`;
    const mutex = new RwMutex(session, name);
    const mode = work.random(2) === 0 ? 'read' : 'write';
    await hold(work, {
      session,
      name,
      mode,
      kinds: [`${mode}Lock`, 'unlock'],
      acquire: (timeoutMs) => mutex[`${mode}Lock`]({ timeoutMs }),
      release: unlock,
    });
  });
  await sessions.finish();
}

/** Campaigns, leads, proclaims, and resigns. */
export async function elections(work: Work, copy: number): Promise<void> {
  const { client, worker, history, random } = work;
  const sessions = new Sessions(work, 40);
  await turns(work, 600, async () => {
    const session = await sessions.get();
    const name = `nem/election/${2 * copy + random(2)}`;
    const election = new Election(work.etcd, name);
    await hold(work, {
      session,
      name,
      kinds: ['campaign', 'resign'],
      acquire: (timeoutMs) => election.campaign(session, uniqueValue(), { timeoutMs }),
      meanwhile: async (leadership) => {
        const bound = 1_500;
        const start = history.now();
        const proclaim = (): Promise<void> => {
          const value = uniqueValue();
          return history
            .call({ client, worker, kind: 'proclaim', key: name, value, bound }, () =>
              leadership.proclaim(value, { timeoutMs: bound }),
            )
            .catch(() => {});
        };
        for (let n = random(4); n > 0; n--) await proclaim();
        const tookMs = history.now() - start;
        if (tookMs < SLOW_MS) return;
        // Continues to lead, so that a late call finds the next value.
        await proclaim();
        await stayAway(work, tookMs);
      },
      resume: (other, leadership, timeoutMs) => election.resume(other, leadership, { timeoutMs }),
      release: (leadership, options) => leadership.resign(options),
    });
  });
  await sessions.finish();
}
