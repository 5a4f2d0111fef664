// HTTP/2 keepalive: a connection that died without a word is found out.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EtcdServer, startTcpProxy } from '@quiesce/test-services';
import { UnavailableError } from '../src/index.js';
import { overEachTransport, withServer } from './support/clients.js';
import { OwnTime } from './support/own-time.js';

let server: EtcdServer;
// Else etcd ends connections that PING more often than each 5 s.
withServer(
  (started) => {
    server = started;
  },
  { extraArgs: ['--grpc-keepalive-min-time=100ms'] },
);

overEachTransport('HTTP/2 keepalive', (connect) => {
  test('fails the calls of a dead connection, even without a deadline', async () => {
    await using proxy = await startTcpProxy({ port: server.port });
    const etcd = await connect({
      endpoints: `http://127.0.0.1:${proxy.port}`,
      keepAlive: { intervalMs: 200, timeoutMs: 300 },
    });
    try {
      await etcd.put('key', 'value');
      proxy.pause();
      using time = new OwnTime();
      await assert.rejects(
        etcd.put('key', 'lost', { timeoutMs: Number.POSITIVE_INFINITY, signal: AbortSignal.timeout(60_000) }),
        UnavailableError,
      );
      assert.ok(time.ms < 20_000, `${time.ms} ms`);
    } finally {
      await etcd.close();
    }
  });

  test('counts the silence from the last answer', async () => {
    await using proxy = await startTcpProxy({ port: server.port });
    await using etcd = await connect({
      endpoints: `http://127.0.0.1:${proxy.port}`,
      keepAlive: { intervalMs: 2_000, timeoutMs: 300 },
    });
    const watch = etcd.watch('key');
    await watch.ready;
    const lost = once(watch, 'disconnected');
    await sleep(200);
    await etcd.get('key');
    proxy.pause();
    const start = performance.now();
    using time = new OwnTime();
    await lost;
    const ms = performance.now() - start;
    assert.ok(ms > 2_000 && time.ms < 3_500, `${ms} ms, ${time.ms} ms of this process`);
  });

  test('leaves a connection that is alive alone', async () => {
    const etcd = await connect({
      endpoints: server.endpoint,
      keepAlive: { intervalMs: 200, timeoutMs: 300, whileIdle: true },
    });
    try {
      const watch = etcd.watch('key');
      await watch.ready;
      let disconnected: unknown;
      watch.on('disconnected', (error) => {
        disconnected = error;
      });
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      await etcd.put('key', 'value');
      for await (const event of watch.batches()) {
        assert.equal(event.events[0]?.kv.text(), 'value');
        break;
      }
      assert.equal(disconnected, undefined);
    } finally {
      await etcd.close();
    }
  });
});
