// Whoever reads an error's stack finds their own function in it, and not only the place where an answer was read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EtcdServer, startTcpProxy } from '@quiesce/test-services';
import {
  Barrier,
  ClosedError,
  compare,
  DoubleBarrier,
  Election,
  type EtcdClient,
  EtcdError,
  json,
  Mutex,
  op,
  Queue,
  Session,
  type Watch,
} from '../src/index.js';
import { type Connect, overEachTransport, withEtcd } from './support/clients.js';

/** A user's function, two deep, that makes a call. */
async function usersFunction(call: () => Promise<unknown>): Promise<void> {
  await usersHelper(call);
}

async function usersHelper(call: () => Promise<unknown>): Promise<void> {
  await call();
}

async function failureOf(call: () => Promise<unknown>): Promise<EtcdError> {
  try {
    await usersFunction(call);
  } catch (error) {
    assert.ok(error instanceof EtcdError, String(error));
    return error;
  }
  assert.fail('the call has not failed');
}

function assertCaller(error: EtcdError, title = ''): void {
  const { stack = '' } = error;
  const shown = `${title}: ${stack}`;
  assert.match(stack, /usersHelper/, shown);
  assert.match(stack, /usersFunction/, shown);
  assert.ok(stack.startsWith(`${error.name}: ${error.message}`), stack);
}

/** How a watch fails that can't be made in that time. */
async function withEnd(watch: Watch): Promise<void> {
  setTimeout(() => watch.close(), 50);
  await watch.ready;
}

type Failing = readonly [title: string, call: (etcd: EtcdClient, session: Session) => Promise<unknown>];

const short = { timeoutMs: 50 };

/** Each fails where etcd doesn't answer. */
const unanswered: readonly Failing[] = [
  ['get', (etcd) => etcd.get('k', short)],
  ['put', (etcd) => etcd.put('k', 'v', short)],
  ['txn', (etcd) => etcd.txn({ success: [op.put('k', 'v')] }, short)],
  ['a namespace', (etcd) => etcd.namespace('n/').get('k', short)],
  [
    'pages',
    async (etcd) => {
      for await (const page of etcd.pages('k', short)) void page;
    },
  ],
  ['watch.ready', (etcd) => withEnd(etcd.watch('k'))],
  ['stm', (etcd) => etcd.stm(async (tx) => void (await tx.get('k')), short)],
  ['lease.grant', (etcd) => etcd.lease.grant(60, short)],
  ['lease.keepAlive', (etcd) => etcd.lease.keepAlive(5n, short)],
  ['cluster.memberList', (etcd) => etcd.cluster.memberList(short)],
  ['maintenance.status', (etcd) => etcd.maintenance.alarmList(short)],
  ['Session.create', (etcd) => Session.create(etcd, short)],
  ['Mutex.lock', (_etcd, session) => new Mutex(session, 'm').lock(short)],
  ['Election.campaign', (etcd, session) => new Election(etcd, 'e').campaign(session, '', short)],
  ['Election.leader', (etcd) => new Election(etcd, 'e').leader(short)],
  ['DoubleBarrier.enter', (_etcd, session) => new DoubleBarrier(session, 'd', 2).enter(short)],
  ['Barrier.wait', (etcd) => new Barrier(etcd, 'b').wait(short)],
  ['Queue.dequeue', (etcd) => new Queue(etcd, 'q').dequeue(short)],
];

/** Each fails where its client is closed meanwhile. */
const closed: readonly Failing[] = [
  ['get', (etcd) => etcd.get('k')],
  [
    'watch',
    async (etcd) => {
      for await (const event of etcd.watch('k')) void event;
    },
  ],
];

overEachTransport('the caller is in the stack', (connect: Connect) => {
  let server: EtcdServer;
  withEtcd(connect, (given) => {
    ({ server } = given);
  });

  const withFar = async (use: (etcd: EtcdClient, session: Session, pause: () => void) => Promise<void>) => {
    await using proxy = await startTcpProxy({ port: server.port });
    await using etcd = await connect(`http://127.0.0.1:${proxy.port}`);
    const session = await Session.create(etcd);
    await use(etcd, session, () => proxy.pause());
  };

  test('of calls that are not answered', async () => {
    await withFar(async (etcd, session, pause) => {
      pause();
      for (const [title, call] of unanswered) {
        const error = await failureOf(() => call(etcd, session));
        assertCaller(error, title);
      }
    });
  });

  test('of calls whose client is closed', async () => {
    for (const [title, call] of closed) {
      await withFar(async (etcd, session, pause) => {
        pause();
        setTimeout(() => etcd.close(), 50);
        const error = await failureOf(() => call(etcd, session));
        assertCaller(error, title);
      });
    }
  });

  test('of calls that etcd refuses, and of arguments that are refused here', async () => {
    await withFar(async (etcd) => {
      for (const call of [
        () => etcd.lease.revoke(1n),
        () => etcd.get('k', { revision: 1_000_000n }),
        () => etcd.put('', 'v'),
        () => etcd.put('k', 5 as unknown as string),
        () => etcd.txn({ success: [op.put('', 'x')] }),
        () => etcd.txn({ success: [op.txn({ success: [op.txn({ failure: [op.get('')] })] })] }),
        () => etcd.namespace('n/').txn({ compare: [compare.version('', '=', 1)] }),
        () => etcd.stm(async (stm) => void (await stm.get(''))),
        () => etcd.withCodec({ value: json<unknown>() }).put('k', 1n),
        () => etcd.stm(() => new Promise(() => {}), short),
        async () => {
          for await (const event of etcd.watch('k', { startRevision: -1n })) void event;
        },
      ]) {
        assertCaller(await failureOf(call));
      }
    });
  });

  test('of connect()', async () => {
    assertCaller(await failureOf(() => connect('http://127.0.0.1:1')));
    assertCaller(await failureOf(() => connect({ endpoints: 'http://127.0.0.1:1', waitForReadyMs: 200 })));
  });

  test('a signal’s reason stays as it is', async () => {
    await withFar(async (etcd, session, pause) => {
      pause();
      const reason = new ClosedError();
      const { stack } = reason;
      const control = new AbortController();
      setTimeout(() => control.abort(reason), 20);
      const options = { signal: control.signal };
      for (const call of [etcd.get('k', options), new Mutex(session, 'm').lock(options)]) {
        await assert.rejects(call, (error) => error === reason);
      }
      assert.equal(reason.stack, stack);
    });
  });
});
