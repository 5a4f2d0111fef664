import { Election, type EtcdClient, Mutex, Session } from '@quiesce/etcd';
import type { LoadSize, SessionLoad } from '../pressure/measurement.js';

/** How long sessions and leases last, in s: longer than a run. */
const TTL_SECONDS = 60;

/**
 * Prepares a load of sessions: locks, elections, sessions themselves, or leases that are kept alive. The returned function
 * is the timed part, and returns the time of each operation in ms. The load was done once before, so that V8 has compiled
 * its code; only for `keepalives` it wasn't. bench/go/sessions.go does the same.
 */
export async function prepareSessions(
  load: SessionLoad,
  etcd: EtcdClient,
  { sessions: count, times, shared, concurrency }: LoadSize,
): Promise<() => Promise<number[]>> {
  const create = (): Promise<Session> => Session.create(etcd, { ttlSeconds: TTL_SECONDS });
  if (load === 'keepalives') {
    const ids: bigint[] = [];
    await loops(concurrency, count, async () => {
      ids.push((await etcd.lease.grant(TTL_SECONDS)).id);
    });
    return () => loops(count, count, (i) => etcd.lease.keepAlive(ids[i] as bigint));
  }
  const run = load === 'sessions' ? () => loops(concurrency, count, create) : await owners();
  await run();
  return run;

  /** Sessions that acquire and release, each one thing after another. */
  async function owners(): Promise<() => Promise<number[]>> {
    const sessions = await Promise.all(Array.from({ length: count }, create));
    const acquire = sessions.map((session, i) => {
      const name = `bench-sessions/${load}/${process.pid}/${shared === 1 ? 'all' : i}`;
      return load === 'locks'
        ? locks(new Mutex(session, name))
        : elections(new Election(etcd, name), session);
    });
    return async () => (await Promise.all(acquire.map((each) => loops(1, times, each)))).flat();
  }
}

function locks(mutex: Mutex): () => Promise<void> {
  return async () => {
    const lock = await mutex.lock();
    await lock.unlock();
  };
}

function elections(election: Election, session: Session): () => Promise<void> {
  return async () => {
    const leadership = await election.campaign(session, 'value');
    await leadership.resign();
  };
}

/** Makes so many calls in so many loops, and returns the time of each. */
async function loops(
  concurrency: number,
  count: number,
  call: (index: number) => Promise<unknown>,
): Promise<number[]> {
  const latencies: number[] = [];
  let begun = 0;
  const loop = async (): Promise<void> => {
    while (begun < count) {
      const before = performance.now();
      await call(begun++);
      latencies.push(performance.now() - before);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  return latencies;
}
