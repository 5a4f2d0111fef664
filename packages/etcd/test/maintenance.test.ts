// The maintenance service on one real etcd: status, alarms, defragmentation, hashes, snapshots, downgrade.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import {
  type EtcdServer,
  etcdService,
  etcdutlBinary,
  startEtcd,
  startTcpProxy,
} from '@quiesce/test-services';
import { startService } from 'quiesce';
import {
  ClosedError,
  DeadlineExceededError,
  type EtcdClient,
  EtcdError,
  InvalidArgumentError,
  prefix,
  StatusCode,
  UnavailableError,
} from '../src/index.js';
import { MemberListResponse, StatusResponse } from '../src/rpc/generated/etcdserverpb/rpc.js';
import { overEachTransport, withClient, withServer } from './support/clients.js';
import { program } from './support/program.js';
import { startScriptedServer } from './support/scripted-server.js';
import { temporaryDirectory } from './support/temporary-directory.js';

overEachTransport('maintenance service', (connect) => {
  let server: EtcdServer;
  let etcd: EtcdClient;
  const dir = temporaryDirectory();
  withServer((started) => {
    server = started;
  });
  withClient(
    () => connect(server.endpoint),
    (made) => {
      etcd = made;
    },
  );

  describe('one endpoint', () => {
    test('status', async () => {
      const { revision } = await etcd.put('key', 'value');
      const status = await etcd.maintenance.status(server.endpoint);
      const [member] = await etcd.cluster.memberList();
      assert.equal(status.memberId, member?.id);
      assert.equal(status.leader, member?.id);
      assert.notEqual(status.clusterId, 0n);
      assert.equal(status.revision, revision);
      assert.match(status.version, /^3\.\d+\.\d+/);
      assert.ok(status.dbSizeInUse > 0n && status.dbSize >= status.dbSizeInUse);
      assert.ok(status.raftTerm > 0n && status.raftIndex >= status.raftAppliedIndex);
      assert.equal(status.isLearner, false);
      assert.deepEqual(status.errors, []);
      assert.equal(status.downgradeTo, undefined);
    });

    test("need not be one of the client's endpoints, and is kept apart from them", async () => {
      await using other = await startEtcd();
      const there = await etcd.maintenance.status(other.endpoint);
      const here = await etcd.maintenance.status(server.endpoint);
      assert.notEqual(there.clusterId, here.clusterId);
      await other.stop();
      // An attempt may be under way as the time is over.
      const refused = { message: /connection refused/ };
      await assert.rejects(etcd.maintenance.status(other.endpoint, { timeoutMs: 2_000 }), refused);
      assert.equal((await etcd.maintenance.status(server.endpoint)).clusterId, here.clusterId);
    });

    test('that is malformed is refused', async () => {
      await assert.rejects(etcd.maintenance.status('http://'), InvalidArgumentError);
      assert.throws(() => etcd.maintenance.snapshot({ endpoint: 'ftp://127.0.0.1' }), InvalidArgumentError);
    });

    test('is not asked once the client is closed', async () => {
      const client = await connect(server.endpoint);
      await client.maintenance.status(server.endpoint);
      await client.close();
      await assert.rejects(client.maintenance.status(server.endpoint), ClosedError);
      assert.throws(() => client.maintenance.snapshot(), ClosedError);
    });

    test('holds a process by its calls no longer than the client does', async () => {
      const file = program(`
        const { connect } = await import(${JSON.stringify(new URL('../src/index.js', import.meta.url))});
        const etcd = await connect({ endpoints: '${server.endpoint}', transport: '${etcd.transport}' });
        await etcd.put('big', new Uint8Array(1_000_000));
        const snapshot = etcd.maintenance.snapshot({ endpoint: '${server.endpoint}' });
        await snapshot[Symbol.asyncIterator]().next();
        etcd.unref();
        console.log('done');`);
      const { stdout, stderr } = await promisify(execFile)(process.execPath, [file], {
        timeout: 240_000,
        killSignal: 'SIGKILL',
      });
      assert.equal(stdout, 'done\n');
      assert.equal(stderr, '');
    });
  });

  test('defragment returns the space that deletes and a compaction freed', async () => {
    const value = randomBytes(100_000);
    for (let i = 0; i < 20; i++) await etcd.put(`bulk/${i}`, value);
    const { revision } = await etcd.delete(prefix('bulk/'));
    await etcd.compact(revision, { physical: true });
    const before = await etcd.maintenance.status(server.endpoint);
    await etcd.maintenance.defragment(server.endpoint);
    const after = await etcd.maintenance.status(server.endpoint);
    assert.ok(after.dbSize < before.dbSize - 1_000_000n, `${before.dbSize} bytes became ${after.dbSize}`);
    assert.equal((await etcd.get('key'))?.text(), 'value');
  });

  test('hashKV is the same until something changes, and for a revision whatever comes after it', async () => {
    const { revision } = await etcd.put('hashed', '1');
    const first = await etcd.maintenance.hashKV(server.endpoint);
    assert.equal(first.hashRevision, revision);
    assert.deepEqual(await etcd.maintenance.hashKV(server.endpoint), first);
    await etcd.put('hashed', '2');
    const second = await etcd.maintenance.hashKV(server.endpoint);
    assert.notEqual(second.hash, first.hash);
    assert.equal((await etcd.maintenance.hashKV(server.endpoint, { revision })).hash, first.hash);
    await assert.rejects(etcd.maintenance.hashKV(server.endpoint, { revision: revision + 100n }), EtcdError);
  });

  test('hash is of the whole database', async () => {
    const before = await etcd.maintenance.hash(server.endpoint);
    assert.ok(Number.isInteger(before) && before >= 0 && before < 2 ** 32);
    await etcd.put('hashed', '3');
    assert.notEqual(await etcd.maintenance.hash(server.endpoint), before);
  });

  describe('alarms', () => {
    test('are raised, listed and cleared', async () => {
      assert.deepEqual(await etcd.maintenance.alarmList(), []);
      const { memberId } = await etcd.maintenance.status(server.endpoint);
      const nospace = { memberId, type: 'nospace' } as const;
      const corrupt = { memberId, type: 'corrupt' } as const;
      assert.deepEqual(await etcd.maintenance.alarmArm(nospace), [nospace]);
      assert.deepEqual(await etcd.maintenance.alarmList(), [nospace]);
      assert.match((await etcd.maintenance.status(server.endpoint)).errors.join(), /NOSPACE/);
      await assert.rejects(etcd.put('key', 'value'), (error: unknown) => {
        assert.ok(error instanceof EtcdError);
        assert.equal(error.code, StatusCode.RESOURCE_EXHAUSTED);
        return true;
      });
      assert.deepEqual(await etcd.maintenance.alarmDisarm(nospace), [nospace]);
      assert.deepEqual(await etcd.maintenance.alarmDisarm(nospace), []);
      await etcd.put('key', 'value');

      await etcd.maintenance.alarmArm(nospace);
      await etcd.maintenance.alarmArm(corrupt);
      assert.equal((await etcd.maintenance.alarmList()).length, 2);
      const cleared = await etcd.maintenance.alarmDisarmAll();
      assert.deepEqual(new Set(cleared.map(({ type }) => type)), new Set(['nospace', 'corrupt']));
      assert.deepEqual(await etcd.maintenance.alarmList(), []);
      await etcd.put('key', 'value');
    });

    test('of an unknown type or member id are refused', async () => {
      const { memberId } = await etcd.maintenance.status(server.endpoint);
      await assert.rejects(
        etcd.maintenance.alarmArm({ memberId, type: 'fire' as never }),
        /type is 'fire'; it must be 'nospace' or 'corrupt'/,
      );
      await assert.rejects(
        etcd.maintenance.alarmDisarm({ memberId: -1n, type: 'nospace' }),
        /unsigned 64-bit/,
      );
    });

    test('recovery from a used-up quota: compact, defragment, disarm', async () => {
      await using small = await startEtcd({ extraArgs: [`--quota-backend-bytes=${2 << 20}`] });
      const client = await connect(small.endpoint);
      try {
        const value = randomBytes(200_000);
        const fill = async (): Promise<void> => {
          // etcd takes what comes until its next commit, some 100 ms later.
          for (let i = 0; i < 1000; i++) await client.put('big', value);
        };
        await assert.rejects(fill(), (error: unknown) => {
          assert.ok(error instanceof EtcdError);
          assert.equal(error.code, StatusCode.RESOURCE_EXHAUSTED);
          assert.match(error.details, /database space exceeded/);
          return true;
        });
        const { memberId, revision } = await client.maintenance.status(small.endpoint);
        assert.deepEqual(await client.maintenance.alarmList(), [{ memberId, type: 'nospace' }]);
        await client.compact(revision, { physical: true });
        await client.maintenance.defragment(small.endpoint);
        await client.maintenance.alarmDisarmAll();
        await client.put('big', value);
        assert.deepEqual(await client.maintenance.alarmList(), []);
      } finally {
        await client.close();
      }
    });
  });

  describe('snapshots', () => {
    before(async () => {
      for (let i = 0; i < 5; i++) await etcd.put(`snapshot/${i}`, randomBytes(100_000));
    });

    test('contain the whole database and its SHA-256', async () => {
      await etcd.put('snapshot/last', 'kept');
      const snapshot = etcd.maintenance.snapshot();
      assert.equal(snapshot.info, undefined);
      const chunks: Uint8Array[] = [];
      for await (const chunk of snapshot) chunks.push(chunk);
      const bytes = Buffer.concat(chunks);
      const database = bytes.subarray(0, -32);
      const sha256 = createHash('sha256').update(database).digest('hex');
      assert.equal(bytes.subarray(-32).toString('hex'), sha256);
      const { storageVersion: version } = await etcd.maintenance.status(server.endpoint);
      assert.deepEqual(snapshot.info, { bytes: bytes.length, sha256, version });
      assert.ok(database.includes('snapshot/last') && database.includes('kept'));
      // bbolt's meta page: magic number and format version after the 16 bytes of the page's header.
      assert.equal(database.readUInt32LE(16), 0xed0cdaed);
      assert.equal(database.readUInt32LE(20), 2);
      assert.equal(database.length % 512, 0);
    });

    test('are a Node stream where that is wanted', async () => {
      const snapshot = etcd.maintenance.snapshot({ endpoint: server.endpoint });
      let bytes = 0;
      for await (const chunk of Readable.from(snapshot)) bytes += chunk.length;
      assert.equal(snapshot.info?.bytes, bytes);
    });

    test('are saved to a file that only its owner reads, in place of an older one', async () => {
      const target = temporaryDirectory();
      const file = join(target, 'snapshot.db');
      writeFileSync(file, 'older', { mode: 0o644 });
      const info = await etcd.maintenance.snapshotTo(file, { endpoint: server.endpoint });
      const bytes = readFileSync(file);
      assert.equal(info.bytes, bytes.length);
      assert.equal(createHash('sha256').update(bytes.subarray(0, -32)).digest('hex'), info.sha256);
      if (process.platform !== 'win32') assert.equal(statSync(file).mode & 0o777, 0o600);
      assert.deepEqual(readdirSync(target), ['snapshot.db']);
    });

    const noTool = etcdutlBinary() === undefined && 'there was no Go to build etcdutl with';
    test("can be restored with etcd's own tool, with all their data", { skip: noTool }, async () => {
      await etcd.put('restored', 'as it was');
      const file = join(dir, `restore-${etcd.transport}.db`);
      const dataDir = `${file}.data`;
      await etcd.maintenance.snapshotTo(file);
      await etcd.put('restored', 'later');
      await promisify(execFile)(
        etcdutlBinary() as string,
        ['snapshot', 'restore', file, `--data-dir=${dataDir}`],
        { timeout: 240_000 },
      );

      const restored = await startService('restored etcd', etcdService({ dataDir }));
      const client = await connect(restored.env.ETCD_ENDPOINTS as string);
      try {
        assert.equal((await client.get('restored'))?.text(), 'as it was');
        assert.equal((await client.range(prefix('snapshot/'), { countOnly: true })).count, 6n);
      } finally {
        await client.close();
        await restored.stop();
      }
    });

    test('that fail leave the older file and nothing else', async () => {
      const target = temporaryDirectory();
      const file = join(target, 'snapshot.db');
      writeFileSync(file, 'older');
      const signal = AbortSignal.abort(new Error('given up'));
      await assert.rejects(etcd.maintenance.snapshotTo(file, { signal }), /given up/);
      assert.deepEqual(readdirSync(target), ['snapshot.db']);
      assert.equal(readFileSync(file, 'utf8'), 'older');
      mkdirSync(join(target, 'directory'));
      for (const wrong of ['no/x.db', 'directory']) {
        await assert.rejects(etcd.maintenance.snapshotTo(join(target, wrong)), InvalidArgumentError);
      }
      assert.deepEqual(readdirSync(target).sort(), ['directory', 'snapshot.db']);
    });

    test('replace what a link leads to, and no device or pipe', {
      skip: process.platform === 'win32',
    }, async () => {
      const target = temporaryDirectory();
      const file = join(target, 'snapshot.db');
      writeFileSync(file, 'older');
      symlinkSync('snapshot.db', join(target, 'link'));
      const { bytes } = await etcd.maintenance.snapshotTo(join(target, 'link'));
      assert.ok(lstatSync(join(target, 'link')).isSymbolicLink());
      assert.equal(statSync(file).size, bytes);
      await promisify(execFile)('mkfifo', [join(target, 'pipe')]);
      symlinkSync('/dev/null', join(target, 'null'));
      for (const wrong of ['pipe', 'null']) {
        await assert.rejects(etcd.maintenance.snapshotTo(join(target, wrong)), (error) => {
          assert.match(
            String(error),
            /which is not a regular file; to write to a device or a pipe, loop over/,
          );
          return error instanceof InvalidArgumentError;
        });
      }
      assert.ok(statSync(join(target, 'pipe')).isFIFO() && statSync('/dev/null').isCharacterDevice());
      assert.deepEqual(readdirSync(target).sort(), ['link', 'null', 'pipe', 'snapshot.db']);
    });

    test('end with their loop, and with close()', async () => {
      const left = etcd.maintenance.snapshot();
      for await (const _ of left) break;
      assert.equal(left.info, undefined);
      const closed = etcd.maintenance.snapshot();
      closed.close();
      await assert.rejects(closed[Symbol.asyncIterator]().next(), { code: StatusCode.CANCELLED });
    });

    test('are too late when their time is over, which the server may notice first', async () => {
      for (let i = 0; i < 40; i++) await etcd.put(`long/${i}`, Buffer.alloc(1_000_000));
      const until = Date.now() + 4_000;
      const late = async (): Promise<void> => {
        for (let timeoutMs = 1; Date.now() < until; timeoutMs = (timeoutMs + 1) % 20) {
          await assert.rejects(async () => {
            for await (const _ of etcd.maintenance.snapshot({ timeoutMs: timeoutMs + 1 }));
          }, DeadlineExceededError);
        }
      };
      await Promise.all(Array.from({ length: 8 }, late));
      await etcd.delete(prefix('long/'));
    });

    test('fail when the connection breaks under them', async () => {
      await using proxy = await startTcpProxy({ port: server.port });
      const endpoint = `http://127.0.0.1:${proxy.port}`;
      await etcd.maintenance.status(endpoint);
      // Else all of it may have come before the cut.
      proxy.pause();
      const snapshot = etcd.maintenance.snapshot({ endpoint, timeoutMs: 5_000 });
      const failed = assert.rejects(
        snapshot[Symbol.asyncIterator]().next(),
        // An attempt may be under way as the time is over.
        (error) => error instanceof UnavailableError || error instanceof DeadlineExceededError,
      );
      await proxy.close();
      await failed;
      assert.equal(snapshot.info, undefined);
    });
  });

  test('downgrade is validated, enabled, seen in the status and cancelled', async () => {
    const { version } = await etcd.maintenance.status(server.endpoint);
    const [major, minor] = version.split('.').map(Number) as [number, number];
    const target = `${major}.${minor - 1}`;
    assert.match(await etcd.maintenance.downgradeValidate(target), new RegExp(`^${major}\\.${minor}`));
    await assert.rejects(etcd.maintenance.downgradeValidate(`${major}.${minor - 2}`), EtcdError);
    await etcd.maintenance.downgradeEnable(target);
    const status = await etcd.maintenance.status(server.endpoint);
    assert.equal(status.downgradeTo, `${target}.0`);
    await etcd.maintenance.downgradeCancel();
    assert.equal((await etcd.maintenance.status(server.endpoint)).downgradeTo, undefined);
    await assert.rejects(etcd.maintenance.downgradeValidate('latest'), InvalidArgumentError);
  });

  test('moveLeader needs another member to move to', async () => {
    await assert.rejects(etcd.maintenance.moveLeader(1n), EtcdError);
    await assert.rejects(
      etcd.maintenance.moveLeader('1' as never),
      /transfereeId is '1'; .*write 1n or BigInt/,
    );
  });

  test('moveLeader looks for the leader again where the one that it found leads no more', async () => {
    const empty = Buffer.alloc(0);
    const status = { ...StatusResponse.decode(empty), leader: 1n };
    let asked = 0;
    await using scripted = await startScriptedServer({
      unary: {
        '/etcdserverpb.Maintenance/Status': (_call, answer) =>
          answer(null, Buffer.from(StatusResponse.encode(status).finish())),
        '/etcdserverpb.Cluster/MemberList': (_call, answer) => {
          const member = {
            ID: 1n,
            name: '',
            peerURLs: [],
            clientURLs: [scripted.endpoint],
            isLearner: false,
          };
          const list = { header: undefined, members: [member] };
          answer(null, Buffer.from(MemberListResponse.encode(list).finish()));
        },
        '/etcdserverpb.Maintenance/MoveLeader': (_call, answer) => {
          asked += 1;
          const details = 'etcdserver: not leader';
          if (asked < 3) answer({ code: StatusCode.FAILED_PRECONDITION, details });
          else answer(null, empty);
        },
      },
    });
    await using client = await connect(scripted.endpoint);
    await client.maintenance.moveLeader(2n);
    assert.equal(asked, 3);
    asked = Number.NEGATIVE_INFINITY;
    await assert.rejects(client.maintenance.moveLeader(2n, { timeoutMs: 300 }), (error) => {
      assert.ok(error instanceof EtcdError, String(error));
      return error.code === StatusCode.FAILED_PRECONDITION || error.code === StatusCode.DEADLINE_EXCEEDED;
    });
  });
});
