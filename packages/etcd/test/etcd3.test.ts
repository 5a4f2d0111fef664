// Each row of "Coming from etcd3" in docs/guide/coming-from.md, done by both clients on one etcd.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type EtcdServer, etcdBinary, startEtcd } from '@quiesce/test-services';
import {
  Etcd3,
  type Namespace as Etcd3Namespace,
  EtcdLeaseInvalidError,
  EtcdLockFailedError,
  EtcdRoleNotFoundError,
  GRPCDeadlineExceededError,
  GRPCUnavailableError,
  NotCampaigningError,
  Range,
  STMConflictError,
} from 'etcd3';
import {
  allKeys,
  compare,
  connect,
  DeadlineExceededError,
  Election,
  type EtcdClient,
  EtcdError,
  fromKey,
  keyRange,
  LeaseNotFoundError,
  Mutex,
  type Namespace,
  OwnershipLostError,
  op,
  prefix,
  Session,
  StmConflictError,
  tryLockKey,
  UnavailableError,
  type WatchEvent,
} from '../src/index.js';
import { startEtcd as startStandardEtcd } from '../src/testing/testing.js';
import { shortElections } from './support/clients.js';
import { eventually } from './support/eventually.js';
import { rowsOf } from './support/guide-table.js';
import { UncertainSpace } from './support/uncertain-space.js';

/** What a row is tried with: both clients' views of the same keys, of that row alone. */
interface Given {
  readonly etcd3: Etcd3Namespace;
  readonly etcd: Namespace;
}

let server: EtcdServer;
/** The clients themselves, for what is not below a prefix. */
let whole3: Etcd3;
let whole: EtcdClient;
before(async () => {
  server = await startEtcd({ extraArgs: [...shortElections, '--bcrypt-cost=4'] });
  whole3 = new Etcd3({ hosts: server.endpoint });
  whole = await connect(server.endpoint);
});
after(async () => {
  whole3?.close();
  await whole?.close();
  await server?.stop();
});

/** Of etcd3's `Isolation`, a const enum. */
const SERIALIZABLE_SNAPSHOT = 0;
const CLOSED_PORT = 'http://127.0.0.1:1';

