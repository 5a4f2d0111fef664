// Programs that make mistakes where they take what comes: two loops over one source, listeners that throw.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type EtcdServer, startEtcd } from '@quiesce/test-services';
import { Election, EndpointManager, EtcdError, Mirror, prefix, Session, StatusCode } from '../src/index.js';
import { overEachTransport, withServer } from './support/clients.js';
import { program } from './support/program.js';
import { transports } from './support/transports.js';

const index = new URL('../src/index.js', import.meta.url).href;

overEachTransport('two loops', (connect) => {
  let server: EtcdServer;
  withServer((given) => {
    server = given;
  });

  const refused = (what: string) => (error: unknown) =>
    error instanceof EtcdError &&
    error.code === StatusCode.FAILED_PRECONDITION &&
    error.message.startsWith(`this ${what} is already consumed by another loop`);

  test('over a watch, a mirror, a snapshot, a stream: the second is refused, and the first gets all', async () => {
    await using etcd = await connect(server.endpoint);
    await using watch = etcd.watch('loops/watch');
    await using mirror = new Mirror(etcd, prefix('loops/mirror'));
    await using stream = etcd.stream({
      path: '/etcdserverpb.Watch/Watch',
      encode: (bytes: Uint8Array) => bytes,
      decode: (bytes) => bytes,
    });
    const sources: Readonly<Record<string, AsyncIterable<unknown>>> = { watch, mirror, stream };
    for (const [what, source] of Object.entries(sources)) {
      const waiting = source[Symbol.asyncIterator]().next();
      waiting.catch(() => {});
      await assert.rejects(source[Symbol.asyncIterator]().next(), refused(what), what);
    }
    await using snapshot = etcd.maintenance.snapshot();
    const chunk = snapshot[Symbol.asyncIterator]().next();
    await assert.rejects(snapshot[Symbol.asyncIterator]().next(), refused('snapshot'));
    assert.equal((await chunk).done, false);
  });

  test('over a watch, while one is in its body: one of them is refused', async () => {
    await using etcd = await connect(server.endpoint);
    await using watch = etcd.watch('loops/body');
    await watch.ready;
    const failures: unknown[] = [];
    const seen: string[] = [];
    const loop = async (name: string): Promise<void> => {
      try {
        for await (const { kv } of watch) {
          seen.push(`${name}${kv.text()}`);
          await new Promise((resolve) => setTimeout(resolve, 50));
          if (kv.text() === '2') break;
        }
      } catch (error) {
        failures.push(error);
      }
    };
    const both = Promise.all([loop('a'), loop('b')]);
    for (let i = 0; i < 3; i++) await etcd.put('loops/body', `${i}`);
    await both;
    assert.equal(failures.length, 1);
    assert.ok(refused('watch')(failures[0]));
    assert.deepEqual(seen, ['a0', 'a1', 'a2']);
  });

  test('one after another share what comes', async () => {
    await using etcd = await connect(server.endpoint);
    await using watch = etcd.watch('loops/turns');
    await watch.ready;
    for (let i = 0; i < 2; i++) await etcd.put('loops/turns', `${i}`);
    const seen = [];
    for (let i = 0; i < 2; i++) {
      const { value } = await watch[Symbol.asyncIterator]().next();
      seen.push(value?.kv.text());
    }
    assert.deepEqual(seen, ['0', '1']);
  });
});

