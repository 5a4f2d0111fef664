// What errors of calls tell their reader: the bound that the caller gave, and the endpoints that were tried.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { type EtcdServer, startEtcd } from '@quiesce/test-services';
import { DeadlineExceededError, type EtcdClient, EtcdError, Mirror, PriorityQueue } from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory();

const escaped = (text: string): string => text.replace(/[.[\]]/g, '\\$&');

async function messageOf(
  type: new (...given: never[]) => EtcdError,
  call: Promise<unknown>,
): Promise<string> {
  const error = await call.then(
    () => assert.fail('it has not failed'),
    (failure: unknown) => failure,
  );
  assert.ok(error instanceof type, String(error));
  assert.ok(error.stack?.includes(error.message), error.stack);
  return error.message;
}

overEachTransport('the message of', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });

  test('a deadline has the bound that was given, also where it is one of several requests that is late', async () => {
    const late: [string, () => Promise<unknown>][] = [
      ['get', () => etcd.get('k', { timeoutMs: 400 })],
      ['put', () => etcd.put('k', 'v', { timeoutMs: 400 })],
      ['priority queue', () => new PriorityQueue(etcd, 'queue').enqueue('v', 1, { timeoutMs: 400 })],
    ];
    server.pause();
    try {
      for (const [what, call] of late) {
        const message = await messageOf(DeadlineExceededError, call());
        assert.match(message, new RegExp(`no answer from ${escaped(server.endpoint)} within 400 ms$`), what);
      }
      const bounded = etcd.put('k', 'v', { timeoutMs: 5_000, attemptTimeoutMs: 150 });
      assert.match(
        await messageOf(DeadlineExceededError, bounded),
        /no answer from .* within 150 ms, the bound on one attempt$/,
      );
    } finally {
      server.resume();
    }
    const committed = etcd.stm(
      async (stm) => {
        await stm.get('k');
        await pause(150);
        server.pause();
        stm.put('k', 'v');
      },
      { timeoutMs: 400 },
    );
    try {
      assert.match(await messageOf(DeadlineExceededError, committed), /no answer from .* within 400 ms$/);
    } finally {
      server.resume();
    }
  });

  test('a deadline of less than a ms is one of a whole ms', async () => {
    server.pause();
    try {
      await messageOf(DeadlineExceededError, etcd.get('k', { timeoutMs: 0.001 }));
    } finally {
      server.resume();
    }
  });

  test('a call that reaches no endpoint has each of them, with its reason', async () => {
    await using first = await startEtcdHere();
    const closed = 'http://127.0.0.1:1';
    const endpoints = [first.server.endpoint, closed];
    await using own = await connect({ endpoints });
    await own.get('k');
    first.server.kill();
    await first.server.exited;
    // The first one may still have the connection that breaks.
    await assert.rejects(own.get('k', { timeoutMs: 500 }));
    const calls = [
      () => own.get('k', { timeoutMs: 1_000 }),
      () => own.put('k', 'v', { timeoutMs: 1_000 }),
      () => own.stm((stm) => stm.put('k', 'v'), { timeoutMs: 1_000 }),
    ];
    for (const call of calls) {
      // Where an attempt is under way as the time is over, the last failure is that of the one before.
      const { message } = await failureOf(call());
      assert.match(
        message,
        /^(?:DEADLINE_EXCEEDED: .*; the one before .* with )?UNAVAILABLE: no etcd answers at /,
      );
      for (const endpoint of endpoints) {
        const reason = `at ${escaped(endpoint)}: connection refused \\(is etcd running there\\?\\)`;
        assert.match(message, new RegExp(reason));
      }
    }
  });

  test('a stream has its endpoint, too, and the reason', async () => {
    await using started = await startEtcdHere();
    const { endpoint } = started.server;
    await using own = await connect(endpoint);
    const watch = own.watch('k', { maxDisconnectedMs: 3_000 });
    const disconnected = failureOf(new Promise((_resolve, reject) => watch.once('disconnected', reject)));
    await watch.ready;
    const { id } = await own.lease.grant(60);
    const stream = own.stream<Uint8Array, Uint8Array>({ path: '/etcdserverpb.Watch/Watch', ...raw });
    // It begins, and stays.
    await stream.send(Uint8Array.of(10, 3, 10, 1, 107));
    const responses = stream[Symbol.asyncIterator]();
    await responses.next();
    const broken = failureOf(responses.next());
    const mirrored = failureOf(firstOf(new Mirror(own, 'k', { maxDisconnectedMs: 3_000 }), 3));
    started.server.kill();
    await started.server.exited;
    // The next call may still have the connection that breaks.
    await failureOf(own.get('k', { timeoutMs: 500 }));
    const at = new RegExp(`UNAVAILABLE: .* at ${escaped(endpoint)}: `);
    const refused = new RegExp(`at ${escaped(endpoint)}: connection refused \\(is etcd running there\\?\\)`);
    const cases: [string, Promise<Error>, RegExp][] = [
      ['a broken stream', broken, at],
      ['the event of a watch', disconnected, at],
      ['a watch', failureOf(firstOf(watch)), refused],
      ['a mirror', mirrored, refused],
      [
        'a new stream',
        failureOf(firstOf(own.stream({ path: '/etcdserverpb.Watch/Watch', ...raw }))),
        refused,
      ],
      ['a snapshot', failureOf(firstOf(own.maintenance.snapshot())), refused],
      ['a snapshot of one endpoint', failureOf(firstOf(own.maintenance.snapshot({ endpoint }))), refused],
      [
        'a snapshot to a file',
        failureOf(own.maintenance.snapshotTo(join(dir, 'none'), { endpoint })),
        refused,
      ],
      ['a keepalive', failureOf(own.lease.keepAlive(id, { timeoutMs: 5_000 })), refused],
    ];
    for (const [what, call, says] of cases) {
      const error = await call;
      assert.match(error.message, says, what);
      if (says === refused)
        assert.ok(error instanceof EtcdError && error.stack?.includes(error.message), what);
    }
  });

  test('a stream’s deadline has the bound that was given, and the endpoint', async () => {
    const lease = await etcd.lease.grant(60);
    await etcd.lease.keepAliveOnce(lease.id);
    server.pause();
    try {
      const says = new RegExp(`no answer from ${escaped(server.endpoint)} within 300 ms$`);
      const snapshot = firstOf(etcd.maintenance.snapshot({ timeoutMs: 300 }));
      assert.match(await messageOf(DeadlineExceededError, snapshot), says);
      const { id } = lease;
      const kept = etcd.lease.keepAliveOnce(id, { timeoutMs: 300 });
      assert.match(
        await messageOf(DeadlineExceededError, kept),
        new RegExp(`no answer to the keepalive from ${escaped(server.endpoint)} within 300 ms`),
      );
      const stream = etcd.stream({ path: '/etcdserverpb.Watch/Watch', ...raw }, { timeoutMs: 300 });
      assert.match(await messageOf(DeadlineExceededError, firstOf(stream)), says);
    } finally {
      server.resume();
    }
  });
});

const raw = { encode: (bytes: Uint8Array) => bytes, decode: (bytes: Uint8Array) => bytes };

function failureOf(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => new Error('it has not failed'),
    (failure: Error) => failure,
  );
}

/** Takes so many items of a loop, which ends by its failure. */
async function firstOf(items: AsyncIterable<unknown>, count = 1): Promise<void> {
  let taken = 0;
  for await (const _ of items) if (++taken === count) return;
}

interface Started extends AsyncDisposable {
  readonly server: EtcdServer;
}

async function startEtcdHere(): Promise<Started> {
  const server = await startEtcd();
  return { server, [Symbol.asyncDispose]: async () => void (await server.stop()) };
}
