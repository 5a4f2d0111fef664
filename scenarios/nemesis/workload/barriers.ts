import { setTimeout as delay } from 'node:timers/promises';
import { DoubleBarrier } from '@quiesce/etcd';
import { Sessions } from './sessions.js';
import { stayAway, turns, type Work } from './turns.js';

/**
 * Enters and leaves a barrier of two. Each side is a worker of a different client. After a slow round one side stays
 * away, so that a late copy of a call finds the other side alone.
 */
export async function barriers(work: Work, pair: string, side: 'back at once' | 'away'): Promise<void> {
  const { client, worker, history, random } = work;
  const sessions = new Sessions(work, Number.POSITIVE_INFINITY);
  let barrier: DoubleBarrier | undefined;
  await turns(work, 500, async () => {
    const session = await sessions.get();
    const name = `nem/barrier/${pair}`;
    barrier ??= new DoubleBarrier(session, name, 2);
    const round = { name, worker, from: history.now(), entered: 0, to: 0 };
    const bound = 10_000;
    const call = { client, worker, key: name, bound: bound + 1_500 };
    const entered = barrier;
    let clean = false;
    try {
      await history.call({ ...call, kind: 'enter' }, () => entered.enter({ timeoutMs: bound }));
      round.entered = history.now();
      await delay(random(100));
      await history.call({ ...call, kind: 'leave' }, () => entered.leave({ timeoutMs: bound }));
      clean = true;
    } catch (error) {
      barrier = undefined;
      await sessions.end();
      throw error;
    } finally {
      round.to = history.now();
      history.add('barrier', round);
      const lease = session.leaseId.toString(16);
      history.add('claim', { name, lease, worker, from: round.from, to: round.to, clean });
    }
    if (side === 'away') await stayAway(work, round.to - round.from);
  });
  await sessions.finish();
}
