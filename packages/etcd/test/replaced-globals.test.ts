// Programs and their tests replace what is built in: clocks, ticks, how stacks are made. The client goes on by the real ones.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { EtcdServer } from '@quiesce/test-services';
import { type EtcdClient, LeaseNotFoundError } from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { program } from './support/program.js';

const INDEX = new URL('../src/index.js', import.meta.url).href;

overEachTransport('built-ins that a program has replaced', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });

  test('timers and ticks: calls, their deadlines, watches and locks go on, and later ones too', async (t) => {
    // grpc-js has timers of its own.
    if (etcd.transport !== 'native') return t.skip('of the native transport');
    // In a process of its own, as a test runner needs ticks, too.
    const file = program(`
      import { mock } from 'node:test';
      import { connect, Mutex, Session, tryLockKey } from ${JSON.stringify(INDEX)};
      const { nextTick } = process;
      const etcd = await connect({ endpoints: process.argv[2], transport: 'native' });
      mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate'] });
      process.nextTick = () => {};
      performance.now = () => 0;
      process.hrtime = () => [0, 0];
      // More than is handled in a turn.
      await Promise.all(Array.from({ length: 3_000 }, () => etcd.get('a')));
      const watch = etcd.watch('a');
      await watch.ready;
      await etcd.put('a', '1');
      for await (const event of watch) break;
      const ending = etcd.watch('b');
      const ended = new Promise((resolve) => ending.on('close', resolve));
      ending.close();
      await ended;
      const [session, other] = await Promise.all([1, 2].map(() => Session.create(etcd, { ttlSeconds: 10 })));
      const held = await new Mutex(session, 'replaced/m').lock();
      const late = await new Mutex(other, 'replaced/m').lock({ timeoutMs: 50 }).catch((error) => error);
      await held.unlock();
      await (await tryLockKey(etcd, 'replaced/k')).unlock();
      await Promise.all([session.close(), other.close()]);
      process.nextTick = nextTick;
      mock.timers.reset();
      console.log(late.name, (await etcd.get('a')).text());
      await etcd.close();`);
    const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', file, server.endpoint], {
      timeout: 240_000,
    });
    assert.equal(stdout, 'DeadlineExceededError 1\n');
  });

  test('how stacks are made: an error is the one that it was', async () => {
    const call = () => assert.rejects(etcd.put('a', 'b', { lease: 999n }), LeaseNotFoundError);
    const { stackTraceLimit, prepareStackTrace } = Error;
    try {
      Object.defineProperty(Error, 'stackTraceLimit', { value: 10, writable: false, configurable: true });
      await call();
    } finally {
      Object.defineProperty(Error, 'stackTraceLimit', { value: stackTraceLimit, writable: true });
    }
    // grpc-js reads stacks itself.
    if (etcd.transport !== 'native') return;
    const odd: (typeof Error.prepareStackTrace)[] = [
      () => ({}),
      () => 5,
      () => {
        throw new Error('no stack');
      },
    ];
    for (const prepare of odd) {
      let failure: unknown;
      Error.prepareStackTrace = prepare;
      try {
        await etcd.put('a', 'b', { lease: 999n });
      } catch (error) {
        failure = error;
      } finally {
        Error.prepareStackTrace = prepareStackTrace;
      }
      assert.ok(failure instanceof LeaseNotFoundError, String(failure));
    }
  });

  test('options that give another value when they are read again harm no other watch', async () => {
    await using good = etcd.watch('good');
    await good.ready;
    class Odd {
      get filters(): never[] {
        return ['bogus' as never];
      }
    }
    assert.throws(() => etcd.watch('a', new Odd()), { name: 'InvalidArgumentError' });
    const filters: 'put'[] = new Array(2);
    filters[1] = 'put';
    assert.throws(() => etcd.watch('a', { filters }), { name: 'InvalidArgumentError' });
    await etcd.put('good', '1');
    for await (const { kv } of good) {
      assert.equal(kv.text(), '1');
      break;
    }
  });
});
