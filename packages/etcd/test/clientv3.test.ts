// Locks, elections and recipes beside etcd's Go client on the same keys, also where a fence is up.
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { clientv3Binary, type EtcdServer } from '@quiesce/test-services';
import { DoubleBarrier, Election, type EtcdClient, Mutex, prefix, RwMutex, Session } from '../src/index.js';
import { overEachTransport, withEtcd } from './support/clients.js';
import { eventually } from './support/eventually.js';
import { UncertainSpace } from './support/uncertain-space.js';

const noGo = clientv3Binary() === undefined && 'there was no Go to build it with';

/** A process of Go's client, which does one command after another. */
class Peer {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;

  constructor(endpoint: string) {
    this.#child = spawn(clientv3Binary() as string, [endpoint], { timeout: 120_000, killSignal: 'SIGKILL' });
    this.#child.stderr.resume();
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async do(command: string): Promise<string> {
    this.#child.stdin.write(`${command}\n`);
    const { value, done } = await this.#answers.next();
    return done ? 'it has ended' : value;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

overEachTransport('beside clientv3', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  let peer: Peer;
  withEtcd(connect, (given) => {
    ({ server, etcd } = given);
  });
  before(() => {
    if (!noGo) peer = new Peer(server.endpoint);
  });
  after(() => peer?.kill());

  const count = async (name: string): Promise<number> =>
    Number((await etcd.range(prefix(`${name}/`), { countOnly: true })).count);

  /** A session the answers of whose writes get lost now and then, so that there are fences. */
  const uncertainSession = (): Promise<Session> =>
    Session.create(new UncertainSpace(etcd, (write) => (write % 2 === 0 ? 2 : 'answered')).space);

  test('mutex', { skip: noGo }, async () => {
    await using session = await uncertainSession();
    const mutex = new Mutex(session, 'm');
    for (let round = 0; round < 5; round++) {
      const lock = await mutex.lock();
      assert.equal(await peer.do('trylock m'), 'locked');
      const theirs = peer.do('lock m');
      await eventually('they wait', async () => (await count('m')) === 2);
      await lock.unlock();
      assert.equal(await theirs, 'ok');
      assert.equal(await mutex.tryLock(), undefined);
      const ours = mutex.lock();
      await eventually('we wait', async () => (await count('m')) === 2);
      assert.equal(await peer.do('unlock m'), 'ok');
      await (await ours).unlock();
      assert.equal(await peer.do('trylock m'), 'ok');
      assert.equal(await peer.do('unlock m'), 'ok');
    }
    assert.ok(Number((await etcd.range(prefix('m~fence/'))).count) > 0);
  });

  test('election', { skip: noGo }, async () => {
    await using session = await uncertainSession();
    const election = new Election(session.space, 'e');
    for (let round = 0; round < 3; round++) {
      const leadership = await election.campaign(session, 'ours');
      const theirs = peer.do('campaign e theirs');
      await eventually('they wait', async () => (await count('e')) === 2);
      await leadership.proclaim('still ours');
      assert.equal((await election.leader())?.text(), 'still ours');
      await leadership.resign();
      assert.equal(await theirs, 'ok');
      assert.equal((await election.leader())?.text(), 'theirs');
      assert.equal(await peer.do('resign e'), 'ok');
    }
    assert.ok(Number((await etcd.range(prefix('e~fence/'))).count) > 0);
  });

  test('RWMutex', { skip: noGo }, async () => {
    await using session = await uncertainSession();
    const mutex = new RwMutex(session, 'rw');
    for (let round = 0; round < 3; round++) {
      const lock = await mutex.readLock();
      const theirs = peer.do('write rw');
      await eventually('they wait', async () => (await count('rw')) === 2);
      await lock.unlock();
      assert.equal(await theirs, 'ok');
      const ours = mutex.writeLock();
      await eventually('we wait', async () => (await count('rw')) === 2);
      assert.equal(await peer.do('unwrite rw'), 'ok');
      await (await ours).unlock();
    }
    assert.ok(Number((await etcd.range(prefix('rw~fence/'))).count) > 0);
  });

  test('double barrier', { skip: noGo }, async () => {
    await using session = await uncertainSession();
    for (let round = 0; round < 3; round++) {
      const barrier = new DoubleBarrier(session, 'b', 2);
      const [, entered] = await Promise.all([barrier.enter({ timeoutMs: 20_000 }), peer.do('enter b 2')]);
      assert.equal(entered, 'ok');
      const [, left] = await Promise.all([barrier.leave({ timeoutMs: 20_000 }), peer.do('leave b')]);
      assert.equal(left, 'ok');
      assert.equal(await count('b/waiters'), 0);
      assert.equal(await etcd.get('b/ready'), undefined);
    }
    assert.ok((await count('b/fence')) > 0);
  });
});
