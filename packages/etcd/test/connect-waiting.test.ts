// Connecting where not all is up: endpoints that are frozen or away, an etcd that comes up later, and a client that
// connects at its first call.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type EtcdCluster, type EtcdServer, startEtcd, startEtcdCluster } from '@quiesce/test-services';
import {
  ClosedError,
  DeadlineExceededError,
  EtcdError,
  InvalidArgumentError,
  Session,
  UnauthenticatedError,
  UnavailableError,
} from '../src/index.js';
import { type BlackHole, startBlackHole } from './support/black-hole.js';
import { overEachTransport } from './support/clients.js';
import { startDns } from './support/dns.js';
import { eventually } from './support/eventually.js';
import { OwnTime } from './support/own-time.js';

/** A loopback endpoint that nothing listens on. */
async function deadEndpoint(): Promise<string> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return `http://127.0.0.1:${port}`;
}

/** An etcd that is away, until it is restarted. */
async function startAway(): Promise<EtcdServer> {
  const server = await startEtcd();
  server.kill();
  await server.exited;
  return server;
}

const endpointOf = (hole: BlackHole): string => `http://127.0.0.1:${hole.port}`;

overEachTransport('connect() to several endpoints', (connect) => {
  let cluster: EtcdCluster;
  let holes: BlackHole[];
  let endpoints: string[];
  before(async () => {
    cluster = await startEtcdCluster();
    // They count connections.
    holes = await Promise.all(cluster.members.map(({ port }) => startBlackHole(port)));
    endpoints = holes.map(endpointOf);
  });
  after(async () => {
    for (const hole of holes) await hole[Symbol.asyncDispose]();
    await cluster.stop();
  });

  const connections = (): number[] => holes.map((hole) => hole.connections);

  test('does not wait for those that are frozen, and neither do its calls', async () => {
    const [first, second] = cluster.members;
    assert.ok(first !== undefined && second !== undefined);
    first.pause();
    second.pause();
    try {
      const start = performance.now();
      using time = new OwnTime();
      await using etcd = await connect({ endpoints, connectTimeoutMs: 20_000 });
      const ms = performance.now() - start;
      // 500 ms, and what a busy machine adds.
      assert.ok(ms >= 490 && time.ms < 5_000, `${ms} ms, ${time.ms} ms of this process`);
      assert.deepEqual(
        etcd.endpoints.map(({ state }) => state),
        ['failed', 'failed', 'ready'],
      );
      // Without the others it has no quorum, but answers for itself.
      const read = () => etcd.get('frozen', { serializable: true, timeoutMs: 60_000 });
      for (let i = 0; i < 10; i++) await read();
      assert.ok(connections().every((count) => count <= 1));
      // They serve again once they answer.
      first.resume();
      second.resume();
      await eventually('all are ready', async () => {
        await read();
        await delay(50);
        return etcd.endpoints.every(({ state }) => state === 'ready');
      });
      assert.deepEqual(connections(), [1, 1, 1]);
      await etcd.close();
      await eventually('no connection is left', () => connections().every((count) => count === 0));
    } finally {
      first.resume();
      second.resume();
    }
  });

  test('goes from one that refuses to the next at once', async () => {
    const dead = await Promise.all(Array.from({ length: 20 }, deadEndpoint));
    using time = new OwnTime();
    await using etcd = await connect({ endpoints: [...dead, ...endpoints] });
    assert.ok(time.ms < 20 * 250, `${time.ms} ms`);
    await etcd.get('a');
  });

  test('says what is wrong with each, and leaves nothing open', async () => {
    const [frozen] = cluster.members;
    assert.ok(frozen !== undefined);
    const dead = await deadEndpoint();
    frozen.pause();
    try {
      const asked = [endpoints[0] as string, dead];
      await assert.rejects(connect({ endpoints: asked, connectTimeoutMs: 700 }), (error) => {
        assert.ok(error instanceof UnavailableError, String(error));
        assert.match(error.message, /:\d+: no answer within 700 ms .*; at .*: connection refused/);
        assert.ok(error.cause instanceof AggregateError);
        const [slow, refused] = error.cause.errors;
        assert.ok(slow instanceof DeadlineExceededError, String(slow));
        assert.ok(refused instanceof UnavailableError, String(refused));
        return true;
      });
    } finally {
      frozen.resume();
    }
    await eventually('no connection is left', () => connections().every((count) => count === 0));
  });
});