overEachTransport('leaving a loop', (connect) => {
  let server: EtcdServer;
  withServer((given) => {
    server = given;
  });

  /** Leaves a loop while its next item is waited for; both must be over at once. */
  const leave = async (what: string, items: AsyncIterator<unknown>): Promise<void> => {
    const waiting = items.next();
    await sleep(50);
    const left = Promise.all([items.return?.(), waiting]);
    const ended = await Promise.race([left, sleep(60_000, undefined, { ref: false })]);
    assert.ok(ended, `${what} waits for another item`);
    assert.deepEqual(
      ended.map((end) => end?.done),
      [true, true],
      what,
    );
    assert.equal((await items.next()).done, true, what);
  };

  test('that waits for what does not come ends it at once', async () => {
    await using etcd = await connect(server.endpoint);
    const lease = await etcd.lease.grant(600);
    using keepAlive = await etcd.lease.keepAlive(lease.id);
    const renewals = keepAlive[Symbol.asyncIterator]();
    const bytes = { encode: (given: Uint8Array) => given, decode: (given: Uint8Array) => given };
    const sources: Readonly<Record<string, AsyncIterator<unknown>>> = {
      'watch()': etcd.watch('leaving')[Symbol.asyncIterator](),
      'batches()': etcd.watch('leaving').batches(),
      'observe()': new Election(etcd, 'leaving').observe(),
      'keepAlive()': renewals,
      'stream()': etcd.stream({ path: '/etcdserverpb.Watch/Watch', ...bytes })[Symbol.asyncIterator](),
    };
    for (const [what, items] of Object.entries(sources)) await leave(what, items);
    // Its other loops and the lease continue.
    assert.equal(keepAlive.lost.aborted, false);
    const endpoints = new EndpointManager(etcd, 'leaving').watch();
    assert.equal((await endpoints.next()).done, false);
    await leave('EndpointManager.watch()', endpoints);
    const mirror = new Mirror(etcd, prefix('leaving'))[Symbol.asyncIterator]();
    for (let i = 0; i < 2; i++) await mirror.next();
    await leave('Mirror', mirror);
  });

  test('that waits for a led election ends it at once', async () => {
    await using etcd = await connect(server.endpoint);
    await using session = await Session.create(etcd);
    const election = new Election(etcd, 'leaving/led');
    await election.campaign(session, 'me');
    const leaders = election.observe();
    assert.equal((await leaders.next()).value?.text(), 'me');
    await leave('observe()', leaders);
  });

  test('that waits for a server that does not answer ends it at once', async () => {
    await using etcd = await connect(server.endpoint);
    server.pause();
    try {
      await leave('iterate()', etcd.iterate(prefix('leaving')));
      await leave('pages()', etcd.pages(prefix('leaving')));
      await leave('snapshot()', etcd.maintenance.snapshot()[Symbol.asyncIterator]());
    } finally {
      server.resume();
    }
  });
});

describe('listeners that throw', () => {
  for (const { name, skip } of transports) {
    test(`are uncaught exceptions, and change nothing else, ${name}`, { skip }, async () => {
      await using server = await startEtcd();
      const file = program(`
        import { Cache, connect, prefix } from ${JSON.stringify(index)};
        const uncaught = [], got = [];
        process.on('uncaughtException', (error) => uncaught.push(error.message));
        const [endpoint] = process.argv.slice(2);
        const bad = (what) => () => { throw new Error(what); };
        const etcd = await connect({ endpoints: endpoint, lazy: true, transport: '${name}' });
        etcd.onConnection(bad('connection'));
        got.push((await etcd.put('a/0', '0')).revision > 0n);
        const watch = etcd.watch(prefix('a/'));
        watch.on('put', ({ kv }) => { got.push(kv.text()); if (kv.text() === '1') throw new Error('put'); });
        watch.on('batch', bad('batch')).on('connected', bad('connected')).on('close', () => got.push('closed'));
        const cache = await Cache.open(etcd, prefix('a/'));
        cache.on('put', bad('cached')).on('error', () => got.push('error'));
        await watch.ready;
        let last;
        for (const text of ['1', '2']) last = await etcd.put('a/' + text, text);
        await cache.waitForRevision(last.revision);
        got.push('cached ' + cache.get('a/2').text(), cache.size);
        while (!got.includes('2')) await new Promise((resolve) => setTimeout(resolve, 10));
        watch.close();
        await new Promise((resolve) => setTimeout(resolve, 10));
        console.log(JSON.stringify({ got, uncaught: [...new Set(uncaught)].sort() }));
        await etcd.close();
      `);
      const { stdout } = await promisify(execFile)(process.execPath, [file, server.endpoint]);
      const { got, uncaught } = JSON.parse(stdout) as { got: unknown[]; uncaught: string[] };
      assert.deepEqual(uncaught, ['batch', 'cached', 'connected', 'connection', 'put']);
      assert.deepEqual([got[0], got.at(-1), got.includes('error')], [true, 'closed', false]);
      assert.deepEqual(got.slice(1, -1).toSorted(), ['1', '2', 'cached 2', 3].toSorted());
    });
  }
});
