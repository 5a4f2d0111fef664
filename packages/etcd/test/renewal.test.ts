// Connections that lead nowhere, that are reset while they are made, and servers that are away: each is given up in time,
// the next one is tried, and nothing of the old ones is left, here or at the server.
import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type EtcdServer, startEtcd } from '@quiesce/test-services';
import { EtcdError, StatusCode, UnavailableError } from '../src/index.js';
import { startBlackHole } from './support/black-hole.js';
import { overEachTransport } from './support/clients.js';
import { eventually } from './support/eventually.js';

const bounds = { connectTimeoutMs: 3_000, timeoutMs: 60_000 };

overEachTransport('connections that fail', (connect) => {
  let server: EtcdServer;
  let secure: EtcdServer;
  before(async () => {
    [server, secure] = await Promise.all([startEtcd(), startEtcd({ tls: {} })]);
    await using etcd = await connect(server.endpoint);
    await etcd.put('k', 'v');
  });
  after(() => Promise.all([server.stop(), secure.stop()]));

  const watchers = async (): Promise<number> => {
    const metrics = await (await fetch(`${server.endpoint}/metrics`)).text();
    return Number(/^etcd_debugging_mvcc_watcher_total (\S+)/m.exec(metrics)?.[1]);
  };

  test('an attempt that meets a black hole ends within connectTimeoutMs, and the next call makes another', async () => {
    await using hole = await startBlackHole(server.port);
    const endpoints = `http://127.0.0.1:${hole.port}`;
    await using etcd = await connect({ ...bounds, endpoints, retry: { maxAttempts: 1 } });
    hole.swallowNew(true);
    hole.reset();
    // Until the client knows.
    await delay(200);
    await assert.rejects(etcd.put('k', 'v'), (error) => {
      assert.ok(error instanceof EtcdError && !error.sent, String(error));
      assert.match(error.message, /no answer within 3000 ms/);
      return true;
    });
    hole.swallowNew(false);
    // What was swallowed stays so.
    assert.equal((await etcd.get('k'))?.text(), 'v');
    await eventually('one connection', () => hole.connections === 1);
  });

  test('a connection that is lost unnoticed is given up once a probe of its endpoint has timed out', async () => {
    await using hole = await startBlackHole(server.port);
    await using etcd = await connect({
      ...bounds,
      endpoints: `http://127.0.0.1:${hole.port}`,
      attemptTimeoutMs: 500,
    });
    await using watch = etcd.watch('untouched');
    await watch.ready;
    hole.swallowOpen();
    assert.equal((await etcd.get('k'))?.text(), 'v');
    // The watch, which nobody has asked for anything, stays on the first one.
    assert.equal(hole.connections, 2);
  });

  test('connections that are reset in the TLS handshake are made again', async () => {
    await using hole = await startBlackHole(secure.port);
    const tls = { ca: secure.certificates?.ca ?? assert.fail('no certificates') };
    await using etcd = await connect({
      ...bounds,
      connectTimeoutMs: 20_000,
      endpoints: `https://127.0.0.1:${hole.port}`,
      tls,
    });
    await etcd.put('k', 'v');
    for (let round = 0; round < 5; round++) {
      hole.resetNext(3);
      hole.reset();
      assert.equal((await etcd.get('k'))?.text(), 'v');
    }
    await eventually('one connection', () => hole.connections === 1);
  });

  test('TLS connections that are reset again and again, at any time, are made again', async () => {
    await using hole = await startBlackHole(secure.port);
    const tls = { ca: secure.certificates?.ca ?? assert.fail('no certificates') };
    await using etcd = await connect({
      ...bounds,
      connectTimeoutMs: 20_000,
      endpoints: `https://127.0.0.1:${hole.port}`,
      tls,
    });
    await etcd.put('k', 'v');
    for (let round = 0; round < 40; round++) {
      const call = etcd.get('k');
      await delay(Math.random() * 30);
      hole.reset();
      // Whatever was under way as the reset came.
      const end = performance.now() + Math.random() * 20;
      while (performance.now() < end);
      assert.equal((await call)?.text(), 'v');
    }
    await eventually('one connection', () => hole.connections === 1);
  });

  test('connections do not multiply while a server is away', async () => {
    await using away = await startEtcd();
    await using hole = await startBlackHole(away.port);
    await using etcd = await connect({ ...bounds, endpoints: `http://127.0.0.1:${hole.port}` });
    let stopped = false;
    const readers = Array.from({ length: 16 }, async () => {
      while (!stopped) {
        await etcd.get('k', { timeoutMs: 1_000 }).catch(() => {});
        await delay(20);
      }
    });
    try {
      for (let outage = 0; outage < 2; outage++) {
        away.kill();
        await away.exited;
        await delay(1_500);
        await away.restart();
        await etcd.get('k');
        // Attempts that were in their back-off had their time.
        await delay(1_500);
        await eventually('one connection', () => hole.connections === 1);
      }
    } finally {
      stopped = true;
      await Promise.all(readers);
    }
    await etcd.close();
    await eventually('no connection', () => hole.connections === 0);
  });

  test('a watch that is closed leaves none at the server, whenever that is', async () => {
    await using etcd = await connect(server.endpoint);
    await using kept = etcd.watch('kept');
    await kept.ready;
    for (const when of ['in the same turn', 'after a microtask', 'in the next turn', 'when ready']) {
      for (let i = 0; i < 50; i++) {
        const watch = etcd.watch('k', { requireLeader: true });
        if (when === 'after a microtask') await Promise.resolve();
        if (when === 'in the next turn') await new Promise(setImmediate);
        if (when === 'when ready') await watch.ready;
        watch.close();
      }
      // By then all requests have come.
      await delay(200);
      await eventually(when, async () => (await watchers()) === 1, 20_000);
    }
  });
});

// The native transport's sockets are not Node's; what it makes of each error is tested in its crate.
test('grpc-js: whatever a socket fails with, the server is unavailable', async () => {
  const { connect } = await import('../src/index.js');
  await using server = await startEtcd();
  await using hole = await startBlackHole(server.port);
  const sockets = new Set<Socket>();
  const original = Socket.prototype.connect;
  Socket.prototype.connect = function (this: Socket, ...args: Parameters<Socket['connect']>): Socket {
    sockets.add(this);
    return original.apply(this, args);
  } as Socket['connect'];
  try {
    await using etcd = await connect({ endpoints: `http://127.0.0.1:${hole.port}`, transport: 'grpc-js' });
    for (const code of [
      ...['ECONNRESET', 'ETIMEDOUT', 'EPIPE', 'EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'ENETRESET'],
      ...['ECONNABORTED', 'ENOTCONN', 'ENOBUFS', 'EHOSTDOWN', 'ESHUTDOWN', 'EIO'],
    ]) {
      await etcd.put('k', code);
      hole.swallowOpen();
      const read = etcd.get('k');
      const write = etcd.put('k', 'again').catch((error: unknown) => error);
      await delay(50);
      for (const socket of sockets) {
        if (socket.remotePort !== hole.port) continue;
        socket.destroy(Object.assign(new Error(`read ${code}`), { code, syscall: 'read' }));
      }
      sockets.clear();
      assert.equal((await read)?.text(), code);
      const error = await write;
      assert.ok(error instanceof UnavailableError, `${code}: ${error}`);
      assert.equal(error.code, StatusCode.UNAVAILABLE);
      assert.ok(error.sent && error.mayBeApplied);
    }
  } finally {
    Socket.prototype.connect = original;
  }
});
