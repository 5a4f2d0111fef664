// docs/guide/coming-from.md's table for etcd-client-py, row by row: what that client does, and what ours gives of the same keys.
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type EtcdServer, provided, startEtcd } from '@quiesce/test-services';
import { compare, connect, type EtcdClient, Mutex, op, prefix, Session } from '../src/index.js';
import { rowsOf } from './support/guide-table.js';

const program = fileURLToPath(new URL('../../test/support/etcd-client-py.py', import.meta.url));
const python = provided('valkeyGlidePy')?.python;
const skip = python === undefined && 'there was no Python to install it for';

let server: EtcdServer;
let etcd: EtcdClient;
let peer: ChildProcessWithoutNullStreams;
let lease: bigint;
const said = new Map<string, unknown>();
const waiting = new Map<string, () => void>();
let end: Promise<number | null>;

/** What became of one step of the program. */
async function outcome(step: string): Promise<unknown> {
  if (!said.has(step)) {
    const came = new Promise<void>((resolve) => waiting.set(step, resolve));
    const died = end.then((status) => assert.fail(`the program has ended with ${status} before ${step}`));
    await Promise.race([came, died]);
  }
  return said.get(step);
}

before(async () => {
  if (python === undefined) return;
  server = await startEtcd({ extraArgs: ['--bcrypt-cost=4'] });
  etcd = await connect(server.endpoint);
  lease = (await etcd.lease.grant(60)).id;
  peer = spawn(python, [program, server.endpoint, String(lease)], {
    timeout: 240_000,
    killSignal: 'SIGKILL',
  });
  peer.stderr.pipe(process.stderr);
  end = new Promise((resolve) => peer.once('exit', resolve));
  createInterface({ input: peer.stdout }).on('line', (line) => {
    const [step, result] = JSON.parse(line) as [string, unknown];
    said.set(step, result);
    waiting.get(step)?.();
  });
});
after(async () => {
  peer?.kill('SIGKILL');
  await etcd?.close();
  await server?.stop();
});

const keysOf = (kvs: readonly { keyText(): string }[]): string[] => kvs.map((kv) => kv.keyText());

