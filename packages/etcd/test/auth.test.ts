// The auth service: users, roles and permissions of a real etcd. How a client logs in is in another file.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import type { EtcdServer } from '@quiesce/test-services';
import {
  allKeys,
  type EtcdClient,
  EtcdError,
  fromKey,
  InvalidArgumentError,
  keyRange,
  PermissionDeniedError,
  prefix,
  StatusCode,
} from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

/** That etcd refused a call, with what it said. */
function refused(details: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof EtcdError);
    assert.equal(error.code, StatusCode.FAILED_PRECONDITION);
    assert.match(error.details, details);
    return true;
  };
}

overEachTransport('auth service', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });

  describe('users', () => {
    test('are added, listed, read and deleted', async () => {
      await etcd.auth.userAdd('ann', { password: 'secret' });
      await etcd.auth.userAdd('bob', { noPassword: true });
      assert.deepEqual((await etcd.auth.userList()).sort(), ['ann', 'bob']);
      assert.deepEqual(await etcd.auth.userGet('ann'), []);
      await etcd.auth.userDelete('bob');
      await assert.rejects(etcd.auth.userGet('bob'), refused(/user name not found/));
      await etcd.auth.userDelete('ann');
      assert.deepEqual(await etcd.auth.userList(), []);
    });

    test('are added once', async () => {
      await etcd.auth.userAdd('cat', { password: 'secret' });
      await assert.rejects(
        etcd.auth.userAdd('cat', { password: 'other' }),
        refused(/user name already exists/),
      );
      await etcd.auth.userDelete('cat');
    });

    test('can change their password only while they exist', async () => {
      await etcd.auth.userAdd('dan', { password: 'secret' });
      await etcd.auth.userChangePassword('dan', 'other');
      await etcd.auth.userDelete('dan');
      await assert.rejects(etcd.auth.userChangePassword('dan', 'other'), refused(/user name not found/));
    });

    test('are granted roles and lose them', async () => {
      await etcd.auth.userAdd('eve', { password: 'secret' });
      await etcd.auth.roleAdd('reader');
      await etcd.auth.roleAdd('writer');
      await etcd.auth.userGrantRole('eve', 'reader');
      await etcd.auth.userGrantRole('eve', 'writer');
      assert.deepEqual(await etcd.auth.userGet('eve'), ['reader', 'writer']);
      await etcd.auth.userRevokeRole('eve', 'reader');
      assert.deepEqual(await etcd.auth.userGet('eve'), ['writer']);
      await assert.rejects(
        etcd.auth.userRevokeRole('eve', 'reader'),
        refused(/role is not granted to the user/),
      );
      await assert.rejects(etcd.auth.userGrantRole('eve', 'none'), refused(/role name not found/));
      await etcd.auth.roleDelete('writer');
      assert.deepEqual(await etcd.auth.userGet('eve'), []);
      await etcd.auth.roleDelete('reader');
      await etcd.auth.userDelete('eve');
    });
  });

  describe('roles', () => {
    test('are added, listed and deleted', async () => {
      await etcd.auth.roleAdd('one');
      await etcd.auth.roleAdd('two');
      await assert.rejects(etcd.auth.roleAdd('two'), refused(/role name already exists/));
      assert.deepEqual((await etcd.auth.roleList()).sort(), ['one', 'two']);
      assert.deepEqual(await etcd.auth.roleGet('one'), []);
      await etcd.auth.roleDelete('one');
      await etcd.auth.roleDelete('two');
      await assert.rejects(etcd.auth.roleDelete('two'), refused(/role name not found/));
      await assert.rejects(etcd.auth.roleGet('two'), refused(/role name not found/));
    });

    test('have permissions for keys and ranges, which are listed as they were granted', async () => {
      await etcd.auth.roleAdd('app');
      const granted = [
        ['read', 'config', ['config', '']],
        ['write', keyRange('a', 'b'), ['a', 'b']],
        ['readwrite', prefix('app/'), ['app/', 'app0']],
        ['read', fromKey('x'), ['x', '\0']],
        ['write', allKeys(), ['\0', '\0']],
      ] as const;
      for (const [type, keys] of granted) await etcd.auth.roleGrantPermission('app', type, keys);
      const permissions = await etcd.auth.roleGet('app');
      const found = permissions.map(({ type, keys }) => [type, text(keys.key), text(keys.rangeEnd)].join());
      assert.deepEqual(found.sort(), granted.map(([type, , range]) => [type, ...range].join()).sort());

      for (const { keys } of permissions) await etcd.auth.roleRevokePermission('app', keys);
      assert.deepEqual(await etcd.auth.roleGet('app'), []);
      await assert.rejects(
        etcd.auth.roleRevokePermission('app', 'config'),
        refused(/permission is not granted to the role/),
      );
      await etcd.auth.roleDelete('app');
    });

    test('have one permission for the same keys, the last', async () => {
      await etcd.auth.roleAdd('app');
      await etcd.auth.roleGrantPermission('app', 'read', 'key');
      await etcd.auth.roleGrantPermission('app', 'readwrite', 'key');
      assert.deepEqual(
        (await etcd.auth.roleGet('app')).map(({ type }) => type),
        ['readwrite'],
      );
      await etcd.auth.roleDelete('app');
    });
  });

  test('status counts changes of users and roles', async () => {
    const before = await etcd.auth.status();
    assert.equal(before.enabled, false);
    await etcd.auth.roleAdd('counted');
    await etcd.auth.roleDelete('counted');
    assert.equal((await etcd.auth.status()).authRevision, before.authRevision + 2n);
  });

  test('enable needs a user root with the role root', async () => {
    await assert.rejects(etcd.auth.enable(), refused(/root user does not exist/));
    await etcd.auth.userAdd('root', { noPassword: true });
    await assert.rejects(etcd.auth.enable(), refused(/root user does not have root role/));
    await etcd.auth.userDelete('root');
  });

  describe('bad input is refused before anything is sent:', () => {
    const hidden = 'hunter2';
    const cases: [string, () => Promise<unknown>, RegExp][] = [
      [
        'a user without a name',
        () => etcd.auth.userAdd('', { password: hidden }),
        /name is .*; it must be a non-empty string/,
      ],
      [
        'a name that is no string',
        () => etcd.auth.userAdd(7 as never, { password: hidden }),
        /name is 7; it must be a non-empty string/,
      ],
      [
        'a password that is not set',
        () => etcd.auth.userAdd('ann', { password: undefined } as never),
        /password or noPassword/,
      ],
      ['no options', () => etcd.auth.userAdd('ann', {} as never), /password or noPassword/],
      [
        'both ways to log in',
        () => etcd.auth.userAdd('ann', { password: hidden, noPassword: true } as never),
        /password or noPassword/,
      ],
      ['an empty password', () => etcd.auth.userAdd('ann', { password: '' }), /password is empty/],
      [
        'a password that is no string',
        () => etcd.auth.userChangePassword('ann', { [hidden]: hidden } as never),
        /password is not a string/,
      ],
      ['a role without a name', () => etcd.auth.userGrantRole('ann', ''), /role is ''; it must be/],
      [
        'a permission type that there is not',
        () => etcd.auth.roleGrantPermission('app', 'own' as never, 'key'),
        /type is 'own'; it must be 'read', 'write' or 'readwrite'/,
      ],
      ['an empty key', () => etcd.auth.roleGrantPermission('app', 'read', ''), /the key is empty/],
    ];
    for (const [what, call, message] of cases) {
      test(what, async () => {
        await assert.rejects(call(), (error: unknown) => {
          assert.ok(error instanceof InvalidArgumentError);
          assert.match(error.message, message);
          assert.equal(error.sent, false);
          assert.doesNotMatch(inspect(error), new RegExp(hidden));
          return true;
        });
      });
    }
  });

  test('no error shows a password, and no inspection of the client either', async () => {
    const hidden = 'hunter2';
    await etcd.auth.userAdd('fay', { password: hidden });
    const calls = [
      () => etcd.auth.userAdd('fay', { password: hidden }),
      () => etcd.auth.userChangePassword('nobody', hidden),
      () => etcd.auth.userAdd('x'.repeat(3 << 20), { password: hidden }),
    ];
    const hides = (call: () => Promise<unknown>): Promise<void> =>
      assert.rejects(call, (error: unknown) => {
        assert.doesNotMatch(inspect(error, { depth: Infinity, showHidden: true }), new RegExp(hidden));
        return true;
      });
    for (const call of calls) await hides(call);
    // However short its deadline, an answer that is there before is taken.
    server.pause();
    try {
      await hides(() => etcd.auth.userChangePassword('fay', hidden, { timeoutMs: 50 }));
    } finally {
      server.resume();
    }
    assert.doesNotMatch(inspect(etcd, { depth: Infinity, showHidden: true }), new RegExp(hidden));
    await etcd.auth.userDelete('fay');
  });

  test('a call is given up by its signal', async () => {
    await assert.rejects(
      etcd.auth.userList({ signal: AbortSignal.abort(new Error('given up')) }),
      /given up/,
    );
  });

  // Turns authentication on, so it comes last.
  describe('once authentication is on', () => {
    const hidden = 'hunter2';
    const as = (username: string, password: string): Promise<EtcdClient> =>
      connect({ endpoints: server.endpoint, auth: { username, password } });
    const readAs = async (username: string, password: string): Promise<void> => {
      const client = await as(username, password);
      await client.get('app/key').finally(() => client.close());
    };
    let root: EtcdClient;
    before(async () => {
      await etcd.auth.userAdd('root', { password: hidden });
      await etcd.auth.userGrantRole('root', 'root');
      await etcd.auth.enable();
      root = await as('root', hidden);
    });
    after(() => root.close());

    test('users may do what their roles allow, and the root user may do anything', async () => {
      assert.equal((await root.auth.status()).enabled, true);
      await root.put('app/key', 'value');
      await root.put('other', 'value');
      await root.auth.roleAdd('app');
      await root.auth.roleGrantPermission('app', 'read', prefix('app/'));
      await root.auth.userAdd('service', { password: hidden });
      await root.auth.userGrantRole('service', 'app');
      const service = await as('service', hidden);
      try {
        assert.equal((await service.get('app/key'))?.text(), 'value');
        await assert.rejects(service.put('app/key', 'mine'), PermissionDeniedError);
        await assert.rejects(service.get('other'), PermissionDeniedError);
        await assert.rejects(service.auth.userList(), PermissionDeniedError);
        await root.auth.roleGrantPermission('app', 'readwrite', prefix('app/'));
        await service.put('app/key', 'mine');
        await root.auth.userRevokeRole('service', 'app');
        await assert.rejects(service.get('app/key'), PermissionDeniedError);
        await root.auth.userChangePassword('service', 'other');
        await assert.rejects(readAs('service', hidden), (error: unknown) => {
          assert.ok(error instanceof EtcdError);
          assert.doesNotMatch(inspect(error, { depth: Infinity, showHidden: true }), new RegExp(hidden));
          return true;
        });
      } finally {
        await service.close();
      }
    });

    test('calls about one member are made as the user, too', async () => {
      const { memberId } = await root.maintenance.status(server.endpoint);
      assert.equal((await root.maintenance.hashKV(server.endpoint)).memberId, memberId);
      await root.maintenance.defragment(server.endpoint);
      const snapshot = root.maintenance.snapshot({ endpoint: server.endpoint });
      for await (const _ of snapshot);
      assert.ok(snapshot.info);
      assert.deepEqual(await root.maintenance.alarmList(), []);
      await assert.rejects(etcd.maintenance.defragment(server.endpoint), EtcdError);
    });

    test('a client shows its password nowhere', async () => {
      await root.get('key');
      assert.doesNotMatch(inspect(root, { depth: Infinity, showHidden: true }), new RegExp(hidden));
      assert.doesNotMatch(JSON.stringify(root) ?? '', new RegExp(hidden));
    });

    test('disable lets everybody do everything again', async () => {
      await assert.rejects(etcd.get('key'), EtcdError);
      await root.auth.disable();
      assert.equal((await etcd.auth.status()).enabled, false);
      await etcd.put('key', 'value');
    });
  });
});
