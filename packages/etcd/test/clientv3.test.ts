// Locks, elections and recipes beside etcd's Go client on the same keys, also where a fence is up.
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { clientv3Binary, type EtcdServer, startTcpProxy } from '@quiesce/test-services';
import {
  CompactedError,
  compare,
  DeadlineExceededError,
  DoubleBarrier,
  Election,
  EndpointManager,
  type EtcdClient,
  fromKey,
  InvalidArgumentError,
  keyRange,
  Mutex,
  op,
  prefix,
  RwMutex,
  Session,
} from '../src/index.js';
import { keysBelow, overEachTransport, withEtcd } from './support/clients.js';
import { eventually } from './support/eventually.js';
import { rowsOf } from './support/guide-table.js';
import { UncertainSpace } from './support/uncertain-space.js';

const noGo = clientv3Binary() === undefined && 'there was no Go to build it with';

/** A process of Go's client, which does one command after another. */
class Peer {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;

  constructor(endpoint: string) {
    this.#child = spawn(clientv3Binary() as string, [endpoint], { timeout: 240_000, killSignal: 'SIGKILL' });
    this.#child.stderr.resume();
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async do(command: string): Promise<string> {
    this.#child.stdin.write(`${command}\n`);
    const { value, done } = await this.#answers.next();
    return done ? 'it has ended' : value;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

overEachTransport('beside clientv3', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  let peer: Peer;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });
  before(() => {
    if (!noGo) peer = new Peer(server.endpoint);
  });
  after(() => peer?.kill());

  const count = (name: string): Promise<number> => keysBelow(etcd, name);

  /** A session the answers of whose writes get lost now and then, so that there are fences. */
  const uncertainSession = (): Promise<Session> =>
    Session.create(new UncertainSpace(etcd, (write) => (write % 2 === 0 ? 2 : 'answered')).space);

  test('mutex', { skip: noGo }, async () => {
    await using session = await uncertainSession();
    const mutex = new Mutex(session, 'm');
    for (let round = 0; round < 5; round++) {
      const lock = await mutex.lock();
      assert.equal(await peer.do('trylock m'), 'locked');
      const theirs = peer.do('lock m');
      await eventually('they wait', async () => (await count('m')) === 2);
      await lock.unlock();
      assert.equal(await theirs, 'ok');
      assert.equal(await mutex.tryLock(), undefined);
      const ours = mutex.lock();
      await eventually('we wait', async () => (await count('m')) === 2);
      assert.equal(await peer.do('unlock m'), 'ok');
      await (await ours).unlock();
      assert.equal(await peer.do('trylock m'), 'ok');
      assert.equal(await peer.do('unlock m'), 'ok');
    }
    assert.ok(Number((await etcd.range(prefix('m~fence/'))).count) > 0);
  });

  test('election', { skip: noGo }, async () => {
    await using session = await uncertainSession();
    const election = new Election(session.space, 'e');
    for (let round = 0; round < 3; round++) {
      const leadership = await election.campaign(session, 'ours');
      const theirs = peer.do('campaign e theirs');
      await eventually('they wait', async () => (await count('e')) === 2);
      await leadership.proclaim('still ours');
      assert.equal((await election.leader())?.text(), 'still ours');
      await leadership.resign();
      assert.equal(await theirs, 'ok');
      assert.equal((await election.leader())?.text(), 'theirs');
      assert.equal(await peer.do('resign e'), 'ok');
    }
    assert.ok(Number((await etcd.range(prefix('e~fence/'))).count) > 0);
  });

  test('RWMutex', { skip: noGo }, async () => {
    await using session = await uncertainSession();
    const mutex = new RwMutex(session, 'rw');
    for (let round = 0; round < 3; round++) {
      const lock = await mutex.readLock();
      const theirs = peer.do('write rw');
      await eventually('they wait', async () => (await count('rw')) === 2);
      await lock.unlock();
      assert.equal(await theirs, 'ok');
      const ours = mutex.writeLock();
      await eventually('we wait', async () => (await count('rw')) === 2);
      assert.equal(await peer.do('unwrite rw'), 'ok');
      await (await ours).unlock();
    }
    assert.ok(Number((await etcd.range(prefix('rw~fence/'))).count) > 0);
  });

  test('double barrier', { skip: noGo }, async () => {
    await using session = await uncertainSession();
    for (let round = 0; round < 3; round++) {
      const barrier = new DoubleBarrier(session, 'b', 2);
      const [, entered] = await Promise.all([barrier.enter({ timeoutMs: 60_000 }), peer.do('enter b 2')]);
      assert.equal(entered, 'ok');
      const [, left] = await Promise.all([barrier.leave({ timeoutMs: 60_000 }), peer.do('leave b')]);
      assert.equal(left, 'ok');
      assert.equal(await count('b/waiters'), 0);
      assert.equal(await etcd.get('b/ready'), undefined);
    }
    assert.ok((await count('b/fence')) > 0);
  });

  test('services find each other', { skip: noGo }, async () => {
    await using session = await Session.create(etcd);
    const endpoints = new EndpointManager(etcd, 'services/api');
    await using other = etcd.watch(prefix('services/api/'));
    await other.ready;
    const states = endpoints.watch();
    const state = async () => (await states.next()).value ?? assert.fail('it has ended');
    assert.deepEqual(await state(), {
      endpoints: new Map(),
      updates: [],
      revision: (await etcd.range('x')).revision,
    });
    // Theirs, as we see it.
    assert.equal(await peer.do('register services/api go 10.0.0.1:80 zone-a'), 'ok');
    const go = { addr: '10.0.0.1:80', metadata: 'zone-a' };
    assert.deepEqual(await endpoints.list(), new Map([['go', go]]));
    assert.deepEqual((await state()).updates, [{ type: 'add', id: 'go', endpoint: go }]);
    // What is no endpoint is passed over, by both.
    await etcd.put('services/api/broken', '{');
    await etcd.put('services/api/number', '{"Addr":1}');
    await etcd.put('services/api/lower', '{"addr":"10.0.0.3:80"}');
    await etcd.put('services/apis/other', '{"Addr":"elsewhere"}');
    // Ours, as they see it.
    const { leaseId: lease } = session;
    await endpoints.update([
      { type: 'add', id: 'node', endpoint: { addr: '10.0.0.2:80', metadata: { weight: 2 } }, lease },
      { type: 'delete', id: 'go' },
    ]);
    const seen = JSON.parse(await peer.do('endpoints services/api'));
    assert.deepEqual(seen, {
      'services/api/lower': { Addr: '10.0.0.3:80', Metadata: null },
      'services/api/node': { Addr: '10.0.0.2:80', Metadata: { weight: 2 } },
    });
    const named = Object.entries(seen).map(([key, { Addr }]) => [key.slice('services/api/'.length), Addr]);
    assert.deepEqual(
      Array.from(await endpoints.list(), ([id, { addr }]) => [id, addr]),
      named,
    );
    assert.deepEqual([...(await state()).endpoints.keys()], ['go', 'lower']);
    assert.deepEqual([...(await state()).endpoints.keys()], ['lower', 'node']);
    // The very bytes that Go writes.
    await endpoints.add('go', go);
    const ours = await etcd.get('services/api/go');
    assert.equal(await peer.do('register services/api go 10.0.0.1:80 zone-a'), 'ok');
    assert.equal(ours?.text(), (await etcd.get('services/api/go'))?.text());
    // It goes with its lease.
    await session.close();
    assert.equal((await endpoints.list()).has('node'), false);
    await states.return();
  });

  test('endpoints: the same values are skipped as in Go', { skip: noGo }, async () => {
    const values: readonly (string | Uint8Array)[] = [
      ...[
        '',
        '{',
        '[1]',
        '5',
        '"s"',
        'null',
        'true',
        '{}',
        '\uFEFF{"Addr":"a"}',
        ' {"Addr":"a"} ',
        '{"Addr":"a"}x',
      ],
      ...[
        '{"Addr":null}',
        '{"Addr":1}',
        '{"ADDR":"a"}',
        '{"addr":"a","Addr":"b"}',
        '{"Addr":"b","addr":"a"}',
      ],
      ...['{"Op":1,"Addr":"a"}', '{"Op":"x","Addr":"a"}', '{"Op":256,"Addr":"a"}', '{"Op":1.5,"Addr":"a"}'],
      ...[
        '{"Op":null,"Addr":"a"}',
        '{"Op":{},"Addr":"a"}',
        '{"Metadata":1}',
        '{"Addr":"a","Metadata":[null]}',
      ],
      Buffer.from([0x7b, 0xff]),
      Buffer.concat([Buffer.from('{"Addr":"'), Buffer.from([0xff]), Buffer.from('"}')]),
    ];
    for (const [i, value] of values.entries())
      await etcd.put(`services/odd/${String(i).padStart(2, '0')}`, value);
    const theirs = Object.entries<{ Addr: string }>(JSON.parse(await peer.do('endpoints services/odd')));
    const found = await new EndpointManager(etcd, 'services/odd').list();
    assert.deepEqual(
      Array.from(found, ([id, { addr }]) => [`services/odd/${id}`, addr]),
      theirs.map(([key, { Addr }]) => [key, Addr]),
    );
    assert.ok(theirs.length > 5 && theirs.length < values.length - 5);
  });

  test('grpc-go connects to what is registered here', { skip: noGo }, async () => {
    const endpoints = new EndpointManager(etcd, 'services/etcd');
    // etcd itself has gRPC's health service.
    await endpoints.add('1', { addr: new URL(server.endpoint).host });
    assert.equal(await peer.do('health services/etcd'), 'SERVING');
  });

  test('endpoints: a watch continues after a compaction, with the changes in between', async () => {
    await using proxy = await startTcpProxy(server);
    await using far = await connect(`http://127.0.0.1:${proxy.port}`);
    const near = new EndpointManager(etcd, 'services/cut');
    for (const id of ['a', 'b']) await near.add(id, { addr: id });
    const states = new EndpointManager(far, 'services/cut').watch();
    assert.deepEqual([...((await states.next()).value?.endpoints.keys() ?? [])], ['a', 'b']);
    const next = states.next();
    proxy.pause();
    await near.delete('a');
    await near.add('c', { addr: 'c' });
    await etcd.compact((await etcd.put('other', '')).revision);
    proxy.cut();
    proxy.resume();
    const updates = [...((await next).value?.updates ?? [])];
    while (updates.length < 2) updates.push(...((await states.next()).value?.updates ?? []));
    assert.deepEqual(updates, [
      { type: 'delete', id: 'a' },
      { type: 'add', id: 'c', endpoint: { addr: 'c' } },
    ]);
    await states.return();
  });

  test('endpoints: mistakes are errors', async () => {
    assert.throws(() => new EndpointManager(etcd, ''), InvalidArgumentError);
    const endpoints = new EndpointManager(etcd, 'services/wrong');
    await assert.rejects(endpoints.add('', { addr: 'a' }), InvalidArgumentError);
    await assert.rejects(endpoints.add('a', {} as { addr: string }), InvalidArgumentError);
    await assert.rejects(endpoints.add('a', { addr: 'a', metadata: 1n }), InvalidArgumentError);
    const twice = { type: 'add', id: 'a', endpoint: { addr: 'a' } } as const;
    await assert.rejects(endpoints.update([twice, twice]), InvalidArgumentError);
    assert.deepEqual(await endpoints.list(), new Map());
    await assert.rejects(
      async () => {
        for await (const _ of endpoints.watch({ signal: AbortSignal.timeout(100) }));
      },
      { name: 'TimeoutError' },
    );
  });

  /** The right side of each row of the guide, and its left side in rows.go; each finds the same. */
  const rows: Readonly<Record<string, { readonly theirs: string; readonly ours: () => Promise<unknown> }>> = {
    '`ctx` with cancel': {
      theirs: 'cancel',
      async ours() {
        const reason = new Error('enough');
        return etcd.get('row/a', { signal: AbortSignal.abort(reason) }).catch((error) => error === reason);
      },
    },
    '`ctx` with deadline': {
      theirs: 'deadline',
      async ours() {
        await using proxy = await startTcpProxy(server);
        await using far = await connect(`http://127.0.0.1:${proxy.port}`);
        proxy.pause();
        return await far
          .get('row/a', { timeoutMs: 50 })
          .catch((error: unknown) => error instanceof DeadlineExceededError);
      },
    },
    '`clientv3.WithPrefix()`, `WithRange`, `WithFromKey`': {
      theirs: 'ranges',
      async ours() {
        const keys = [prefix('row/'), keyRange('row/', 'row/b'), fromKey('row/')];
        const found = await Promise.all(keys.map((range) => etcd.range(range, { countOnly: true })));
        return found.map(({ count }) => count).join(' ');
      },
    },
    'other `OpOption`s': {
      theirs: 'options',
      async ours() {
        const options = { limit: 2, sortBy: 'modRevision', sortOrder: 'descend' } as const;
        return (await etcd.range(prefix('row/'), options)).kvs.map((kv) => kv.keyText()).join(' ');
      },
    },
    '`client.Txn(ctx).If(…).Then(…).Else(…).Commit()`': {
      theirs: 'txn',
      async ours() {
        const result = await etcd.txn({
          compare: [compare.value('row/a', '=', '1')],
          success: [op.get('row/b')],
          failure: [op.get('row/c')],
        });
        return `${result.succeeded} ${result.responses[0]?.text()}`;
      },
    },
    '`for resp := range client.Watch(…)`': {
      theirs: 'watch',
      async ours() {
        const startRevision = (await etcd.get('row/a'))?.modRevision ?? 0n;
        const seen: string[] = [];
        for await (const { events } of etcd.watch(prefix('row/'), { startRevision }).batches()) {
          seen.push(...events.map(({ kv }) => kv.keyText()));
          if (seen.length >= 3) break;
        }
        return seen.join(' ');
      },
    },
    '`resp.Err()` of a watch': {
      theirs: 'watch-error',
      async ours() {
        try {
          for await (const _ of etcd.watch('row/a', { startRevision: 1 }));
          return undefined;
        } catch (error) {
          return `${error instanceof CompactedError} ${(error as CompactedError).compactRevision}`;
        }
      },
    },
    '`client.KeepAlive` channel that must be drained': {
      theirs: 'keepalive',
      async ours() {
        const { id } = await etcd.lease.grant(60);
        const keepAlive = await etcd.lease.keepAlive(id);
        await etcd.lease.revoke(id);
        assert.ok(keepAlive.lost.aborted);
        return keepAlive.ttlSeconds;
      },
    },
    '`resp.Header.Revision`': {
      theirs: 'revision',
      ours: async () => (await etcd.range('row/a')).header.revision,
    },
    '`errors.Is(err, rpctypes.ErrCompacted)`': {
      theirs: 'compacted',
      ours: () => etcd.get('row/a', { revision: 1 }).catch((error) => error instanceof CompactedError),
    },
    '`int64`': {
      theirs: 'revision',
      async ours() {
        const { revision } = await etcd.range('row/a');
        assert.equal(typeof revision, 'bigint');
        return (await etcd.range('row/a', { revision: Number(revision) })).revision;
      },
    },
    '`mutex.Lock(ctx)`, then `mutex.Key()`': {
      theirs: 'mutex',
      async ours() {
        await using session = await Session.create(etcd);
        await using lock = await new Mutex(session, 'row-mutex').lock();
        const kv = await etcd.get(lock.key);
        return `${kv?.keyText().startsWith('row-mutex/')} ${kv?.createRevision === lock.revision}`;
      },
    },
    "two `Lock`s of one session and name: both hold (the key is the lease's), and the first `Unlock` unlocks for both":
      {
        theirs: 'reentrant',
        async ours() {
          await using session = await Session.create(etcd);
          await using _held = await new Mutex(session, 'row-reentrant').lock();
          const second = new Mutex(session, 'row-reentrant').lock({ timeoutMs: 200 });
          await assert.rejects(second, DeadlineExceededError);
          // Nobody else's key is gone.
          return 0;
        },
      },
    '`namespace.NewKV(client.KV, "a/")`, `NewWatcher`, `NewLease`': {
      theirs: 'namespace',
      ours: async () => (await etcd.namespace('row/').get('a'))?.keyText(),
    },
  };

  for (const [row, { theirs, ours }] of Object.entries(rows)) {
    test(`row of the guide: ${row}`, { skip: noGo, timeout: 240_000 }, async () => {
      await etcd.delete(prefix('row/'));
      const [a, b, c] = ['1', '2', '3'];
      for (const [key, value] of Object.entries({ a, b, c })) await etcd.put(`row/${key}`, value as string);
      const { revision } = await etcd.range('row/a');
      await etcd.compact(revision - 2n);
      assert.equal(await peer.do(`row ${theirs}`), String(await ours()));
    });
  }

  test('there is no other row in the guide', () => {
    assert.deepEqual(
      rowsOf('Coming from Go').map(([theirs]) => theirs),
      // Services find each other, above.
      [...Object.keys(rows), '`endpoints.NewManager(client, "service")`, keys in full'],
    );
  });
});