overEachTransport('connect() with waitForReadyMs', (connect) => {
  test('waits for an etcd that is starting', async () => {
    await using server = await startAway();
    const start = performance.now();
    const connecting = connect({ endpoints: server.endpoint, waitForReadyMs: 60_000 });
    await delay(2_000);
    await server.restart();
    await using etcd = await connecting;
    assert.ok(performance.now() - start >= 2_000);
    await etcd.put('late', '1');
  });

  test('waits for one that is frozen', async () => {
    await using server = await startEtcd();
    await using hole = await startBlackHole(server.port);
    server.pause();
    const connecting = connect({
      endpoints: endpointOf(hole),
      connectTimeoutMs: 300,
      waitForReadyMs: 60_000,
    });
    await delay(1_000);
    server.resume();
    const etcd = await connecting;
    await etcd.put('thawed', '1');
    await eventually('one connection', () => hole.connections === 1);
    await etcd.close();
    await eventually('none', () => hole.connections === 0);
  });

  test('waits for DNS to tell the endpoints', async () => {
    await using server = await startEtcd();
    const records: Record<string, { name: string; port: number }[]> = {};
    const dns = await startDns(records);
    try {
      const srv = { domain: 'example.com', resolver: dns.resolver };
      const connecting = connect({ srv, waitForReadyMs: 60_000 });
      await delay(500);
      records['_etcd-client._tcp.example.com'] = [{ name: 'localhost', port: server.port }];
      await using etcd = await connecting;
      await etcd.put('found', '1');
      await assert.rejects(
        connect({ srv: { ...srv, name: 'no' }, waitForReadyMs: 300 }),
        /DNS (has no endpoint|gave no answer)/,
      );
    } finally {
      dns.close();
    }
  });

  test('fails when that is over, with the last failure of each endpoint', async () => {
    await using frozen = await startEtcd();
    await using hole = await startBlackHole(frozen.port);
    const dead = await deadEndpoint();
    frozen.pause();
    try {
      for (const waitForReadyMs of [400, 1_500]) {
        const start = performance.now();
        using time = new OwnTime();
        const endpoints = [dead, endpointOf(hole)];
        await assert.rejects(connect({ endpoints, waitForReadyMs, connectTimeoutMs: 1_000 }), (error) => {
          assert.ok(error instanceof UnavailableError && !error.sent && !error.mayBeApplied, String(error));
          const patience = Math.min(waitForReadyMs, 1_000);
          const reasons = `within ${waitForReadyMs} ms at ${dead}: connection refused .*; at ${endpointOf(hole)}: no answer within ${patience} ms`;
          assert.match(error.message, new RegExp(reasons));
          assert.ok(error.cause instanceof AggregateError);
          const [refused, slow] = error.cause.errors;
          assert.ok(refused instanceof UnavailableError, String(refused));
          // On a busy machine there may not even be a connection in that time.
          const slowly = slow instanceof DeadlineExceededError || /no connection within/.test(String(slow));
          assert.ok(slowly, String(slow));
          return true;
        });
        const ms = performance.now() - start;
        assert.ok(
          ms >= waitForReadyMs - 10 && time.ms < waitForReadyMs + 3_000,
          `${ms} ms, ${time.ms} ms of this process`,
        );
      }
    } finally {
      frozen.resume();
    }
    await eventually('no connection is left', () => hole.connections === 0);
  });

  test('ends with its signal', async () => {
    await using server = await startEtcd();
    await using hole = await startBlackHole(server.port);
    const dead = await deadEndpoint();
    server.pause();
    try {
      for (const endpoints of [[dead], [endpointOf(hole)], [dead, endpointOf(hole)]]) {
        const reason = new Error('enough');
        const control = new AbortController();
        const { signal } = control;
        const connecting = connect({ endpoints, waitForReadyMs: Number.POSITIVE_INFINITY, signal });
        setTimeout(() => control.abort(reason), 400);
        await assert.rejects(connecting, (error) => error === reason);
      }
    } finally {
      server.resume();
    }
    await eventually('no connection is left', () => hole.connections === 0);
  });

  test('does not wait for what will not pass', async () => {
    await assert.rejects(
      connect({ endpoints: await deadEndpoint(), waitForReadyMs: 0 }),
      InvalidArgumentError,
    );
    await assert.rejects(
      connect({ endpoints: 'http://127.0.0.1:1', waitForReadyMs: 1, lazy: true }),
      /can't be combined/,
    );
    await using server = await startEtcd();
    await using root = await connect(server.endpoint);
    await enableAuth(root);
    const auth = { username: 'root', password: 'wrong' };
    await assert.rejects(
      connect({ endpoints: server.endpoint, waitForReadyMs: 60_000, auth }),
      UnauthenticatedError,
    );
  });
});

