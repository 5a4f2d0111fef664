import { compare, op } from '@quiesce/etcd';
import { turns, uniqueValue, type Work } from './turns.js';

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

/** Counts with software transactions. */
export function counters(work: Work): Promise<void> {
  const { etcd, client, worker, history, random } = work;
  return turns(work, 150, async () => {
    const key = `nem/c/${random(2)}`;
    const bound = 4_000;
    const own = uniqueValue();
    // A value is the count and a name, so that each is unique, and unknown results can be found.
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