const rows: Readonly<Record<string, (given: Given) => Promise<void>>> = {
  async '`new Etcd3({ hosts })`'() {
    const peer = new Etcd3({ hosts: CLOSED_PORT });
    await assert.rejects(peer.get('k').string(), GRPCUnavailableError);
    peer.close();
    await assert.rejects(connect({ endpoints: CLOSED_PORT }), UnavailableError);
    await using lazy = await connect({ endpoints: CLOSED_PORT, lazy: true, timeoutMs: 200 });
    await assert.rejects(lazy.get('k'), UnavailableError);
    await using etcd = await connect({ endpoints: [server.endpoint] });
    assert.equal(await etcd.get('no such key'), undefined);
  },
  async '`client.close()`'() {
    const peer = new Etcd3({ hosts: server.endpoint });
    await peer.get('k').string();
    peer.close();
    const etcd = await connect(server.endpoint);
    await etcd.close();
    assert.ok(etcd.closed);
  },
  async '`credentials: { rootCertificate, privateKey, certChain }`'() {
    await using secured = await startEtcd({ tls: { requireClientCert: true } });
    const { ca, clientKey, clientCert } = secured.certificates ?? assert.fail('no certificates');
    const peer = new Etcd3({
      hosts: secured.endpoint,
      credentials: {
        rootCertificate: Buffer.from(ca),
        privateKey: Buffer.from(clientKey),
        certChain: Buffer.from(clientCert),
      },
    });
    await peer.put('k').value('theirs');
    peer.close();
    const tls = { ca, key: clientKey, cert: clientCert };
    await using etcd = await connect({ endpoints: secured.endpoint, tls });
    assert.equal((await etcd.get('k'))?.text(), 'theirs');
  },
  async '`auth: { username, password }`'() {
    await using own = await startEtcd({ extraArgs: ['--bcrypt-cost=4'] });
    await using admin = await connect(own.endpoint);
    await admin.auth.userAdd('root', { password: 'secret' });
    await admin.auth.roleAdd('root');
    await admin.auth.userGrantRole('root', 'root');
    await admin.auth.enable();
    const auth = { username: 'root', password: 'secret' };
    const peer = new Etcd3({ hosts: own.endpoint, auth });
    await peer.put('k').value('theirs');
    peer.close();
    await using etcd = await connect({ endpoints: own.endpoint, auth });
    assert.equal((await etcd.get('k'))?.text(), 'theirs');
  },
  async '`dialTimeout` (30 s by default)'() {
    await using etcd = await connect({ endpoints: server.endpoint, connectTimeoutMs: 1_000 });
    assert.equal(await etcd.get('no such key'), undefined);
    const peer = new Etcd3({ hosts: server.endpoint, dialTimeout: 1_000 });
    assert.equal(await peer.get('no such key'), null);
    peer.close();
  },
  async '`defaultCallOptions`, `.options({ deadline })`'() {
    // A client of its own: its circuit breaker stays open for a while.
    const peer = new Etcd3({ hosts: server.endpoint });
    await using etcd = await connect({ endpoints: server.endpoint, timeoutMs: 300 });
    await Promise.all([peer.get('k'), etcd.get('k')]);
    server.pause();
    try {
      await Promise.all([
        assert.rejects(
          peer
            .get('k')
            .options({ deadline: Date.now() + 300 })
            .exec(),
          GRPCDeadlineExceededError,
        ),
        assert.rejects(etcd.get('k'), DeadlineExceededError),
        assert.rejects(etcd.get('k', { timeoutMs: 200 }), DeadlineExceededError),
      ]);
    } finally {
      server.resume();
      peer.close();
    }
  },
  async "`grpcOptions: { 'grpc.keepalive_time_ms', … }`"() {
    const keepalive = { 'grpc.keepalive_time_ms': 20_000, 'grpc.keepalive_timeout_ms': 5_000 };
    const size = { 'grpc.max_send_message_length': 1024 };
    const peer = new Etcd3({ hosts: server.endpoint, grpcOptions: { ...keepalive, ...size } });
    await assert.rejects(peer.put('large').value('x'.repeat(2_000)).exec());
    peer.close();
    const keepAlive = { intervalMs: 20_000, timeoutMs: 5_000 };
    await using etcd = await connect({ endpoints: server.endpoint, keepAlive, maxRequestBytes: 1024 });
    await assert.rejects(etcd.put('large', 'x'.repeat(2_000)));
    assert.equal(await etcd.get('large'), undefined);
  },
  async '`faultHandling: { global, host }`'() {
    const retry = { maxAttempts: 2, backoffMs: 10, maxBackoffMs: 20 };
    await using etcd = await connect({ endpoints: server.endpoint, lazy: true, retry });
    assert.equal(await etcd.get('no such key'), undefined);
  },
  async '`faultHandling: { watchBackoff }`'({ etcd }) {
    await using watch = etcd.watch('k', { maxDisconnectedMs: 5_000 });
    await watch.ready;
  },
  async "`client.get('k').string()`"({ etcd3, etcd }) {
    assert.equal(await etcd3.get('k').string(), null);
    assert.equal((await etcd.get('k'))?.text(), undefined);
    await etcd3.put('k').value('théirs');
    assert.equal((await etcd.get('k'))?.text(), await etcd3.get('k').string());
  },
  async "`client.get('k').json()`, `.buffer()`"({ etcd3, etcd }) {
    await etcd.put('k', JSON.stringify({ a: 1 }));
    assert.deepEqual(await etcd3.get('k').json(), (await etcd.get('k'))?.json());
    assert.deepEqual(await etcd3.get('k').buffer(), Buffer.from((await etcd.get('k'))?.value ?? []));
  },
  async "`client.get('k').number()`"({ etcd3, etcd }) {
    await etcd3.put('k').value(42);
    const kv = await etcd.get('k');
    assert.equal(kv && Number(kv.text()), await etcd3.get('k').number());
    const none = await etcd.get('none');
    assert.equal(none && Number(none.text()), undefined);
    assert.equal(await etcd3.get('none').number(), null);
  },
  async "`client.get('k').exists()`"({ etcd3, etcd }) {
    assert.equal(await etcd3.get('k').exists(), (await etcd.get('k')) !== undefined);
    await etcd.put('k', '');
    assert.equal(await etcd3.get('k').exists(), (await etcd.get('k')) !== undefined);
  },
  async "`client.get('k').exec()`"({ etcd3, etcd }) {
    await etcd.put('k', 'v');
    const theirs = await etcd3.get('k').exec();
    const ours = await etcd.range('k');
    assert.equal(theirs.header.revision, String(ours.revision));
    assert.equal(theirs.kvs[0]?.mod_revision, String(ours.kvs[0]?.modRevision));
  },
  async '`.revision(r)`, `.serializable(true)`, `.minModRevision(r)`, …'({ etcd3, etcd }) {
    const { revision } = await etcd.put('k', 'old');
    await etcd.put('k', 'new');
    assert.equal(await etcd3.get('k').revision(String(revision)).string(), 'old');
    assert.equal((await etcd.get('k', { revision }))?.text(), 'old');
    assert.equal(await etcd3.get('k').serializable(true).string(), 'new');
    assert.equal((await etcd.get('k', { serializable: true }))?.text(), 'new');
    const minModRevision = revision + 2n;
    assert.equal(
      await etcd3.getAll().prefix('').minModRevision(String(minModRevision)).count(),
      Number((await etcd.range(prefix(''), { minModRevision, countOnly: true })).count),
    );
  },
  async "`client.getAll().prefix('a/').strings()`"({ etcd3, etcd }) {
    for (const key of ['a/1', 'a/2', 'b']) await etcd.put(key, `value of ${key}`);
    const theirs = await etcd3.getAll().prefix('a/').strings();
    const { kvs } = await etcd.range(prefix('a/'));
    assert.deepEqual(theirs, Object.fromEntries(kvs.map((kv) => [kv.keyText(), kv.text()])));
    const iterated: string[] = [];
    for await (const kv of etcd.iterate(prefix('a/'))) iterated.push(kv.keyText());
    assert.deepEqual(iterated, Object.keys(theirs));
  },
  async '`.getAll().numbers()`, `.json()`, `.buffers()`'({ etcd3, etcd }) {
    for (const i of [1, 2]) await etcd.put(`a/${i}`, `${i}`);
    const { kvs } = await etcd.range(prefix('a/'));
    const all = <T>(of: (kv: (typeof kvs)[number]) => T) =>
      Object.fromEntries(kvs.map((kv) => [kv.keyText(), of(kv)]));
    const theirs = () => etcd3.getAll().prefix('a/');
    assert.deepEqual(
      await theirs().numbers(),
      all((kv) => Number(kv.text())),
    );
    assert.deepEqual(
      await theirs().json(),
      all((kv) => kv.json()),
    );
    assert.deepEqual(
      await theirs().buffers(),
      all((kv) => Buffer.from(kv.value)),
    );
  },
  async "`await client.get('k')`, `await client.getAll().prefix('a/')`, without a method"({ etcd3, etcd }) {
    await etcd.put('a/k', 'v');
    assert.equal(await etcd3.get('a/k'), await etcd3.get('a/k').string());
    assert.deepEqual(await etcd3.getAll().prefix('a/'), await etcd3.getAll().prefix('a/').strings());
  },
  async "`client.getAll().prefix('a/').keys()`, `.keyBuffers()`"({ etcd3, etcd }) {
    for (const key of ['a/1', 'a/2', 'b']) await etcd.put(key, 'v');
    const { kvs } = await etcd.range(prefix('a/'), { keysOnly: true });
    assert.deepEqual(
      await etcd3.getAll().prefix('a/').keys(),
      kvs.map((kv) => kv.keyText()),
    );
    assert.deepEqual(
      await etcd3.getAll().prefix('a/').keyBuffers(),
      kvs.map((kv) => Buffer.from(kv.key)),
    );
  },
  async "`client.getAll().prefix('a/').count()`"({ etcd3, etcd }) {
    for (const key of ['a/1', 'a/2', 'b']) await etcd.put(key, 'v');
    const { count } = await etcd.range(prefix('a/'), { countOnly: true });
    assert.equal(await etcd3.getAll().prefix('a/').count(), Number(count));
  },
  async "`.sort('Mod', 'Descend').limit(1)`"({ etcd3, etcd }) {
    for (const key of ['b', 'a']) await etcd.put(key, 'v');
    const { kvs } = await etcd.range(allKeys(), {
      sortBy: 'modRevision',
      sortOrder: 'descend',
      limit: 1,
    });
    assert.deepEqual(
      await etcd3.getAll().all().sort('Mod', 'Descend').limit(1).keys(),
      kvs.map((kv) => kv.keyText()),
    );
  },
  async '`.inRange({ start, end })`, `new Range(start, end)`, `Range.from(…)`'({ etcd3, etcd }) {
    for (const key of ['a', 'b', 'c']) await etcd.put(key, 'v');
    const ours = async (keys: Parameters<typeof etcd.range>[0]): Promise<string[]> =>
      (await etcd.range(keys)).kvs.map((kv) => kv.keyText());
    assert.deepEqual(
      await etcd3.getAll().inRange({ start: 'a', end: 'c' }).keys(),
      await ours(keyRange('a', 'c')),
    );
    assert.deepEqual(
      await etcd3.getAll().inRange(new Range('a', 'c')).keys(),
      await ours(keyRange('a', 'c')),
    );
    assert.deepEqual(await etcd3.getAll().inRange(Range.prefix('b')).keys(), await ours(prefix('b')));
    assert.deepEqual(await ours(fromKey('b')), ['b', 'c']);
  },
  async "`client.put('k').value('v')`"({ etcd3, etcd }) {
    await etcd.put('k', 'v');
    assert.equal(await etcd3.get('k').string(), 'v');
  },
  async "`client.put('k').value(v).lease(id)`"({ etcd3, etcd }) {
    const { id } = await etcd.lease.grant(60);
    await etcd3.put('a').value('v').lease(String(id));
    await etcd.put('b', 'v', { lease: id });
    const { keys } = (await etcd.lease.timeToLive(id, { keys: true })) ?? assert.fail();
    assert.equal(keys.length, 2);
    await etcd.lease.revoke(id);
    assert.equal((await etcd.range(allKeys())).kvs.length, 0);
  },
  async "`client.put('k').touch()`, `.ignoreLease()`"({ etcd3, etcd }) {
    const { id } = await etcd.lease.grant(60);
    await etcd.put('k', 'v', { lease: id });
    await etcd3.put('k').ignoreLease().touch();
    await etcd.put('k', '', { ignoreValue: true, ignoreLease: true });
    const kv = await etcd.get('k');
    assert.deepEqual([kv?.text(), kv?.version, kv?.lease], ['v', 3n, id]);
    await etcd.lease.revoke(id);
  },
  async "`client.put('k').value(v).getPrevious()`"({ etcd3, etcd }) {
    await etcd.put('k', 'first');
    const { value } = await etcd3.put('k').value('second').getPrevious();
    assert.equal(value.toString(), 'first');
    assert.equal((await etcd.put('k', 'third', { prevKv: true })).prevKv?.text(), 'second');
  },
  async "`client.delete().key('k')`, `.prefix('a/')`, `.all()`"({ etcd3, etcd }) {
    const fill = async (): Promise<void> => {
      for (const key of ['k', 'a/1', 'a/2', 'b']) await etcd.put(key, 'v');
    };
    await fill();
    const theirs = [
      (await etcd3.delete().key('k')).deleted,
      (await etcd3.delete().prefix('a/')).deleted,
      (await etcd3.delete().all()).deleted,
    ];
    await fill();
    const ours = [
      (await etcd.delete('k')).deleted,
      (await etcd.delete(prefix('a/'))).deleted,
      (await etcd.delete(allKeys())).deleted,
    ];
    assert.deepEqual(theirs, ours.map(String));
  },
  async "`client.delete().prefix('a/').getPrevious()`"({ etcd3, etcd }) {
    await etcd.put('a/1', 'v');
    const theirs = await etcd3.delete().prefix('a/').getPrevious();
    await etcd.put('a/1', 'v');
    const { prevKvs } = await etcd.delete(prefix('a/'), { prevKv: true });
    assert.deepEqual(
      theirs.map(({ value }) => value.toString()),
      prevKvs.map((kv) => kv.text()),
    );
  },
  async "`client.if('k', 'Version', '==', 0).then(…).else(…).commit()`"({ etcd3, etcd }) {
    const theirs = async (): Promise<boolean> => {
      const put = etcd3.put('k').value('theirs');
      const { succeeded } = await etcd3.if('k', 'Version', '==', 0).then(put).else(etcd3.get('k')).commit();
      return succeeded;
    };
    const ours = () =>
      etcd.txn({
        compare: [compare.missing('k')],
        success: [op.put('k', 'ours')],
        failure: [op.get('k')],
      });
    assert.equal(await theirs(), true);
    const result = await ours();
    assert.ok(!result.succeeded);
    assert.equal(result.responses[0]?.text(), 'theirs');
    await etcd.delete('k');
    assert.equal((await ours()).succeeded, true);
    assert.equal(await theirs(), false);
  },
  async "`client.if(…).and('b', 'Value', '==', 'v')`"({ etcd3, etcd }) {
    await etcd.put('b', 'v');
    const theirs = etcd3.if('k', 'Version', '==', 0).and('b', 'Value', '==', 'v');
    const both = [compare.missing('k'), compare.value('b', '=', 'v')];
    assert.equal((await theirs.commit()).succeeded, (await etcd.txn({ compare: both })).succeeded);
    await etcd.put('b', 'other');
    assert.equal((await etcd.txn({ compare: both })).succeeded, false);
  },
  async '`client.stm({ isolation, retries, prefetch }).transact(fn)`'({ etcd3, etcd }) {
    await etcd.put('k', '1');
    const settings = { isolation: SERIALIZABLE_SNAPSHOT, retries: 3, prefetch: ['k'] };
    await etcd3.stm(settings).transact(async (tx) => {
      await tx.put('k').value(Number(await tx.get('k')) + 1);
    });
    const options = { isolation: 'serializableSnapshot', maxAttempts: 4, prefetch: ['k'] } as const;
    await etcd.stm(async (stm) => {
      stm.put('k', String(Number((await stm.get('k'))?.text()) + 1));
    }, options);
    assert.equal((await etcd.get('k'))?.text(), '3');
    // `retries` come after the first attempt; `maxAttempts` counts it.
    let attempts = 0;
    const conflict = async (): Promise<void> => {
      attempts += 1;
      await etcd.put('k', 'somebody else’s');
    };
    const theirs = etcd3.stm({ retries: 1 }).transact(async (tx) => {
      await tx.get('k');
      await conflict();
      await tx.put('k').value('x');
    });
    await assert.rejects(theirs, STMConflictError);
    assert.equal(attempts, 2);
    attempts = 0;
    const ours = etcd.stm(
      async (stm) => {
        await stm.get('k');
        await conflict();
        stm.put('k', 'x');
      },
      { maxAttempts: 2 },
    );
    await assert.rejects(ours, StmConflictError);
    assert.equal(attempts, 2);
  },
  async "`tx.get('k').string()`, `tx.put('k').value('v')`, `tx.delete().key('k')`"({ etcd3, etcd }) {
    await etcd.put('from', 'v');
    await etcd3.stm().transact(async (tx) => {
      const value = await tx.get('from').string();
      await tx.delete().key('from');
      await tx.put('to').value(`${value}1`);
    });
    await etcd.stm(async (stm) => {
      const value = (await stm.get('to'))?.text();
      stm.delete('to');
      stm.put('at last', `${value}2`);
    });
    const { kvs } = await etcd.range(allKeys());
    assert.deepEqual(
      kvs.map((kv) => [kv.keyText(), kv.text()]),
      [['at last', 'v12']],
    );
  },
  async "`client.watch().prefix('a/').create()`"({ etcd3, etcd }) {
    const theirs = await etcd3.watch().prefix('a/').create();
    const puts = once(theirs, 'put');
    await using watch = etcd.watch(prefix('a/'));
    await watch.ready;
    await etcd.put('a/1', 'v');
    const [kv] = await puts;
    for await (const event of watch) {
      assert.deepEqual(Buffer.from(event.kv.key), kv.key);
      break;
    }
    await theirs.cancel();
  },
  async "`watcher.on('put', (kv, previous) => …)`"({ etcd3, etcd }) {
    await etcd.put('k', 'before');
    const theirs = await etcd3.watch().key('k').withPreviousKV().create();
    const theirPut = once(theirs, 'put');
    const watch = etcd.watch('k', { prevKv: true });
    await watch.ready;
    const ourPut = once(watch, 'put') as Promise<[WatchEvent]>;
    await etcd.put('k', 'after');
    const [kv, previous] = await theirPut;
    const [event] = await ourPut;
    assert.deepEqual(
      [event.kv.text(), event.prevKv?.text()],
      [kv.value.toString(), previous?.value.toString()],
    );
    watch.close();
    await theirs.cancel();
  },
  async "`watcher.on('disconnected')`, `'connected'`, `'data'`, `'error'`, `'end'`"({ etcd }) {
    const watch = etcd.watch('k');
    const closed = once(watch, 'close');
    const connected = once(watch, 'connected');
    const batches = once(watch, 'batch');
    watch.on('disconnected', () => {}).on('error', () => {});
    await connected;
    await etcd.put('k', 'v');
    assert.equal((await batches).length, 1);
    watch.close();
    await closed;
  },
  async "`.only('put')`, `.withPreviousKV()`, `.startRevision(r)`"({ etcd3, etcd }) {
    const { revision } = await etcd.put('k', '1');
    await etcd.delete('k');
    await etcd.put('k', '2');
    const theirs = await etcd3.watch().key('k').only('put').startRevision(String(revision)).create();
    const seen: string[] = [];
    theirs.on('put', (kv) => seen.push(kv.value.toString()));
    theirs.on('delete', () => seen.push('deleted'));
    await eventually('they see both', async () => seen.length === 2);
    const ours: string[] = [];
    const options = { filters: ['delete'], prevKv: true, startRevision: revision } as const;
    for await (const { kv } of etcd.watch('k', options)) {
      ours.push(kv.text());
      if (ours.length === 2) break;
    }
    assert.deepEqual(ours, seen);
    await theirs.cancel();
  },
  async '`watcher.cancel()`'({ etcd3, etcd }) {
    const theirs = await etcd3.watch().key('k').create();
    await theirs.cancel();
    const watch = etcd.watch('k');
    await watch.ready;
    watch.close();
    for await (const _ of watch) assert.fail('it has ended');
  },
  async "`client.lease(10)`, `lease.put('k').value('v')`"({ etcd3, etcd }) {
    const theirs = etcd3.lease(10);
    await theirs.put('theirs').value('v');
    const { id } = await etcd.lease.grant(10);
    const keepAlive = await etcd.lease.keepAlive(id);
    await etcd.put('ours', 'v', { lease: id });
    assert.equal((await etcd.get('theirs'))?.lease, BigInt(await theirs.grant()));
    assert.equal((await etcd.get('ours'))?.lease, id);
    keepAlive.stop();
    await etcd.lease.revoke(id);
    await theirs.revoke();
    assert.equal((await etcd.range(allKeys())).kvs.length, 0);
  },
  async "`lease.on('lost', …)`"({ etcd3, etcd }) {
    const theirs = etcd3.lease(1);
    const id = BigInt(await theirs.grant());
    const keepAlive = await etcd.lease.keepAlive(id);
    const theirLoss = once(theirs, 'lost');
    const ourLoss = once(keepAlive.lost, 'abort');
    // By somebody else, as far as either knows.
    await whole3.leaseClient.leaseRevoke({ ID: String(id) });
    assert.ok((await theirLoss)[0] instanceof EtcdLeaseInvalidError);
    await ourLoss;
  },
  async '`lease.revoke()`, `lease.release()`'({ etcd3, etcd }) {
    const theirs = etcd3.lease(10);
    let lost = 0;
    theirs.on('lost', () => (lost += 1));
    await theirs.grant();
    await theirs.revoke();
    const revoke = async (stopFirst: boolean): Promise<boolean> => {
      const { id } = await etcd.lease.grant(10);
      const keepAlive = await etcd.lease.keepAlive(id);
      if (stopFirst) keepAlive.stop();
      await etcd.lease.revoke(id);
      return keepAlive.lost.aborted;
    };
    assert.equal(lost, 0);
    assert.equal(await revoke(true), false);
    assert.equal(await revoke(false), true);
  },
  async "`lease.on('keepaliveSucceeded', …)`, `lease.keepaliveOnce()`"({ etcd }) {
    const { id } = await etcd.lease.grant(10);
    assert.equal((await etcd.lease.keepAliveOnce(id)).ttlSeconds, 10);
    using keepAlive = await etcd.lease.keepAlive(id);
    const renewals = keepAlive[Symbol.asyncIterator]();
    const renewal = renewals.next();
    await etcd.lease.keepAliveOnce(id);
    assert.equal((await renewal).value?.ttlSeconds, 10);
  },
  async '`client.leaseClient.leaseTimeToLive(…)`, `.leaseLeases()`'({ etcd }) {
    const { id } = await etcd.lease.grant(10);
    const theirs = await whole3.leaseClient.leaseTimeToLive({ ID: String(id), keys: true });
    const ours = await etcd.lease.timeToLive(id, { keys: true });
    assert.equal(theirs.grantedTTL, String(ours?.grantedTtlSeconds));
    const { leases } = await whole3.leaseClient.leaseLeases();
    assert.deepEqual(leases.map(({ ID }) => BigInt(ID)).sort(), (await etcd.lease.list()).sort());
  },
  async "`client.lock('k').ttl(10).acquire()`, `.release()`"({ etcd3, etcd }) {
    const options = { ttlSeconds: 10 };
    const ours = (await tryLockKey(etcd, 'k', options)) ?? assert.fail('it is free');
    await assert.rejects(etcd3.lock('k').ttl(10).acquire(), EtcdLockFailedError);
    assert.equal(await tryLockKey(etcd, 'k', options), undefined);
    await ours.unlock();
    const theirs = await etcd3.lock('k').ttl(10).acquire();
    assert.equal(await tryLockKey(etcd, 'k', options), undefined);
    await theirs.release();
    await (await tryLockKey(etcd, 'k', options))?.unlock();
    assert.equal((await etcd.range(allKeys())).kvs.length, 0);
  },
  async "`client.lock('k').do(fn)`"({ etcd3, etcd }) {
    const order: string[] = [];
    await etcd3.lock('k').do(async () => {
      order.push('theirs');
      await using lock = await tryLockKey(etcd, 'k');
      assert.equal(lock, undefined);
    });
    {
      await using lock = await tryLockKey(etcd, 'k');
      assert.ok(lock);
      order.push('ours');
      await assert.rejects(etcd3.lock('k').acquire(), EtcdLockFailedError);
    }
    assert.equal(await etcd3.get('k').exists(), false);
    assert.deepEqual(order, ['theirs', 'ours']);
  },
  async '`lock.leaseId()`, `lease.grant()`'({ etcd3, etcd }) {
    const theirs = etcd3.lock('theirs').ttl(10);
    await theirs.acquire();
    const lease = etcd3.lease(10);
    const theirIds = [await theirs.leaseId(), await lease.grant()].map((id) => BigInt(id ?? 0));
    await using lock = await tryLockKey(etcd, 'ours', { ttlSeconds: 10 });
    const granted = await etcd.lease.grant(10);
    const ids = [...theirIds, lock?.session.leaseId, granted.id];
    const all = new Set(await etcd.lease.list());
    for (const id of ids) assert.ok(id !== undefined && all.has(id), String(id));
    await theirs.release();
    await lease.revoke();
    await etcd.lease.revoke(granted.id);
  },
  async "`client.lock('k')` beside `new Mutex(session, 'k')`"({ etcd3, etcd }) {
    await using session = await Session.create(etcd, { ttlSeconds: 10 });
    await using lock = await new Mutex(session, 'k').lock();
    // Both hold: they are locks of different keys.
    const theirs = await etcd3.lock('k').acquire();
    assert.ok(!lock.signal.aborted);
    await theirs.release();
  },
  async "`client.election('n', ttl).campaign('me')`"({ etcd3, etcd }) {
    await using session = await Session.create(etcd, { ttlSeconds: 10 });
    const election = new Election(etcd, 'election/n');
    const leadership = await election.campaign(session, 'ours');
    const campaign = etcd3.election('n', 10).campaign('theirs');
    campaign.on('error', () => {});
    const elected = once(campaign, 'elected');
    await eventually('they wait', async () => (await etcd.range(prefix('election/n/'))).kvs.length === 2);
    assert.equal(await etcd3.election('n').leader(), 'ours');
    await leadership.resign();
    await elected;
    assert.equal((await election.leader())?.text(), 'theirs');
    const again = election.campaign(session, 'ours again');
    await eventually('we wait', async () => (await etcd.range(prefix('election/n/'))).kvs.length === 2);
    await campaign.resign();
    await (await again).resign();
    // Under another name both lead.
    await using other = await new Election(etcd, 'n').campaign(session, 'ours');
    const theirs = etcd3.election('n').campaign('theirs');
    await theirs.wait();
    assert.ok(!other.signal.aborted);
    await theirs.resign();
  },
  async "`campaign.proclaim(v)`, `.resign()`, `.on('error', …)`"({ etcd3, etcd }) {
    const theirs = etcd3.election('n').campaign('a');
    await theirs.wait();
    await theirs.proclaim('b');
    assert.equal((await new Election(etcd, 'election/n').leader())?.text(), 'b');
    await theirs.resign();
    await assert.rejects(theirs.proclaim('c'), NotCampaigningError);
    await using session = await Session.create(etcd);
    const ours = await new Election(etcd, 'election/n').campaign(session, 'a');
    await ours.proclaim('b');
    assert.equal(await etcd3.election('n').leader(), 'b');
    await ours.resign();
    assert.ok(ours.signal.aborted);
    await assert.rejects(ours.proclaim('c'), OwnershipLostError);
  },
  async '`election.observe()`, `election.leader()`'({ etcd3, etcd }) {
    const theirs = etcd3.election('n').campaign('theirs');
    await theirs.wait();
    const election = new Election(etcd, 'election/n');
    for await (const leader of election.observe()) {
      assert.equal(leader.text(), 'theirs');
      break;
    }
    assert.equal((await election.leader())?.text(), await etcd3.election('n').leader());
    await theirs.resign();
    assert.equal(await election.leader(), undefined);
    assert.equal(await etcd3.election('n').leader(), undefined);
  },
  async "`client.namespace('a/')`"({ etcd3, etcd }) {
    await etcd3.namespace('a/').put('k').value('v');
    assert.equal((await etcd.namespace('a/').get('k'))?.text(), 'v');
  },
  async "`client.role('r').create()`, `.grant({ permission: 'Read', range })`"() {
    await whole3.role('theirs').create();
    await whole3.role('theirs').grant({ permission: 'Read', range: Range.prefix('a/') });
    await whole.auth.roleAdd('ours');
    await whole.auth.roleGrantPermission('ours', 'read', prefix('a/'));
    assert.deepEqual(await whole.auth.roleGet('ours'), await whole.auth.roleGet('theirs'));
    for (const role of ['ours', 'theirs']) await whole.auth.roleDelete(role);
  },
  async '`role.revoke(…)`, `role.permissions()`, `role.delete()`, `client.getRoles()`'() {
    await whole.auth.roleAdd('r');
    await whole.auth.roleGrantPermission('r', 'read', 'k');
    assert.equal((await whole3.role('r').permissions()).length, 1);
    assert.equal((await whole.auth.roleGet('r')).length, 1);
    await whole.auth.roleRevokePermission('r', 'k');
    assert.deepEqual(await whole3.role('r').permissions(), []);
    assert.deepEqual(
      (await whole3.getRoles()).map(({ name }) => name),
      await whole.auth.roleList(),
    );
    await whole.auth.roleDelete('r');
    assert.deepEqual(await whole3.getRoles(), []);
  },
  async "`client.user('u').create(password)`, `.addRole('r')`"() {
    await whole.auth.roleAdd('r');
    await whole3.user('theirs').create('p');
    await whole3.user('theirs').addRole('r');
    await whole.auth.userAdd('ours', { password: 'p' });
    await whole.auth.userGrantRole('ours', 'r');
    assert.deepEqual(await whole.auth.userGet('ours'), await whole.auth.userGet('theirs'));
    for (const user of ['ours', 'theirs']) await whole.auth.userDelete(user);
    await whole.auth.roleDelete('r');
  },
  async '`user.setPassword(p)`, `.removeRole(r)`, `.roles()`, `.delete()`, `client.getUsers()`'() {
    await whole.auth.roleAdd('r');
    await whole.auth.userAdd('u', { password: 'p' });
    await whole.auth.userGrantRole('u', 'r');
    await whole.auth.userChangePassword('u', 'q');
    assert.deepEqual(
      (await whole3.user('u').roles()).map(({ name }) => name),
      await whole.auth.userGet('u'),
    );
    await whole.auth.userRevokeRole('u', 'r');
    assert.deepEqual(await whole3.user('u').roles(), []);
    assert.deepEqual(
      (await whole3.getUsers()).map(({ name }) => name),
      await whole.auth.userList(),
    );
    await whole.auth.userDelete('u');
    await whole.auth.roleDelete('r');
  },
  async '`client.auth.authEnable()`'() {
    // Refused to both without a user `root`.
    await assert.rejects(whole3.auth.authEnable());
    await assert.rejects(whole.auth.enable(), EtcdError);
  },
  async '`client.cluster.memberList()`, `client.maintenance.status()`'() {
    const { members } = await whole3.cluster.memberList({});
    const ours = await whole.cluster.memberList();
    assert.deepEqual(
      ours.map(({ id, name }) => [String(id), name]),
      members.map(({ ID, name }) => [ID, name]),
    );
    const { version } = await whole3.maintenance.status();
    assert.equal((await whole.maintenance.status(server.endpoint)).version, version);
  },
  async '`client.maintenance.snapshot()`'() {
    const stream = await whole3.maintenance.snapshot();
    let theirs = 0;
    stream.on('data', ({ blob }) => {
      theirs += blob.length;
    });
    await new Promise<void>((resolve, reject) => stream.on('end', resolve).on('error', reject));
    const dir = mkdtempSync(join(tmpdir(), 'quiesce-etcd3-'));
    try {
      const file = join(dir, 'snapshot.db');
      await whole.maintenance.snapshotTo(file);
      assert.equal(statSync(file).size, theirs);
    } finally {
      rmSync(dir, { recursive: true });
    }
  },
  async '`client.kv.compact(…)`'({ etcd3, etcd }) {
    const { revision } = await etcd.put('k', '1');
    await whole.compact(revision);
    await assert.rejects(
      etcd3
        .get('k')
        .revision(String(revision - 1n))
        .exec(),
    );
  },
  async '`client.mock(…)`, `client.unmock()`'() {
    await using own = await startStandardEtcd({ binary: etcdBinary() });
    await using etcd = await connect(own.endpoint);
    await etcd.put('k', 'v');
    const peer = new Etcd3({ hosts: own.endpoint });
    assert.equal(await peer.get('k'), 'v');
    peer.close();
  },
  async '`EtcdLockFailedError`, `EtcdLeaseInvalidError`, `GRPCUnavailableError`, …'({ etcd3, etcd }) {
    await assert.rejects(etcd3.put('k').value('v').lease('4711').exec(), EtcdLeaseInvalidError);
    await assert.rejects(etcd.put('k', 'v', { lease: 4711n }), LeaseNotFoundError);
    await assert.rejects(whole3.role('nobody').permissions(), EtcdRoleNotFoundError);
    await assert.rejects(whole.auth.roleGet('nobody'), EtcdError);
  },
};

