// RPCs without a wrapper: etcd's lock and election services, and gRPC's health service, by their bytes.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import * as grpc from '@grpc/grpc-js';
import { type EtcdServer, startEtcd, startTcpProxy } from '@quiesce/test-services';
import {
  ClosedError,
  DeadlineExceededError,
  type EtcdClient,
  EtcdError,
  InvalidArgumentError,
  Mutex,
  RequestTooLargeError,
  type RpcMethod,
  Session,
  StatusCode,
  UnavailableError,
  UnimplementedError,
} from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { startScriptedServer, type UnaryScript } from './support/scripted-server.js';

type Fields = Record<number, string | Uint8Array | bigint>;

function encode(fields: Fields): Uint8Array {
  const writer = new BinaryWriter();
  for (const [number, value] of Object.entries(fields)) {
    if (typeof value === 'bigint') writer.tag(Number(number), WireType.Varint).int64(value);
    else writer.tag(Number(number), WireType.LengthDelimited).bytes(Buffer.from(value));
  }
  return writer.finish();
}

/** Each field that comes once: a number, or bytes. */
function decode(bytes: Uint8Array): Record<number, Buffer | bigint> {
  const reader = new BinaryReader(bytes);
  const fields: Record<number, Buffer | bigint> = {};
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    fields[number] =
      wireType === WireType.Varint ? BigInt(reader.int64() as bigint | string) : Buffer.from(reader.bytes());
  }
  return fields;
}

const method = (path: string, idempotent = false): RpcMethod<Fields, Record<number, Buffer | bigint>> => ({
  path,
  encode,
  decode,
  idempotent,
});
const lock = method('/v3lockpb.Lock/Lock');
const unlock = method('/v3lockpb.Lock/Unlock');
const health = method('/grpc.health.v1.Health/Check', true);
const SERVING = 1n;

