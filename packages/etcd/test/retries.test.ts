// Calls that are sent again: for how long, what they hold up meanwhile, and what is known of a request that was sent
// several times.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type EtcdServer, startTcpProxy, type TcpProxy } from '@quiesce/test-services';
import {
  ClosedError,
  DeadlineExceededError,
  EtcdError,
  LeaseNotFoundError,
  StatusCode,
  TooManyRequestsError,
  UnavailableError,
} from '../src/index.js';
import { AuthenticateResponse } from '../src/rpc/generated/etcdserverpb/rpc.js';
import { overEachTransport, withServer } from './support/clients.js';
import { OwnTime } from './support/own-time.js';
import { program } from './support/program.js';
import { type ScriptedServer, startScriptedServer, type UnaryScript } from './support/scripted-server.js';

const run = promisify(execFile);

/** A server whose methods answer in turn as listed; the last answer stays. */
function answering(methods: Record<string, readonly (EtcdStatus | Buffer)[]>): Promise<ScriptedServer> {
  const unary: Record<string, UnaryScript> = {
    '/etcdserverpb.Maintenance/Status': (_call, answer) => answer(null, Buffer.alloc(0)),
  };
  for (const [name, answers] of Object.entries(methods)) {
    let at = 0;
    unary[`/etcdserverpb.${name}`] = (_call, answer) => {
      const next = answers[Math.min(at++, answers.length - 1)] as EtcdStatus | Buffer;
      if (Buffer.isBuffer(next)) answer(null, next);
      else answer(next);
    };
  }
  return startScriptedServer({ unary });
}

interface EtcdStatus {
  readonly code: StatusCode;
  readonly details: string;
}

const timedOut: EtcdStatus = { code: StatusCode.UNAVAILABLE, details: 'etcdserver: request timed out' };
const noLeader: EtcdStatus = { code: StatusCode.UNAVAILABLE, details: 'etcdserver: no leader' };
const tooMany: EtcdStatus = { code: StatusCode.RESOURCE_EXHAUSTED, details: 'etcdserver: too many requests' };
const badToken: EtcdStatus = { code: StatusCode.UNAUTHENTICATED, details: 'etcdserver: invalid auth token' };

