// etcd's own errors: that all are known, as what, and what each says about a write. The list is checked against the
// source of the etcd that the tests run.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startEtcd, startEtcdCluster } from '@quiesce/test-services';
import {
  channelNames,
  EtcdError,
  NoSpaceError,
  type RetryTrace,
  StatusCode,
  statusName,
} from '../src/index.js';
import { knownServerError, serverErrorTexts, statusError } from '../src/server-errors.js';
import { overEachTransport } from './support/clients.js';
import { eventually } from './support/eventually.js';
import { startScriptedServer } from './support/scripted-server.js';

const run = promisify(execFile);
const goModule = fileURLToPath(new URL('../../../test-services/etcd-server', import.meta.url));

/** Where the source of a Go module of the tests' etcd is. */
async function sourceOf(module: string): Promise<string> {
  const { stdout } = await run('go', ['mod', 'download', '-json', module], {
    cwd: goModule,
    timeout: 240_000,
  });
  return (JSON.parse(stdout) as { Dir: string }).Dir;
}

const goVersion = await run('go', ['version'], { timeout: 240_000 }).catch(
  (error: NodeJS.ErrnoException) => error,
);
const skip =
  goVersion instanceof Error && goVersion.code === 'ENOENT'
    ? 'there is no Go to have the source with'
    : false;

/** `ErrName = errors.New("text")`, by name. */
const goErrors = (source: string): [string, string][] =>
  Array.from(source.matchAll(/\b(Err\w+)\s*=\s*errors\.New\("([^"]+)"\)/g), ([, name = '', text = '']) => [
    name,
    text,
  ]);

/** Errors without a code of their own that a client of this package never gets, and why. */
const inside: Readonly<Record<string, string>> = {
  ErrUnknownMethod: 'of the HTTP API of etcd 2',
  ErrInvalidAuthOpts: 'of the start of a server',
  ErrInvalidAuthMethod: 'of the start of a server',
  ErrMissingKey: 'of the start of a server',
  ErrKeyMismatch: 'of the start of a server',
  ErrStepLocalMsg: 'of messages between members',
  ErrStepPeerNotFound: 'of messages between members',
  ErrCompacted: 'of the log of Raft',
  ErrSnapOutOfDate: 'of the log of Raft',
  ErrUnavailable: 'of the log of Raft',
  ErrSnapshotTemporarilyUnavailable: 'of the log of Raft',
};

test('all errors of the server are known, by the code that they come with', { skip }, async () => {
  const [api, server, raft] = await Promise.all(
    ['go.etcd.io/etcd/api/v3', 'go.etcd.io/etcd/server/v3', 'go.etcd.io/raft/v3'].map(sourceOf),
  );
  assert.ok(api && server && raft);
  const expected = new Map<string, string>();
  const rpctypes = await readFile(join(api, 'v3rpc/rpctypes/error.go'), 'utf8');
  const withCode = rpctypes.matchAll(/= status\.Error\(codes\.(\w+), "([^"]+)"\)/g);
  for (const [, code = '', text = ''] of withCode) {
    const name = code.replace(/(?<!^)([A-Z])/g, '_$1').toUpperCase();
    expected.set(text, name === 'CANCELED' ? 'CANCELLED' : name);
  }
  assert.ok(expected.size > 60, `rpctypes has ${expected.size}`);
  // What the server maps to one of those comes as that one; the rest comes as UNKNOWN.
  const mapping = await readFile(join(server, 'etcdserver/api/v3rpc/util.go'), 'utf8');
  const mapped = new Set(Array.from(mapping.matchAll(/^\t(?:\w+)\.(Err\w+):/gm), ([, name]) => name));
  assert.ok(mapped.size > 40, `the server maps ${mapped.size}`);
  const files = [
    join(server, 'etcdserver/errors/errors.go'),
    join(server, 'etcdserver/version/errors.go'),
    join(server, 'etcdserver/api/membership/errors.go'),
    join(server, 'auth/store.go'),
    join(server, 'lease/lessor.go'),
    join(server, 'lease/leasehttp/http.go'),
    join(raft, 'node.go'),
    join(raft, 'raft.go'),
    join(raft, 'rawnode.go'),
  ];
  for (const file of files) {
    const found = goErrors(await readFile(file, 'utf8'));
    assert.ok(found.length > 0, `${file} has no errors`);
    for (const [name, text] of found) {
      const isMapped = mapped.has(name) && !file.startsWith(raft);
      if (!isMapped && !Object.hasOwn(inside, name)) expected.set(text, 'UNKNOWN');
    }
  }
  const known = serverErrorTexts().map((text) => [text, statusName(knownServerError(text)?.code ?? 0)]);
  assert.deepEqual(known.toSorted(), [...expected].toSorted());
});

