// Watches of one etcd that stays up: what is seen, in which form, and how a watch ends. Those whose connection breaks
// are in watch-reconnect.test.ts.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EtcdServer } from '@quiesce/test-services';
import {
  ClosedError,
  CompactedError,
  DeadlineExceededError,
  type EtcdClient,
  EtcdError,
  fromKey,
  InvalidArgumentError,
  op,
  prefix,
  type Watch,
  type WatchBatch,
  WatchCancelledError,
  type WatchEvent,
  type WatchOptions,
} from '../src/index.js';
import { overEachTransport, withClient, withServer } from './support/clients.js';
import { eventually } from './support/eventually.js';
import { collectGarbage } from './support/garbage.js';
import { take } from './support/take.js';

let server: EtcdServer;
withServer(
  (started) => {
    server = started;
  },
  { extraArgs: ['--watch-progress-notify-interval=200ms'] },
);

let names = 0;
/** A part of the keys that no other test uses. */
const fresh = (): string => `test-${++names}/`;

const told = ({ type, kv }: WatchEvent): string =>
  type === 'put' ? `${kv.keyText()}=${kv.text()}` : `-${kv.keyText()}`;

async function takeBatches(batches: AsyncIterator<WatchBatch>, events: number): Promise<WatchBatch[]> {
  const taken: WatchBatch[] = [];
  for (let seen = 0; seen < events; ) {
    const { done, value } = await batches.next();
    if (done) break;
    if (value.events.length > 0) taken.push(value);
    seen += value.events.length;
  }
  return taken;
}

