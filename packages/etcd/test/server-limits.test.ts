// etcd at its limits: the space quota, too many requests at once, a server that dies half-way, the attempts' bound.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startEtcd } from '@quiesce/test-services';
import {
  EtcdError,
  NoLeaderError,
  NoSpaceError,
  StatusCode,
  TooManyRequestsError,
  UnavailableError,
} from '../src/index.js';
import { statusError } from '../src/server-errors.js';
import { overEachTransport } from './support/clients.js';
import { OwnTime } from './support/own-time.js';
import { startScriptedServer } from './support/scripted-server.js';

overEachTransport('a server at its limits', (connect) => {
  test('NOSPACE refuses writes with NoSpaceError, and answers reads', async () => {
    await using server = await startEtcd({ extraArgs: ['--quota-backend-bytes=1'] });
    await using etcd = await connect(server.endpoint);
    await assert.rejects(etcd.put('k', 'v'.repeat(1024)), (error) => {
      assert.ok(error instanceof NoSpaceError, String(error));
      assert.equal(error.code, StatusCode.RESOURCE_EXHAUSTED);
      assert.match(error.message, /compact, defragment, then disarm the alarm/);
      return true;
    });
    assert.equal(await etcd.get('k'), undefined);
  });

  test('a server that dies half-way: each call ends, as done or with what is known of it', async () => {
    await using server = await startEtcd();
    await using etcd = await connect({
      endpoints: server.endpoint,
      retry: { maxAttempts: 2, backoffMs: 10 },
    });
    const calls = Array.from({ length: 200 }, (_, i) => etcd.put(`k/${i}`, 'v', { timeoutMs: 5_000 }));
    await calls[0];
    server.kill();
    const results = await Promise.allSettled(calls);
    await server.exited;
    await server.restart();
    for (const [i, result] of results.entries()) {
      if (result.status === 'fulfilled') {
        assert.equal((await etcd.get(`k/${i}`))?.version, 1n, 'an acknowledged write is there, once');
      } else {
        assert.ok(result.reason instanceof UnavailableError, String(result.reason));
        // Known never to have been sent, or unknown; then at most once.
        const kv = await etcd.get(`k/${i}`);
        assert.ok(kv === undefined || (result.reason.sent && kv.version === 1n));
      }
    }
  });

  test('reads wait for a server that restarts; a write that was refused a connection does, too', async () => {
    await using server = await startEtcd();
    await using etcd = await connect(server.endpoint);
    await etcd.put('k', '1');
    server.kill();
    await server.exited;
    const read = etcd.get('k');
    const write = etcd.put('k', '2').catch((error: unknown) => error);
    await server.restart();
    assert.match((await read)?.text() ?? '', /[12]/);
    const written = await write;
    assert.ok(!(written instanceof EtcdError) || written.sent, String(written));
  });

  test('a write whose connection breaks is sent once, a read up to maxAttempts times', async () => {
    const seen = { Put: 0, Range: 0 };
    await using scripted = await startScriptedServer({
      unary: {
        '/etcdserverpb.Maintenance/Status': (_call, answer) => answer(null, Buffer.alloc(0)),
        '/etcdserverpb.KV/Put': (_call, answer) => {
          seen.Put += 1;
          answer({ code: StatusCode.UNAVAILABLE, details: 'etcdserver: request timed out' });
        },
        '/etcdserverpb.KV/Range': (_call, answer) => {
          seen.Range += 1;
          answer({ code: StatusCode.UNAVAILABLE, details: 'etcdserver: leader changed' });
        },
      },
    });
    await using etcd = await connect({
      endpoints: scripted.endpoint,
      retry: { maxAttempts: 4, backoffMs: 1 },
    });
    await assert.rejects(etcd.put('k', 'v'), /it may still be applied/);
    await assert.rejects(etcd.get('k'), /leader changed/);
    assert.deepEqual(seen, { Put: 1, Range: 4 });
  });

  test('"no leader" and "too many requests" come before anything is done: the first is retried for writes that wait for a leader, too', async () => {
    const seen = { Put: 0, DeleteRange: 0 };
    await using scripted = await startScriptedServer({
      unary: {
        '/etcdserverpb.Maintenance/Status': (_call, answer) => answer(null, Buffer.alloc(0)),
        '/etcdserverpb.KV/Put': (_call, answer) => {
          seen.Put += 1;
          if (seen.Put < 3) answer({ code: StatusCode.UNAVAILABLE, details: 'etcdserver: no leader' });
          else answer(null, Buffer.alloc(0));
        },
        '/etcdserverpb.KV/DeleteRange': (_call, answer) => {
          seen.DeleteRange += 1;
          answer({ code: StatusCode.RESOURCE_EXHAUSTED, details: 'etcdserver: too many requests' });
        },
      },
    });
    await using etcd = await connect({ endpoints: scripted.endpoint, retry: { backoffMs: 1 } });
    await assert.rejects(etcd.put('k', 'v', { requireLeader: true }), NoLeaderError);
    await etcd.put('k', 'v', { requireLeader: 'wait' });
    await assert.rejects(etcd.delete('k'), TooManyRequestsError);
    assert.deepEqual(seen, { Put: 3, DeleteRange: 1 });
  });

  test('a retry that its deadline leaves no time for is not made', async () => {
    await using scripted = await startScriptedServer({
      unary: {
        '/etcdserverpb.Maintenance/Status': (_call, answer) => answer(null, Buffer.alloc(0)),
        '/etcdserverpb.KV/Range': (_call, answer) =>
          answer({ code: StatusCode.UNAVAILABLE, details: 'etcdserver: leader changed' }),
      },
    });
    await using etcd = await connect({
      endpoints: scripted.endpoint,
      retry: { backoffMs: 60_000, maxBackoffMs: 60_000 },
    });
    using time = new OwnTime();
    await assert.rejects(etcd.get('k', { timeoutMs: 20_000 }), /leader changed/);
    assert.ok(time.ms < 10_000, `${time.ms} ms`);
    const abort = new AbortController();
    const waiting = etcd.get('k', { timeoutMs: Number.POSITIVE_INFINITY, signal: abort.signal });
    const reason = new Error('enough');
    setTimeout(() => abort.abort(reason), 100);
    await assert.rejects(waiting, (error) => error === reason, 'an abort ends the wait between attempts');
  });
});

test('details that name a property of Object are no known error', () => {
  assert.equal(
    statusError({ code: StatusCode.UNKNOWN, details: 'constructor', sent: true }).message,
    'UNKNOWN: constructor',
  );
});