describe('each row of the guide, by both clients', () => {
  for (const [row, run] of Object.entries(rows)) {
    test(row, { timeout: 240_000 }, async () => {
      const below = `${row}/`;
      await run({ etcd3: whole3.namespace(below), etcd: whole.namespace(below) });
    });
  }

  test('there is no other row', () => {
    assert.deepEqual(
      rowsOf('Coming from etcd3 (npm)').map(([theirs]) => theirs),
      Object.keys(rows),
    );
  });
});

describe('a lock that is one key', () => {
  test('is found again after a lost answer, and leaves nothing', async () => {
    const uncertain = new UncertainSpace(whole.namespace('lost/'), (write) =>
      write === 0 ? 'unanswered' : 'answered',
    );
    const lock = await tryLockKey(uncertain.space, 'k');
    assert.ok(lock);
    assert.equal((await whole.get('lost/k'))?.createRevision, lock.revision);
    await lock.unlock();
    assert.equal(await whole.get('lost/k'), undefined);
  });

  test('is not locked by a copy of its put that comes late', async () => {
    const uncertain = new UncertainSpace(whole.namespace('late/'), (write) =>
      write === 0 ? Number.POSITIVE_INFINITY : 'answered',
    );
    const lock = await tryLockKey(uncertain.space, 'k');
    await lock?.unlock();
    await assert.rejects(
      uncertain.deliver(async () => {}),
      LeaseNotFoundError,
    );
    assert.equal(await whole.get('late/k'), undefined);
  });

  test('ends its lease when somebody deletes its key', async () => {
    const etcd = whole.namespace('deleted/');
    const lock = (await tryLockKey(etcd, 'k', { ttlSeconds: 60 })) ?? assert.fail('it is free');
    const lost = once(lock.signal, 'abort');
    await etcd.delete('k');
    await lost;
    assert.ok(lock.signal.reason instanceof OwnershipLostError);
    await eventually(
      'its lease goes',
      async () => !(await whole.lease.list()).includes(lock.session.leaseId),
    );
  });

  test('that can’t be had leaves no lease, and can be given up', async () => {
    const etcd = whole.namespace('taken/');
    await using lock = await tryLockKey(etcd, 'k');
    assert.ok(lock);
    const leases = async (): Promise<number> => (await whole.lease.list()).length;
    const before = await leases();
    assert.equal(await tryLockKey(etcd, 'k'), undefined);
    await eventually('its lease goes', async () => (await leases()) === before);
    await assert.rejects(tryLockKey(etcd, 'k', { signal: AbortSignal.abort(new Error('enough')) }), /enough/);
    await assert.rejects(tryLockKey(etcd, ''), /the key is empty/);
    assert.equal(await leases(), before);
  });
});
