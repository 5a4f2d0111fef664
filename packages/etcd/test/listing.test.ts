// Pages and iteration of long ranges beside one read of the whole range at the same revision.
// LISTING_SEED=<n> repeats a run.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { beforeEach, test } from 'node:test';
import { type EtcdServer, randomFrom, startEtcd } from '@quiesce/test-services';
import {
  allKeys,
  CompactedError,
  connect,
  DeadlineExceededError,
  type EtcdClient,
  fromKey,
  type KeyRange,
  type KeyValue,
  keyRange,
  Mirror,
  op,
  type PageOptions,
  prefix,
} from '../src/index.js';
import { SPARE } from '../src/kv/near-ends.js';
import { overEachTransport, withClient, withServer } from './support/clients.js';
import { keyShapes, keysOfShape } from './support/key-shapes.js';
import { transports } from './support/transports.js';

const KEYS = 1_500;
const KEYS_PER_TXN = 100;
const SEED = Number(process.env.LISTING_SEED ?? Math.floor(Math.random() * 2 ** 31));
const below = randomFrom(SEED);
const native = transports.find(({ name }) => name === 'native');

/** Writes keys, and returns the revision after a half of them. */
async function write(etcd: EtcdClient, keys: readonly Uint8Array[]): Promise<bigint> {
  let half = 0n;
  for (let i = 0; i < keys.length; i += KEYS_PER_TXN) {
    const some = keys.slice(i, i + KEYS_PER_TXN);
    const { revision } = await etcd.txn({ success: some.map((key) => op.put(key, Buffer.from(`of ${i}`))) });
    if (i <= keys.length / 2) half = revision;
  }
  return half;
}

/** How many requests for ranges a server has had. */
async function rangeRequests({ endpoint }: EtcdServer): Promise<number> {
  return requestsIn(await (await fetch(`${endpoint}/metrics`)).text());
}

function requestsIn(metrics: string): number {
  return Number(/^grpc_server_started_total\{grpc_method="Range".*\} (\S+)/m.exec(metrics)?.[1] ?? 0);
}