overEachTransport('raw calls', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  let session: Session;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });
  before(async () => {
    session = await Session.create(etcd);
  });

  test('lock through etcd’s own lock service, beside a mutex', async () => {
    const { 2: key } = await etcd.unary(lock, { 1: 'raw', 2: session.leaseId });
    assert.ok(Buffer.isBuffer(key) && key.toString().startsWith('raw/'));
    assert.ok(await etcd.get(key));
    const mutex = new Mutex(session, 'raw');
    assert.equal(await mutex.tryLock(), undefined);
    const header = (await etcd.unary(unlock, { 1: key }))[1];
    assert.ok(Buffer.isBuffer(header) && decode(header)[3] !== undefined);
    await (await mutex.tryLock())?.unlock();
  });

  test('keep the deadline, the signal and the size of calls, and end with the client', async () => {
    await using held = await new Mutex(session, 'held').lock();
    assert.ok(held);
    const { id } = await etcd.lease.grant(60);
    const request = { 1: 'held', 2: id };
    await assert.rejects(etcd.unary(lock, request, { timeoutMs: 100 }), DeadlineExceededError);
    const reason = new Error('enough');
    const signal = AbortSignal.timeout(100);
    await assert.rejects(etcd.unary(lock, request, { signal }), { name: 'TimeoutError' });
    await assert.rejects(etcd.unary(lock, request, { signal: AbortSignal.abort(reason) }), reason);
    await assert.rejects(etcd.unary(lock, { 1: 'x'.repeat(3_000_000) }), RequestTooLargeError);
    const other = await connect(server.endpoint);
    const waiting = assert.rejects(other.unary(lock, request, { timeoutMs: 60_000 }), ClosedError);
    await other.close();
    await waiting;
    await etcd.lease.revoke(id);
  });

  test('fail with the class of the status', async () => {
    await assert.rejects(etcd.unary(method('/v3lockpb.Lock/Steal'), {}), UnimplementedError);
    await assert.rejects(etcd.unary(health, { 1: 'nobody' }), (error: unknown) => {
      return error instanceof EtcdError && error.code === StatusCode.NOT_FOUND;
    });
    assert.equal((await etcd.unary(health, {}))[1], SERVING);
    for (const path of ['Lock', '/v3lockpb.Lock', '', '/a/b/c']) {
      await assert.rejects(etcd.unary(method(path), {}), InvalidArgumentError);
      assert.throws(() => etcd.stream(method(path)), InvalidArgumentError);
    }
    const noCodec = { path: '/v3lockpb.Lock/Lock' } as unknown as typeof lock;
    await assert.rejects(etcd.unary(noCodec, {}), InvalidArgumentError);
  });

  test('are sent again as their method says', async () => {
    const calls: Record<string, number> = {};
    const late =
      (path: string): UnaryScript =>
      (_call, answer) => {
        calls[path] = (calls[path] ?? 0) + 1;
        if (calls[path] > 1) answer(null, Buffer.from(encode({ 2: 'late' })));
        else answer({ code: grpc.status.UNAVAILABLE, details: 'not now' });
      };
    await using scripted = await startScriptedServer({
      unary: {
        '/etcdserverpb.Maintenance/Status': (_call, answer) => answer(null, Buffer.alloc(0)),
        '/a.B/Read': late('/a.B/Read'),
        '/a.B/Write': late('/a.B/Write'),
      },
    });
    await using client = await connect(scripted.endpoint);
    assert.equal(String((await client.unary(method('/a.B/Read', true), {}))[2]), 'late');
    await assert.rejects(client.unary(method('/a.B/Write'), {}), UnavailableError);
    assert.deepEqual(calls, { '/a.B/Read': 2, '/a.B/Write': 1 });
  });

  test('streams bring what comes until they are left', async () => {
    const watch = method('/grpc.health.v1.Health/Watch');
    const stream = etcd.stream(watch);
    await stream.send({});
    stream.closeSend();
    for await (const response of stream) {
      assert.equal(response[1], SERVING);
      break;
    }
    await assert.rejects(async () => {
      for await (const _ of stream) assert.fail('it was left');
    }, EtcdError);
    // Both ways.
    const renewals = etcd.stream(method('/etcdserverpb.Lease/LeaseKeepAlive'), { requireLeader: true });
    const responses = renewals[Symbol.asyncIterator]();
    for (let i = 0; i < 3; i++) {
      await renewals.send({ 1: session.leaseId });
      assert.equal((await responses.next()).value?.[2], session.leaseId);
    }
    renewals.closeSend();
    assert.deepEqual(await responses.next(), { done: true, value: undefined });
  });

  test('many sends under way at once all resolve', async () => {
    const stream = etcd.stream(method('/etcdserverpb.Lease/LeaseKeepAlive'), { timeoutMs: 10_000 });
    await Promise.all(Array.from({ length: 100 }, () => stream.send({ 1: 5n })));
    stream.closeSend();
    let answers = 0;
    for await (const _ of stream) answers += 1;
    assert.equal(answers, 100);
  });

  test('streams end with their signal, their deadline, their connection and their client', async () => {
    const watch = method('/grpc.health.v1.Health/Watch');
    const ended = async (stream: AsyncIterable<unknown>): Promise<unknown> => {
      try {
        for await (const _ of stream);
        return undefined;
      } catch (error) {
        return error;
      }
    };
    const begun = async (client: EtcdClient, options = {}): Promise<Promise<unknown>> => {
      const stream = client.stream(watch, options);
      await stream.send({});
      return ended(stream);
    };
    const reason = new Error('enough');
    const control = new AbortController();
    const aborted = begun(etcd, { signal: control.signal });
    setTimeout(() => control.abort(reason), 50);
    assert.equal(await aborted, reason);
    assert.ok((await begun(etcd, { timeoutMs: 100 })) instanceof DeadlineExceededError);
    assert.throws(() => etcd.stream(watch, { signal: AbortSignal.abort(reason) }), reason);
    await using proxy = await startTcpProxy(server);
    const far = await connect(`http://127.0.0.1:${proxy.port}`);
    const cut = begun(far);
    setTimeout(() => proxy.cut(), 100);
    assert.ok((await cut) instanceof UnavailableError);
    const closed = begun(far);
    setTimeout(() => far.close(), 100);
    assert.ok((await closed) instanceof ClosedError);
    assert.throws(() => far.stream(watch), ClosedError);
  });

  test('streams whose deadline passes after answers say so', async () => {
    // The server ends them at the same time, with an error of its own. On a busy machine the answer may not come in time:
    // such a round shows nothing.
    let answered = 0;
    for (let round = 0; answered < 15; round++) {
      assert.ok(round < 300, `in ${answered} of ${round} rounds an answer came in time`);
      await etcd.get('k');
      const stream = etcd.stream(method('/grpc.health.v1.Health/Watch'), { timeoutMs: 100 });
      await stream.send({});
      stream.closeSend();
      let answers = 0;
      await assert.rejects(
        async () => {
          for await (const _ of stream) answers += 1;
        },
        (error) => {
          const what = answers === 0 ? /no answer from http:\S+/ : /the stream from http:\S+ was not over/;
          assert.ok(error instanceof DeadlineExceededError, String(error));
          assert.match(error.message, what);
          return / within 100 ms/.test(error.message);
        },
      );
      answered += answers;
      assert.ok(answers <= 1);
    }
  });

  test('go as the user that the client has logged in', async () => {
    await using own = await startEtcd({ extraArgs: ['--bcrypt-cost=4'] });
    await using admin = await connect(own.endpoint);
    for (const user of ['root', 'guest']) await admin.auth.userAdd(user, { password: 'p' });
    await admin.auth.roleAdd('root');
    await admin.auth.userGrantRole('root', 'root');
    await admin.auth.enable();
    const as = (username: string) => connect({ endpoints: own.endpoint, auth: { username, password: 'p' } });
    await using root = await as('root');
    await using guest = await as('guest');
    const { id } = await root.lease.grant(60);
    assert.ok((await root.unary(lock, { 1: 'l', 2: id }))[2]);
    await assert.rejects(guest.unary(lock, { 1: 'l', 2: id }), { code: StatusCode.PERMISSION_DENIED });
    const stream = root.stream(method('/etcdserverpb.Maintenance/Snapshot'), { timeoutMs: 20_000 });
    await stream.send({});
    stream.closeSend();
    for await (const chunk of stream) {
      assert.ok(chunk[3] !== undefined);
      break;
    }
  });

  test('whose encode() gives no bytes fail alone', async () => {
    for (const encoded of [undefined, null, 5, {}, { length: 40_000 }, 'text', [1, 2]]) {
      const wrong = { ...method('/etcdserverpb.Lease/LeaseKeepAlive'), encode: () => encoded as never };
      const others = [etcd.put('k', 'v'), etcd.get('k')];
      await using stream = etcd.stream(wrong);
      const refused = { name: 'InvalidArgumentError', message: /encode\(\) returned.*Uint8Array/ };
      await assert.rejects(stream.send({}), refused);
      await assert.rejects(etcd.unary({ ...wrong, path: '/etcdserverpb.KV/Range' }, {}), refused);
      await Promise.all(others);
    }
  });
});
