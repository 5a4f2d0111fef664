// What errors of calls tell their reader: the bound that the caller gave, and the endpoints that were tried.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { type EtcdServer, startEtcd } from '@quiesce/test-services';
import {
  DeadlineExceededError,
  type EtcdClient,
  type EtcdError,
  PriorityQueue,
  UnavailableError,
} from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';

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
      const message = await messageOf(UnavailableError, call());
      assert.match(message, /^UNAVAILABLE: no etcd answers at /);
      for (const endpoint of endpoints) {
        const reason = `at ${escaped(endpoint)}: connection refused \\(is etcd running there\\?\\)`;
        assert.match(message, new RegExp(reason));
      }
    }
  });
});

interface Started extends AsyncDisposable {
  readonly server: EtcdServer;
}

async function startEtcdHere(): Promise<Started> {
  const server = await startEtcd();
  return { server, [Symbol.asyncDispose]: async () => void (await server.stop()) };
}