/** Each row by its left side; in the order of the program, which ends with authentication on. */
const rows: Readonly<Record<string, () => Promise<void>>> = {
  "`etcd = Client(['http://…'])`, `async with etcd.connect() as c:`": async () => {
    assert.equal(await outcome('connect'), true);
  },
  "`await c.put(b'k', b'v')`": async () => {
    assert.equal(await outcome('put'), true);
    await etcd.put('k', 'v');
    assert.equal((await etcd.get('k'))?.text(), 'v');
  },
  "`await c.get(b'k')` (bytes)": async () => {
    assert.equal(await outcome('get'), (await etcd.get('k'))?.text());
    assert.ok((await etcd.get('k'))?.value instanceof Uint8Array);
  },
  "`await c.get_prefix(b'a/')`": async () => {
    const theirs = await outcome('get_prefix');
    await etcd.txn({ success: [op.put('py/b/1', 'one'), op.put('py/b/2', 'two')] });
    const { kvs } = await etcd.range(prefix('py/b/'));
    const ours = kvs.map((kv) => [kv.keyText().replace('py/b/', 'py/a/'), kv.text()]);
    assert.deepEqual(theirs, ours);
  },
  "`await c.keys_prefix(b'a/')`": async () => {
    const { kvs } = await etcd.range(prefix('py/b/'), { keysOnly: true });
    assert.deepEqual(
      await outcome('keys_prefix'),
      keysOf(kvs).map((key) => key.replace('py/b/', 'py/a/')),
    );
  },
  '`Txn().when([Compare.version(k, CompareOp.EQUAL, 0)]).and_then([TxnOp.put(k, v)]).or_else([…])`':
    async () => {
      const txn = () =>
        etcd.txn({
          compare: [compare.version('py/ours', '=', 0)],
          success: [op.put('py/ours', 'v')],
          failure: [op.get('py/ours')],
        });
      assert.deepEqual(await outcome('txn'), [(await txn()).succeeded, (await txn()).succeeded]);
    },
  '`Compare.….with_prefix()`, `.with_range(end)`': async () => {
    const below = await etcd.txn({ compare: [compare.version(prefix('py/b/'), '>', 0)] });
    const none = await etcd.txn({ compare: [compare.missing(prefix('py/b/'))] });
    assert.deepEqual(await outcome('compare'), [below.succeeded, none.succeeded]);
  },
  "`async for event in c.watch(b'k')`, `c.watch_prefix(b'a/')`": async () => {
    assert.deepEqual(await outcome('watch'), ['py/w', 'watch']);
    assert.deepEqual(await outcome('watch_prefix'), ['py/w', 'watch_prefix']);
  },
  '`ready_event=CondVar()`': async () => {
    // The program puts when it is ready, and the watch has seen that.
    await outcome('watch_prefix');
    await using watch = etcd.watch(prefix('py/ready'));
    await watch.ready;
    await etcd.put('py/ready', '');
    for await (const { kv } of watch) {
      assert.equal(kv.keyText(), 'py/ready');
      break;
    }
  },
  '`await c.lease_grant(ttl)` (gives no id in 0.5.1), `lease_revoke`, `lease_time_to_live`, `lease_keep_alive`':
    async () => {
      assert.deepEqual(await outcome('lease_grant'), []);
      await outcome('delete');
      assert.equal(await etcd.lease.timeToLive(lease), undefined, 'they have revoked it');
      const granted = await Promise.all((await etcd.lease.list()).map((id) => etcd.lease.timeToLive(id)));
      assert.ok(granted.some((each) => each?.grantedTtlSeconds === 77));
    },
  "`await c.delete(b'k')`, `await c.delete_prefix(b'a/')`": async () => {
    assert.equal(await outcome('delete'), 0);
    assert.equal((await etcd.delete(prefix('py/b/'))).deleted, 2n);
    assert.equal(await etcd.get('py/k'), undefined);
  },
  '`.with_timeout(s)`, `.with_connect_timeout(s)` (seconds)': withOptions,
  '`.with_keep_alive(interval, timeout)`, `.with_keep_alive_while_idle(True)`': withOptions,
  '`.with_tcp_keepalive(s)`': withOptions,
  "`etcd.with_lock(EtcdLockOption(lock_name=b'k', timeout=…, ttl=…))`": async () => {
    await outcome('locked');
    await using session = await Session.create(etcd, { ttlSeconds: 30 });
    const mutex = new Mutex(session, 'py/lock');
    assert.equal(await mutex.tryLock(), undefined, 'they hold it');
    const ours = mutex.lock({ timeoutMs: 10_000 });
    peer.stdin.write('\n');
    await outcome('unlocked');
    await (await ours).unlock();
  },
  '`ConnectOptions().with_user(u, p)`': async () => {
    await outcome('user');
    await etcd.auth.userAdd('root', { password: 'secret' });
    await etcd.auth.roleAdd('root');
    await etcd.auth.userGrantRole('root', 'root');
    await etcd.auth.enable();
    peer.stdin.write('\n');
    const auth = { username: 'root', password: 'secret' };
    await using user = await connect({ endpoints: server.endpoint, auth });
    assert.equal(await outcome('as user'), (await user.get('py/options'))?.text());
  },
  '`cleanup_runtime()`': async () => {
    assert.equal(await outcome('cleanup_runtime'), true);
    assert.equal(await end, 0);
  },
};

async function withOptions(): Promise<void> {
  assert.equal(await outcome('options'), true);
  await using ours = await connect({
    endpoints: server.endpoint,
    timeoutMs: 5_000,
    connectTimeoutMs: 5_000,
    keepAlive: { intervalMs: 10_000, timeoutMs: 5_000, whileIdle: true },
    tcpKeepAliveMs: 10_000,
  });
  assert.ok(await ours.get('py/options'));
}

for (const [row, tries] of Object.entries(rows))
  test(`row of the guide: ${row}`, { skip, timeout: 240_000 }, tries);

test('there is no other row in the guide', () => {
  const theirs = rowsOf('Coming from etcd-client-py').map(([left]) => left);
  assert.deepEqual([...theirs].sort(), Object.keys(rows).sort());
});
