// Leases of a real etcd: its calls, and keepalives through expiry, revocation, frozen and dying servers, broken
// connections and the end of the process.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type EtcdServer, startEtcd, startTcpProxy } from '@quiesce/test-services';
import {
  ClosedError,
  compare,
  connect,
  DeadlineExceededError,
  type EtcdClient,
  EtcdError,
  InvalidArgumentError,
  type LeaseKeepAlive,
  LeaseLostError,
  LeaseNotFoundError,
  Mutex,
  op,
  prefix,
  Session,
  StatusCode,
} from '../src/index.js';
import { overEachTransport, shortElections, withEtcd, withServer } from './support/clients.js';
import { aborted, eventually } from './support/eventually.js';
import { OwnTime } from './support/own-time.js';
import { program } from './support/program.js';

const texts = (keys: readonly Uint8Array[]): string[] => keys.map((key) => Buffer.from(key).toString());

async function lostReason(keepAlive: LeaseKeepAlive): Promise<LeaseLostError> {
  const reason = await aborted(keepAlive.lost);
  assert.ok(reason instanceof LeaseLostError, String(reason));
  assert.equal(reason.leaseId, keepAlive.leaseId);
  assert.equal(keepAlive.remainingMs, 0);
  return reason;
}

overEachTransport('leases', (connectHere) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connectHere, (given) => {
    ({ server, etcd } = given);
  });

  describe('calls', () => {
    test('grant lets the server choose id and TTL', async () => {
      const lease = await etcd.lease.grant(30);
      assert.ok(lease.id > 0n);
      assert.equal(lease.ttlSeconds, 30);
      assert.ok(lease.header.revision >= 1n);
      await etcd.lease.revoke(lease.id);
    });

    test('grant takes an id, once', async () => {
      const { id } = await etcd.lease.grant(30n, { id: 4711 });
      assert.equal(id, 4711n);
      await assert.rejects(etcd.lease.grant(30, { id: 4711n }), (error) => {
        assert.ok(error instanceof EtcdError);
        assert.equal(error.code, StatusCode.FAILED_PRECONDITION);
        assert.match(error.message, /lease already exists/);
        return true;
      });
      await etcd.lease.revoke(4711);
    });

    for (const ttl of [0, -1, 1.5, Number.NaN, 2n ** 63n]) {
      test(`grant refuses a TTL of ${ttl}`, async () => {
        await assert.rejects(etcd.lease.grant(ttl), (error) => {
          assert.ok(error instanceof InvalidArgumentError);
          assert.match(error.message, /ttlSeconds is .*; it must be/);
          return true;
        });
      });
    }

    for (const id of [-1n, -(2n ** 63n), 2n ** 63n - 1n]) {
      test(`an id that another program has given is as good as any: ${id}`, async () => {
        await etcd.lease.grant(60, { id });
        assert.ok((await etcd.lease.list()).includes(id));
        await etcd.put('by id', 'v', { lease: id });
        assert.equal((await etcd.get('by id'))?.lease, id);
        const { succeeded } = await etcd.txn({
          compare: [compare.lease('by id', '=', id)],
          success: [op.put('by id', 'w', { lease: id })],
        });
        assert.ok(succeeded);
        assert.deepEqual(texts((await etcd.lease.timeToLive(id, { keys: true }))?.keys ?? []), ['by id']);
        assert.equal((await etcd.lease.keepAliveOnce(id)).leaseId, id);
        await using session = await Session.create(etcd, { leaseId: id });
        const lock = await new Mutex(session, 'lock by id').lock();
        await etcd.lease.revoke(id);
        await aborted(lock.signal);
        assert.equal(await etcd.get('by id'), undefined);
      });
    }

    test('grant of a TTL above the server’s bound is refused there', async () => {
      await assert.rejects(etcd.lease.grant(9_000_000_001), (error) => {
        assert.ok(error instanceof EtcdError);
        assert.equal(error.code, StatusCode.OUT_OF_RANGE);
        return true;
      });
    });

    test('revoke deletes the attached keys', async () => {
      const { id } = await etcd.lease.grant(30);
      await etcd.put('revoke/a', '', { lease: id });
      await etcd.put('revoke/b', '', { lease: id });
      await etcd.put('revoke/c', '');
      await etcd.lease.revoke(id);
      const { kvs } = await etcd.getPrefix('revoke/');
      assert.deepEqual(
        kvs.map((kv) => kv.keyText()),
        ['revoke/c'],
      );
    });

    test('revoke of no lease fails, and so does a put with it', async () => {
      await assert.rejects(etcd.lease.revoke(123), (error) => {
        assert.ok(error instanceof LeaseNotFoundError);
        assert.equal(error.code, StatusCode.NOT_FOUND);
        return true;
      });
      await assert.rejects(etcd.put('k', 'v', { lease: 123 }), LeaseNotFoundError);
    });

    test('timeToLive returns the remaining time, and the keys on request', async () => {
      const { id } = await etcd.lease.grant(30);
      await etcd.put('ttl/a', '', { lease: id });
      await etcd.put('ttl/b', '', { lease: id });
      const plain = await etcd.lease.timeToLive(id);
      assert.equal(plain?.id, id);
      assert.equal(plain.grantedTtlSeconds, 30);
      assert.ok(plain.ttlSeconds > 20 && plain.ttlSeconds <= 30, String(plain.ttlSeconds));
      assert.deepEqual(plain.keys, []);
      const { keys = [] } = (await etcd.lease.timeToLive(id, { keys: true })) ?? {};
      assert.deepEqual(texts(keys).sort(), ['ttl/a', 'ttl/b']);
      await etcd.lease.revoke(id);
      assert.equal(await etcd.lease.timeToLive(id), undefined);
    });

    test('timeToLive of a namespace lists only its own keys, under their names there', async () => {
      const space = etcd.namespace('space/');
      const { id } = await space.lease.grant(30);
      await space.put('in', '', { lease: id });
      await etcd.put('out', '', { lease: id });
      const { keys = [] } = (await space.lease.timeToLive(id, { keys: true })) ?? {};
      assert.deepEqual(texts(keys), ['in']);
      await space.lease.revoke(id);
      assert.equal(await etcd.get('space/in'), undefined);
    });

    test('list returns all leases', async () => {
      const ids = await Promise.all([1, 2, 3].map(async () => (await etcd.lease.grant(30)).id));
      const listed = await etcd.lease.list();
      for (const id of ids) assert.ok(listed.includes(id));
      await Promise.all(ids.map((id) => etcd.lease.revoke(id)));
      const left = await etcd.lease.list();
      for (const id of ids) assert.ok(!left.includes(id));
    });

    test('the server lets a lease expire that nobody renews, with its keys', async () => {
      const { id } = await etcd.lease.grant(1);
      await etcd.put('expires', '', { lease: id });
      await eventually('the key goes', async () => (await etcd.get('expires')) === undefined);
      assert.equal(await etcd.lease.timeToLive(id), undefined);
    });
  });

  describe('keepAliveOnce', () => {
    test('renews', async () => {
      const { id } = await etcd.lease.grant(60);
      await eventually(
        'a second goes by',
        async () => ((await etcd.lease.timeToLive(id))?.ttlSeconds ?? 60) < 59,
      );
      assert.deepEqual(await etcd.lease.keepAliveOnce(id), { leaseId: id, ttlSeconds: 60 });
      assert.ok(((await etcd.lease.timeToLive(id))?.ttlSeconds ?? 0) >= 59);
      await etcd.lease.revoke(id);
    });

    test('fails for a lease that never existed, and for one that is gone', async () => {
      await assert.rejects(etcd.lease.keepAliveOnce(123), LeaseNotFoundError);
      const { id } = await etcd.lease.grant(60);
      await etcd.lease.keepAliveOnce(id);
      await etcd.lease.revoke(id);
      await assert.rejects(etcd.lease.keepAliveOnce(id), LeaseNotFoundError);
    });

    test('renews a lease that is kept alive, too', async () => {
      const { id } = await etcd.lease.grant(60);
      using keepAlive = await etcd.lease.keepAlive(id);
      await sleep(50);
      const before = keepAlive.remainingMs;
      assert.ok(before < 59_960, String(before));
      await etcd.lease.keepAliveOnce(id);
      assert.ok(keepAlive.remainingMs > before);
      await etcd.lease.revoke(id);
    });
  });

  describe('keepAlive', { concurrency: true }, () => {
    test('keeps a lease beyond its TTL, and renews it at each third of the TTL', async () => {
      const { id } = await etcd.lease.grant(3);
      await etcd.put('kept', '', { lease: id });
      using keepAlive = await etcd.lease.keepAlive(id);
      assert.equal(keepAlive.ttlSeconds, 3);
      const start = performance.now();
      let renewals = 0;
      for await (const renewal of keepAlive) {
        assert.deepEqual(renewal, { leaseId: id, ttlSeconds: 3 });
        assert.ok(keepAlive.remainingMs > 0 && keepAlive.remainingMs <= 3000);
        renewals += 1;
        if (performance.now() - start > 3500) break;
      }
      // One each 0.75 to 1 s, as each is up to a twelfth of the TTL early; on a busy machine they are later.
      const most = (performance.now() - start) / 750 + 1;
      assert.ok(renewals >= 2 && renewals <= most, `${renewals}, at most ${most}`);
      assert.ok((await etcd.get('kept')) !== undefined);
      assert.equal(keepAlive.lost.aborted, false);
    });

    test('fails for no lease', async () => {
      await assert.rejects(etcd.lease.keepAlive(123), LeaseNotFoundError);
    });

    test('after stop() the lease expires, and the loop has ended without an error', async () => {
      const { id } = await etcd.lease.grant(1);
      const keepAlive = await etcd.lease.keepAlive(id);
      const loop = (async () => {
        for await (const _ of keepAlive);
      })();
      keepAlive.stop();
      keepAlive.stop();
      await loop;
      await eventually('the lease expires', async () => (await etcd.lease.timeToLive(id)) === undefined);
      assert.equal(keepAlive.lost.aborted, false);
    });

    test('is stopped by its signal', async () => {
      const { id } = await etcd.lease.grant(1);
      const control = new AbortController();
      const keepAlive = await etcd.lease.keepAlive(id, { signal: control.signal });
      control.abort();
      for await (const _ of keepAlive) assert.fail('renewed after its signal');
      assert.equal(keepAlive.lost.aborted, false);
      await eventually('the lease expires', async () => (await etcd.lease.timeToLive(id)) === undefined);
      await assert.rejects(etcd.lease.keepAlive(id, { signal: control.signal }), { name: 'AbortError' });
    });

    test('of one lease twice: each is stopped by itself', async () => {
      const { id } = await etcd.lease.grant(3);
      const one = await etcd.lease.keepAlive(id);
      using two = await etcd.lease.keepAlive(id);
      one.stop();
      await sleep(3500);
      assert.equal(two.lost.aborted, false);
      assert.ok((await etcd.lease.timeToLive(id)) !== undefined);
    });

    test('tells at once when this client revokes the lease', async () => {
      const { id } = await etcd.lease.grant(60);
      const keepAlive = await etcd.lease.keepAlive(id);
      const loop = assert.rejects(async () => {
        for await (const _ of keepAlive);
      }, LeaseLostError);
      await etcd.lease.revoke(id);
      assert.ok(keepAlive.lost.aborted);
      const reason = await lostReason(keepAlive);
      assert.equal(reason.why, 'revoked');
      assert.match(reason.message, /this program revoked it itself, by lease\.revoke\(\)/);
      assert.ok(!reason.sent && !reason.mayBeApplied);
      await loop;
      await assert.rejects(async () => {
        for await (const _ of keepAlive);
      }, LeaseLostError);
    });

    test('tells when another client revokes it, with the next renewal', async () => {
      await using other = await connectHere(server.endpoint);
      const { id } = await etcd.lease.grant(6);
      const keepAlive = await etcd.lease.keepAlive(id);
      await other.lease.revoke(id);
      // Not only when its time is over.
      const reason = await lostReason(keepAlive);
      assert.equal(reason.why, 'revoked');
      assert.doesNotMatch(reason.message, /this program/);
      assert.ok(!reason.sent && !reason.mayBeApplied);
      assert.equal(reason.code, StatusCode.NOT_FOUND);
      assert.ok(reason.cause instanceof LeaseNotFoundError);
    });
  });

  describe('keepAlive, alone in its process,', () => {
    test('tells when this process was blocked for longer than the TTL', async () => {
      const { id } = await etcd.lease.grant(1);
      const keepAlive = await etcd.lease.keepAlive(id);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
      await new Promise(setImmediate);
      await new Promise(setImmediate);
      assert.equal((await lostReason(keepAlive)).why, 'expired');
    });

    test('1,000 leases share one stream and one timer', async () => {
      await using proxy = await startTcpProxy(server);
      await using client = await connectHere(`http://127.0.0.1:${proxy.port}`);
      const timersBefore = timers();
      // On a busy machine grpc-js comes seconds later to the last of 1,000 answers.
      const ttlSeconds = 30;
      const keepAlives = await Promise.all(
        Array.from({ length: 1000 }, async () =>
          client.lease.keepAlive((await client.lease.grant(ttlSeconds)).id),
        ),
      );
      const made = performance.now();
      const ids = keepAlives.map(({ leaseId }) => leaseId);
      assert.ok(timers() <= timersBefore + 5, `${timers()} timers, ${timersBefore} before`);
      await eventually('each is renewed since', () => {
        const sinceMs = performance.now() - made;
        return keepAlives.every(({ remainingMs }) => remainingMs > ttlSeconds * 1000 - sinceMs);
      });
      assert.equal(keepAlives.filter(({ lost }) => lost.aborted).length, 0);
      const listed = new Set(await client.lease.list());
      assert.equal(ids.filter((id) => listed.has(id)).length, 1000);
      assert.equal(proxy.accepted, 1);
      for (const keepAlive of keepAlives) keepAlive.stop();
    });
  });
});

