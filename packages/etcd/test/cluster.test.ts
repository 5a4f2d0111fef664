// The cluster service, and the maintenance of several members, on clusters of real etcds.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type EtcdCluster, type EtcdMember, startEtcd, startEtcdCluster } from '@quiesce/test-services';
import {
  DeadlineExceededError,
  type EtcdClient,
  EtcdError,
  InvalidArgumentError,
  StatusCode,
  UnavailableError,
} from '../src/index.js';
import { overEachTransport } from './support/clients.js';

/** That etcd refused a call, with what it said. */
function refused(code: StatusCode, details: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof EtcdError);
    assert.equal(error.code, code);
    assert.match(error.details, details);
    return true;
  };
}

/** Tries again while etcd says that it isn't ready for it: what a person would do. */
async function onceReady<T>(attempt: () => Promise<T>, notReady: RegExp, timeoutMs = 60_000): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const wait = error instanceof EtcdError && notReady.test(error.details);
      if (!wait || performance.now() > deadline) throw error;
    }
    await delay(50);
  }
}

overEachTransport('cluster service', (connect) => {
  let cluster: EtcdCluster;
  let etcd: EtcdClient;
  before(async () => {
    // Else etcd refuses changes of members in the first seconds of a cluster.
    cluster = await startEtcdCluster({ extraArgs: ['--strict-reconfig-check=false'] });
    etcd = await connect({ endpoints: cluster.endpoints });
  });
  after(async () => {
    await etcd.close();
    await cluster.stop();
  });

  const [first, second, third] = [0, 1, 2].map((at) => () => cluster.members[at] as EtcdMember) as [
    () => EtcdMember,
    () => EtcdMember,
    () => EtcdMember,
  ];

  test('memberList describes each member', async () => {
    const expected = cluster.members.map(({ id, name, peerUrl, endpoint }) => ({
      id,
      name,
      peerUrls: [peerUrl],
      clientUrls: [endpoint],
      isLearner: false,
    }));
    for (const linearizable of [true, false]) {
      const members = await etcd.cluster.memberList({ linearizable });
      members.sort((a, b) => a.name.localeCompare(b.name));
      assert.deepEqual(members, expected);
    }
  });

  test('status describes the member that was asked', async () => {
    const leader = await cluster.leader();
    for (const member of cluster.members) {
      const status = await etcd.maintenance.status(member.endpoint);
      assert.equal(status.memberId, member.id);
      assert.equal(status.leader, leader.id);
    }
  });

  test('members in step have the same hashKV for the same revision', async () => {
    const { revision } = await etcd.put('hashed', 'value');
    const hashes = await Promise.all(
      cluster.members.map(({ endpoint }) =>
        // A member that lags doesn't know the revision yet.
        onceReady(() => etcd.maintenance.hashKV(endpoint, { revision }), /required revision is a future/),
      ),
    );
    assert.deepEqual(
      hashes.map(({ memberId }) => memberId),
      cluster.members.map(({ id }) => id),
    );
    assert.equal(new Set(hashes.map(({ hash }) => hash)).size, 1);
    assert.equal(new Set(hashes.map(({ hashRevision }) => hashRevision)).size, 1);
  });

  test('snapshots are taken from the member that was asked', async () => {
    for (const { endpoint } of cluster.members) {
      const snapshot = etcd.maintenance.snapshot({ endpoint });
      const hash = createHash('sha256');
      for await (const chunk of snapshot) hash.update(chunk);
      assert.ok((snapshot.info?.bytes ?? 0) > 32);
    }
  });

  describe('a learner', () => {
    test('is added, started, promoted and removed', async () => {
      const newcomer = await cluster.newMember();
      const { member, members } = await etcd.cluster.memberAdd([newcomer.peerUrl], { isLearner: true });
      assert.deepEqual(member, {
        id: member.id,
        name: '',
        peerUrls: [newcomer.peerUrl],
        clientUrls: [],
        isLearner: true,
      });
      assert.equal(members.length, 4);
      assert.ok(members.some(({ id }) => id === member.id));
      await assert.rejects(
        etcd.cluster.memberPromote(member.id),
        refused(StatusCode.FAILED_PRECONDITION, /can only promote a learner member which is in sync/),
      );

      const started = await newcomer.start();
      assert.equal(started.id, member.id);
      assert.equal((await etcd.maintenance.status(started.endpoint)).isLearner, true);
      const promoted = await onceReady(
        () => etcd.cluster.memberPromote(member.id),
        /which is in sync with leader/,
      );
      const voter = { ...member, name: started.name, clientUrls: [started.endpoint], isLearner: false };
      assert.deepEqual(
        promoted.find(({ id }) => id === member.id),
        voter,
      );
      await assert.rejects(
        etcd.cluster.memberPromote(member.id),
        refused(StatusCode.FAILED_PRECONDITION, /can only promote a learner/),
      );

      const left = await etcd.cluster.memberRemove(member.id);
      assert.deepEqual(
        left.map(({ id }) => id).sort(),
        cluster.members
          .slice(0, 3)
          .map(({ id }) => id)
          .sort(),
      );
      await started.stop();
    });

    test('that never started can be removed', async () => {
      const { peerUrl } = await cluster.newMember();
      const { member } = await etcd.cluster.memberAdd([peerUrl], { isLearner: true });
      assert.equal((await etcd.cluster.memberRemove(member.id)).length, 3);
    });
  });

  test('a voting member is added, and serves', async () => {
    const newcomer = await cluster.newMember();
    const { member } = await etcd.cluster.memberAdd([newcomer.peerUrl]);
    assert.equal(member.isLearner, false);
    const started = await newcomer.start();
    await etcd.put('joined', 'yes');
    const there = await connect(started.endpoint);
    assert.equal((await there.get('joined'))?.text(), 'yes');
    await there.close();
    assert.equal((await etcd.cluster.memberRemove(member.id)).length, 3);
    await started.stop();
  });

  test('memberUpdate gives a member another peer URL', async () => {
    const { id, peerUrl } = third();
    const other = peerUrl.replace('127.0.0.1', 'localhost');
    const updated = await etcd.cluster.memberUpdate(id, [other]);
    assert.deepEqual(updated.find((member) => member.id === id)?.peerUrls, [other]);
    const restored = await etcd.cluster.memberUpdate(id, [peerUrl]);
    assert.deepEqual(restored.find((member) => member.id === id)?.peerUrls, [peerUrl]);
  });

  test('changes that can not be are refused, with etcd saying why', async () => {
    // A follower would ask the leader about an unknown learner again and again until its time is up.
    const client = await connect((await cluster.leader()).endpoint);
    const members = client.cluster;
    try {
      await assert.rejects(
        members.memberAdd([first().peerUrl]),
        refused(StatusCode.FAILED_PRECONDITION, /Peer URLs already exists/),
      );
      for (const unknown of [
        () => members.memberRemove(42n),
        () => members.memberUpdate(42n, ['http://127.0.0.1:1']),
        () => members.memberPromote(42n),
      ]) {
        await assert.rejects(unknown, refused(StatusCode.NOT_FOUND, /member not found/));
      }
    } finally {
      await client.close();
    }
  });

  describe('bad input is refused before anything is sent:', () => {
    const cases: [string, () => Promise<unknown>, RegExp][] = [
      ['no peer URL', () => etcd.cluster.memberAdd([]), /peerUrls is \[\]; it must have at least one/],
      ['a peer URL without a scheme', () => etcd.cluster.memberAdd(['127.0.0.1:2380']), /peerUrls/],
      ['a string for a list', () => etcd.cluster.memberUpdate(1n, 'http://a:1' as never), /peerUrls/],
      ['an id that is a number', () => etcd.cluster.memberRemove(1 as never), /id is 1; .*bigint/],
      ['an id that is too large', () => etcd.cluster.memberPromote(1n << 64n), /unsigned 64-bit/],
    ];
    for (const [what, call, message] of cases) {
      test(what, async () => {
        await assert.rejects(call(), (error: unknown) => {
          assert.ok(error instanceof InvalidArgumentError);
          assert.match(error.message, message);
          return true;
        });
      });
    }
  });

  describe('moveLeader', () => {
    test('makes another member the leader, even if a follower is asked', async () => {
      const leader = await cluster.leader();
      const [target, asked] = (await cluster.followers()) as [EtcdMember, EtcdMember];
      const client = await connect(asked.endpoint);
      try {
        await client.maintenance.moveLeader(target.id);
        assert.equal((await cluster.leader()).id, target.id);
        await client.maintenance.moveLeader(leader.id);
        assert.equal((await cluster.leader()).id, leader.id);
      } finally {
        await client.close();
      }
    });

    test('to a member that there is not is refused', async () => {
      await assert.rejects(
        etcd.maintenance.moveLeader(42n),
        refused(StatusCode.FAILED_PRECONDITION, /bad leader transferee/),
      );
    });
  });

  // Takes the quorum away, so it comes last.
  test('without a quorum only a list that need not be linearizable is answered', async () => {
    second().kill();
    third().kill();
    await Promise.all([second().exited, third().exited]);
    const client = await connect(first().endpoint);
    try {
      assert.equal((await client.cluster.memberList({ linearizable: false })).length, 3);
      await assert.rejects(
        client.cluster.memberList({ timeoutMs: 1_000 }),
        (error: unknown) => error instanceof DeadlineExceededError || error instanceof UnavailableError,
      );
    } finally {
      await client.close();
    }
  });
});

overEachTransport('services over TLS', (connect) => {
  test('one endpoint is reached with the certificates of the client', async () => {
    await using server = await startEtcd({ tls: { requireClientCert: true } });
    const { ca, clientCert: cert, clientKey: key } = server.certificates ?? {};
    assert.ok(ca && cert && key);
    const etcd = await connect({ endpoints: server.endpoint, tls: { ca, cert, key } });
    try {
      const [member] = await etcd.cluster.memberList();
      assert.deepEqual(member?.clientUrls, [server.endpoint]);
      assert.equal((await etcd.maintenance.status(server.endpoint)).memberId, member.id);
      const snapshot = etcd.maintenance.snapshot({ endpoint: server.endpoint.replace('https://', '') });
      for await (const _ of snapshot);
      assert.ok(snapshot.info);
      await assert.rejects(
        etcd.maintenance.status(server.endpoint.replace('https:', 'http:')),
        InvalidArgumentError,
      );
    } finally {
      await etcd.close();
    }
  });
});
