// Logging in: tokens fetched, sent with calls and streams, and fetched again when the server refuses them.
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { type EtcdServer, startEtcd, startTcpProxy } from '@quiesce/test-services';
import {
  type CallTrace,
  channelNames,
  DeadlineExceededError,
  InvalidArgumentError,
  PermissionDeniedError,
  StatusCode,
  UnauthenticatedError,
} from '../src/index.js';
import { AuthenticateResponse } from '../src/rpc/generated/etcdserverpb/rpc.js';
import { overEachTransport } from './support/clients.js';
import { startScriptedServer } from './support/scripted-server.js';

const root = { username: 'root', password: 'root-secret' };
const ann = { username: 'ann', password: 'ann-secret' };
const TTL_SECONDS = 2;

/** How often `method` is called while `body` runs. */
async function countCalls(method: string, body: () => Promise<unknown>): Promise<number> {
  let count = 0;
  const listener = (message: unknown): void => {
    if ((message as CallTrace).method.endsWith(method)) count += 1;
  };
  subscribe(channelNames.callStart, listener);
  try {
    await body();
  } finally {
    unsubscribe(channelNames.callStart, listener);
  }
  return count;
}

overEachTransport('auth tokens', (connect) => {
  let server: EtcdServer;
  before(async () => {
    server = await startEtcd({ extraArgs: [`--auth-token-ttl=${TTL_SECONDS}`, '--bcrypt-cost=4'] });
    await using etcd = await connect(server.endpoint);
    await etcd.auth.userAdd('root', { password: root.password });
    await etcd.auth.userGrantRole('root', 'root').catch(async () => {
      await etcd.auth.roleAdd('root');
      await etcd.auth.userGrantRole('root', 'root');
    });
    await etcd.auth.userAdd('ann', { password: ann.password });
    await etcd.auth.enable();
  });
  after(() => server.stop());

  test('let a user in, and tell who may not', async () => {
    await using etcd = await connect({ endpoints: server.endpoint, auth: root });
    await etcd.put('k', 'v');
    assert.equal((await etcd.get('k'))?.text(), 'v');
    await using stranger = await connect(server.endpoint);
    await assert.rejects(stranger.get('k'), (error) => {
      assert.ok(error instanceof UnauthenticatedError, String(error));
      assert.match(error.message, /give connect\(\) the option auth/);
      return true;
    });
    await using user = await connect({ endpoints: server.endpoint, auth: ann });
    await assert.rejects(user.get('k'), PermissionDeniedError);
  });

  test('that a function fails to give end no watch, lease or mirror: it is asked again', async () => {
    let down = false;
    await using proxy = await startTcpProxy({ port: server.port });
    const auth = (): typeof root => {
      if (down) throw new Error('the vault is away');
      return root;
    };
    await using etcd = await connect({ endpoints: `http://127.0.0.1:${proxy.port}`, auth, timeoutMs: 5_000 });
    const watch = etcd.watch('vault');
    await watch.ready;
    const reasons: unknown[] = [];
    watch.on('disconnected', (reason) => reasons.push(reason));
    const put = new Promise<string>((resolve, reject) => {
      watch.on('put', ({ kv }) => resolve(kv.text())).on('error', reject);
    });
    down = true;
    // The tokens of before are refused then.
    await delay(TTL_SECONDS * 1_000 + 1_500);
    proxy.cut();
    await assert.rejects(etcd.get('vault'), /the auth function failed: the vault is away/);
    await delay(500);
    down = false;
    await etcd.put('vault', 'back');
    assert.equal(await put, 'back');
    assert.ok(reasons.length > 0);
  });

  test('are not given for a wrong password, which no message repeats', async () => {
    await assert.rejects(
      connect({ endpoints: server.endpoint, auth: { username: 'root', password: 'wrong-secret' } }),
      (error) => {
        assert.ok(error instanceof UnauthenticatedError, String(error));
        assert.match(error.message, /auth\.username and auth\.password/);
        assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), /wrong-secret/);
        return true;
      },
    );
    await assert.rejects(
      connect({ endpoints: server.endpoint, auth: { username: 'root', password: '' } }),
      InvalidArgumentError,
    );
  });

  test('are fetched again once they have expired: one request for many calls', async () => {
    await using etcd = await connect({ endpoints: server.endpoint, auth: root });
    await etcd.put('k', '1');
    await delay(TTL_SECONDS * 1_000 + 1_500);
    const fetched = await countCalls('/Authenticate', () =>
      Promise.all(Array.from({ length: 50 }, (_, i) => etcd.put(`many/${i}`, String(i)))),
    );
    assert.equal(fetched, 1);
    assert.equal((await etcd.range('many/0')).count, 1n);
  });

  test('are waited for as long as the call has time, longer than one request for them', async () => {
    await using proxy = await startTcpProxy(server);
    await using etcd = await connect({ endpoints: `127.0.0.1:${proxy.port}`, auth: root, timeoutMs: 1_000 });
    await etcd.put('k', '1', { timeoutMs: 60_000 });
    await delay(TTL_SECONDS * 1_000 + 1_500);
    const hold = (message: unknown): void => {
      if ((message as CallTrace).method.endsWith('/Authenticate')) proxy.pause();
    };
    subscribe(channelNames.callStart, hold);
    const fetched = countCalls('/Authenticate', async () => {
      const put = etcd.put('k', '2', { timeoutMs: 60_000 });
      await delay(2_500);
      unsubscribe(channelNames.callStart, hold);
      proxy.resume();
      await put;
    });
    assert.ok((await fetched) > 1);
    assert.equal((await etcd.get('k', { timeoutMs: 60_000 }))?.text(), '2');
  });

  test('are sent with streams, also with one that is made after the first token has expired', async () => {
    await using etcd = await connect({ endpoints: server.endpoint, auth: root });
    const early = etcd.watch('early');
    await early.ready;
    await delay(TTL_SECONDS * 1_000 + 1_500);
    // It shares the stream, whose token has expired.
    const watch = etcd.watch('watched');
    await watch.ready;
    await etcd.put('early', 'still');
    for await (const event of early) {
      assert.equal(event.kv.text(), 'still');
      break;
    }
    await etcd.put('watched', 'now');
    for await (const event of watch) {
      assert.equal(event.kv.text(), 'now');
      break;
    }
  });

  test('are fetched again when the users were changed meanwhile', async () => {
    await using etcd = await connect({ endpoints: server.endpoint, auth: root });
    await etcd.auth.roleAdd(`role-${etcd.transport}`);
    await Promise.all(Array.from({ length: 20 }, (_, i) => etcd.put(`changed/${i}`, 'v')));
  });

  test('are fetched again for streams when a young one is refused', async () => {
    await using etcd = await connect({ endpoints: server.endpoint, auth: root });
    await using other = await connect({ endpoints: server.endpoint, auth: root });
    // etcd forgets the tokens of a user whose password is set.
    const forget = () => other.auth.userChangePassword('root', root.password);
    const { id } = await etcd.lease.grant(10);
    await forget();
    const keepAlive = await etcd.lease.keepAlive(id);
    for await (const { ttlSeconds } of keepAlive) {
      assert.equal(ttlSeconds, 10);
      break;
    }
    assert.equal(keepAlive.lost.aborted, false);
    await etcd.put('k', 'v');
    await forget();
    const watch = etcd.watch('k');
    await watch.ready;
    watch.close();
  });

  test('are waited for no longer than the call has time, or its signal lets it', async () => {
    let logins = 0;
    await using server = await startScriptedServer({
      unary: {
        '/etcdserverpb.Maintenance/Status': (_call, answer) => answer(null, Buffer.alloc(0)),
        '/etcdserverpb.Auth/Authenticate': (_call, answer) => {
          const response = AuthenticateResponse.fromPartial({ token: 'first' });
          if (++logins === 1) answer(null, Buffer.from(AuthenticateResponse.encode(response).finish()));
        },
        '/etcdserverpb.KV/Range': (_call, answer) =>
          answer({ code: StatusCode.UNAUTHENTICATED, details: 'etcdserver: invalid auth token' }),
      },
    });
    await using etcd = await connect({ endpoints: server.endpoint, auth: root });
    const given = new AbortController();
    const withSignal = etcd.get('k', { signal: given.signal });
    await assert.rejects(etcd.get('k', { timeoutMs: 300 }), (error) => {
      assert.ok(error instanceof DeadlineExceededError, String(error));
      assert.match(error.message, /no answer within 300 ms: the server refused the token/);
      return true;
    });
    given.abort(new Error('changed my mind'));
    await assert.rejects(withSignal, /changed my mind/);
    assert.equal(logins, 2);
  });

  test('are done without where authentication is off', async () => {
    await using open = await startEtcd();
    await using etcd = await connect({ endpoints: open.endpoint, auth: root });
    await etcd.put('k', 'v');
  });
});