test('each error has the class that docs/parity.md states', { skip }, async () => {
  const rpctypes = await readFile(
    join(await sourceOf('go.etcd.io/etcd/api/v3'), 'v3rpc/rpctypes/error.go'),
    'utf8',
  );
  const statuses = new Map<string, { code: StatusCode; details: string }>();
  for (const [, name = '', code = '', details = ''] of rpctypes.matchAll(
    /(ErrGRPC\w+)\s*=\s*status\.Error\(codes\.(\w+), "([^"]+)"\)/g,
  )) {
    const constant = code.replace(/(?<!^)([A-Z])/g, '_$1').toUpperCase();
    statuses.set(name, { code: StatusCode[constant as keyof typeof StatusCode], details });
  }
  const expected: [string, string][] = [];
  for (const [, name = '', sent = ''] of rpctypes.matchAll(
    /\b(Err(?!GRPC)\w+)\s*=\s*Error\((ErrGRPC\w+)\)/g,
  )) {
    const status = statuses.get(sent);
    assert.ok(status, name);
    const error = statusError({ ...status, sent: true });
    const type = error.constructor.name;
    expected.push([name, type === 'EtcdError' ? `EtcdError StatusCode.${statusName(error.code)}` : type]);
  }
  assert.ok(expected.length > 50, `rpctypes has ${expected.length}`);
  const parity = await readFile(new URL('../../../../docs/parity.md', import.meta.url), 'utf8');
  const section = parity.split('\n## Errors\n')[1]?.split('\n## ')[0] ?? '';
  const names = (cell = ''): string[] => Array.from(cell.matchAll(/`([^`]+)`/g), ([, name = '']) => name);
  const found = section.split('\n').flatMap((line): [string, string][] => {
    const [, theirs, ours, test = ''] = line.split('|');
    if (!test.includes('server-errors.test.ts')) return [];
    return names(theirs).map((name) => [name, names(ours).join(' ')]);
  });
  assert.deepEqual(found.toSorted(), expected.toSorted());
});

test('no other module than server-errors.ts knows the words of the server', async () => {
  const source = fileURLToPath(new URL('../../src', import.meta.url));
  const files = (await readdir(source, { recursive: true })).filter(
    (file) => file.endsWith('.ts') && !file.includes('generated') && file !== 'server-errors.ts',
  );
  assert.ok(files.length > 50, `${files.length} modules`);
  for (const file of files) {
    const text = await readFile(join(source, file), 'utf8');
    const found = serverErrorTexts().filter((words) => text.includes(words));
    assert.deepEqual(found, [], `in ${file}`);
    assert.doesNotMatch(text, /etcdserver: |rpc error: code/, `in ${file}`);
  }
});

overEachTransport('errors of the server', (connect) => {
  test('each has its class, and a write is sent again after those alone that say nothing was proposed', async () => {
    const sent = new Map<string, number>();
    await using scripted = await startScriptedServer({
      unary: {
        '/etcdserverpb.Maintenance/Status': (_call, answer) => answer(null, Buffer.alloc(0)),
        '/etcdserverpb.KV/Put': ({ request }, answer) => {
          // A PutRequest of a key alone: its tag and length come first.
          const text = request.subarray(2).toString();
          const count = (sent.get(text) ?? 0) + 1;
          sent.set(text, count);
          const code = knownServerError(text)?.code ?? StatusCode.OK;
          if (count === 1) answer({ code, details: text });
          else answer(null, Buffer.alloc(0));
        },
      },
    });
    await using etcd = await connect({ endpoints: scripted.endpoint, retry: { backoffMs: 1 } });
    for (const text of serverErrorTexts()) {
      const { code, type, write, again } = knownServerError(text) ?? assert.fail(text);
      const outcome = await etcd.put(text, '').catch((error: unknown) => error);
      assert.equal(sent.get(text), again === undefined ? 1 : 2, `${text}: how often it was sent`);
      if (again !== undefined) {
        assert.ok(!(outcome instanceof Error), String(outcome));
        continue;
      }
      assert.ok(outcome instanceof EtcdError, String(outcome));
      assert.ok(
        outcome instanceof (type ?? statusError({ code, details: '', sent: true }).constructor),
        text,
      );
      assert.deepEqual(
        {
          code: outcome.code,
          details: outcome.details,
          sent: outcome.sent,
          mayBeApplied: outcome.mayBeApplied,
        },
        { code, details: text, sent: true, mayBeApplied: write === 'may be applied' },
      );
    }
  });

  test('a proposal that is dropped while the leadership moves is made again, and once', async () => {
    await using cluster = await startEtcdCluster({ size: 3 });
    await using etcd = await connect({ endpoints: cluster.endpoints, timeoutMs: 60_000 });
    let dropped = 0;
    const retried = (message: unknown): void => {
      if (/raft proposal dropped/.test(String((message as RetryTrace).error))) dropped += 1;
    };
    subscribe(channelNames.retry, retried);
    const puts = new Map<string, number>();
    let stopped = false;
    const writing = Array.from({ length: 32 }, async (_, i) => {
      for (const key = `k/${i}`; !stopped; ) {
        try {
          await etcd.put(key, 'v');
          puts.set(key, (puts.get(key) ?? 0) + 1);
        } catch (error) {
          assert.ok(error instanceof EtcdError, String(error));
          assert.doesNotMatch(error.message, /dropped/);
          // Another member may have sent the proposal to the leader that was going.
          assert.match(error.details, /timed out|leader/);
          assert.ok(error.mayBeApplied);
          puts.set(key, Number.NaN);
        }
      }
    });
    try {
      await eventually(
        'a proposal is dropped',
        async () => {
          const [next] = await cluster.followers();
          assert.ok(next);
          // On a busy machine another one may lead before that, or the move may take too long for etcd.
          const late = (error: unknown): void => assert.ok(error instanceof EtcdError, String(error));
          await etcd.maintenance.moveLeader(next.id).catch(late);
          return dropped > 0;
        },
        60_000,
      );
    } finally {
      stopped = true;
      unsubscribe(channelNames.retry, retried);
      // Before the client is closed, also where something failed.
      await Promise.allSettled(writing);
    }
    await Promise.all(writing);
    for (const [key, count] of puts) {
      if (!Number.isNaN(count)) assert.equal((await etcd.get(key))?.version, BigInt(count), key);
    }
  });

  test('NoSpaceError: what used up the quota was applied, and the error says that it may have been', async () => {
    // Whether etcd notices before it proposes a write or when it applies it is a matter of when the others are applied.
    for (let attempt = 1; ; attempt++) {
      await using server = await startEtcd({ extraArgs: [`--quota-backend-bytes=${16 * 1024 * 1024}`] });
      await using etcd = await connect(server.endpoint);
      const value = 'v'.repeat(256 * 1024);
      const refused = await Promise.all(
        Array.from({ length: 32 }, async (_, i) => {
          for (let n = 0; ; n++) {
            const error = await etcd.put(`k/${i}/${n}`, value).catch((error: unknown) => error);
            if (!(error instanceof Error)) continue;
            assert.ok(error instanceof NoSpaceError, String(error));
            assert.ok(error.mayBeApplied);
            return `k/${i}/${n}`;
          }
        }),
      );
      const there = await Promise.all(refused.map((key) => etcd.get(key)));
      if (there.some((kv) => kv !== undefined)) break;
      assert.ok(attempt < 10, 'no write that failed with NoSpaceError was applied');
    }
  });
});