overEachTransport('watch', (connect) => {
  let etcd: EtcdClient;
  withClient(
    () => connect(server.endpoint),
    (made) => {
      etcd = made;
    },
  );

  test('sees puts and deletes of one key after it is ready', async () => {
    const p = fresh();
    await etcd.put(`${p}a`, 'before');
    await using watch = etcd.watch(`${p}a`);
    const revision = await watch.ready;
    await etcd.put(`${p}a`, '1');
    await etcd.put(`${p}b`, 'another key');
    await etcd.delete(`${p}a`);
    const events = await take(watch, 2);
    assert.deepEqual(events.map(told), [`${p}a=1`, `-${p}a`]);
    assert.equal(events[0]?.revision, revision + 1n);
    assert.equal(events[0]?.kv.version, 2n);
    assert.equal(events[1]?.kv.value.length, 0);
    assert.equal(events[0]?.prevKv, undefined);
    assert.equal(watch.revision, events[1]?.revision);
  });

  test('revision is what was delivered: who resumes after it misses nothing', async () => {
    const p = fresh();
    const revisions: bigint[] = [];
    for (let i = 0; i < 10; i++) revisions.push((await etcd.put(`${p}${i}`, 'x')).revision);
    const [first, second, third] = revisions as [bigint, bigint, bigint];
    const keysAfter = async (revision: bigint): Promise<string> => {
      await using rest = etcd.watch(prefix(p), { startRevision: revision + 1n });
      const events = await take(rest, revisions.filter((each) => each > revision).length);
      return events.map(({ kv }) => kv.keyText().slice(p.length)).join('');
    };

    await using untaken = etcd.watch(prefix(p), { startRevision: first });
    assert.equal(untaken.revision, first - 1n);
    await untaken.ready;
    assert.equal(untaken.revision, first - 1n);
    untaken.close();
    assert.equal(await keysAfter(untaken.revision), '0123456789');

    // The ten come as one batch, and the loop is left within it.
    const left = etcd.watch(prefix(p), { startRevision: first });
    for await (const event of left) {
      assert.equal(left.revision, event.revision);
      if (event.revision === third) break;
    }
    assert.equal(left.revision, third);
    assert.equal(await keysAfter(left.revision), '3456789');

    const listened = etcd.watch(prefix(p), { startRevision: first });
    const seen: [bigint, bigint][] = [];
    listened.on('put', ({ revision }) => {
      seen.push([revision, listened.revision]);
      if (revision === second) listened.close();
    });
    await once(listened, 'close');
    assert.deepEqual(seen.slice(0, 2), [
      [first, first],
      [second, second],
    ]);

    const batches = etcd.watch(prefix(p), { startRevision: first });
    await takeBatches(batches.batches(), 10);
    assert.equal(batches.revision, revisions.at(-1));
    batches.close();

    await using later = etcd.watch(prefix(p), { startRevision: 1_000_000n });
    await later.ready;
    assert.equal(later.revision, 999_999n);
  });

  test('revision within a transaction is the one before, until its last event', async () => {
    const p = fresh();
    const { revision: before } = await etcd.put(`${p}a`, '0');
    await etcd.put('elsewhere', '0');
    const { revision } = await etcd.txn({ success: [op.put(`${p}a`, '1'), op.put(`${p}b`, '1')] });
    await using watch = etcd.watch(prefix(p), { startRevision: before });
    const seen: bigint[] = [];
    for await (const _event of watch) if (seen.push(watch.revision) === 3) break;
    // Nothing happened to these keys between the two.
    assert.deepEqual(seen, [revision - 1n, revision - 1n, revision]);
  });

  test('sees ranges: a prefix, from a key', async () => {
    const p = fresh();
    await using below = etcd.watch(prefix(p));
    await using from = etcd.watch(fromKey(`${p}b`));
    await Promise.all([below.ready, from.ready]);
    for (const key of ['a', 'b', 'c']) await etcd.put(p + key, key);
    assert.deepEqual((await take(below, 3)).map(told), [`${p}a=a`, `${p}b=b`, `${p}c=c`]);
    assert.deepEqual((await take(from, 2)).map(told), [`${p}b=b`, `${p}c=c`]);
  });

  test('starts at a revision of the past, and of the future', async () => {
    const p = fresh();
    const { revision } = await etcd.put(`${p}a`, '1');
    await etcd.put(`${p}a`, '2');
    await using past = etcd.watch(prefix(p), { startRevision: revision });
    await using future = etcd.watch(prefix(p), { startRevision: revision + 3n });
    await future.ready;
    for (const value of ['3', '4', '5']) await etcd.put(`${p}a`, value);
    assert.deepEqual(
      (await take(past, 5)).map((e) => e.kv.text()),
      ['1', '2', '3', '4', '5'],
    );
    assert.deepEqual(
      (await take(future, 2)).map((e) => e.kv.text()),
      ['4', '5'],
    );
  });

  test('with prevKv, has the key before the change', async () => {
    const p = fresh();
    await using watch = etcd.watch(prefix(p), { prevKv: true });
    await watch.ready;
    await etcd.put(`${p}a`, '1');
    await etcd.put(`${p}a`, '2');
    await etcd.delete(`${p}a`);
    const events = await take(watch, 3);
    assert.deepEqual(
      events.map((e) => e.prevKv?.text()),
      [undefined, '1', '2'],
    );
  });

  test('leaves out filtered types', async () => {
    const p = fresh();
    await using puts = etcd.watch(prefix(p), { filters: ['delete'] });
    await using deletes = etcd.watch(prefix(p), { filters: ['put'] });
    await Promise.all([puts.ready, deletes.ready]);
    await etcd.put(`${p}a`, '1');
    await etcd.delete(`${p}a`);
    await etcd.put(`${p}b`, '2');
    await etcd.delete(`${p}b`);
    assert.deepEqual((await take(puts, 2)).map(told), [`${p}a=1`, `${p}b=2`]);
    assert.deepEqual((await take(deletes, 2)).map(told), [`-${p}a`, `-${p}b`]);
  });

  test('shows a namespace its own names', async () => {
    const p = fresh();
    await using watch = etcd.namespace(p).watch(prefix(''), { prevKv: true });
    await watch.ready;
    await etcd.put(`${p}a`, '1');
    const [event] = await take(watch, 1);
    assert.equal(event?.kv.keyText(), 'a');
  });

  test('sees a key go with its lease', async () => {
    const p = fresh();
    await using watch = etcd.watch(prefix(p));
    await watch.ready;
    const { id } = await etcd.lease.grant(60);
    await etcd.put(`${p}a`, '1', { lease: id });
    await etcd.lease.revoke(id);
    assert.deepEqual((await take(watch, 2)).map(told), [`${p}a=1`, `-${p}a`]);
  });

  test('delivers a transaction as one batch, also to a later watch', async () => {
    const p = fresh();
    await using now = etcd.watch(prefix(p));
    await now.ready;
    const { revision } = await etcd.put(`${p}0`, '');
    await etcd.txn({ success: [op.put(`${p}a`, '1'), op.put(`${p}b`, '2'), op.put(`${p}c`, '3')] });
    await etcd.delete(prefix(p));
    const sizes = (batches: readonly WatchBatch[]): number[] => batches.map(({ events }) => events.length);
    const live = await takeBatches(now.batches(), 8);
    assert.deepEqual(sizes(live), [1, 3, 4]);
    assert.deepEqual(
      live.map((batch) => batch.revision),
      [revision, revision + 1n, revision + 2n],
    );
    await using later = etcd.watch(prefix(p), { startRevision: revision });
    const replay = await takeBatches(later.batches(), 8);
    assert.deepEqual(sizes(replay), [8]);
    assert.equal(replay[0]?.revision, revision + 2n);
  });

  // The server sends it in parts of its --max-request-bytes.
  for (const fragment of [true, false]) {
    test(`gives a large transaction whole, fragment: ${fragment}`, async () => {
      const p = fresh();
      const value = Buffer.alloc(100_000, 'v');
      for (let i = 0; i < 60; i++) await etcd.put(`${p}${i}`, value);
      await using watch = etcd.watch(prefix(p), { prevKv: true, bufferBytes: 1, fragment });
      await watch.ready;
      await etcd.put(`${p}z`, '1');
      const { deleted, revision } = await etcd.delete(prefix(p));
      await etcd.put(`${p}z`, '2');
      const batches = await takeBatches(watch.batches(), 63);
      assert.equal(deleted, 61n);
      // One batch or several, as it catches up: but no revision in two of them.
      const perRevision = new Map<bigint, number>();
      for (const { events } of batches) {
        for (const at of new Set(events.map((event) => event.revision))) {
          assert.ok(!perRevision.has(at), `revision ${at} is in two batches`);
          perRevision.set(at, events.filter((event) => event.revision === at).length);
        }
      }
      assert.deepEqual(
        [...perRevision],
        [
          [revision - 1n, 1],
          [revision, 61],
          [revision + 1n, 1],
        ],
      );
      const deletes = batches.flatMap(({ events }) => events).filter(({ type }) => type === 'delete');
      assert.equal(new Set(deletes.map((event) => event.kv.keyText())).size, 61);
      assert.equal(deletes[0]?.prevKv?.value.length, 100_000);
    });
  }

  test('replays a long history in fragments, each revision once', async () => {
    const p = fresh();
    const value = Buffer.alloc(20_000, 'v');
    const { revision } = await etcd.put(`${p}k`, value);
    for (let i = 0; i < 15; i++) {
      await etcd.txn({ success: Array.from({ length: 20 }, (_, k) => op.put(`${p}${k}`, value)) });
    }
    await using watch = etcd.watch(prefix(p), { startRevision: revision, fragment: true });
    const seen = new Map<bigint, number>();
    let total = 0;
    for await (const batch of watch.batches()) {
      for (const event of batch.events) seen.set(event.revision, (seen.get(event.revision) ?? 0) + 1);
      // Whole revisions at any time.
      for (const [at, count] of seen) assert.equal(count, at === revision ? 1 : 20);
      total += batch.events.length;
      if (total === 301) break;
    }
    assert.deepEqual(
      [...seen.keys()],
      Array.from({ length: 16 }, (_, i) => revision + BigInt(i)),
    );
  });

  test('takes a large response in parts, without splitting a revision', async () => {
    const p = fresh();
    const value = Buffer.alloc(700, 'v');
    const { revision } = await etcd.put(`${p}start`, value);
    for (let i = 0; i < 20; i++) {
      await etcd.txn({ success: Array.from({ length: 30 }, (_, k) => op.put(`${p}${k}`, value)) });
    }
    await using watch = etcd.watch(prefix(p), { startRevision: revision, bufferBytes: 1 });
    const batches = await takeBatches(watch.batches(), 601);
    assert.ok(batches.length > 3, `it came in ${batches.length} batches`);
    const revisions = batches.flatMap(({ events }) => [...new Set(events.map((event) => event.revision))]);
    assert.deepEqual(
      revisions,
      Array.from({ length: 21 }, (_, i) => revision + BigInt(i)),
    );
  });

  test('emits events to listeners, those of one turn first', async () => {
    const p = fresh();
    const watch = etcd.watch(prefix(p));
    const seen: string[] = [];
    const closed = once(watch, 'close');
    watch.on('put', (event) => seen.push(told(event)));
    watch.on('delete', (event) => seen.push(told(event)));
    watch.on('batch', (batch) => {
      seen.push(`batch of ${batch.events.length}`);
      if (batch.events[0]?.type === 'delete') watch.close();
    });
    await watch.ready;
    await etcd.txn({ success: [op.put(`${p}a`, '1'), op.put(`${p}b`, '2')] });
    await etcd.delete(`${p}a`);
    await closed;
    assert.deepEqual(seen, [`${p}a=1`, `${p}b=2`, 'batch of 2', `-${p}a`, 'batch of 1']);
  });

  test('emits its end with an error', async () => {
    const controller = new AbortController();
    const watch = etcd.watch(fresh(), { signal: controller.signal });
    const order: string[] = [];
    watch.on('put', () => {});
    watch.on('connected', () => order.push('connected'));
    watch.on('error', (error) => order.push(String(error)));
    // Not once(): it would reject with the error.
    const closed = new Promise<void>((resolve) => watch.on('close', resolve));
    await watch.ready;
    controller.abort('enough');
    await closed;
    assert.deepEqual(order, ['connected', 'enough']);
  });

  test('reports its end to listeners of error and close alone, and takes no events for them', async () => {
    const failure = new Error('enough');
    const key = fresh();
    for (const late of [false, true]) {
      const controller = new AbortController();
      const watch = etcd.watch(key, { signal: controller.signal });
      const order: string[] = [];
      const listen = () => {
        watch.on('error', (error) => order.push(String(error)));
        watch.on('close', () => order.push('close'));
      };
      if (!late) listen();
      await watch.ready;
      await etcd.put(key, '1');
      assert.equal(await watch.requestProgress(), watch.revision + 1n, 'nobody has taken the event');
      controller.abort(failure);
      if (late) {
        await sleep(20);
        listen();
      }
      await sleep(20);
      assert.deepEqual(order, ['Error: enough', 'close']);
    }
    const closed = etcd.watch(key);
    let ends = 0;
    closed.on('close', () => {
      ends += 1;
    });
    closed.close();
    await sleep(20);
    assert.equal(ends, 1);
  });

  test('keeps why it ended for who reads later, where nobody listens', async () => {
    const controller = new AbortController();
    const watch = etcd.watch(fresh(), { signal: controller.signal });
    await watch.ready;
    const failure = new Error('enough');
    controller.abort(failure);
    await sleep(20);
    await assert.rejects(
      async () => {
        for await (const event of watch) void event;
      },
      (error) => error === failure,
    );
  });

  test('holds what comes after the last listener has gone for the next one', async () => {
    const key = `${fresh()}k`;
    const watch = etcd.watch(key);
    const first: string[] = [];
    const second: string[] = [];
    await watch.ready;
    const listener = (event: WatchEvent): unknown => first.push(event.kv.text());
    watch.on('put', listener);
    await etcd.put(key, '1');
    await eventually('it was emitted', () => first.length === 1);
    watch.off('put', listener);
    const { revision } = watch;
    await etcd.put(key, '2');
    await watch.requestProgress();
    assert.equal(watch.revision, revision, 'nothing was delivered meanwhile');
    watch.on('put', (event) => second.push(event.kv.text()));
    await etcd.put(key, '3');
    await eventually('it was emitted', () => second.length === 2);
    assert.deepEqual([first, second], [['1'], ['2', '3']]);
    watch.close();
  });

  test('gives once() each event, those of one response and of one transaction too', async () => {
    const start = fresh();
    const { revision } = await etcd.put(`${start}first`, '0');
    for (const i of [1, 2]) await etcd.put(`${start}next`, `${i}`);
    await etcd.txn({ success: ['a', 'b', 'c'].map((key) => op.put(start + key, key)) });
    const watch = etcd.watch(prefix(start), { startRevision: revision });
    const seen: string[] = [];
    while (seen.length < 6) {
      const [event] = await once(watch, 'put', { signal: AbortSignal.timeout(60_000) });
      seen.push(event.kv.text());
    }
    assert.deepEqual(seen, ['0', '1', '2', 'a', 'b', 'c']);
    watch.close();
  });

  test('drops what is held once it is closed, and reports its end where the last listener has gone', async () => {
    const start = fresh();
    const { revision } = await etcd.put(`${start}a`, '0');
    await etcd.put(`${start}b`, '1');
    const emitted: string[] = [];
    const hear = (watch: Watch): Watch =>
      watch.once('put', (event) => emitted.push(event.kv.text())).on('close', () => emitted.push('close'));
    const closed = hear(etcd.watch(prefix(start), { startRevision: revision }));
    await eventually('it was emitted', () => emitted.length > 0);
    closed.close();
    await eventually('it was emitted', () => emitted.length > 1);
    closed.on('put', (event) => emitted.push(event.kv.text()));
    await sleep(20);
    assert.deepEqual(emitted.splice(0), ['0', 'close']);

    const controller = new AbortController();
    const aborted = hear(etcd.watch(prefix(start), { startRevision: revision, signal: controller.signal }));
    aborted.on('error', (error) => emitted.push(String(error)));
    await eventually('it was emitted', () => emitted.length > 0);
    controller.abort(new Error('enough'));
    await eventually('it was emitted', () => emitted.length > 2);
    assert.deepEqual(emitted, ['0', 'Error: enough', 'close']);
  });

  test('holds no more than bufferBytes while nobody takes events, and loses none', async () => {
    const key = fresh();
    const watch = etcd.watch(key, { bufferBytes: 2_000 });
    watch.on('error', () => assert.fail('it has not failed'));
    await watch.ready;
    const COUNT = 50;
    for (let i = 0; i < COUNT; i++) await etcd.put(key, 'x'.repeat(1_000));
    await sleep(100);
    let seen = 0;
    for await (const { kv } of watch) {
      seen += 1;
      assert.equal(kv.version, BigInt(seen));
      if (seen === COUNT) break;
    }
  });

  test('has one consumer', async () => {
    await using watch = etcd.watch(fresh());
    watch[Symbol.asyncIterator]();
    watch[Symbol.asyncIterator]();
    assert.throws(() => watch.batches(), /already consumed by a loop over events/);
    assert.throws(() => watch.on('put', () => {}), EtcdError);
    await using other = etcd.watch(fresh());
    other.batches();
    assert.throws(() => other.batches(), EtcdError);
  });

  test('reports progress while nothing changes', async () => {
    const p = fresh();
    await using watch = etcd.watch(prefix(p), { progressNotify: true });
    await watch.ready;
    const { revision } = await etcd.put('elsewhere', '1');
    for await (const batch of watch.batches()) {
      assert.equal(batch.events.length, 0);
      if (batch.revision >= revision) break;
    }
  });

  test('requestProgress resolves after all events up to its revision', async () => {
    const p = fresh();
    await using watch = etcd.watch(prefix(p));
    await watch.ready;
    await etcd.put(`${p}a`, '1');
    const { revision } = await etcd.put('elsewhere', '2');
    const batches = watch.batches();
    const reached = await watch.requestProgress();
    assert.ok(reached >= revision, `${reached} is before ${revision}`);
    assert.equal((await batches.next()).value?.events.length, 1);
    assert.deepEqual((await batches.next()).value, { events: [], revision: reached });
    assert.equal(watch.revision, reached);
  });

  test('requestProgress answers also while another watch of the client catches up', async () => {
    const p = fresh();
    const { revision } = await etcd.put(`${p}a`, '1');
    await Promise.all(Array.from({ length: 200 }, (_, i) => etcd.put(`${p}a`, String(i))));
    await using watch = etcd.watch('quiet');
    await using behind = etcd.watch(prefix(p), { startRevision: revision });
    await watch.ready;
    await watch.requestProgress();
    assert.equal((await take(behind, 201)).length, 201);
  });

  test('requestProgress has a deadline, a signal, and an end', async () => {
    server.pause();
    try {
      await using watch = etcd.watch(fresh());
      await assert.rejects(watch.requestProgress({ timeoutMs: 20 }), DeadlineExceededError);
      await assert.rejects(watch.requestProgress({ signal: AbortSignal.abort('no') }), /no/);
      const asked = watch.requestProgress();
      watch.close();
      await assert.rejects(asked, WatchCancelledError);
      await assert.rejects(watch.requestProgress(), WatchCancelledError);
    } finally {
      server.resume();
    }
  });

  test('fails with CompactedError, which has the compact revision', async () => {
    const p = fresh();
    const { revision } = await etcd.put(`${p}a`, '1');
    await etcd.put(`${p}a`, '2');
    const { revision: last } = await etcd.put(`${p}a`, '3');
    await etcd.compact(last);
    await using watch = etcd.watch(prefix(p), { startRevision: revision });
    await assert.rejects(take(watch, 1), (error) => {
      assert.ok(error instanceof CompactedError);
      assert.equal(error.compactRevision, last);
      return true;
    });
    // Once reported, it is over.
    assert.deepEqual(await take(watch, 1), []);
    await using again = etcd.watch(prefix(p), { startRevision: last });
    assert.deepEqual((await take(again, 1)).map(told), [`${p}a=3`]);
  });

  test('refuses bad options at once', () => {
    const watch = (options: object): Watch => etcd.watch('a', options);
    assert.throws(() => etcd.watch(''), InvalidArgumentError);
    assert.throws(() => watch({ startRevision: -1 }), InvalidArgumentError);
    assert.throws(() => watch({ filters: ['puts'] }), InvalidArgumentError);
    assert.throws(() => watch({ bufferBytes: 0 }), InvalidArgumentError);
    assert.throws(() => watch({ maxDisconnectedMs: Number.NaN }), InvalidArgumentError);
  });

  test('can be closed at every stage: before it is made, while it waits, with events left, twice', async () => {
    const p = fresh();
    const early = etcd.watch(prefix(p));
    early.close();
    await assert.rejects(early.ready, WatchCancelledError);
    assert.deepEqual(await take(early, 1), []);

    const waiting = etcd.watch(prefix(p));
    await waiting.ready;
    const next = take(waiting, 1);
    waiting.close();
    waiting.close();
    assert.deepEqual(await next, []);

    const full = etcd.watch(prefix(p));
    await full.ready;
    for (let i = 0; i < 5; i++) await etcd.put(`${p}a`, String(i));
    await full.requestProgress();
    full.close();
    assert.deepEqual(await take(full, 1), []);

    const left = etcd.watch(prefix(p));
    await left.ready;
    await etcd.put(`${p}a`, 'x');
    for await (const _event of left) break;
    assert.deepEqual(await take(left, 1), []);
  });

  test('an abort ends it with its reason, before and after it is made', async () => {
    const reason = new Error('enough');
    const aborted = etcd.watch(fresh(), { signal: AbortSignal.abort(reason) });
    await assert.rejects(aborted.ready, reason);
    await assert.rejects(take(aborted, 1), reason);

    const controller = new AbortController();
    const watch = etcd.watch(fresh(), { signal: controller.signal });
    await watch.ready;
    const next = take(watch, 1);
    controller.abort(reason);
    await assert.rejects(next, reason);
  });

  test('closing the client ends its watches with ClosedError', async () => {
    const client = await connect(server.endpoint);
    const idle = client.watch(fresh());
    await idle.ready;
    const early = client.watch(fresh());
    const next = take(idle, 1);
    await client.close();
    await assert.rejects(next, ClosedError);
    await assert.rejects(early.ready, ClosedError);
    assert.throws(() => client.watch('a'), ClosedError);
  });

  test('a loop gets no event after close() or an abort, also of those that came together, and the position says so', async () => {
    const p = fresh();
    const puts = Array.from({ length: 3 }, (_, i) => etcd.put(`${p}${i}`, 'v'));
    const first =
      (await Promise.all(puts)).map(({ header }) => header.revision).sort((a, b) => Number(a - b))[0] ?? 0n;
    const stop = new AbortController();
    const reason = new Error('stop');
    const ends: [WatchOptions, (watch: Watch) => void, unknown][] = [
      [{}, (watch) => watch.close(), undefined],
      [{ signal: stop.signal }, () => stop.abort(reason), reason],
    ];
    for (const [options, end, failure] of ends) {
      const watch = etcd.watch(prefix(p), { startRevision: first, ...options });
      let seen = 0;
      let thrown: unknown;
      try {
        for await (const event of watch) {
          seen += 1;
          assert.equal(watch.revision, event.revision);
          end(watch);
        }
      } catch (error) {
        thrown = error;
      }
      assert.equal(seen, 1);
      assert.equal(thrown, failure);
      assert.equal(watch.revision, first);
    }
  });

  test('serves 1,000 watches on one client, each with its own key', async () => {
    const p = fresh();
    const client = await connect({ endpoints: server.endpoint, timeoutMs: 60_000 });
    try {
      const watches = Array.from({ length: 1000 }, (_, i) => client.watch(`${p}${i}`));
      await Promise.all(watches.map((watch) => watch.ready));
      // Every second one goes again; the others must not notice.
      for (const [i, watch] of watches.entries()) if (i % 2 === 1) watch.close();
      await Promise.all(watches.map((_, i) => client.put(`${p}${i}`, String(i))));
      await Promise.all(
        watches.map(async (watch, i) => {
          if (i % 2 === 1) return;
          const [event] = await take(watch, 1);
          assert.equal(event && told(event), `${p}${i}=${i}`);
        }),
      );
    } finally {
      await client.close();
    }
  });

  test('a slow consumer gets everything, and holds up no other', async () => {
    const p = fresh();
    await using slow = etcd.watch(prefix(p), { bufferBytes: 20_000 });
    await using fast = etcd.watch(prefix(p));
    await Promise.all([slow.ready, fast.ready]);
    const total = 1000;
    const written = (async () => {
      for (let i = 0; i < total; i += 50) {
        await Promise.all(Array.from({ length: 50 }, (_, k) => etcd.put(`${p}a`, `${i + k}`.padEnd(200))));
      }
    })();
    const events = await take(fast, total);
    await written;
    // Nothing was taken of the slow one so far.
    const seen: bigint[] = [];
    for await (const event of slow) {
      seen.push(event.revision);
      if (seen.length % 100 === 0) await sleep(5);
      if (seen.length === total) break;
    }
    assert.deepEqual(
      seen,
      events.map((event) => event.revision),
    );
  });

  test('a consumer that stands still holds a bounded part of what was written', async () => {
    const p = fresh();
    const mib = 1024 * 1024;
    await using watch = etcd.watch(prefix(p), { bufferBytes: mib });
    await watch.ready;
    const before = await memory(0);
    const value = Buffer.alloc(256 * 1024, 'v');
    for (let i = 0; i < 200; i++) await etcd.put(`${p}a`, value);
    const kept = (await memory(before + 12 * mib)) - before;
    assert.ok(kept < 12 * mib, `${(kept / mib).toFixed(1)} MiB of 50 are held`);
    const events = await take(watch, 200);
    assert.equal(events.length, 200);
    const [first] = events;
    assert.deepEqual(
      events.map((event) => event.revision),
      events.map((_, i) => (first?.revision ?? 0n) + BigInt(i)),
    );
  });
});

/** What is held outside of the heap, where keys and values are, once garbage is gone: waits for that to be so. */
async function memory(expected: number): Promise<number> {
  for (let turn = 0; ; turn++) {
    collectGarbage();
    const { arrayBuffers } = process.memoryUsage();
    if (arrayBuffers <= expected || turn === 20) return arrayBuffers;
    await sleep(10);
  }
}
