// What programs do by mistake, and that does no harm: buffers that are used again, hand-written operations, objects with
// getters, functions that throw anything or never answer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import type { EtcdServer } from '@quiesce/test-services';
import {
  Barrier,
  Cache,
  CodecError,
  compare,
  connect as connectHere,
  DeadlineExceededError,
  Election,
  EndpointManager,
  type EtcdClient,
  EtcdError,
  fromKey,
  InvalidArgumentError,
  json,
  keyRange,
  Mirror,
  Mutex,
  op,
  PriorityQueue,
  prefix,
  Session,
  type Txn,
  tryLockKey,
  UnimplementedError,
  utf8,
} from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';

type Untyped = (...given: unknown[]) => Promise<unknown>;

/** A call of a program without types. */
const untyped = (value: unknown): never => value as never;

async function refused(call: () => unknown, says: RegExp): Promise<void> {
  await assert.rejects(
    async () => {
      await call();
    },
    (error) => {
      assert.ok(error instanceof InvalidArgumentError, String(error));
      assert.match(error.message, says);
      assert.ok(!error.sent);
      return true;
    },
  );
}

overEachTransport('mistakes', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });

  test('a buffer that is used again changes nothing that was begun with it', async () => {
    const buffer = Buffer.from('reuse/a');
    const again = (): void => void buffer.write('reuse/b');
    const fresh = (): Buffer => {
      buffer.write('reuse/a');
      return buffer;
    };
    const locking = tryLockKey(etcd, fresh());
    again();
    await using lock = await locking;
    assert.equal(String(lock?.key), 'reuse/a');
    assert.equal(await etcd.get('reuse/b'), undefined);

    for (const range of [prefix(fresh()), fromKey(fresh()), keyRange(fresh(), 'reuse/z')]) {
      again();
      assert.equal(String(range.key), 'reuse/a');
    }
    const barrier = new Barrier(etcd, fresh());
    again();
    await assert.rejects(barrier.hold(), /held already/);

    const watch = etcd.watch(fresh());
    again();
    await watch.ready;
    const mirror = new Mirror(etcd, fresh());
    again();
    await using cache = await Cache.open(etcd, prefix(fresh()));
    again();
    await etcd.put('reuse/b', 'other');
    await etcd.put('reuse/a', 'this');
    for await (const { kv } of watch) {
      assert.equal(kv.keyText(), 'reuse/a');
      break;
    }
    for await (const change of mirror) {
      if (change.type === 'synced') break;
      if (change.type === 'base')
        assert.deepEqual(
          change.kvs.map((kv) => kv.keyText()),
          ['reuse/a'],
        );
    }
    await cache.waitForRevision((await etcd.get('reuse/a'))?.modRevision ?? 0n);
    assert.deepEqual(
      cache.range().map((kv) => kv.keyText()),
      ['reuse/a'],
    );

    await etcd.stm(async (stm) => {
      await stm.get(fresh());
      again();
      const value = Buffer.from('1');
      stm.put(fresh(), value);
      again();
      value.write('2');
    });
    assert.equal((await etcd.get('reuse/a'))?.text(), '1');
    assert.equal((await etcd.get('reuse/b'))?.text(), 'other');

    await using session = await Session.create(etcd);
    const value = Buffer.from('me');
    const campaign = new Election(etcd, 'reuse/election').campaign(session, value);
    value.write('xx');
    const leadership = await campaign;
    assert.equal((await etcd.get(leadership.key))?.text(), 'me');
    const queue = new PriorityQueue(etcd, 'reuse/queue');
    value.write('me');
    const adding = queue.enqueue(value, 1);
    value.write('xx');
    await adding;
    assert.equal((await queue.dequeue()).text(), 'me');
  });

  test('an operation that was written by hand is checked as those of op are', async () => {
    const txn = (operation: object) => etcd.txn({ success: [untyped(operation)] } as Txn<string, string>);
    await refused(
      () => txn({ type: 'put', key: 'k', vlaue: 'v', options: {} }),
      /vlaue; did you mean value\?/,
    );
    await refused(
      () => txn({ type: 'put', key: 'k', value: 'v', optoins: { prevKv: true } }),
      /optoins; did you mean options\?/,
    );
    await refused(
      () => txn({ type: 'put', key: 'k', value: 'v', lease: 5n, options: {} }),
      /lease; write options: \{ lease \}/,
    );
    await refused(() => txn({ type: 'range', keys: 'k', key: 'l', options: {} }), /has no option key/);
    await refused(() => txn({ type: 'get', keys: 'k', options: {} }), /keys; did you mean key\?/);
    await refused(() => txn({ type: 'delete', key: 'k', options: {} }), /key; did you mean keys\?/);
    await refused(() => txn({ type: 'put', key: 'k', options: {} }), /not undefined/);
    await refused(() => txn({ type: 'put', key: 'k', value: 'v', options: 5 }), /takes an object/);
    await refused(() => etcd.txn({ success: untyped(new Array(2)) }), /not an operation/);
    await refused(() => etcd.txn({ success: untyped([...new Array(1), op.get('k')]) }), /not an operation/);
    await refused(() => etcd.txn({ compare: untyped(new Array(1)) }), /a comparison/);
    const { responses } = await etcd.txn({ success: [untyped({ type: 'put', key: 'hand', value: 'v' })] });
    assert.equal(responses.length, 1);
    assert.equal((await etcd.get('hand'))?.text(), 'v');
    await etcd.txn({ compare: [compare.exists('hand')], success: [op.delete('hand')] });
  });

  test('options of a class are checked through its getters, too', async () => {
    const withField = (name: string, value: unknown): never => untyped(getter(name, value));
    await refused(() => etcd.get('a', withField('revision', 1.5)), /revision/);
    await refused(() => etcd.range('a', withField('limit', -1)), /limit is -1/);
    await refused(() => etcd.get('a', withField('timeoutMs', Number.NaN)), /timeoutMs is NaN/);
    await refused(() => etcd.get('a', withField('signal', 5)), /signal is 5/);
    assert.equal(await etcd.get('misuse/none', withField('timeoutMs', 5_000)), undefined);
  });

  test('text and bytes that would be changed are refused', async () => {
    await refused(() => etcd.put('k\ud800', 'v'), /lone surrogate/);
    await refused(() => etcd.put('k', 'v\udc01'), /lone surrogate/);
    await refused(() => etcd.get('k\ud800'), /lone surrogate/);
    await refused(() => etcd.auth.roleAdd('r\ud800'), /^role has a lone surrogate/);
    await refused(() => etcd.auth.userAdd('u', { password: 'p\ud800' }), /password has a lone surrogate/);
    await refused(() => etcd.auth.userChangePassword('u', 'p\ud800'), /password has a lone surrogate/);
    const gone = new Uint8Array([1, 2]);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    await refused(() => etcd.put('k', gone), /the bytes are gone/);
    await refused(() => etcd.namespace(gone), /the bytes are gone/);
    await etcd.put('empty', new Uint8Array(0));
    assert.equal((await etcd.get('empty'))?.value.length, 0);
    await refused(
      () => etcd.range(Object.create(Object.getPrototypeOf(prefix('a')))),
      /a KeyRange is made by/,
    );
    const values = etcd.withCodec({ value: json() });
    await assert.rejects(values.put('k', Promise.resolve(1)), (error) => {
      assert.ok(error instanceof CodecError && /await it first/.test(error.message), String(error));
      return true;
    });
  });

  test('a value that is not JSON is named by its key', async () => {
    await etcd.put('settings', '{bad');
    const kv = await etcd.get('settings');
    assert.throws(
      () => kv?.json(),
      (error) => {
        assert.ok(error instanceof CodecError && error.cause instanceof SyntaxError, String(error));
        assert.match(error.message, /^the value of key 'settings' is not valid JSON: /);
        return true;
      },
    );
  });

  test('an endpoint of a service is registered as it is meant, or refused', async () => {
    const services = new EndpointManager(etcd, 'services');
    const wrong: [unknown, RegExp][] = [
      [{ addr: '' }, /^addr is ''; it must be a non-empty string/],
      [{ addr: 'h\ud800' }, /^addr has a lone surrogate/],
      [{ addr: 1 }, /^addr is 1; /],
      [{ address: 'h:1' }, /did you mean addr\?/],
      [{ addr: 'h:1', metadata: Promise.resolve(1) }, /^metadata is a Promise: await it first/],
      [{ addr: 'h:1', metadata: () => 1 }, /^metadata \(a function\) can't be written as JSON/],
      [{ addr: 'h:1', metadata: 1n }, /^metadata \(1n\) can't be written as JSON/],
      [{}, /addr is missing/],
      [null, /an endpoint takes an object, and was given null/],
      [Promise.resolve(), /an endpoint takes an object/],
    ];
    for (const [endpoint, message] of wrong) {
      await refused(() => services.add('a', untyped(endpoint)), message);
    }
    assert.equal((await services.list()).size, 0);
  });

  test('a file for a snapshot that cannot be written is named at once', async () => {
    const { maintenance } = etcd;
    await refused(() => maintenance.snapshotTo('/tmp'), /^file is '\/tmp', a directory; /);
    await refused(
      () => maintenance.snapshotTo('/not/there/x'),
      /^the snapshot can't be written to '\/not\/there\/x': ENOENT/,
    );
  });

  test('what a program has added to all objects is no option', async () => {
    const added = { polluted: { value: 1, enumerable: true, configurable: true } };
    Object.defineProperties(Object.prototype, added);
    try {
      await etcd.put('a', 'b', {});
      await etcd.get('a');
      await refused(() => etcd.get('a', untyped({ polluted: 1 })), /get\(\) has no option polluted/);
    } finally {
      Reflect.deleteProperty(Object.prototype, 'polluted');
    }
  });

  test('codecs that are called directly fail with a CodecError', () => {
    for (const [what, decode] of [
      ['utf8', () => utf8.decode(Uint8Array.of(0xff))],
      ['json of no UTF-8', () => json().decode(Uint8Array.of(0xff))],
      ['json', () => json().decode(Buffer.from('{'))],
    ] as const) {
      assert.throws(decode, (error) => {
        assert.ok(error instanceof CodecError, `${what}: ${error}`);
        assert.ok(error.cause instanceof Error);
        assert.ok(!error.sent && !error.mayBeApplied);
        return true;
      });
    }
    assert.throws(() => utf8.decode(untyped('text')), InvalidArgumentError);
  });

  test('what is thrown may be anything', async () => {
    const thrown = Object.create(null);
    const fails = (): never => {
      throw thrown;
    };
    await assert.rejects(connect({ endpoints: server.endpoint, auth: fails }), EtcdError);
    const codec = { encode: fails, decode: fails };
    await assert.rejects(etcd.withCodec({ value: codec }).put('k', untyped('')), CodecError);
    await etcd.put('k', '');
    const kv = await etcd.withCodec({ value: codec }).get('k');
    assert.throws(() => kv?.value, CodecError);
    assert.throws(() => new EtcdError('m', untyped(undefined)), InvalidArgumentError);
  });

  test('an auth function that never answers holds up neither connect() nor the calls after it', async () => {
    const never = (): Promise<never> => new Promise(() => {});
    const bounds = { endpoints: server.endpoint, timeoutMs: 200 };
    await assert.rejects(connect({ ...bounds, auth: never }), (error) => {
      assert.ok(error instanceof DeadlineExceededError, String(error));
      assert.match(error.message, /the auth function returned nothing within 200 ms/);
      return true;
    });
    let asked = 0;
    await using lazy = await connect({
      ...bounds,
      lazy: true,
      auth: () => (asked++ === 0 ? never() : { token: 'any' }),
    });
    const watch = lazy.watch('misuse/auth');
    await watch.ready;
    watch.close();
    assert.ok(asked >= 2);
    await refused(() => connect({ ...bounds, auth: { token: 'a\nb' } }), /printable ASCII/);
  });

  test('what other clients take, and this one would ignore, is refused with what to write', async () => {
    const { endpoint } = server;
    await refused(
      () => (connectHere as Untyped)(endpoint, { timeoutMs: 100 }),
      /connect\(\) takes 1 argument, and was given 2: the second is an object; options go in one object/,
    );
    await refused(() => (connectHere as Untyped)(new URL(endpoint)), /url\.href/);
    await refused(() => etcd.get(untyped(prefix('a'))), /get\(\) reads one key; range\(keys\)/);
    await refused(() => etcd.txn({ success: [op.get(untyped(prefix('a')))] }), /get\(\) reads one key/);
    await refused(() => etcd.get('a', untyped({ prefix: true })), /range\(prefix\(start\)\)/);
    await refused(() => etcd.put('k', untyped(new Date())), /not a Date; .*String\(\)/);
    await refused(() => etcd.put('k', untyped(Promise.resolve(''))), /a Promise: await it first/);
    await refused(() => etcd.put(untyped(prefix('a')), 'v'), /not a KeyRange/);
    await refused(
      () => new (Session as unknown as new (space: unknown) => unknown)(etcd),
      /await Session\.create/,
    );
    await refused(
      () => new (Cache as unknown as new (...given: unknown[]) => unknown)(etcd, 'k', {}),
      /await Cache\.open/,
    );
    const { endpoint: endpoints } = server;
    await refused(
      () => connect({ endpoints, auth: () => untyped({ user: 'u' }) }),
      /what the auth function gave is wrong: auth has no option user; did you mean username\?/,
    );
    for (const [answer, says] of [
      [5, /it is 5; it must be an array of SRV records/],
      [[null], /it\[0\] is null; it must be an SRV record such as/],
      [[{ name: '127.0.0.1' }], /it\[0\]\.port is undefined; it must be a port/],
      [[{ name: 5, port: 'x', priority: 0 }], /it\[0\]\.name is 5; it must be a non-empty string/],
      [[{ name: 'a', port: 1, priority: 'x' }], /it\[0\]\.priority is 'x'; it must be a number/],
    ] as const) {
      const resolver = { resolveSrv: async () => untyped(answer) };
      await refused(() => connect({ srv: { domain: 'x', resolver } }), says);
    }
    const throwing = {
      resolveSrv: () => {
        throw new Error('no names here');
      },
    };
    await assert.rejects(
      connect({ srv: { domain: 'x', resolver: throwing } }),
      /^UnavailableError: .*no names here/,
    );
    const silent = { resolveSrv: () => new Promise<never>(() => {}) };
    await assert.rejects(
      connect({ srv: { domain: 'x', resolver: silent }, connectTimeoutMs: 100 }),
      /^UnavailableError: DNS gave no answer within 100 ms/,
    );
    await using watch = etcd.watch('k');
    const on = (name: string): unknown => (watch as unknown as NodeJS.EventEmitter).on(name, () => {});
    await refused(() => on('data'), /no event 'data'; did you mean put and delete\?/);
    await refused(() => on('PUT'), /did you mean put\?/);
    on('connected');
  });

  test('sessions, locks and watches can be printed and written as JSON', async () => {
    await using session = await Session.create(etcd);
    const lock = await new Mutex(session, 'json').lock();
    const { leaseId } = session;
    assert.deepEqual(JSON.parse(JSON.stringify(lock)), {
      key: Buffer.from(lock.key).toString(),
      revision: String(lock.revision),
      leaseId: String(leaseId),
      held: true,
    });
    assert.match(inspect(lock), /^Lock \{\s+key: 'json\//);
    assert.match(inspect(session), new RegExp(`^Session \\{\\s+leaseId: '${leaseId}'`));
    assert.equal(JSON.parse(JSON.stringify(session)).lost, false);
    await (lock as unknown as { release(): Promise<void> }).release();
    assert.equal(JSON.parse(JSON.stringify(lock)).held, false);
    await using watch = etcd.watch('json');
    const revision = await watch.ready;
    assert.deepEqual(JSON.parse(JSON.stringify({ watch })), { watch: { revision: String(revision) } });
  });

  test('a snapshot goes to no file of such a name', async () => {
    await refused(() => etcd.maintenance.snapshotTo('a\0b'), /without zero bytes/);
  });

  test('options of which one can’t count are refused', async () => {
    const { id } = await etcd.lease.grant(60);
    await refused(() => Session.create(etcd, { leaseId: id, ttlSeconds: 5 }), /can't be combined/);
    await refused(() => connect({ endpoints: server.endpoint, autoSyncIntervalMs: 1e-9 }), /at least 1/);
    await refused(
      () => connect({ endpoints: server.endpoint, retry: { backoffMs: 1e-9 } }),
      /retry\.backoffMs is 1e-9/,
    );
    await etcd.lease.revoke(id);
  });

  test('a method that the server doesn’t know has done nothing', async () => {
    const bytes = { encode: () => new Uint8Array(0), decode: (response: Uint8Array) => response };
    await assert.rejects(etcd.unary({ path: '/none.Such/Thing', ...bytes }, undefined), (error) => {
      assert.ok(error instanceof UnimplementedError, String(error));
      return error.sent && !error.mayBeApplied;
    });
  });

  test('a time beyond what timers run is none', async () => {
    for (const connectTimeoutMs of [0.5 + 2 ** 31, 2 ** 53, 1e300, Number.POSITIVE_INFINITY]) {
      await using far = await connect({
        endpoints: server.endpoint,
        connectTimeoutMs,
        tcpKeepAliveMs: 2 ** 40,
      });
      await far.get('k', { timeoutMs: 2 ** 53 });
    }
  });
});

/** An object whose class has that one getter. */
function getter(name: string, value: unknown): object {
  class Options {}
  Object.defineProperty(Options.prototype, name, { get: () => value, configurable: true });
  return new Options();
}
