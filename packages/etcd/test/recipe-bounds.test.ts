// A recipe's bound is the caller's: it holds when etcd doesn't answer, and what is left to do goes on behind it.
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startTcpProxy } from '@quiesce/test-services';
import {
  type CallTrace,
  channelNames,
  DeadlineExceededError,
  DoubleBarrier,
  Election,
  type EtcdClient,
  Mutex,
  prefix,
  Queue,
  RwMutex,
  Session,
} from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { eventually } from './support/eventually.js';

/**
 * By how much a call may be later than its bound, in ms. One that waits for the server once more takes longer than that,
 * as its first attempt alone has 2 s.
 */
const LATE_MS = 1_500;

/** Whether it ends before a timer of this process does, which a busy machine delays as well. */
function endsWithin(ms: number, call: Promise<unknown>): Promise<boolean> {
  const ended = call.then(
    () => true,
    () => true,
  );
  return Promise.race([ended, delay(ms, false)]);
}

/** How a claim is made, with a bound. */
type Claim = (
  session: Session,
  name: string,
  bound: { timeoutMs?: number; signal?: AbortSignal },
) => Promise<unknown>;

const claims: Readonly<Record<string, Claim>> = {
  'Mutex.lock': (session, name, bound) => new Mutex(session, name).lock(bound),
  'Mutex.tryLock': (session, name, bound) => new Mutex(session, name).tryLock(bound),
  'RwMutex.readLock': (session, name, bound) => new RwMutex(session, name).readLock(bound),
  'RwMutex.writeLock': (session, name, bound) => new RwMutex(session, name).writeLock(bound),
  'Election.campaign': (session, name, bound) =>
    new Election(session.space, name).campaign(session, '', bound),
  'DoubleBarrier.enter': (session, name, bound) => new DoubleBarrier(session, name, 2).enter(bound),
};

overEachTransport('bounds', (connect) => {
  let etcd: EtcdClient;
  let port: number;
  withEtcd(connect, (given) => {
    ({ etcd } = given);
    ({ port } = given.server);
  });

  const keys = async (name: string): Promise<number> =>
    Number((await etcd.range(prefix(`${name}/`), { countOnly: true })).count);

  test('Queue.dequeue keeps its bound while the item is taken', async () => {
    await using proxy = await startTcpProxy({ port });
    await using far = await connect(`http://127.0.0.1:${proxy.port}`);
    await etcd.put('bounds/queue/1', '');
    const stop = (message: unknown): void => {
      if ((message as CallTrace).method.endsWith('/Txn')) proxy.pause();
    };
    subscribe(channelNames.callStart, stop);
    try {
      const taking = new Queue(far, 'bounds/queue').dequeue({ timeoutMs: 300 });
      const inTime = endsWithin(300 + LATE_MS, taking);
      await assert.rejects(taking, (error) => error instanceof DeadlineExceededError && error.mayBeApplied);
      assert.ok(await inTime);
    } finally {
      unsubscribe(channelNames.callStart, stop);
    }
  });

  describe('when etcd stops to answer', () => {
    for (const [title, claim] of Object.entries(claims)) {
      for (const when of ['at once', 'while the call waits for others'] as const) {
        // It doesn't wait for others.
        if (title === 'Mutex.tryLock' && when !== 'at once') continue;
        test(`${title} keeps its bound, ${when}, and its key is removed behind it`, async () => {
          await using proxy = await startTcpProxy({ port });
          await using far = await connect(`http://127.0.0.1:${proxy.port}`);
          await using session = await Session.create(far, { ttlSeconds: 60 });
          await using other = await Session.create(etcd);
          const name = `${title}/${when}`;
          await using _ = await new RwMutex(other, name).writeLock();
          const before = await keys(name);
          // A busy machine may take longer to place the key.
          for (let timeoutMs = 500; ; timeoutMs *= 2) {
            if (when === 'at once') proxy.pause();
            const start = performance.now();
            const waiting = claim(session, name, { timeoutMs });
            let over = false;
            const ended = assert.rejects(waiting, DeadlineExceededError).finally(() => {
              over = true;
            });
            const inTime = endsWithin(timeoutMs + LATE_MS, waiting);
            let placed = when === 'at once';
            if (!placed) {
              await eventually('its key is there, or its time over', async () => {
                placed ||= (await keys(name)) > before && !over;
                return placed || over;
              });
              proxy.pause();
            }
            await ended;
            const tookMs = performance.now() - start;
            assert.ok(tookMs >= timeoutMs - 1 && (await inTime), `took ${tookMs} ms of ${timeoutMs}`);
            proxy.resume();
            await session.settled();
            assert.equal(await keys(name), before);
            session.signal.throwIfAborted();
            if (placed) break;
            assert.ok(timeoutMs < 10_000, 'its key never came');
          }
        });
      }
    }

    test('a signal ends the call as soon, and the session’s end joins the removal', async () => {
      await using proxy = await startTcpProxy({ port });
      await using far = await connect(`http://127.0.0.1:${proxy.port}`);
      await using session = await Session.create(far, { ttlSeconds: 60 });
      await using other = await Session.create(etcd);
      await using _ = await new Mutex(other, 'signal').lock();
      const control = new AbortController();
      const waiting = new Mutex(session, 'signal').lock({ signal: control.signal });
      await eventually('it waits', async () => (await keys('signal')) === 2);
      proxy.pause();
      const inTime = endsWithin(LATE_MS, waiting);
      const reason = new Error('enough');
      control.abort(reason);
      await assert.rejects(waiting, (error) => error === reason);
      assert.ok(await inTime);
      proxy.resume();
      await session.close();
      await session.settled();
      assert.equal(await keys('signal'), 1);
    });
  });
});
