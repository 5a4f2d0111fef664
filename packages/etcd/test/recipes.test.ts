// Barriers and queues: clientv3's recipes.
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type EtcdServer, startTcpProxy } from '@quiesce/test-services';
import {
  Barrier,
  type CallTrace,
  channelNames,
  DeadlineExceededError,
  DoubleBarrier,
  Election,
  type EtcdClient,
  EtcdError,
  InvalidArgumentError,
  Mutex,
  PriorityQueue,
  prefix,
  Queue,
  RwMutex,
  Session,
  StatusCode,
} from '../src/index.js';
import { KeyRange } from '../src/kv/key-range.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { eventually } from './support/eventually.js';
import { OwnTime } from './support/own-time.js';

const withCode =
  (code: number) =>
  (error: unknown): boolean =>
    error instanceof EtcdError && error.code === code;

overEachTransport('recipes', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });

  test('barrier: all wait until it is released', async () => {
    const barrier = new Barrier(etcd, 'barrier');
    await barrier.wait();
    await barrier.hold();
    await assert.rejects(barrier.hold(), withCode(StatusCode.ALREADY_EXISTS));
    let through = 0;
    const waiting = Array.from({ length: 5 }, async () => {
      await new Barrier(etcd, 'barrier').wait();
      through += 1;
    });
    await assert.rejects(barrier.wait({ timeoutMs: 100 }), DeadlineExceededError);
    assert.equal(through, 0);
    await barrier.release();
    await Promise.all(waiting);
    await barrier.release();
  });

  // What the guide says of such names, so that it is true; it can't be otherwise beside clientv3.
  test('names below one another: a queue, a lock and an election take the keys of those below', async () => {
    await new Queue(etcd, 'jobs/low').enqueue('of jobs/low');
    assert.equal((await new Queue(etcd, 'jobs').dequeue({ timeoutMs: 60_000 })).text(), 'of jobs/low');
    await new PriorityQueue(etcd, 'urgent/low').enqueue('of urgent/low', 1);
    const item = await new PriorityQueue(etcd, 'urgent').dequeue({ timeoutMs: 60_000 });
    assert.equal(item.text(), 'of urgent/low');
    await using one = await Session.create(etcd);
    await using two = await Session.create(etcd);
    for (const Kind of [Mutex, RwMutex]) {
      const outer = Kind.name;
      const lockOf = (session: Session, name: string) => {
        const lock = new Kind(session, name);
        return (options = {}) => (lock instanceof Mutex ? lock.lock(options) : lock.writeLock(options));
      };
      await lockOf(one, `${outer}/inner`)();
      await assert.rejects(lockOf(two, outer)({ timeoutMs: 200 }), DeadlineExceededError, outer);
    }
    await new Election(etcd, 'led/inner').campaign(one, 'inner');
    assert.equal((await new Election(etcd, 'led').leader())?.text(), 'inner');
  });

  test('barrier: waits over cut connections', async () => {
    await using proxy = await startTcpProxy(server);
    await using far = await connect(`http://127.0.0.1:${proxy.port}`);
    const barrier = new Barrier(etcd, 'cut-barrier');
    await barrier.hold();
    const waiting = new Barrier(far, 'cut-barrier').wait();
    for (let i = 0; i < 3; i++) {
      await sleep(20);
      proxy.cut();
    }
    await barrier.release();
    await waiting;
  });

  test('double barrier: nobody enters before all have come, nobody leaves before all are done', async () => {
    const sessions = await Promise.all([1, 2, 3].map(() => Session.create(etcd)));
    const [first, ...others] = sessions.map((session) => new DoubleBarrier(session, 'double', 3));
    assert.ok(first !== undefined);
    // Twice, as what is left of the first time must not disturb the second.
    for (let cycle = 0; cycle < 2; cycle++) {
      const log: string[] = [];
      const entering = others.map((barrier) => barrier.enter().then(() => log.push('entered')));
      await sleep(50);
      assert.equal(log.length, 0);
      await first.enter();
      await Promise.all(entering);
      assert.equal(log.join(), 'entered,entered');
      const leaving = others.map((barrier) => barrier.leave().then(() => log.push('left')));
      await sleep(50);
      assert.equal(log.length, 2);
      await first.leave();
      await Promise.all(leaving);
      assert.equal((await etcd.range(prefix('double/'), { countOnly: true })).count, 0n);
    }
    await Promise.all(sessions.map((session) => session.close()));
  });

  test('double barrier: further participants are refused', async () => {
    const sessions = await Promise.all([1, 2, 3, 4].map(() => Session.create(etcd)));
    const barriers = sessions.map((session) => new DoubleBarrier(session, 'full', 2));
    const results = await Promise.allSettled(barriers.map((barrier) => barrier.enter()));
    const refused = results.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
    assert.equal(refused.length, 2);
    for (const { reason } of refused)
      assert.ok(withCode(StatusCode.FAILED_PRECONDITION)(reason), String(reason));
    const [late] = barriers;
    await assert.rejects(late?.enter() as Promise<void>, withCode(StatusCode.FAILED_PRECONDITION));
    await Promise.all(sessions.map((session) => session.close()));
    assert.throws(() => new DoubleBarrier(sessions[0] as Session, 'full', 0), InvalidArgumentError);
  });

  test('double barrier: one who dies doesn’t hold up the others', async () => {
    const sessions = await Promise.all([1, 2].map(() => Session.create(etcd)));
    const [one, two] = sessions.map((session) => new DoubleBarrier(session, 'dies', 2));
    await assert.rejects(one?.leave() as Promise<void>, withCode(StatusCode.FAILED_PRECONDITION));
    await assert.rejects(one?.enter({ timeoutMs: 100 }) as Promise<void>, DeadlineExceededError);
    await Promise.all([one?.enter(), two?.enter()]);
    const leaving = two?.leave();
    await sleep(20);
    await sessions[0]?.close();
    await leaving;
    await sessions[1]?.close();
  });

  test('queue: first in, first out', async () => {
    const queue = new Queue(etcd, 'queue');
    for (let i = 0; i < 20; i++) await queue.enqueue(String(i));
    for (let i = 0; i < 20; i++) assert.equal((await queue.dequeue()).text(), String(i));
    await assert.rejects(queue.dequeue({ timeoutMs: 50 }), DeadlineExceededError);
    const waiting = queue.dequeue();
    await queue.enqueue('later');
    assert.equal((await waiting).text(), 'later');
  });

  for (const kind of ['queue', 'priority queue'] as const) {
    test(`${kind}: each item goes to one consumer`, async () => {
      const name = `shared ${kind}`;
      const queue = new Queue(etcd, name);
      const priorities = new PriorityQueue(etcd, name);
      const add = (value: string, i: number): Promise<void> =>
        kind === 'queue' ? queue.enqueue(value) : priorities.enqueue(value, i % 3);
      const values = Array.from({ length: 60 }, (_, i) => `item ${i}`);
      const taken: string[] = [];
      const consumers = Array.from({ length: 5 }, async () => {
        for (let i = 0; i < 12; i++) {
          taken.push((await (kind === 'queue' ? queue : priorities).dequeue()).text());
        }
      });
      await Promise.all(values.map(add));
      await Promise.all(consumers);
      assert.deepEqual(taken.sort(), [...values].sort());
    });
  }

  test('priority queue: timeoutMs bounds all calls of an enqueue together', async () => {
    await using proxy = await startTcpProxy(server);
    await using far = await connect(`http://127.0.0.1:${proxy.port}`);
    await far.get('warm');
    // Each call is held back for less than that.
    const timeoutMs = 2_000;
    const holdMs = 1_500;
    const answered = (trace: unknown): void => {
      if ((trace as CallTrace).method.endsWith('/Range')) proxy.pause();
    };
    subscribe(channelNames.callEnd, answered);
    try {
      proxy.pause();
      using time = new OwnTime();
      const adding = new PriorityQueue(far, 'bounded').enqueue('late', 1, { timeoutMs });
      const resumed = sleep(holdMs).then(() => proxy.resume());
      await assert.rejects(adding, DeadlineExceededError);
      assert.ok(time.ms < timeoutMs + holdMs - 200, `took ${time.ms} ms`);
      await resumed;
    } finally {
      unsubscribe(channelNames.callEnd, answered);
      proxy.resume();
    }
  });

  test('priority queue: a producer reads only the items since its last one, and keeps the order with others', async () => {
    const space = etcd.namespace('');
    const starts: string[] = [];
    const range = space.range.bind(space);
    Object.defineProperty(space, 'range', {
      value: (...[keys, options]: Parameters<typeof range>) => {
        if (keys instanceof KeyRange) starts.push(Buffer.from(keys.key).toString());
        return range(keys, options);
      },
    });
    const [one, other] = [new PriorityQueue(space, 'since'), new PriorityQueue(etcd, 'since')];
    const order: string[] = [];
    const take = async () => order.push((await other.dequeue()).text());
    await one.enqueue('a', 3);
    await other.enqueue('b', 3);
    await one.enqueue('c', 3);
    for (let i = 0; i < 3; i++) await take();
    // Nothing is left, so the other one starts again.
    await new PriorityQueue(etcd, 'since').enqueue('d', 3);
    await one.enqueue('e', 3);
    await other.enqueue('f', 3);
    for (let i = 0; i < 3; i++) await take();
    assert.equal(order.join(''), 'abcdef');
    const level = 'since/00003/';
    assert.deepEqual(starts, [level, `${level}${'0'.repeat(16)}`, `${level}${'2'.padStart(16, '0')}`]);
  });

  test('priority queue: by priority, then in order', async () => {
    const queue = new PriorityQueue(etcd, 'priorities');
    for (let i = 0; i < 12; i++) await queue.enqueue(String(i), 2 - (i % 3));
    const order: number[] = [];
    for (let i = 0; i < 12; i++) order.push(Number((await queue.dequeue()).text()));
    assert.deepEqual(order, [2, 5, 8, 11, 1, 4, 7, 10, 0, 3, 6, 9]);
    for (const priority of [-1, 0.5, 65_536, Number.NaN]) {
      await assert.rejects(queue.enqueue('', priority), InvalidArgumentError);
    }
    await eventually('it is empty', async () => {
      const { count } = await etcd.range(prefix('priorities/'), { countOnly: true });
      return count === 0n;
    });
  });
});