function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
}

overEachTransport('keepalives and failures', (connectHere) => {
  let server: EtcdServer;
  withServer(
    (started) => {
      server = started;
    },
    { extraArgs: shortElections },
  );

  /** A client behind a proxy, and a lease that it keeps alive. */
  async function keepOne(ttlSeconds: number) {
    const proxy = await startTcpProxy(server);
    const etcd = await connectHere(`http://127.0.0.1:${proxy.port}`);
    const { id } = await etcd.lease.grant(ttlSeconds);
    await etcd.put(`kept/${id}`, '', { lease: id });
    const keepAlive = await etcd.lease.keepAlive(id);
    return {
      id,
      proxy,
      etcd,
      keepAlive,
      async [Symbol.asyncDispose]() {
        await etcd.close();
        await proxy.close();
      },
    };
  }

  test('a connection that is cut again and again loses no lease', async () => {
    await using kept = await keepOne(3);
    const start = performance.now();
    while (performance.now() - start < 4500) {
      kept.proxy.cut();
      await sleep(250);
    }
    assert.equal(kept.keepAlive.lost.aborted, false);
    assert.ok(kept.proxy.accepted >= 3, String(kept.proxy.accepted));
    assert.ok((await kept.etcd.get(`kept/${kept.id}`)) !== undefined);
  });

  test('a dead connection is reported by the local clock, when the TTL has passed', async () => {
    await using kept = await keepOne(1);
    kept.proxy.pause();
    const start = performance.now();
    using time = new OwnTime();
    const atMost = kept.keepAlive.remainingMs;
    const reason = await lostReason(kept.keepAlive);
    const took = performance.now() - start;
    assert.equal(reason.why, 'expired');
    assert.ok(reason.cause instanceof EtcdError);
    assert.ok(took >= atMost - 150 && time.ms <= atMost + 1000, `${took} ms, ${atMost} ms were left`);
    // Not before: the renewal that the proxy holds back would come through.
    await using direct = await connectHere(server.endpoint);
    await eventually('it expires', async () => (await direct.lease.timeToLive(kept.id)) === undefined);
    kept.proxy.resume();
    await assert.rejects(kept.etcd.lease.keepAlive(kept.id), LeaseNotFoundError);
  });

  test('refused connections are reported in the same way', async () => {
    await using kept = await keepOne(1);
    await kept.proxy.close();
    const reason = await lostReason(kept.keepAlive);
    assert.equal(reason.why, 'expired');
    assert.match(String(reason.cause), /UNAVAILABLE/);
  });

  test('a server that is frozen for less than the TTL loses no lease, for longer it does', async () => {
    await using kept = await keepOne(3);
    server.pause();
    await sleep(900);
    server.resume();
    await sleep(3500);
    assert.equal(kept.keepAlive.lost.aborted, false);
    server.pause();
    try {
      assert.equal((await lostReason(kept.keepAlive)).why, 'expired');
    } finally {
      server.resume();
    }
  });

  test('a first renewal that gets no answer fails at its deadline, or by its signal', async () => {
    await using kept = await keepOne(60);
    const { etcd, proxy } = kept;
    const { id } = await etcd.lease.grant(60);
    proxy.pause();
    await assert.rejects(etcd.lease.keepAlive(id, { timeoutMs: 200 }), DeadlineExceededError);
    await assert.rejects(etcd.lease.keepAliveOnce(id, { timeoutMs: 200 }), DeadlineExceededError);
    await assert.rejects(etcd.lease.keepAlive(id, { signal: AbortSignal.timeout(200) }), {
      name: 'TimeoutError',
    });
    proxy.resume();
    await etcd.lease.keepAliveOnce(id);
  });

  test('leases outlive a server that is killed and comes back', async () => {
    await using kept = await keepOne(15);
    const grown = await keepOne(15);
    await grown.etcd.close();
    server.kill();
    await server.exited;
    await server.restart();
    const { remainingMs } = kept.keepAlive;
    await eventually('it is renewed', () => kept.keepAlive.remainingMs > remainingMs);
    assert.equal(kept.keepAlive.lost.aborted, false);
    assert.ok((await kept.etcd.get(`kept/${kept.id}`)) !== undefined);
    assert.equal((await lostReason(grown.keepAlive)).why, 'halted');
    await grown.proxy.close();
  });

  test('close() halts keepalives at once, in any state', async () => {
    await using kept = await keepOne(60);
    await using waiting = await keepOne(60);
    const { id } = await waiting.etcd.lease.grant(60);
    waiting.proxy.pause();
    const first = assert.rejects(waiting.etcd.lease.keepAlive(id), ClosedError);
    await sleep(50);
    await waiting.etcd.close();
    await first;
    await kept.proxy.close();
    await sleep(200); // It is in its back-off now.
    await kept.etcd.close();
    for (const { keepAlive } of [kept, waiting]) {
      assert.ok(keepAlive.lost.aborted);
      const reason = await lostReason(keepAlive);
      assert.equal(reason.why, 'halted');
      assert.ok(reason.cause instanceof ClosedError);
      assert.equal(reason.code, StatusCode.CANCELLED);
    }
    await assert.rejects(kept.etcd.lease.keepAlive(kept.id), ClosedError);
    await assert.rejects(kept.etcd.lease.grant(60), ClosedError);
  });
});