overEachTransport('a long range', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withServer((it) => (server = it), { extraArgs: ['--unsafe-no-fsync'] });
  withClient(
    () => connect(server.endpoint),
    (it) => (etcd = it),
  );
  beforeEach(() => etcd.delete(allKeys()));

  for (const shape of Object.keys(keyShapes)) {
    test(`comes in pages as it does at once: ${shape}`, async () => {
      const keys = keysOfShape(shape, KEYS, below, 'p/');
      // In any order, so that revisions say nothing about places.
      const half = await write(
        etcd,
        keys
          .map((key) => [below(2 ** 30), key] as const)
          .sort(([a], [b]) => a - b)
          .map(([, key]) => key),
      );
      await etcd.put('o', 'before');
      await etcd.put('p0', 'after');
      const middle = keys[keys.length >> 1] as Uint8Array;
      const ranges: KeyRange[] = [
        prefix('p/'),
        allKeys(),
        fromKey(middle),
        keyRange(keys[3] as Uint8Array, keys.at(-3) as Uint8Array),
      ];
      const options: PageOptions[] = [
        {},
        { keysOnly: true },
        { serializable: true },
        { revision: half },
        { minModRevision: half },
        { maxCreateRevision: half },
      ];
      for (const [i, option] of options.entries()) {
        const range = ranges[i % ranges.length] as KeyRange;
        const pageSize = 15 + below(300);
        const name = `seed ${SEED}, ${pageSize} a page, ${JSON.stringify(range)}, option ${i}`;
        const atOnce = await etcd.range(range, option);
        const before = await rangeRequests(server);
        const paged: KeyValue[] = [];
        const lengths: number[] = [];
        const more: boolean[] = [];
        for await (const page of etcd.pages(range, { ...option, pageSize })) {
          assert.equal(page.revision, option.revision ?? atOnce.revision);
          paged.push(...page.kvs);
          lengths.push(page.kvs.length);
          more.push(page.more);
        }
        const requests = (await rangeRequests(server)) - before;
        assert.deepEqual(paged, atOnce.kvs, name);
        const pages = Math.max(1, Math.ceil(paged.length / pageSize));
        assert.deepEqual(lengths.slice(0, -1), new Array(pages - 1).fill(pageSize), name);
        assert.deepEqual(more, [...new Array(pages - 1).fill(true), false], name);
        assert.ok(
          requests >= pages && requests <= pages * (1 + SPARE.perPage) + SPARE.first + 1,
          `${name}: ${requests} requests`,
        );
        let next = 0;
        for await (const kv of etcd.iterate(range, { ...option, pageSize }))
          assert.deepEqual(kv, atOnce.kvs[next++], name);
        assert.equal(next, atOnce.kvs.length, name);
      }
    });
  }

  test('is the same below a namespace and for a mirror', async () => {
    const view = etcd.namespace('in/');
    await write(etcd, keysOfShape('words', KEYS, below, 'in/'));
    await etcd.put('in0', 'after');
    const { kvs } = await view.range(allKeys());
    const found: KeyValue[] = [];
    for await (const kv of view.iterate(allKeys(), { pageSize: 30 })) found.push(kv);
    assert.deepEqual(found, kvs);
    const base: KeyValue[] = [];
    for await (const change of new Mirror(view, allKeys(), { pageSize: 30 })) {
      if (change.type === 'base') base.push(...change.kvs);
      if (change.type === 'synced') break;
    }
    assert.deepEqual(base, kvs);
  });

  for (const shape of ['UUIDs', 'words']) {
    test(`comes in long pages as it does at once: ${shape}`, async () => {
      const revision = await write(etcd, keysOfShape(shape, 3 * KEYS, below, 'p/'));
      for (const options of [{}, { minModRevision: revision }]) {
        const { kvs } = await etcd.range(prefix('p/'), options);
        for (const pageSize of [1_000, 2_500]) {
          const pages: KeyValue[][] = [];
          for await (const page of etcd.pages(prefix('p/'), { ...options, pageSize })) pages.push(page.kvs);
          assert.deepEqual(pages.flat(), kvs, `seed ${SEED}, ${pageSize} a page`);
          assert.ok(pages.slice(0, -1).every(({ length }) => length === pageSize));
          const found: KeyValue[] = [];
          for await (const kv of etcd.iterate(prefix('p/'), { ...options, pageSize })) found.push(kv);
          assert.deepEqual(found, kvs, `seed ${SEED}, ${pageSize} a page`);
        }
      }
    });
  }

  test('is left by its signal at once, with keys that have come already', async () => {
    await write(etcd, keysOfShape('decimal numbers', 300, below, 'p/'));
    const reason = new Error('enough');
    const lists = [
      [(options: PageOptions) => etcd.iterate(prefix('p/'), options), 3],
      [(options: PageOptions) => etcd.iterate(prefix('p/'), options), 300],
      [(options: PageOptions) => etcd.pages(prefix('p/'), { ...options, pageSize: 100 }), 1],
      [(options: PageOptions) => etcd.pages(prefix('p/'), { ...options, pageSize: 100 }), 3],
    ] as const;
    for (const [list, last] of lists) {
      const controller = new AbortController();
      const items = list({ signal: controller.signal });
      let seen = 0;
      await assert.rejects(async () => {
        for await (const _item of items) if (++seen === last) controller.abort(reason);
      }, reason);
      assert.equal(seen, last);
      assert.equal((await items.next()).done, true);
    }
  });

  test('is seen at one revision, while keys come and go', async () => {
    const keys = keysOfShape('UUIDs', KEYS, below, 'p/');
    await write(etcd, keys);
    const { kvs } = await etcd.range(prefix('p/'));
    const found: KeyValue[] = [];
    for await (const page of etcd.pages(prefix('p/'), { pageSize: 100 })) {
      found.push(...page.kvs);
      const end = page.kvs.at(-1)?.key as Uint8Array;
      await etcd.delete(keyRange(end, Buffer.concat([end, Buffer.from('z')])));
      await etcd.put(Buffer.concat([end, Buffer.from('!')]), 'new');
      if (found.length === 600) await etcd.delete(prefix('p/'));
    }
    assert.deepEqual(found, kvs);
  });

  test('ends with what ends one of its requests', async () => {
    await write(etcd, keysOfShape('decimal numbers', KEYS, below, 'p/'));
    const leave = async (seen: number, options: PageOptions, then: () => unknown): Promise<void> => {
      let keys = 0;
      for await (const page of etcd.pages(prefix('p/'), { pageSize: 20, ...options })) {
        keys += page.kvs.length;
        if (keys === seen) await then();
      }
    };
    const controller = new AbortController();
    const reason = new Error('enough');
    await assert.rejects(
      leave(600, { signal: controller.signal }, () => controller.abort(reason)),
      reason,
    );
    server.pause();
    try {
      await assert.rejects(
        leave(0, { timeoutMs: 100 }, () => undefined),
        DeadlineExceededError,
      );
    } finally {
      server.resume();
    }
    // Each request has its own deadline.
    await leave(600, { timeoutMs: 2_000 }, () => new Promise((resolve) => setTimeout(resolve, 2_500)));
    await assert.rejects(
      leave(600, {}, async () => etcd.compact((await etcd.put('p/', 'newer')).revision)),
      CompactedError,
    );
    const before = await rangeRequests(server);
    for await (const kv of etcd.iterate(prefix('p/'), { pageSize: 20 })) if (kv.keyText() > 'p/10') break;
    assert.ok((await rangeRequests(server)) - before < 20);
  });
});

test('a page is requested before a loop gets the keys of the page before', {
  skip: native?.skip,
}, async () => {
  await using server = await startEtcd({ extraArgs: ['--unsafe-no-fsync'] });
  await using etcd = await connect({ endpoints: server.endpoint, transport: 'native' });
  await write(etcd, keysOfShape('decimal numbers', KEYS, below, 'p/'));
  const before = await rangeRequests(server);
  for await (const _kv of etcd.iterate(prefix('p/'), { pageSize: KEYS / 2 })) {
    // The loop is busy meanwhile.
    const until = Date.now() + 10_000;
    while (requestsSeenByOthers(server) < before + 2) assert.ok(Date.now() < until, 'only one request');
    break;
  }
});

/** The same as {@link rangeRequests}, for a process that does nothing else. */
function requestsSeenByOthers({ endpoint }: EtcdServer): number {
  const program = `fetch('${endpoint}/metrics').then((metrics) => metrics.text()).then(console.log)`;
  return requestsIn(execFileSync(process.execPath, ['-e', program], { encoding: 'utf8' }));
}