overEachTransport('retries', (connect) => {
  let server: EtcdServer;
  withServer((started) => {
    server = started;
  });

  /** A proxy to the server and a client of it, whose port refuses connections until it is opened again. */
  async function refused(): Promise<{ readonly endpoint: string; readonly open: () => Promise<TcpProxy> }> {
    const proxy = await startTcpProxy({ port: server.port });
    const { port } = proxy;
    await proxy.close();
    return { endpoint: `http://127.0.0.1:${port}`, open: () => startTcpProxy({ port: server.port }, port) };
  }

  test('use the time that the call has: all endpoints refuse for 3 s, and reads and writes wait', async () => {
    const gone = [await refused(), await refused()];
    await using etcd = await connect(server.endpoint);
    etcd.setEndpoints(gone.map(({ endpoint }) => endpoint));
    const read = etcd.get('k', { timeoutMs: 60_000 });
    const write = etcd.put('waits', 'v', { timeoutMs: 60_000 });
    const linearizable = etcd.lease.list({ timeoutMs: Number.POSITIVE_INFINITY });
    await delay(3_000);
    await using _back = await gone[0]?.open();
    await read;
    const { revision } = await write;
    await linearizable;
    assert.equal((await etcd.get('waits'))?.modRevision, revision, 'it was made once');
  });

  test('end with the deadline, and with why they were made', async () => {
    const { endpoint } = await refused();
    await using etcd = await connect(server.endpoint);
    etcd.setEndpoints(endpoint);
    const start = performance.now();
    await assert.rejects(etcd.put('k', 'v', { timeoutMs: 2_000 }), (error) => {
      assert.ok(error instanceof UnavailableError || error instanceof DeadlineExceededError, String(error));
      assert.match(error.message, /refused/i);
      assert.ok(!error.sent && !error.mayBeApplied);
      return true;
    });
    const tookMs = performance.now() - start;
    assert.ok(tookMs > 1_800, `only ${tookMs} ms of 2 s were used`);
  });

  test('one endpoint does not answer: a write that used up its time there keeps the next ones away', async () => {
    await using silent = await startTcpProxy({ port: server.port });
    await using well = await startTcpProxy({ port: server.port });
    const endpoints = [silent, well].map(({ port }) => `127.0.0.1:${port}`);
    await using etcd = await connect({ endpoints, retry: { maxBackoffMs: 100 } });
    for (const key of ['a', 'b', 'c']) await etcd.put(key, '');
    silent.pause();
    const failures: unknown[] = [];
    for (let n = 0; n < 8; n++) {
      await etcd.put('k', String(n), { timeoutMs: 4_000 }).catch((error: unknown) => failures.push(error));
    }
    silent.resume();
    assert.equal(failures.length, 1, String(failures));
    assert.ok(failures[0] instanceof DeadlineExceededError);
  });

  test('close() ends them at once', async () => {
    const { endpoint } = await refused();
    const etcd = await connect({
      endpoints: server.endpoint,
      retry: { backoffMs: 30_000, maxBackoffMs: 30_000 },
    });
    etcd.setEndpoints(endpoint);
    const call = etcd.get('k', { timeoutMs: Number.POSITIVE_INFINITY }).catch((error: unknown) => error);
    await delay(500);
    using time = new OwnTime();
    await etcd.close();
    const error = await call;
    assert.ok(error instanceof ClosedError, String(error));
    assert.ok(!error.sent);
    assert.ok(time.ms < 5_000, `${time.ms} ms`);
  });

  test('that wait do not keep the process alive after unref(), also where that comes during the wait', async () => {
    await using etcd = await connect(server.endpoint);
    const { endpoint } = await refused();
    for (const when of ['before', 'during']) {
      const file = program(`
        import { connect } from '@quiesce/etcd';
        const etcd = await connect({ endpoints: '${server.endpoint}', transport: '${etcd.transport}', retry: { backoffMs: 120_000, maxBackoffMs: 120_000 } });
        etcd.setEndpoints('${endpoint}');
        if ('${when}' === 'before') etcd.unref();
        etcd.get('k', { timeoutMs: Infinity });
        if ('${when}' === 'during') setTimeout(() => etcd.unref(), 1_000);
        process.on('exit', () => console.log('ends'));
      `);
      const { stdout } = await run(process.execPath, [file], { timeout: 240_000 });
      assert.equal(stdout.trim(), 'ends', when);
    }
  });

  test('sent speaks of all attempts: what was sent before the last one, which was not, may be applied', async () => {
    const proxy = await startTcpProxy({ port: server.port });
    await using etcd = await connect({ endpoints: `http://127.0.0.1:${proxy.port}`, timeoutMs: 2_000 });
    await using direct = await connect(server.endpoint);
    const { id } = await direct.lease.grant(100);
    await etcd.get('k');
    proxy.pause();
    const revoked = etcd.lease.revoke(id).catch((error: unknown) => error);
    await delay(200);
    await proxy.close();
    const error = await revoked;
    assert.ok(error instanceof EtcdError, String(error));
    assert.ok(error.sent && error.mayBeApplied, error.message);
    assert.match(error.message, /refused/i);
    // What the deadline ends may be the last attempt or the wait before another one.
    if (error instanceof UnavailableError) {
      assert.match(error.message, /an earlier attempt may have been applied/);
      assert.ok(error.cause instanceof EtcdError && !error.cause.sent);
    }
  });

  test('what is known of a request is what all of its attempts tell together', async () => {
    const cases: readonly [
      string,
      readonly EtcdStatus[],
      Pick<EtcdError, 'sent' | 'mayBeApplied'>,
      unknown,
    ][] = [
      ['refused', [noLeader, noLeader, tooMany], { sent: true, mayBeApplied: false }, TooManyRequestsError],
      ['unknown', [timedOut, tooMany], { sent: true, mayBeApplied: true }, TooManyRequestsError],
      [
        'in the middle',
        [noLeader, timedOut, noLeader, tooMany],
        { sent: true, mayBeApplied: true },
        TooManyRequestsError,
      ],
      ['until the deadline', [timedOut], { sent: true, mayBeApplied: true }, EtcdError],
    ];
    for (const [what, answers, known, type] of cases) {
      await using scripted = await answering({ 'Lease/LeaseGrant': answers });
      await using etcd = await connect({
        endpoints: scripted.endpoint,
        retry: { backoffMs: 1 },
        timeoutMs: 1_000,
      });
      const error = await etcd.lease.grant(10).catch((error: unknown) => error);
      assert.ok(error instanceof (type as typeof EtcdError), `${what}: ${error}`);
      assert.deepEqual({ sent: error.sent, mayBeApplied: error.mayBeApplied }, known, what);
    }
    // Revoked by the attempt whose answer was lost.
    const gone = { code: StatusCode.NOT_FOUND, details: 'etcdserver: requested lease not found' };
    await using scripted = await answering({ 'Lease/LeaseRevoke': [timedOut, gone] });
    await using etcd = await connect({ endpoints: scripted.endpoint, retry: { backoffMs: 1 } });
    await assert.rejects(
      etcd.lease.revoke(7),
      (error) => error instanceof LeaseNotFoundError && error.mayBeApplied,
    );
  });

  test('a write that was refused for its token is known as not applied when no other token is to be had', async () => {
    const token = Buffer.from(AuthenticateResponse.encode({ header: undefined, token: 'old' }).finish());
    const wrong = {
      code: StatusCode.INVALID_ARGUMENT,
      details: 'etcdserver: authentication failed, invalid user ID or password',
    };
    await using scripted = await answering({ 'Auth/Authenticate': [token, wrong], 'KV/Put': [badToken] });
    await using etcd = await connect({
      endpoints: scripted.endpoint,
      auth: { username: 'a', password: 'b' },
    });
    await assert.rejects(etcd.put('k', 'v'), (error) => {
      assert.ok(error instanceof EtcdError && error.details === wrong.details, String(error));
      assert.ok(error.sent && !error.mayBeApplied);
      return true;
    });
  });

  test('bounds and signals hold while a token is fetched', async () => {
    const token = Buffer.from(AuthenticateResponse.encode({ header: undefined, token: 'old' }).finish());
    let asked = 0;
    let hangs = true;
    await using scripted = await startScriptedServer({
      unary: {
        '/etcdserverpb.Maintenance/Status': (_call, answer) => answer(null, Buffer.alloc(0)),
        '/etcdserverpb.Auth/Authenticate': (_call, answer) => {
          asked += 1;
          if (!hangs) answer(null, token);
        },
      },
    });
    const options = {
      endpoints: scripted.endpoint,
      auth: { username: 'a', password: 'b' },
      timeoutMs: 60_000,
    };
    const reason = new Error('enough');
    const abort = new AbortController();
    setTimeout(() => abort.abort(reason), 300);
    await assert.rejects(connect({ ...options, signal: abort.signal }), (error) => error === reason);
    hangs = false;
    await using etcd = await connect(options);
    hangs = true;
    // Older than the token of a new stream may be.
    await delay(1_100);
    const receive = (control: object): Promise<unknown> =>
      etcd.maintenance.snapshot(control)[Symbol.asyncIterator]().next();
    await assert.rejects(receive({ timeoutMs: 300 }), (error) => {
      assert.ok(error instanceof DeadlineExceededError, String(error));
      assert.ok(!error.sent);
      return true;
    });
    const aborted = new AbortController();
    setTimeout(() => aborted.abort(reason), 300);
    await assert.rejects(receive({ signal: aborted.signal }), (error) => error === reason);
    assert.equal(asked, 3, 'both waited for one request');
  });

  test('autoSyncIntervalMs: Infinity is never, and not at once', async () => {
    await using etcd = await connect({
      endpoints: server.endpoint,
      autoSyncIntervalMs: Number.POSITIVE_INFINITY,
    });
    const before = etcd.endpoints.map(({ endpoint }) => endpoint);
    etcd.setEndpoints([...before, 'http://127.0.0.1:1']);
    await delay(300);
    assert.equal(etcd.endpoints.length, 2);
  });

  test('an abort with an error of this package is no failure of the call: nothing is sent again', async () => {
    let seen = 0;
    await using scripted = await startScriptedServer({
      unary: {
        '/etcdserverpb.Maintenance/Status': (_call, answer) => answer(null, Buffer.alloc(0)),
        '/etcdserverpb.KV/Range': () => {
          seen += 1;
        },
      },
    });
    await using etcd = await connect(scripted.endpoint);
    const reason = new UnavailableError('the session is over', { code: StatusCode.UNAVAILABLE, sent: false });
    const abort = new AbortController();
    const call = etcd.get('k', { signal: abort.signal }).catch((error: unknown) => error);
    await delay(200);
    abort.abort(reason);
    assert.equal(await call, reason);
    assert.equal(seen, 1);
    assert.equal(etcd.endpoints[0]?.state, 'ready');
  });
});