overEachTransport('a process with a keepalive running', (connectHere) => {
  const library = JSON.stringify(new URL('../src/index.js', import.meta.url).href);
  let server: EtcdServer;
  let transport: string;
  withServer(
    (started) => {
      server = started;
    },
    { extraArgs: shortElections },
  );
  before(async () => {
    const etcd = await connectHere(server.endpoint);
    transport = etcd.transport;
    await etcd.close();
  });

  const source = (body: string): string => `
    const { connect } = await import(${library});
    const etcd = await connect({ endpoints: '${server.endpoint}', transport: '${transport}' });
    const { id } = await etcd.lease.grant(10);
    await etcd.put('program/' + process.pid, '', { lease: id });
    const keepAlive = await etcd.lease.keepAlive(id);
    ${body}`;
  const runProgram = (body: string, timeout = 60_000) =>
    promisify(execFile)(process.execPath, [program(source(body))], { timeout });

  for (const [ending, body] of [
    ['process.exit()', 'process.exit();'],
    ['process.exit() in a timer', 'setTimeout(() => process.exit(), 20);'],
    ['close()', 'await etcd.close();'],
    ['stop()', 'keepAlive.stop();'],
    ['unref()', 'etcd.unref();'],
  ] as const) {
    test(`ends cleanly by ${ending}, with nothing on stderr`, async () => {
      for (let i = 0; i < 2; i++) assert.deepEqual(await runProgram(body), { stdout: '', stderr: '' });
    });
  }

  test('goes on while it isn’t told to end', async () => {
    const { stdout } = await runProgram(`
      setTimeout(() => { console.log(keepAlive.lost.aborted); etcd.close(); }, 1000).unref();`);
    assert.equal(stdout, 'false\n');
  });

  test('goes on also while the server is away', async () => {
    const proxy = await startTcpProxy(server);
    const { stdout } = await runProgram(`
      const far = await connect({ endpoints: 'http://127.0.0.1:${proxy.port}', transport: '${transport}' });
      const { id: farId } = await far.lease.grant(2);
      const farAlive = await far.lease.keepAlive(farId);
      keepAlive.stop();
      farAlive.lost.addEventListener('abort', () => console.log(farAlive.lost.reason.why));
      process.on('exit', () => console.log('exit'));
      console.log('cut');
      await fetch('${await hook(() => proxy.close())}');`);
    assert.deepEqual(stdout.trim().split('\n'), ['cut', 'expired', 'exit']);
  });
});

/** A URL that does something, once, when it is fetched. */
async function hook(action: () => Promise<void>): Promise<string> {
  const { createServer } = await import('node:http');
  const server = createServer((_request, response) => {
    void action().then(() => response.setHeader('connection', 'close').end());
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

describe('the keys of leases', () => {
  test('go with the lease of a namespace as with any', async () => {
    await using server = await startEtcd({ extraArgs: shortElections });
    await using etcd = await connect(server.endpoint);
    const { id } = await etcd.namespace('a/').lease.grant(1);
    await etcd.namespace('a/').put('k', '', { lease: id });
    using _ = await etcd.lease.keepAlive(id);
    assert.equal((await etcd.range(prefix('a/'))).kvs[0]?.lease, id);
  });
});