async function enableAuth(
  etcd: Awaited<ReturnType<typeof import('../src/index.js').connect>>,
): Promise<void> {
  await etcd.auth.userAdd('root', { password: 'secret' });
  await etcd.auth.userGrantRole('root', 'root');
  await etcd.auth.enable();
}

overEachTransport('connect() with lazy', (connect) => {
  test('resolves at once, and the first calls wait until etcd is up', async () => {
    await using server = await startAway();
    await using etcd = await connect({ endpoints: server.endpoint, lazy: true, timeoutMs: 60_000 });
    assert.deepEqual(
      etcd.endpoints.map(({ state }) => state),
      ['idle'],
    );
    const put = etcd.put('lazy', '1');
    const watch = etcd.watch('lazy-watched');
    const session = Session.create(etcd, { ttlSeconds: 30 });
    await delay(1_000);
    await server.restart();
    await put;
    await watch.ready;
    await etcd.put('lazy-watched', '1');
    for await (const { kv } of watch) {
      assert.equal(kv.text(), '1');
      break;
    }
    await (await session).close();
  });

  test('calls fail at their deadline and with their signal, and have sent nothing', async () => {
    const dead = await deadEndpoint();
    await using etcd = await connect({ endpoints: dead, lazy: true, timeoutMs: 500 });
    const start = performance.now();
    using time = new OwnTime();
    await assert.rejects(etcd.put('a', 'b'), (error) => {
      assert.ok(error instanceof UnavailableError && !error.sent && !error.mayBeApplied, String(error));
      assert.match(error.message, /no etcd answers within 500 ms at .*: connection refused/);
      assert.ok(error.cause instanceof EtcdError);
      return true;
    });
    const ms = performance.now() - start;
    assert.ok(ms >= 490 && time.ms < 3_500, `${ms} ms, ${time.ms} ms of this process`);
    const control = new AbortController();
    const reason = new Error('enough');
    setTimeout(() => control.abort(reason), 200);
    const put = etcd.put('a', 'b', { signal: control.signal, timeoutMs: 60_000 });
    await assert.rejects(put, (error) => error === reason);
  });

  test('the first call goes round frozen endpoints', async () => {
    await using frozen = await startEtcd();
    await using server = await startEtcd();
    frozen.pause();
    try {
      await using etcd = await connect({ endpoints: [frozen.endpoint, server.endpoint], lazy: true });
      await Promise.all(
        Array.from({ length: 10 }, (_, i) => etcd.put(`lazy/${i}`, '', { timeoutMs: 60_000 })),
      );
    } finally {
      frozen.resume();
    }
  });

  test('close() ends what waits', async () => {
    await using server = await startEtcd();
    await using hole = await startBlackHole(server.port);
    server.pause();
    try {
      for (const endpoints of [await deadEndpoint(), endpointOf(hole)]) {
        const etcd = await connect({ endpoints, lazy: true, timeoutMs: 60_000 });
        const waiting = Promise.allSettled([
          etcd.get('a'),
          etcd.put('a', 'b'),
          etcd.watch('a').ready,
          etcd.lease.keepAliveOnce(1),
        ]);
        await delay(300);
        await etcd.close();
        for (const result of await waiting) {
          assert.equal(result.status, 'rejected');
          assert.ok(result.reason instanceof ClosedError, String(result.reason));
          assert.equal(result.reason.mayBeApplied, false);
        }
        await assert.rejects(etcd.get('a'), ClosedError);
      }
    } finally {
      server.resume();
    }
    await eventually('no connection is left', () => hole.connections === 0);
  });

  test('the first call logs in', async () => {
    await using server = await startEtcd();
    await using root = await connect(server.endpoint);
    await enableAuth(root);
    const { endpoint: endpoints } = server;
    await using right = await connect({
      endpoints,
      lazy: true,
      auth: { username: 'root', password: 'secret' },
    });
    await right.put('a', 'b');
    await using wrong = await connect({
      endpoints,
      lazy: true,
      auth: { username: 'root', password: 'wrong' },
    });
    await assert.rejects(wrong.put('a', 'b'), UnauthenticatedError);
  });
});
