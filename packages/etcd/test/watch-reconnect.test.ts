// Watches whose connection breaks, whose server goes, or which miss a compaction meanwhile: no gap, no duplicate, in
// order, and never a silent end.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type EtcdServer,
  etcdBinary,
  startEtcd,
  startEtcdCluster,
  startTcpProxy,
  type TcpProxy,
  uniformFrom,
} from '@quiesce/test-services';
import { startService } from 'quiesce';
import {
  Cache,
  CompactedError,
  connect as connectAny,
  type EtcdClient,
  op,
  prefix,
  UnavailableError,
  type Watch,
  type WatchEvent,
} from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { program } from './support/program.js';
import { take } from './support/take.js';
import { transports } from './support/transports.js';

let server: EtcdServer;
/** Past the proxy. */
let direct: EtcdClient;
withEtcd(connectAny, (given) => {
  ({ server, etcd: direct } = given);
});

let names = 0;
const fresh = (): string => `reconnect-${++names}/`;

const texts = (events: readonly WatchEvent[]): string[] => events.map(({ kv }) => kv.text());

overEachTransport('a watch whose connection breaks', (connect) => {
  let proxy: TcpProxy;
  let etcd: EtcdClient;
  before(async () => {
    proxy = await startTcpProxy({ port: server.port });
    etcd = await connect({ endpoints: `http://127.0.0.1:${proxy.port}`, timeoutMs: 1_000 });
  });
  after(async () => {
    await etcd.close();
    await proxy.close();
  });

  test('goes on after a cut, and says so', async () => {
    const p = fresh();
    await using watch = etcd.watch(prefix(p));
    const order: string[] = [];
    watch.on('connected', () => order.push('connected'));
    watch.on('disconnected', (reason) => order.push(reason instanceof Error ? reason.name : 'no error'));
    await watch.ready;
    await direct.put(`${p}a`, '1');
    assert.deepEqual(texts(await take(watch, 1)), ['1']);
    const again = once(watch, 'connected');
    proxy.cut();
    await direct.put(`${p}a`, '2');
    await again;
    await direct.put(`${p}a`, '3');
    assert.deepEqual(texts(await take(watch, 2)), ['2', '3']);
    assert.deepEqual(order.slice(0, 1), ['connected']);
    assert.equal(order.at(-1), 'connected');
    assert.ok(order.includes('UnavailableError'), order.join());
  });

  test('misses nothing when it was cut between ready and its first event', async () => {
    const p = fresh();
    await using watch = etcd.watch(prefix(p));
    await watch.ready;
    proxy.cut();
    for (const value of ['1', '2', '3']) await direct.put(`${p}a`, value);
    assert.deepEqual(texts(await take(watch, 3)), ['1', '2', '3']);
  });

  test('can be made, and closed, while there is no connection', async () => {
    const p = fresh();
    await using other = etcd.watch(prefix(p));
    await other.ready;
    const down = once(other, 'disconnected');
    const { port } = proxy;
    await proxy.close();
    await down;
    const closed = etcd.watch(prefix(p));
    const { revision } = await direct.put(`${p}a`, '1');
    await using watch = etcd.watch(prefix(p), { startRevision: revision });
    await sleep(20);
    closed.close();
    assert.deepEqual(await take(closed, 1), []);
    proxy = await startTcpProxy({ port: server.port }, port);
    assert.deepEqual(texts(await take(watch, 1)), ['1']);
    assert.deepEqual(texts(await take(other, 1)), ['1']);
  });

  test('is made elsewhere, or again, when the server says nothing at all', async () => {
    const p = fresh();
    proxy.pause();
    await using watch = etcd.watch(prefix(p));
    const reason = (await once(watch, 'disconnected'))[0];
    assert.match(String(reason), /did not answer a request for a watch within 1000 ms/);
    proxy.resume();
    await watch.ready;
    await direct.put(`${p}a`, '1');
    assert.deepEqual(texts(await take(watch, 1)), ['1']);
  });

  test('ends with UnavailableError after maxDisconnectedMs, while others go on', async () => {
    const p = fresh();
    await using patient = etcd.watch(prefix(p));
    await using watch = etcd.watch(prefix(p), { maxDisconnectedMs: 500 });
    await Promise.all([watch.ready, patient.ready]);
    const order: string[] = [];
    patient.on('connected', () => order.push('connected'));
    patient.on('disconnected', () => order.push('disconnected'));
    await direct.put(`${p}a`, '1');
    assert.deepEqual(texts(await take(watch, 1)), ['1']);
    const { port } = proxy;
    await proxy.close();
    await assert.rejects(take(watch, 1), (error) => {
      assert.ok(error instanceof UnavailableError);
      assert.match(error.message, /no connection for 500 ms; the last attempt: /);
      assert.ok(error.cause instanceof UnavailableError);
      return true;
    });
    proxy = await startTcpProxy({ port: server.port }, port);
    await direct.put(`${p}a`, '2');
    assert.deepEqual(texts(await take(patient, 2)), ['1', '2']);
    assert.deepEqual(order, ['disconnected', 'connected'], 'however many attempts failed');
  });

  test('raises CompactedError when what it missed was compacted meanwhile', async () => {
    const p = fresh();
    await using watch = etcd.watch(prefix(p));
    await using quiet = etcd.watch('nothing happens here', { progressNotify: true });
    await Promise.all([watch.ready, quiet.ready]);
    await direct.put(`${p}a`, '1');
    assert.deepEqual(texts(await take(watch, 1)), ['1']);
    const down = once(watch, 'disconnected');
    const { port } = proxy;
    await proxy.close();
    await down;
    for (const value of ['2', '3', '4']) await direct.put(`${p}a`, value);
    const { revision } = await direct.put(`${p}a`, '5');
    await direct.compact(revision);
    proxy = await startTcpProxy({ port: server.port }, port);
    await assert.rejects(take(watch, 1), (error) => {
      assert.ok(error instanceof CompactedError);
      assert.equal(error.compactRevision, revision);
      return true;
    });
  });

  test('survives kill -9 and a restart of the server', async () => {
    const p = fresh();
    await using watch = etcd.watch(prefix(p));
    await watch.ready;
    await direct.put(`${p}a`, '1');
    server.kill();
    await server.exited;
    await server.restart();
    for (const value of ['2', '3']) await direct.put(`${p}a`, value);
    assert.deepEqual(texts(await take(watch, 3)), ['1', '2', '3']);
  });

  test('resumes many watches together', async () => {
    const p = fresh();
    const watches = Array.from({ length: 300 }, (_, i) => etcd.watch(`${p}${i}`));
    try {
      await Promise.all(watches.map((watch) => watch.ready));
      proxy.cut();
      await Promise.all(watches.map((_, i) => direct.put(`${p}${i}`, String(i))));
      const seen = await Promise.all(watches.map((watch) => take(watch, 1)));
      assert.deepEqual(
        seen.map((events) => texts(events)[0]),
        watches.map((_, i) => String(i)),
      );
    } finally {
      for (const watch of watches) watch.close();
    }
  });

  const seed = Number(process.env.QUIESCE_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  test(`sees each revision once and in order under cuts, freezes and refusals; QUIESCE_TEST_SEED=${seed}`, async () => {
    const random = uniformFrom(seed);
    const p = fresh();
    const keys = ['a', 'b', 'c', 'd'];
    const written: { revision: bigint; keys: string[] }[] = [];
    const watches = [
      { keys, watch: etcd.watch(prefix(p)), batched: true, slow: false },
      { keys, watch: etcd.watch(prefix(p), { bufferBytes: 3_000 }), batched: false, slow: true },
      ...keys.map((key) => ({ keys: [key], watch: etcd.watch(p + key), batched: false, slow: false })),
    ];
    await Promise.all(watches.map(({ watch }) => watch.ready));

    const consumed = watches.map(async ({ watch, batched, slow }) => {
      const seen: string[] = [];
      const note = (event: WatchEvent): boolean => {
        if (event.kv.keyText() === `${p}end`) return true;
        seen.push(`${event.revision} ${event.kv.keyText().slice(p.length)}`);
        return event.kv.text() === 'last';
      };
      if (batched) {
        let reached = 0n;
        for await (const { events } of watch.batches()) {
          for (const event of events) {
            if (note(event)) return seen;
          }
          const first = events[0]?.revision ?? reached + 1n;
          assert.ok(first > reached, `revision ${first} is in two batches`);
          reached = events.at(-1)?.revision ?? reached;
        }
      } else {
        for await (const event of watch) {
          if (note(event)) break;
          if (slow && seen.length % 20 === 0) await sleep(2);
        }
      }
      return seen;
    });

    let writing = true;
    const broken = (async () => {
      while (writing) {
        await sleep(random() * 40);
        const fault = random();
        if (fault < 0.6) proxy.cut();
        else if (fault < 0.8) {
          proxy.pause();
          await sleep(random() * 30);
          proxy.cut();
          proxy.resume();
        } else {
          const { port } = proxy;
          await proxy.close();
          await sleep(random() * 60);
          proxy = await startTcpProxy({ port: server.port }, port);
        }
      }
    })();
    for (const end = performance.now() + 2_000; performance.now() < end; ) {
      const chosen = keys.filter(() => random() < 0.5);
      if (chosen.length === 0) continue;
      const { revision } = await direct.txn({ success: chosen.map((key) => op.put(p + key, 'x')) });
      written.push({ revision, keys: chosen });
      if (random() < 0.2) await sleep(random() * 20);
    }
    const { revision } = await direct.txn({ success: keys.map((key) => op.put(p + key, 'last')) });
    written.push({ revision, keys });
    writing = false;
    await broken;

    for (const [i, seen] of (await Promise.all(consumed)).entries()) {
      const own = watches[i]?.keys ?? [];
      const expected = written.flatMap((txn) =>
        txn.keys.filter((key) => own.includes(key)).map((key) => `${txn.revision} ${key}`),
      );
      // A watch of several keys ends at the first of the last transaction.
      assert.deepEqual(seen, own.length > 1 ? expected.slice(0, 1 - own.length) : expected);
    }
  });
});

test('a watch that the server refuses ends with the reason, and affects no other watch', async () => {
  await using own = await startEtcd();
  await using anonymous = await connectAny(own.endpoint);
  const root = { username: 'root', password: 'secret' };
  const ada = { username: 'ada', password: 'secret' };
  for (const { username, password } of [root, ada]) await anonymous.auth.userAdd(username, { password });
  await anonymous.auth.userGrantRole('root', 'root');
  await anonymous.auth.roleAdd('reader');
  await anonymous.auth.roleGrantPermission('reader', 'read', prefix('open/'));
  await anonymous.auth.userGrantRole('ada', 'reader');
  await anonymous.auth.enable();

  const refused = async (watch: Watch, error: object): Promise<void> => {
    await assert.rejects(watch.ready, error);
    await assert.rejects(take(watch, 1), error);
  };
  await refused(anonymous.watch('open/a'), {
    name: 'UnauthenticatedError',
    details: 'etcdserver: user name is empty',
  });
  await using etcd = await connectAny({ endpoints: own.endpoint, auth: ada });
  await using writer = await connectAny({ endpoints: own.endpoint, auth: root });
  await using allowed = etcd.watch(prefix('open/'));
  await allowed.ready;
  await refused(etcd.watch('closed/a'), {
    name: 'PermissionDeniedError',
    details: 'etcdserver: permission denied',
  });
  await writer.put('open/a', '1');
  assert.deepEqual(texts(await take(allowed, 1)), ['1']);
});

overEachTransport('a watch of a cluster', (connect) => {
  test('moves on when the member that serves it dies', async () => {
    await using cluster = await startEtcdCluster();
    const etcd = await connect({ endpoints: cluster.endpoints, timeoutMs: 1_000 });
    const p = fresh();
    const writer = await connectAny({ endpoints: [cluster.endpoints[2] as string] });
    try {
      const watch: Watch = etcd.watch(prefix(p));
      await watch.ready;
      await writer.put(`${p}a`, '1');
      assert.deepEqual(texts(await take(watch, 1)), ['1']);
      cluster.members[0]?.kill();
      await once(watch, 'connected');
      await retry(() => writer.put(`${p}a`, '2'));
      assert.deepEqual(texts(await take(watch, 1)), ['2']);
      watch.close();
    } finally {
      await etcd.close();
      await writer.close();
    }
  });

  test('with requireLeader leaves a member that lost its leader', async () => {
    await using cluster = await startEtcdCluster({ partitionable: true });
    const alone = (await cluster.followers())[0];
    const others = cluster.members.filter((member) => member !== alone);
    assert.ok(alone !== undefined);
    const etcd = await connect({ endpoints: [alone, ...others].map(({ endpoint }) => endpoint) });
    const writer = await connectAny({ endpoints: [others[0]?.endpoint as string] });
    try {
      const p = fresh();
      await using watch = etcd.watch(prefix(p), { requireLeader: true });
      await watch.ready;
      const moved = once(watch, 'connected');
      cluster.partition(alone);
      await retry(() => writer.put(`${p}a`, '1'));
      await moved;
      assert.deepEqual(texts(await take(watch, 1)), ['1']);
    } finally {
      await etcd.close();
      await writer.close();
    }
  });
});

async function retry<T>(call: () => Promise<T>): Promise<T> {
  for (const end = performance.now() + 10_000; ; ) {
    try {
      return await call();
    } catch (error) {
      if (performance.now() > end) throw error;
      await sleep(50);
    }
  }
}

// It gives watches ids of its own, and answers in an order of its own.
test("works through etcd's grpc-proxy, with many watches at once", async () => {
  await using proxied = await startEtcd();
  const proxy = await startService('grpc-proxy', {
    command: [
      etcdBinary(),
      'grpc-proxy',
      'start',
      `--endpoints=${proxied.endpoint}`,
      `--listen-addr=127.0.0.1:\${port:client}`,
      // Without an address at which it reaches itself it ends after 5 s.
      `--advertise-client-url=127.0.0.1:\${port:client}`,
    ],
    ports: ['client'],
    ready: { port: 'client' },
  });
  const etcd = await connectAny(`http://127.0.0.1:${proxy.ports.client}`);
  try {
    const watches = Array.from({ length: 50 }, (_, i) => etcd.watch(`proxied/${i}`));
    await Promise.all(watches.map((watch) => watch.ready));
    for (const i of watches.keys()) await etcd.put(`proxied/${i}`, String(i));
    const seen = await Promise.all(watches.map((watch) => take(watch, 1)));
    assert.deepEqual(
      seen.map((events) => texts(events)[0]),
      watches.map((_, i) => String(i)),
    );
    // It reports no progress, so the cache looks for changes itself.
    await using cache = await Cache.open(etcd, prefix('proxied/1'));
    await using direct = await connectAny(proxied.endpoint);
    for (const key of ['elsewhere', 'proxied/1', 'elsewhere']) {
      const { revision } = await direct.put(key, key);
      await cache.waitForRevision(revision, { timeoutMs: 60_000 });
      assert.ok(cache.revision >= revision);
    }
    assert.equal(cache.get('proxied/1')?.text(), 'proxied/1');
    const { revision } = await direct.delete('proxied/1');
    await cache.waitForRevision(revision, { timeoutMs: 60_000 });
    assert.equal(cache.get('proxied/1'), undefined);
  } finally {
    await etcd.close();
    await proxy.stop();
  }
});

for (const { name, skip } of transports)
  describe(`a process, ${name}`, { skip }, () => {
    const source = (body: string): string => `
     import { connect } from ${JSON.stringify(new URL('../src/index.js', import.meta.url).href)};
     const etcd = await connect({ endpoints: process.argv[2], transport: ${JSON.stringify(name)} });
     const watch = etcd.watch('a');
     await watch.ready;
     ${body}`;

    /** Runs it, cuts it off for good as soon as it says so, and returns its exit code; null when it was killed. */
    async function run(body: string, stayMs: number): Promise<number | null> {
      const proxy = await startTcpProxy({ port: server.port });
      const child = spawn(process.execPath, [program(source(body)), `http://127.0.0.1:${proxy.port}`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exited = once(child, 'exit') as Promise<[number | null]>;
      try {
        await Promise.race([once(child.stdout, 'data'), exited]);
        await proxy.close();
        const timer = setTimeout(() => child.kill('SIGKILL'), stayMs);
        const [code] = await exited;
        clearTimeout(timer);
        return code;
      } finally {
        child.kill('SIGKILL');
        await proxy.close();
      }
    }

    test('stays while a watch waits for a connection', async () => {
      assert.equal(await run("console.log('cut');", 1_500), null);
    });

    test('ends, with code 0, when nothing but an unreferenced watch waits for one', async () => {
      const body = "watch.on('disconnected', () => { etcd.unref(); }); console.log('cut');";
      assert.equal(await run(body, 20_000), 0);
    });

    test('ends when the last watch that waits for one is closed', async () => {
      const body = "watch.on('disconnected', () => setTimeout(() => watch.close(), 50)); console.log('cut');";
      assert.equal(await run(body, 20_000), 0);
    });
  });
