// Two copies of the package in one process, as in a monorepo that installs it twice: what is of the other copy is refused, and the
// error says so.
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import * as ours from '../src/index.js';
import { programFolder } from './support/program.js';

let others: typeof ours;

before(async () => {
  const copy = join(programFolder(), 'src');
  cpSync(fileURLToPath(new URL('../src', import.meta.url)), copy, { recursive: true });
  others = (await import(pathToFileURL(join(copy, 'index.js')).href)) as typeof ours;
});

/** As a program in JavaScript gives them. */
const untyped = (value: unknown): never => value as never;

test('views, ranges and sessions of another copy are refused as such', async () => {
  await using mine = await ours.connect({
    endpoints: 'http://127.0.0.1:1',
    lazy: true,
    transport: 'grpc-js',
  });
  await using theirs = await others.connect({
    endpoints: 'http://127.0.0.1:1',
    lazy: true,
    transport: 'grpc-js',
  });
  const keys = others.prefix('a');
  const range = untyped(keys);
  const view = untyped(theirs.namespace('a/'));
  const refused: Readonly<Record<string, () => unknown>> = {
    range: () => mine.range(range),
    delete: () => mine.delete(range),
    watch: () => mine.watch(range),
    iterate: () => mine.iterate(range),
    txn: () => mine.txn({ success: [ours.op.range(range)] }),
    compare: () => mine.txn({ compare: [ours.compare.version(range, '=', 0)] }),
    'Session.create': () => ours.Session.create(view),
    'Session.create of a client': () => ours.Session.create(untyped(theirs)),
    tryLockKey: () => ours.tryLockKey(view, 'k'),
    'Cache.open': () => ours.Cache.open(view, 'k'),
    Mirror: () => new ours.Mirror(view, 'k'),
    Queue: () => new ours.Queue(view, 'k'),
    Election: () => new ours.Election(view, 'k'),
    Barrier: () => new ours.Barrier(view, 'k'),
    EndpointManager: () => new ours.EndpointManager(view, 'k'),
    OrderedReads: () => new ours.OrderedReads(view),
    Mutex: () => new ours.Mutex(Object.create(others.Session.prototype), 'k'),
  };
  for (const [title, call] of Object.entries(refused)) {
    await assert.rejects(
      async () => call(),
      (error) => {
        assert.ok(error instanceof ours.InvalidArgumentError, title);
        assert.match(
          error.message,
          /an? (KeyRange|Namespace|EtcdClient|Session) of another copy of @quiesce\/etcd/,
          title,
        );
        return true;
      },
    );
  }
});

test('what is plain data, and what was subclassed, is taken', async () => {
  class Mine extends ours.EtcdError {}
  assert.ok(new Mine('m', { code: ours.StatusCode.UNKNOWN, sent: false }) instanceof ours.EtcdError);
  await using mine = await ours.connect({
    endpoints: 'http://127.0.0.1:1',
    lazy: true,
    transport: 'grpc-js',
  });
  const call = mine
    .withCodec({ value: others.json<number>() })
    .txn({ compare: [others.compare.missing('k')], success: [others.op.put('k', 1)] }, { timeoutMs: 100 });
  await assert.rejects(call, ours.UnavailableError);
  // The classes of errors are those of the copy that throws them. Their names and codes are the same.
  const error: unknown = await call.catch((failure: unknown) => failure);
  assert.equal(error instanceof others.EtcdError, false);
  assert.equal((error as ours.EtcdError).code, others.StatusCode.UNAVAILABLE);
});
