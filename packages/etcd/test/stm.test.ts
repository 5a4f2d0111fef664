// Software transactional memory: what each isolation level keeps apart, under transactions that really conflict.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EtcdServer } from '@quiesce/test-services';
import {
  allKeys,
  ClosedError,
  DeadlineExceededError,
  type EtcdClient,
  InvalidArgumentError,
  json,
  keyRange,
  op,
  prefix,
  StatusCode,
  StmConflictError,
  type StmIsolation,
} from '../src/index.js';
import { overEachTransport, withServer } from './support/clients.js';
import { deferred } from './support/deferred.js';
import { OwnTime } from './support/own-time.js';

let server: EtcdServer;
withServer((started) => {
  server = started;
});

/** All levels that compare what was read. */
const comparing = ['serializableSnapshot', 'serializable', 'repeatableReads'] as const;
const levels: readonly StmIsolation[] = [...comparing, 'readCommitted'];

/** Resolves for all once `parties` have called it; later calls pass at once. */
function barrier(parties: number): () => Promise<void> {
  const { promise, resolve } = deferred();
  let arrived = 0;
  return () => {
    arrived += 1;
    if (arrived >= parties) resolve();
    return promise;
  };
}

overEachTransport('stm', (connect) => {
  let etcd: EtcdClient;
  let other: EtcdClient;
  before(async () => {
    etcd = await connect(server.endpoint);
    other = await connect(server.endpoint);
  });
  beforeEach(() => etcd.delete(allKeys()));
  after(async () => {
    await etcd.close();
    await other.close();
  });
  const number = async (key: string): Promise<number> => Number((await etcd.get(key))?.text());

  test("commits the writes of its function as one transaction, and returns the function's result", async () => {
    await etcd.put('gone', '');
    const result = await etcd.stm(async (stm) => {
      stm.put('a', '1');
      stm.put('b', '2');
      stm.delete('gone');
      return 'done';
    });
    assert.equal(result.value, 'done');
    assert.equal(result.attempts, 1);
    const { kvs } = await etcd.range(allKeys());
    assert.deepEqual(
      kvs.map((kv) => [kv.keyText(), kv.text(), kv.modRevision]),
      [
        ['a', '1', result.revision],
        ['b', '2', result.revision],
      ],
    );
  });

  describe('whose function waits for something else', () => {
    const never = (): Promise<never> => new Promise(() => {});

    test('keeps its bound, and its signal', async () => {
      await assert.rejects(etcd.stm(never, { timeoutMs: 100 }), {
        name: 'DeadlineExceededError',
        message: 'DEADLINE_EXCEEDED: the transaction was not committed within 100 ms',
        mayBeApplied: false,
      });
      const reason = new Error('enough');
      const control = new AbortController();
      setTimeout(() => control.abort(reason), 50);
      await assert.rejects(etcd.stm(never, { signal: control.signal }), (error) => error === reason);
      await assert.rejects(
        etcd.stm(
          async (stm) => {
            await stm.get('k');
            await never();
          },
          { signal: AbortSignal.timeout(50), timeoutMs: 5_000 },
        ),
        { name: 'TimeoutError' },
      );
    });

    test('ends with its client', async () => {
      const client = await connect(server.endpoint);
      const waiting = client.stm(never);
      const failed = assert.rejects(waiting, ClosedError);
      await client.close();
      await failed;
    });

    test('calls of the function after that are refused, and nothing is written', async () => {
      const { promise, resolve } = deferred();
      let late: unknown;
      const run = etcd.stm(
        async (stm) => {
          await promise;
          try {
            stm.put('late', '1');
          } catch (error) {
            late = error;
          }
        },
        { timeoutMs: 50 },
      );
      await assert.rejects(run, DeadlineExceededError);
      resolve();
      await new Promise((turn) => setTimeout(turn, 20));
      assert.match(String(late), /the transaction is over/);
      assert.equal(await etcd.get('late'), undefined);
    });
  });

  test('deletes ranges, around what it puts there itself', async () => {
    const space = etcd.namespace('below/');
    for (const key of ['a', 'b', 'c', 'd', 'e']) await space.put(key, 'old');
    await etcd.put('beside', 'stays');
    const seen = await space.stm(async (stm) => {
      stm.put('b', 'before');
      stm.delete(prefix('x'));
      stm.delete(keyRange('a', 'd'));
      const [b, c, d] = await stm.getAll(['b', 'c', 'd']);
      stm.put('c', 'after');
      stm.put('c1', 'new');
      stm.delete('d');
      stm.put('d', 'again');
      return [b, c, d, await stm.get('c')].map((kv) => kv?.text());
    });
    assert.deepEqual(seen.value, [undefined, undefined, 'old', 'after']);
    const left = async (): Promise<string[]> =>
      (await space.range(allKeys())).kvs.map((kv) => `${kv.keyText()}=${kv.text()}`);
    assert.deepEqual(await left(), ['c=after', 'c1=new', 'd=again', 'e=old']);
    // Without an end, and a key that keeps its lease: a transaction that etcd would crash of.
    const { id } = await etcd.lease.grant(60);
    await space.put('d', '', { lease: id });
    await space.stm((stm) => {
      stm.delete(allKeys());
      stm.put('d', 'kept', { ignoreLease: true });
    });
    assert.deepEqual(await left(), ['d=kept']);
    assert.equal((await space.get('d'))?.lease, id);
    await space.withCodec({ value: json<number>() }).stm((stm) => stm.delete(allKeys()));
    assert.deepEqual(await left(), []);
    assert.equal((await etcd.get('beside'))?.text(), 'stays');
  });

  for (const isolation of levels) {
    test(`at ${isolation}, a key that is put into a deleted range meanwhile`, async () => {
      await etcd.put('other', '1');
      const { attempts } = await etcd
        .stm(
          async (stm) => {
            await stm.get('other');
            await other.put('range/late', 'theirs');
            stm.delete(prefix('range/'));
            if ((await etcd.get('range/count')) === undefined) await other.put('range/count', '1');
          },
          { isolation, maxAttempts: 2 },
        )
        .catch((error: unknown) => {
          assert.ok(error instanceof StmConflictError);
          return error;
        });
      const conflicts = isolation === 'serializableSnapshot';
      assert.equal(attempts, conflicts ? 2 : 1);
      assert.equal((await etcd.range(prefix('range/'))).kvs.length > 0, conflicts);
    });

    describe(`at ${isolation}`, () => {
      test('sees its own writes', async () => {
        await etcd.put('a', 'old');
        const before = await etcd.get('a');
        await etcd.stm(
          async (stm) => {
            assert.equal((await stm.get('a'))?.text(), 'old');
            stm.put('a', 'new');
            const written = await stm.get('a');
            assert.equal(written?.keyText(), 'a');
            assert.equal(written?.text(), 'new');
            if (isolation !== 'readCommitted') assert.equal(written?.modRevision, before?.modRevision);
            stm.delete('a');
            assert.equal(await stm.get('a'), undefined);
            assert.equal(await stm.get('none'), undefined);
            stm.put('none', 'x');
            const [a, none] = await stm.getAll(['a', 'none']);
            assert.equal(a, undefined);
            assert.deepEqual([none?.text(), none?.modRevision], ['x', 0n]);
          },
          { isolation },
        );
        assert.equal(await etcd.get('a'), undefined);
        assert.equal((await etcd.get('none'))?.text(), 'x');
      });

      test('of two updates made from the same reads', async () => {
        await etcd.put('counter', '0');
        const bothHaveRead = barrier(2);
        const increment = async (client: EtcdClient): Promise<number> => {
          const { attempts } = await client.stm(
            async (stm) => {
              const count = Number((await stm.get('counter'))?.text());
              await bothHaveRead();
              stm.put('counter', String(count + 1));
            },
            { isolation },
          );
          return attempts;
        };
        const attempts = await Promise.all([increment(etcd), increment(other)]);
        if (isolation === 'readCommitted') {
          assert.deepEqual(attempts, [1, 1]);
          assert.equal(await number('counter'), 1, 'one update is lost');
        } else {
          assert.deepEqual(attempts.toSorted(), [1, 2]);
          assert.equal(await number('counter'), 2, 'none is lost');
        }
      });

      test('of two writes, each based on what the other one changes (write skew)', async () => {
        await etcd.txn({ success: [op.put('on call/a', 'yes'), op.put('on call/b', 'yes')] });
        const bothHaveRead = barrier(2);
        const leave = (client: EtcdClient, me: string): Promise<unknown> =>
          client.stm(
            async (stm) => {
              const [a, b] = await stm.getAll(['on call/a', 'on call/b']);
              await bothHaveRead();
              if (a?.text() === 'yes' && b?.text() === 'yes') stm.put(`on call/${me}`, 'no');
            },
            { isolation },
          );
        await Promise.all([leave(etcd, 'a'), leave(other, 'b')]);
        const { kvs } = await etcd.range(prefix('on call/'));
        const left = kvs.filter((kv) => kv.text() === 'yes').length;
        assert.equal(left, isolation === 'readCommitted' ? 0 : 1);
      });

      test('with keys that change together while it reads them (read skew)', async () => {
        await etcd.txn({ success: [op.put('x', '1'), op.put('y', '1')] });
        const seen: string[] = [];
        const { attempts } = await etcd.stm(
          async (stm) => {
            const x = (await stm.get('x'))?.text();
            if (seen.length === 0) await other.txn({ success: [op.put('x', '2'), op.put('y', '2')] });
            seen.push(`${x} ${(await stm.get('y'))?.text()}`);
          },
          { isolation },
        );
        const expected = {
          serializableSnapshot: ['1 1', '2 2'],
          serializable: ['1 1', '2 2'],
          repeatableReads: ['1 2', '2 2'],
          readCommitted: ['1 2'],
        };
        assert.deepEqual(seen, expected[isolation]);
        assert.equal(attempts, seen.length);
      });

      test('with a key that changes between two reads of it', async () => {
        await etcd.put('x', '1');
        const seen: string[] = [];
        await etcd.stm(
          async (stm) => {
            const first = (await stm.get('x'))?.text();
            if (seen.length === 0) await other.put('x', '2');
            seen.push(`${first} ${(await stm.get('x'))?.text()}`);
          },
          { isolation },
        );
        assert.deepEqual(seen, isolation === 'readCommitted' ? ['1 2'] : ['1 1', '2 2']);
      });

      test('with a key that it only writes, written by another meanwhile', async () => {
        await etcd.put('read', '');
        let runs = 0;
        await etcd.stm(
          async (stm) => {
            runs += 1;
            await stm.get('read');
            if (runs === 1) await other.put('written', 'by the other');
            stm.put('written', 'by this');
          },
          { isolation },
        );
        assert.equal(runs, isolation === 'serializableSnapshot' ? 2 : 1);
        assert.equal((await etcd.get('written'))?.text(), 'by this');
      });
    });
  }

  for (const isolation of comparing) {
    test(`transfers between accounts keep their sum at ${isolation}`, async () => {
      const accounts = ['bank/a', 'bank/b', 'bank/c', 'bank/d'];
      await etcd.txn({ success: accounts.map((account) => op.put(account, '100')) });
      const transfer = (client: EtcdClient, from: string, to: string, amount: number): Promise<unknown> =>
        client.stm(
          async (stm) => {
            const source = Number((await stm.get(from))?.text());
            const target = Number((await stm.get(to))?.text());
            if (source < amount) return;
            stm.put(from, String(source - amount));
            stm.put(to, String(target + amount));
          },
          { isolation, maxAttempts: 500 },
        );
      const sum = (kvs: readonly ({ text(): string } | undefined)[]): number =>
        kvs.reduce((total, kv) => total + Number(kv?.text()), 0);
      const work = Array.from({ length: 8 }, async (_, worker) => {
        for (let i = 0; i < 8; i++) {
          const from = (worker + i) % 4;
          const to = (from + 1 + (i % 3)) % 4;
          await transfer(
            worker % 2 === 0 ? etcd : other,
            accounts[from] as string,
            accounts[to] as string,
            7 * i + worker,
          );
        }
      });
      let done = false;
      const audit = async (): Promise<number> => {
        let audits = 0;
        while (!done) {
          const { value } = await etcd.stm((stm) => stm.getAll(accounts), { isolation, maxAttempts: 500 });
          assert.equal(sum(value), 400);
          audits += 1;
        }
        return audits;
      };
      const audits = audit();
      await Promise.all(work).finally(() => {
        done = true;
      });
      assert.ok((await audits) > 0);
      const { kvs } = await etcd.range(prefix('bank/'));
      assert.equal(sum(kvs), 400);
      assert.ok(kvs.every((kv) => Number(kv.text()) >= 0));
      assert.ok(
        kvs.some((kv) => kv.version > 8n),
        'money was moved',
      );
    });
  }

  test('a key that is deleted while it runs is a conflict, and so is one that appears', async () => {
    await etcd.put('there', '1');
    const seen: unknown[] = [];
    await etcd.stm(async (stm) => {
      const [there, missing] = await stm.getAll(['there', 'missing']);
      if (seen.length === 0) await other.delete('there');
      else if (seen.length === 1) await other.put('missing', '2');
      seen.push([there?.text(), missing?.text()]);
      stm.put('seen', String(seen.length));
    });
    assert.deepEqual(seen, [
      ['1', undefined],
      [undefined, undefined],
      [undefined, '2'],
    ]);
    assert.equal(await number('seen'), 3);
  });

  test('many increments at once are all kept', async () => {
    const increment = (client: EtcdClient) =>
      client.stm(async (stm) => {
        stm.put('counter', String(Number((await stm.get('counter'))?.text() ?? 0) + 1));
      });
    await Promise.all(Array.from({ length: 24 }, (_, i) => increment(i % 2 === 0 ? etcd : other)));
    assert.equal(await number('counter'), 24);
    assert.equal((await etcd.get('counter'))?.version, 24n);
  });

  test('prefetched keys are read before the function starts, at the revision of all reads', async () => {
    await etcd.txn({ success: [op.put('a', '1'), op.put('b', '1'), op.put('c', '1')] });
    const seen: unknown[] = [];
    await etcd.stm(
      async (stm) => {
        if (seen.length === 0) {
          await other.txn({ success: [op.put('a', '2'), op.put('b', '2'), op.put('c', '2')] });
        }
        seen.push((await stm.getAll(['a', 'b', 'c'])).map((kv) => kv?.text()).join(' '));
      },
      { prefetch: ['a', 'b'] },
    );
    assert.deepEqual(seen, ['1 1 1', '2 2 2']);
  });

  test('reads started together see one revision', async () => {
    await etcd.txn({ success: [op.put('a', '0'), op.put('b', '0')] });
    let done = false;
    const writer = (async () => {
      for (let i = 1; !done; i++) await other.txn({ success: [op.put('a', `${i}`), op.put('b', `${i}`)] });
    })();
    try {
      for (let i = 0; i < 10; i++) {
        await etcd
          .stm(
            async (stm) => {
              const [a, b] = await Promise.all([stm.get('a'), stm.get('b')]);
              assert.equal(a?.text(), b?.text());
            },
            { maxAttempts: 3 },
          )
          .catch((error: unknown) => assert.ok(error instanceof StmConflictError, String(error)));
      }
    } finally {
      done = true;
      await writer;
    }
  });

  test('gives up after maxAttempts, and has written nothing', async () => {
    let runs = 0;
    const call = etcd.stm(
      async (stm) => {
        runs += 1;
        await stm.get('k');
        await other.put('k', `interference ${runs}`);
        stm.put('k', 'never');
        stm.put('l', 'never');
      },
      { maxAttempts: 4 },
    );
    await assert.rejects(call, (error: unknown) => {
      assert.ok(error instanceof StmConflictError);
      assert.equal(error.code, StatusCode.ABORTED);
      assert.equal(error.attempts, 4);
      assert.match(error.message, /4 attempts.*maxAttempts/);
      return true;
    });
    assert.equal(runs, 4);
    assert.equal((await etcd.get('k'))?.text(), 'interference 4');
    assert.equal(await etcd.get('l'), undefined);
  });

  test('rejects with what its function throws, and writes nothing', async () => {
    const error = new Error('no');
    const call = etcd.stm(async (stm) => {
      stm.put('k', 'never');
      throw error;
    });
    await assert.rejects(call, error);
    assert.equal(await etcd.get('k'), undefined);
  });

  test('runs again when its snapshot was compacted away', async () => {
    await etcd.txn({ success: [op.put('a', '1'), op.put('b', '1')] });
    let runs = 0;
    const { value, attempts } = await etcd.stm(async (stm) => {
      runs += 1;
      await stm.get('a');
      if (runs === 1) {
        const { revision } = await other.put('b', '2');
        await other.compact(revision);
      }
      return (await stm.get('b'))?.text();
    });
    assert.equal(value, '2');
    assert.equal(attempts, 2);
  });

  test('ends when its signal aborts, also between attempts', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    let runs = 0;
    const call = etcd.stm(
      async (stm) => {
        runs += 1;
        await stm.get('k');
        await other.put('k', '');
        if (runs === 6) setImmediate(() => controller.abort(reason));
      },
      { signal: controller.signal, maxAttempts: 1_000 },
    );
    await assert.rejects(call, reason);
    assert.ok(runs < 1_000);
    await assert.rejects(
      etcd.stm(() => {}, { signal: AbortSignal.abort(reason) }),
      reason,
    );
  });

  test('ends when its time is over, all attempts together', async () => {
    using time = new OwnTime();
    const call = etcd.stm(
      async (stm) => {
        await stm.get('k');
        await other.put('k', '');
        await sleep(10);
      },
      { timeoutMs: 150, maxAttempts: 1_000_000 },
    );
    await assert.rejects(call, DeadlineExceededError);
    assert.ok(time.ms < 5_000, `${time.ms} ms`);
  });

  test('attaches what it writes to a lease', async () => {
    const lease = await etcd.lease.grant(600);
    await etcd.stm((stm) => stm.put('k', '1', { lease: lease.id }));
    assert.equal((await etcd.get('k'))?.lease, lease.id);
    await etcd.stm((stm) => stm.put('k', '2', { ignoreLease: true }));
    assert.equal((await etcd.get('k'))?.lease, lease.id);
  });

  test('works below a namespace and through codecs', async () => {
    const stock = etcd.namespace('stock/').withCodec({ value: json<{ left: number }>() });
    await stock.put('7', { left: 2 });
    const take = () =>
      stock.stm(async (stm) => {
        const { left } = (await stm.get('7'))?.value ?? { left: 0 };
        if (left === 0) return false;
        stm.put('7', { left: left - 1 });
        const again = await stm.get('7');
        assert.deepEqual([again?.key, again?.value], ['7', { left: left - 1 }]);
        return true;
      });
    const taken = await Promise.all([take(), take(), take()]);
    assert.equal(taken.filter(({ value }) => value).length, 2);
    assert.equal((await etcd.get('stock/7'))?.text(), '{"left":0}');
  });

  test('sees its own writes through a codec, too', async () => {
    const numbers = etcd.namespace('own/').withCodec({ value: json<number>() });
    await numbers.put('old', 1);
    const { value } = await numbers.stm(async (stm) => {
      for (const key of ['old', 'new']) stm.put(key, 2);
      const seen = await stm.getAll(['old', 'new']);
      stm.put('new', 3);
      return [...seen.map((kv) => kv?.value), (await stm.get('new'))?.value];
    });
    assert.deepEqual(value, [2, 2, 3]);
  });

  test('refuses what can not be', async () => {
    const refused = (call: Promise<unknown>, message: RegExp) =>
      assert.rejects(call, (error: unknown) => {
        assert.ok(error instanceof InvalidArgumentError);
        assert.match(error.message, message);
        return true;
      });
    await refused(
      etcd.stm(() => {}, { isolation: 'snapshot' as 'serializable' }),
      /isolation is 'snapshot'; it must be 'serializableSnapshot', /,
    );
    await refused(
      etcd.stm(() => {}, { maxAttempts: 0 }),
      /maxAttempts is 0/,
    );
    await refused(
      etcd.stm((stm) => stm.get('')),
      /key is empty/,
    );
    await refused(
      etcd.stm((stm) => stm.put('k', '', { lease: 0.5 })),
      /lease is 0.5/,
    );
    const { value: leaked } = await etcd.stm((stm) => ({ stm }));
    await refused(leaked.stm.get('k'), /the transaction is over/);
    assert.throws(() => leaked.stm.put('k', ''), /the transaction is over/);
  });
});
