// Every public function refuses wrong arguments of each type at once, with an error of this package, and leaves nothing
// behind. Functions are found at runtime: one that the table doesn't have fails the test.
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { type EtcdServer, etcdBinary, startEtcd } from '@quiesce/test-services';
import * as api from '../src/index.js';
import { instrument } from '../src/opentelemetry.js';
import { startEtcd as startServer, startEtcdCluster as startServers } from '../src/testing/testing.js';

type Anything = (...args: unknown[]) => unknown;

/** What is right for a parameter, of {@link wrong}; and a value that is right. */
interface Parameter {
  readonly right: unknown;
  readonly takes?: (value: unknown) => boolean;
}

/** What users give by mistake, one of each type. */
const wrong: readonly unknown[] = [
  undefined,
  null,
  7,
  -1.5,
  '7',
  true,
  Symbol('given'),
  [],
  () => {},
  {},
  Object.create(null),
  { misspelt: 1 },
  new AbortController(),
  Promise.resolve({}),
  new Map(),
];

/** And in options: fields that are none, or of another type. */
const wrongOptions: readonly object[] = [
  { misspelt: 1 },
  { timeoutMs: '5' },
  { signal: new AbortController() },
  { signal: 'stop', timeoutMs: undefined },
];

const isEmptyObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !isBuiltIn(value) && Reflect.ownKeys(value).length === 0;
const isBuiltIn = (value: object): boolean =>
  Array.isArray(value) ||
  value instanceof AbortController ||
  value instanceof Promise ||
  value instanceof Map;
const isText = (value: unknown): boolean => typeof value === 'string';
const isFunction = (value: unknown): boolean => typeof value === 'function';

let etcd: api.EtcdClient;
let session: api.Session;
let server: EtcdServer;
/** By what users' tests have. */
let own: Awaited<ReturnType<typeof startServer>>;
const method: api.RpcMethod<unknown, unknown> = {
  path: '/none.None/None',
  encode: () => new Uint8Array(0),
  decode: () => undefined,
};

const parameters: Readonly<Record<string, () => Parameter>> = {
  options: () => ({ right: {}, takes: (value) => value === undefined || isEmptyObject(value) }),
  neededOptions: () => ({ right: { password: 'hidden' } }),
  txn: () => ({ right: {}, takes: isEmptyObject }),
  codec: () => ({ right: {}, takes: isEmptyObject }),
  key: () => ({ right: 'k', takes: isText }),
  optionalKeys: () => ({ right: 'k', takes: (value) => value === undefined || isText(value) }),
  value: () => ({ right: 'v', takes: isText }),
  name: () => ({ right: 'name', takes: isText }),
  secret: () => ({ right: 'hidden', takes: isText }),
  endpoint: () => ({ right: server.endpoint, takes: isText }),
  connect: () => ({
    right: server.endpoint,
    takes: (value) => value === undefined || isEmptyObject(value) || isText(value),
  }),
  file: () => ({ right: 'file', takes: isText }),
  integer: () => ({ right: 7n, takes: (value) => value === 7 }),
  priority: () => ({ right: 1, takes: (value) => value === 7 }),
  id: () => ({ right: 7n }),
  version: () => ({ right: '3.5' }),
  permission: () => ({ right: 'read' }),
  alarm: () => ({ right: { memberId: 7n, type: 'nospace' } }),
  urls: () => ({ right: ['http://127.0.0.1:1'] }),
  changes: () => ({ right: [], takes: Array.isArray }),
  instance: () => ({ right: { addr: '127.0.0.1:1' } }),
  callback: () => ({ right: () => {}, takes: isFunction }),
  optionalCallback: () => ({ right: () => {}, takes: (value) => value === undefined || isFunction(value) }),
  space: () => ({ right: etcd }),
  session: () => ({ right: session }),
  kept: () => ({ right: { key: Buffer.from('name/1'), revision: 7n } }),
  method: () => ({ right: method }),
  data: () => ({ right: 'data', takes: () => true }),
  processSignal: () => ({ right: 'SIGCONT', takes: (value) => value === undefined }),
  message: () => ({ right: new Uint8Array(0), takes: () => true }),
};

/** The parameters of each public function; those that are missing at the end are not given. */
const signatures: Readonly<Record<string, string>> = {
  connect: 'connect',
  instrument: 'options',
  startEtcd: 'options',
  startEtcdCluster: 'options',
  tryLockKey: 'space key options',
  prefix: 'key',
  fromKey: 'key',
  keyRange: 'key key',
  allKeys: '',
  json: 'optionalCallback',
  statusName: 'data',
  'Session.create': 'space options',
  'Cache.open': 'space key options',
  'new Barrier': 'space key',
  'new DoubleBarrier': 'session key priority',
  'new Election': 'space key',
  'new EndpointManager': 'space name',
  'new Mirror': 'space key options optionalCallback',
  'new Mutex': 'session key',
  'new OrderedReads': 'space',
  'new PriorityQueue': 'space key',
  'new Queue': 'space key',
  'new RwMutex': 'session key',
  // What these make is checked by the transaction that it is given to: see the test of transactions.
  'op.get': '',
  'op.range': '',
  'op.put': '',
  'op.delete': '',
  'op.txn': 'txn',
  'compare.version': '',
  'compare.createRevision': '',
  'compare.modRevision': '',
  'compare.lease': '',
  'compare.value': '',
  'compare.exists': '',
  'compare.missing': '',
  'Keyspace.get': 'key options',
  'Keyspace.range': 'key options',
  'Keyspace.getPrefix': 'key options',
  'Keyspace.iterate': 'key options',
  'Keyspace.pages': 'key options',
  'Keyspace.put': 'key value options',
  'Keyspace.delete': 'key options',
  'Keyspace.txn': 'txn options',
  'Keyspace.stm': 'callback options',
  'Keyspace.watch': 'key options',
  'Namespace.namespace': 'key',
  'Namespace.withCodec': 'codec',
  'EtcdClient.compact': 'integer options',
  'EtcdClient.unary': 'method data options',
  'EtcdClient.stream': 'method options',
  'EtcdClient.setEndpoints': 'endpoint',
  'EtcdClient.onConnection': 'callback',
  'EtcdClient.ref': '',
  'EtcdClient.unref': '',
  'EtcdClient.close': '',
  'OrderedReads.saw': 'integer',
  'OrderedReads.get': 'key options',
  'OrderedReads.range': 'key options',
  'OrderedReads.txn': 'txn options',
  'LeaseClient.grant': 'integer options',
  'LeaseClient.revoke': 'integer options',
  'LeaseClient.timeToLive': 'integer options',
  'LeaseClient.list': 'options',
  'LeaseClient.keepAliveOnce': 'integer options',
  'LeaseClient.keepAlive': 'integer options',
  'LeaseKeepAlive.stop': '',
  'Auth.enable': 'options',
  'Auth.disable': 'options',
  'Auth.status': 'options',
  'Auth.userAdd': 'name neededOptions',
  'Auth.userGet': 'name options',
  'Auth.userList': 'options',
  'Auth.userDelete': 'name options',
  'Auth.userChangePassword': 'name secret options',
  'Auth.userGrantRole': 'name name options',
  'Auth.userRevokeRole': 'name name options',
  'Auth.roleAdd': 'name options',
  'Auth.roleGet': 'name options',
  'Auth.roleList': 'options',
  'Auth.roleDelete': 'name options',
  'Auth.roleGrantPermission': 'name permission key options',
  'Auth.roleRevokePermission': 'name key options',
  'Cluster.memberList': 'options',
  'Cluster.memberAdd': 'urls options',
  'Cluster.memberPromote': 'id options',
  'Cluster.memberUpdate': 'id urls options',
  'Cluster.memberRemove': 'id options',
  'Cluster.syncEndpoints': 'options',
  'Maintenance.status': 'endpoint options',
  'Maintenance.alarmList': 'options',
  'Maintenance.alarmArm': 'alarm options',
  'Maintenance.alarmDisarm': 'alarm options',
  'Maintenance.alarmDisarmAll': 'options',
  'Maintenance.defragment': 'endpoint options',
  'Maintenance.hash': 'endpoint options',
  'Maintenance.hashKV': 'endpoint options',
  'Maintenance.snapshot': 'options',
  'Maintenance.snapshotTo': 'file options',
  'Maintenance.moveLeader': 'id options',
  'Maintenance.downgradeValidate': 'version options',
  'Maintenance.downgradeEnable': 'version options',
  'Maintenance.downgradeCancel': 'options',
  'Snapshot.close': '',
  'Session.close': 'options',
  'Session.orphan': '',
  'Mutex.lock': 'options',
  'Mutex.tryLock': 'options',
  'Mutex.resume': 'kept options',
  'Lock.unlock': 'options',
  'RwMutex.readLock': 'options',
  'RwMutex.writeLock': 'options',
  'Election.campaign': 'session value options',
  'Election.resume': 'session kept options',
  'Election.leader': 'options',
  'Election.observe': 'options',
  'Leadership.proclaim': 'value options',
  'Leadership.resign': 'options',
  'Barrier.hold': 'options',
  'Barrier.release': 'options',
  'Barrier.wait': 'options',
  'DoubleBarrier.enter': 'options',
  'DoubleBarrier.leave': 'options',
  'Queue.enqueue': 'value options',
  'Queue.dequeue': 'options',
  'PriorityQueue.enqueue': 'value priority options',
  'PriorityQueue.dequeue': 'options',
  'Watch.batches': '',
  'Watch.requestProgress': 'options',
  'Watch.close': '',
  'Cache.get': 'key',
  'Cache.range': 'optionalKeys',
  'Cache.waitForRevision': 'integer options',
  'Cache.close': '',
  'Mirror.requestProgress': 'options',
  'Mirror.close': '',
  'EndpointManager.update': 'changes options',
  'EndpointManager.add': 'name instance options',
  'EndpointManager.delete': 'name options',
  'EndpointManager.list': 'options',
  'EndpointManager.watch': 'options',
  'Server.log': '',
  'Server.kill': 'processSignal',
  'Server.pause': '',
  'Server.resume': '',
  'Server.restart': '',
  'Server.stop': '',
  'RpcStream.send': 'message',
  'RpcStream.closeSend': '',
  'RpcStream.cancel': '',
  // Codecs are called by the client, which makes a CodecError of what they throw; an entry has what was read.
  'bytes.encode': '',
  'bytes.decode': '',
  'utf8.encode': 'value',
  'utf8.decode': '',
  'KeyValue.text': '',
  'KeyValue.keyText': '',
  'KeyValue.json': '',
  'KeyValue.toJSON': '',
  'TypedKeyValue.toJSON': '',
  'Session.toJSON': '',
  'OwnedKey.toJSON': '',
  'OwnedKey.isOwner': '',
  'Leadership.isOwner': '',
  'Watch.toJSON': '',
  'Cache.toJSON': '',
};

/** Methods that callers don't have: they are not in the published types. */
const internal = new Set([
  'Server.start',
  'LeaseClient.grantOnce',
  'LeaseKeepAlive.confirm',
  'LeaseKeepAlive.onLost',
  'Session.confirm',
  'Session.uniqueName',
  'Session.giveBack',
  'Session.owns',
  'Session.settled',
  'OwnedKey.is',
  'OwnedKey.confirm',
  'OwnedKey.release',
  'OwnedKey.releasedByOther',
  'OwnedKey.abandon',
  'OwnedKey.untilFirst',
  'OwnedKey.lose',
  'OwnedKey.markReleased',
  'OwnedKey.gone',
  'OwnedKey.isMine',
  'Leadership.isMine',
]);

/** Those of an emitter, which have a test of their own. */
const emitterMethods = [
  'on',
  'once',
  'off',
  'addListener',
  'removeListener',
  'prependListener',
  'prependOnceListener',
] as const;

interface Found {
  readonly name: string;
  readonly call: Anything;
  /** A method without its object. */
  readonly bare?: Anything;
}

/** The methods of an object, by the class that has them. */
function methodsOf(object: object): Found[] {
  const found: Found[] = [];
  for (
    let proto = Object.getPrototypeOf(object);
    proto !== null && proto !== Object.prototype && proto !== EventEmitter.prototype;
    proto = Object.getPrototypeOf(proto)
  ) {
    for (const key of Reflect.ownKeys(proto)) {
      const { value } = Object.getOwnPropertyDescriptor(proto, key) ?? {};
      if (key === 'constructor' || key === inspect.custom || typeof value !== 'function') continue;
      if (emitterMethods.some((name) => name === key)) continue;
      const name = `${proto.constructor.name}.${typeof key === 'string' ? key : key.description}`;
      if (internal.has(name)) continue;
      found.push({
        name,
        call: (...args) => Reflect.apply(value, object, args),
        bare: value,
      });
    }
  }
  return found;
}

/** The exports, and what is on them: functions, static methods, constructors that take arguments. */
function exported(): Found[] {
  const found: Found[] = [
    { name: 'instrument', call: instrument as Anything },
    { name: 'startEtcd', call: startServer as Anything },
    { name: 'startEtcdCluster', call: startServers as Anything },
  ];
  for (const [name, value] of Object.entries<unknown>({ ...api })) {
    if (typeof value !== 'function') {
      if (typeof value !== 'object' || value === null || name === 'StatusCode' || name === 'channelNames')
        continue;
      for (const [member, call] of Object.entries(value))
        found.push({ name: `${name}.${member}`, call: call as Anything });
      continue;
    }
    if (value.prototype instanceof Error) continue;
    if (value.prototype === undefined || !/^class\b/.test(String(value))) {
      found.push({ name, call: value as Anything });
      continue;
    }
    for (const [member, { value: call }] of Object.entries(Object.getOwnPropertyDescriptors(value))) {
      if (typeof call === 'function' && member !== 'prototype' && !internal.has(`${name}.${member}`)) {
        found.push({ name: `${name}.${member}`, call: (...args) => Reflect.apply(call, value, args) });
      }
    }
    if (signatures[`new ${name}`] !== undefined) {
      found.push({ name: `new ${name}`, call: (...args) => Reflect.construct(value, args) });
    }
  }
  return found;
}

/** What takes no more arguments than these, and looks at them later. */
const beside: Readonly<Record<string, readonly unknown[]>> = {
  'op.get': ['k', {}],
  'op.range': ['k', {}],
  'op.put': ['k', 'v', {}],
  'op.delete': ['k', {}],
  'compare.version': ['k', '=', 1],
  'compare.createRevision': ['k', '=', 1],
  'compare.modRevision': ['k', '=', 1],
  'compare.lease': ['k', '=', 1],
  'compare.value': ['k', '=', 'v'],
  'compare.exists': ['k'],
  'compare.missing': ['k'],
};

/** Codecs are called by the client; a number's name has nothing to go wrong. */
const ownWords = new Set(['bytes.encode', 'bytes.decode', 'utf8.encode', 'utf8.decode', 'statusName']);

const opened: { close?: () => unknown }[] = [];
const functions: Found[] = [];

async function open(): Promise<void> {
  server = await startEtcd();
  etcd = await api.connect(server.endpoint);
  session = await api.Session.create(etcd);
  await etcd.put('k', 'v');
  const lease = await etcd.lease.keepAlive(session.leaseId);
  const cache = await api.Cache.open(etcd, 'k');
  const mirror = new api.Mirror(etcd, 'k');
  const mutex = new api.Mutex(session, 'name');
  const election = new api.Election(etcd, 'election');
  const watch = etcd.watch('k');
  const snapshot = etcd.maintenance.snapshot();
  const stream = etcd.stream(method);
  opened.push(cache, mirror, watch, snapshot, { close: () => stream.cancel() });
  const kv = await etcd.get('k');
  own = await startServer({ binary: etcdBinary() });
  const typed = await etcd.withCodec({ value: api.utf8 }).get('k');
  assert.ok(kv !== undefined && typed !== undefined);
  const objects: object[] = [
    etcd,
    etcd.auth,
    etcd.cluster,
    etcd.maintenance,
    etcd.lease,
    lease,
    session,
    mutex,
    await mutex.lock(),
    election,
    await election.campaign(session, 'here'),
    new api.RwMutex(session, 'shared'),
    new api.Barrier(etcd, 'barrier'),
    new api.DoubleBarrier(session, 'double', 1),
    new api.Queue(etcd, 'queue'),
    new api.PriorityQueue(etcd, 'priorities'),
    new api.OrderedReads(etcd),
    new api.EndpointManager(etcd, 'service'),
    cache,
    mirror,
    watch,
    snapshot,
    stream,
    kv,
    typed,
    own,
  ];
  functions.push(...exported(), ...objects.flatMap(methodsOf));
}

/** What comes of a call, at once or later; a loop is asked for its first item. */
async function outcomeOf(call: () => unknown): Promise<unknown> {
  try {
    const result = await call();
    opened.push(result as object);
    return 'nothing was refused';
  } catch (error) {
    return error;
  }
}

async function refused(what: string, call: () => unknown): Promise<string | undefined> {
  const late = new Promise((resolve) => setTimeout(resolve, 5_000, 'no answer within 5 s').unref());
  const outcome = await Promise.race([outcomeOf(call), late]);
  const ours = outcome instanceof api.InvalidArgumentError || outcome instanceof api.CodecError;
  if (ours && !outcome.sent && !outcome.mayBeApplied) return undefined;
  return `${what}: ${outcome instanceof Error ? outcome.stack?.split('\n', 3).join(' ') : String(outcome)}`;
}

const label = (value: unknown): string =>
  typeof value === 'object' && value !== null
    ? `${value.constructor?.name} ${Object.keys(value)}`
    : String(value);

describe('arguments', () => {
  before(open);
  after(async () => {
    await etcd?.close();
    await server?.stop();
    await own?.stop();
  });

  test('the table has every public function', () => {
    const missing = functions
      .map(({ name }) => name)
      .filter((name) => signatures[name] === undefined && !/\.(Symbol|nodejs)\./.test(name));
    assert.deepEqual([...new Set(missing)], []);
  });

  test('every public class is among them', () => {
    const report = readFileSync(new URL('../../api/index.api.md', import.meta.url), 'utf8');
    const classes = [...report.matchAll(/^export (?:abstract )?class (\w+)(.*)/gm)].flatMap(
      ([, name, rest]) => (/extends \w*Error\b/.test(rest ?? '') || name === 'KeyRange' ? [] : [name]),
    );
    const tried = new Set(functions.flatMap(({ name, bare }) => (bare ? [name.split('.')[0]] : [])));
    assert.ok(classes.length > 25, `${classes}`);
    assert.deepEqual(
      classes.filter((name) => !tried.has(name)),
      [],
    );
  });

  test('of a wrong type are refused at once', async () => {
    const problems: (string | undefined)[] = [];
    let tried = 0;
    for (const { name, call } of functions) {
      const kinds = (signatures[name] ?? '').split(' ').filter((kind) => kind !== '');
      const all = kinds.map((kind) => parameters[kind]?.() ?? assert.fail(`no parameter ${kind}`));
      for (const [index, { takes }] of all.entries()) {
        const isOptions = kinds[index] === 'options' || kinds[index] === 'neededOptions';
        const values = wrong.filter((value) => !takes?.(value));
        for (const value of isOptions ? [...values, ...wrongOptions] : values) {
          const args = all.map(({ right }) => right);
          args[index] = value;
          tried += 1;
          problems.push(await refused(`${name}, argument ${index}: ${label(value)}`, () => call(...args)));
        }
      }
    }
    assert.deepEqual(problems.filter((problem) => problem !== undefined).slice(0, 20), []);
    assert.ok(tried > 1_500, `${tried} calls`);
  });

  test('that are a callback, or one too many, are refused, and so is a method without its object', async () => {
    const problems: (string | undefined)[] = [];
    const callback = (): void => assert.fail('a callback was called');
    let tried = 0;
    for (const { name, call, bare } of functions) {
      if (bare === undefined) continue;
      const kinds = (signatures[name] ?? '').split(' ').filter((kind) => kind !== '');
      const args = kinds.map((kind) => parameters[kind]?.().right);
      const says = async (what: string, words: RegExp, made: () => unknown): Promise<void> => {
        tried += 1;
        const outcome = await outcomeOf(made);
        if (outcome instanceof api.InvalidArgumentError && words.test(outcome.message)) return;
        problems.push(`${name}, ${what}: ${outcome}`);
      };
      await says('a callback at the end', /takes no callback/, () => call(...args, callback));
      if (kinds.at(-1) === 'options') {
        const instead = [...args.slice(0, -1), callback];
        await says('a callback for options', /there are no callbacks/, () => call(...instead));
      }
      if (args.length > 0) {
        await says('one too many', /takes \d arguments?, and was given/, () => call(...args, 'more'));
      }
      await says('no object', /was called without its object; call it on its object/, () => bare(...args));
      const copy = Object.create(Object.prototype);
      await says('another object', /was called without its object/, () => Reflect.apply(bare, copy, args));
    }
    assert.deepEqual(problems.slice(0, 20), []);
    assert.ok(tried > 350, `${tried} calls`);
    // As handlers are called by hosts.
    await (etcd.put as Anything).call(etcd, 'k', 'v', undefined, undefined);
    etcd.unref();
    Reflect.apply(etcd.ref, etcd, ['SIGUSR2', 12]);
    await assert.rejects(
      (etcd as never as Record<string, Anything>).get?.('k', {}, callback) as Promise<unknown>,
      /get\(\) takes no callback: it returns a promise/,
    );
    await assert.rejects(
      etcd.stm(async ({ get: read }) => read('k')),
      /Stm\.get\(\) was called without its object/,
    );
    const { get } = etcd;
    await assert.rejects(async () => get('k'), /Keyspace\.get\(\) was called without its object/);
  });

  test('that are more than a function or a constructor takes are refused, and the message says which', async () => {
    const problems: string[] = [];
    let tried = 0;
    for (const { name, call, bare } of functions) {
      if (bare !== undefined || ownWords.has(name)) continue;
      const own = beside[name];
      const kinds = (signatures[name] ?? '').split(' ').filter((kind) => kind !== '');
      const args = own ?? kinds.map((kind) => parameters[kind]?.().right);
      tried += 1;
      const outcome = await outcomeOf(() => call(...args, { misplaced: 1 }));
      const says = /takes (no|\d) arguments?, and was given \d: the \w+ is an object;/;
      if (!(outcome instanceof api.InvalidArgumentError && says.test(outcome.message)))
        problems.push(`${name}: ${outcome}`);
    }
    assert.deepEqual(problems, []);
    assert.ok(tried > 30, `${tried} calls`);
    // A prefix of all keys would be all of them.
    assert.throws(
      () => (api.allKeys as Anything)('a/'),
      /^InvalidArgumentError: allKeys\(\) takes no arguments, and was given 1: the first is a string;/,
    );
    // As map() calls it.
    assert.deepEqual(['a', 'b'].map(api.prefix), [api.prefix('a'), api.prefix('b')]);
    assert.deepEqual(['a'].map(api.compare.exists), [api.compare.exists('a')]);
  });

  test('that are no listeners are refused by emitters, and so are their methods without them', async () => {
    const watch = etcd.watch('k');
    const cache = await api.Cache.open(etcd, 'k');
    opened.push(watch, cache);
    for (const emitter of [watch, cache]) {
      for (const name of emitterMethods) {
        const { [name]: bare } = emitter as EventEmitter;
        for (const value of wrong.filter((each) => !isFunction(each))) {
          const call = () => emitter[name]('close', value as never);
          assert.equal(await refused(`${name} ${label(value)}`, call), undefined);
        }
        assert.equal(await refused(name, () => bare('close', () => {})), undefined);
        for (const event of ['Put', 'ready', '', 7, undefined, {}]) {
          const call = () => emitter[name](event as 'put', () => {});
          assert.equal(await refused(`${name} ${event}`, call), undefined);
        }
        assert.throws(
          () => emitter[name]('Put' as 'put', () => {}),
          /has no event 'Put'; did you mean put\?/,
        );
      }
    }
  });

  test('of operations and conditions are refused by their transaction', async () => {
    const problems: (string | undefined)[] = [];
    for (const value of wrong.filter((each) => !isText(each))) {
      const operations: readonly unknown[] = [
        api.op.get(value),
        api.op.range(value),
        api.op.put(value, 'v'),
        api.op.put('k', value),
        api.op.delete(value),
        value,
        ...(isEmptyObject(value) || value === undefined ? [] : [api.op.put('k', 'v', value as object)]),
      ];
      for (const operation of operations) {
        const txn = { success: [operation] } as api.Txn<api.Bytes, api.Bytes>;
        problems.push(await refused(`operation ${label(value)}`, () => etcd.txn(txn)));
      }
      const conditions: readonly unknown[] = [
        value,
        api.compare.value('k', value as '=', 'v'),
        api.compare.value('k', '=', value),
        ...(value === 7 ? [] : [api.compare.modRevision('k', '=', value as bigint)]),
      ];
      for (const condition of conditions) {
        const txn = { compare: [condition] } as api.Txn<api.Bytes, api.Bytes>;
        problems.push(await refused(`condition ${label(value)}`, () => etcd.txn(txn)));
      }
    }
    assert.deepEqual(
      problems.filter((problem) => problem !== undefined),
      [],
    );
  });

  test('in a software transaction are refused, too', async () => {
    const problems: (string | undefined)[] = [];
    await etcd.stm(async (stm) => {
      for (const value of wrong) {
        const given = value as never;
        if (!isText(value)) {
          problems.push(await refused(`get ${label(value)}`, () => stm.get(given)));
          problems.push(await refused(`put ${label(value)}`, () => stm.put(given, 'v')));
          problems.push(await refused(`put, value ${label(value)}`, () => stm.put('none', given)));
          problems.push(await refused(`delete ${label(value)}`, () => stm.delete(given)));
        }
        if (!Array.isArray(value))
          problems.push(await refused(`getAll ${label(value)}`, () => stm.getAll(given)));
        if (isEmptyObject(value) || value === undefined) continue;
        problems.push(await refused(`put, options ${label(value)}`, () => stm.put('none', 'v', given)));
      }
    });
    assert.deepEqual(
      problems.filter((problem) => problem !== undefined),
      [],
    );
    assert.equal(await etcd.get('none'), undefined);
  });

  test('of other clients, and misspelt ones, are answered with what to write', async () => {
    const typed = etcd.withCodec({ value: api.json() });
    const resume = (given: unknown) => new api.Mutex(session, 'name').resume(given as never);
    const endpoint = (given: unknown) => new api.EndpointManager(etcd, 'service').add('id', given as never);
    const cases: readonly [call: () => unknown, message: RegExp][] = [
      [
        () => etcd.put('k', 'v', { ttl: 5 } as object),
        /put\(\) has no option ttl; grant a lease, and give its id as lease/,
      ],
      [() => etcd.put('k', 'v', { leaseId: 5n } as object), /no option leaseId; did you mean lease\?/],
      [() => etcd.put('k', 'v', { prevKV: true } as object), /no option prevKV; did you mean prevKv\?/],
      [
        () => etcd.put('k', 'v', null as never),
        /put\(\) takes an object, and was given null; write an object such as/,
      ],
      [() => etcd.get('k', { revision: '3' as never }), /revision is '3'; .*: write 3n or BigInt\(value\)/],
      [
        () => etcd.get('k', { signal: new AbortController() as never }),
        /give its signal: controller\.signal/,
      ],
      [
        () => etcd.get('k', { signal: AbortSignal.timeout(1000), timeout: 5 } as object),
        /^get\(\) has no option timeout; the deadline is timeoutMs/,
      ],
      [() => etcd.put('k', 'v', { LEASE_ID: 5n } as object), /no option LEASE_ID; did you mean lease\?/],
      [() => etcd.put('k', 'v', { 'Prev-Kvs': true } as object), /Prev-Kvs; did you mean prevKv\?/],
      [() => api.connect({ tls: { cacert: 'x' } as object }), /no option tls\.cacert; did you mean ca\?/],
      [() => api.connect({ 'discovery-srv': 'x' } as object), /discovery-srv; write srv: \{ domain \}/],
      [() => etcd.txn({ sucess: [] } as never), /no option sucess; did you mean success\?/],
      [() => etcd.txn(Object.fromEntries([['if', []]]) as never), /no option if; did you mean compare\?/],
      [
        () => etcd.txn({ success: [api.op.put('k', 'v', { ttl: 5 } as object)] }),
        /op\.put\(\) has no option ttl/,
      ],
      [() => etcd.watch('k', { revision: 7n } as object), /did you mean startRevision\?/],
      [() => api.Session.create(etcd, { ttl: 5 } as object), /no option ttl; did you mean ttlSeconds\?/],
      [() => api.Session.create(undefined as never), /space is undefined; it must be a client/],
      [
        () => new api.Mutex(etcd as never, 'k'),
        /session is an EtcdClient; it must be a session: await Session\.create/,
      ],
      [() => etcd.auth.userAdd('u', undefined as never), /userAdd\(\) takes an object/],
      [() => api.connect(2379 as never), /connect\(\) takes an object, and was given a number; .*endpoints:/],
      [() => api.connect([server.endpoint] as never), /was given an array; write .*endpoints:/],
      [() => api.connect(null as never), /was given null/],
      [
        () => api.connect({ keepAlive: true as never }),
        /keepAlive is true; it must be an object such as \{ intervalMs/,
      ],
      [() => api.connect({ hosts: [] } as object), /no option hosts; did you mean endpoints\?/],
      [
        () => api.connect({ auth: { username: 'u', password: 'p', token: 't' } as never }),
        /a token and a user/,
      ],
      [
        () => api.connect({ endpoints: server.endpoint, maxRequestBytes: 1.5 }),
        /maxRequestBytes is 1\.5; it must be a number of bytes/,
      ],
      [
        () => api.connect({ endpoints: server.endpoint, retry: { backoffMs: 1000, maxBackoffMs: 10 } }),
        /retry\.maxBackoffMs is 10, which is less than backoffMs \(1000\)/,
      ],
      [() => api.Session.create(typed as never), /space is a Keyspace; it must be a client/],
      [() => api.tryLockKey(typed as never, 'k'), /space is a Keyspace/],
      [() => api.Cache.open(typed as never, 'k'), /store is a Keyspace/],
      [() => new api.Queue(typed as never, 'k'), /space is a Keyspace/],
      [() => new api.EndpointManager(typed as never, 'k'), /space is a Keyspace/],
      [() => resume({ key: 'x', revision: '1' }), /"x" is not a key of this mutex/],
      [
        () => resume({ key: 1, revision: 1n }),
        /lock\.key is 1; it must be a string, a Uint8Array, or \{ base64 \}/,
      ],
      [() => resume({ key: 'x', revision: '0x7' }), /lock\.revision is '0x7'; it must be a revision/],
      [() => resume({ key: 'x', revision: 1.5 }), /lock\.revision is 1\.5; it must be a revision/],
      [() => resume('name/1'), /lock is 'name\/1'; it must be the key/],
      [() => etcd.getPrefix('a', { foo: 1 } as object), /^getPrefix\(\) has no option foo/],
      [() => (etcd.maintenance.status as Anything)(), /^endpoint is undefined; it must be a string such as/],
      [() => etcd.auth.roleAdd('r\ud800'), /lone surrogate/],
      [() => etcd.auth.userChangePassword('u', 'p\ud800'), /lone surrogate/],
      [() => endpoint({ address: 'h:1' }), /no option address; did you mean addr\?/],
      [() => endpoint({ addr: '' }), /addr is ''; it must be a non-empty string/],
      [() => endpoint({ addr: 'h\ud800' }), /lone surrogate/],
      [() => endpoint(null), /an endpoint takes an object, and was given null/],
      [() => endpoint({ addr: 'h:1', metadata: Promise.resolve(1) }), /await it first/],
      [() => endpoint({ addr: 'h:1', metadata: () => 1 }), /function\)? can't be written as JSON/],
    ];
    for (const [call, message] of cases) {
      const outcome = await outcomeOf(call);
      assert.ok(outcome instanceof api.InvalidArgumentError, String(outcome));
      assert.match(outcome.message, message);
    }
  });

  test('in an array with a hole are refused, and the message says where', async () => {
    const holed = (second: unknown): never => {
      const array = [undefined, second];
      delete array[0];
      return array as never;
    };
    const change = { type: 'delete', id: 'i' };
    const endpoints = new api.EndpointManager(etcd, 'service');
    const cases: readonly [call: () => unknown, message: RegExp][] = [
      [() => etcd.cluster.memberAdd(holed('http://127.0.0.1:1')), /peerUrls\[0\] is undefined/],
      [() => etcd.cluster.memberUpdate(1n, holed('http://127.0.0.1:1')), /peerUrls\[0\] is undefined/],
      [() => etcd.watch('k', { filters: holed('put') }), /filters\[0\] is undefined; .*'put' or 'delete'/],
      [() => etcd.stm(() => 1, { prefetch: holed('k') }), /prefetch\[0\] is undefined/],
      [() => etcd.stm((stm) => stm.getAll(holed('k'))), /keys\[0\] is undefined/],
      [() => etcd.txn({ success: holed(api.op.get('k')) }), /not an operation/],
      [() => etcd.txn({ compare: holed(api.compare.exists('k')) }), /a comparison/],
      [() => endpoints.update(holed(change)), /updates\[0\] is undefined/],
      [() => etcd.setEndpoints(holed(server.endpoint)), /endpoints\[0\] is undefined/],
      [() => api.connect({ endpoints: holed(server.endpoint) }), /endpoints\[0\] is undefined/],
      [() => startServer({ args: holed('--debug') }), /args\[0\] is undefined; it must be a string/],
    ];
    for (const [call, message] of cases) {
      const outcome = await outcomeOf(call);
      assert.ok(outcome instanceof api.InvalidArgumentError, String(outcome));
      assert.match(outcome.message, message);
    }
  });

  test('in any part of a transaction are refused, whatever else is right there', async () => {
    const parts: readonly [part: object, inTxn: (part: never) => object, required: number][] = [
      [api.compare.version('k', '=', 1), (part) => ({ compare: [part] }), 4],
      [api.op.get('k'), (part) => ({ success: [part] }), 2],
      [api.op.range('k'), (part) => ({ success: [part] }), 2],
      [api.op.put('k', 'v'), (part) => ({ failure: [part] }), 3],
      [api.op.delete('k'), (part) => ({ failure: [part] }), 2],
      [{ compare: [], success: [], failure: [] }, (part) => part, 0],
    ];
    for (const [part, inTxn, required] of parts) {
      const call = (changed: object) => outcomeOf(() => etcd.txn(inTxn(changed as never)));
      const names = Object.keys(part);
      for (const [at, name] of names.entries()) {
        const { [name]: value, ...rest } = part as Record<string, unknown>;
        const others = [
          { ...rest, [`${name}s`]: value },
          { ...part, other: 1 },
        ];
        if (at < required) others.push(rest, { ...rest, [name]: undefined }, { ...rest, other: 1 });
        if (at < required || name === 'options' || required === 0) others.push({ ...rest, [name]: null });
        for (const wrong of others) {
          const outcome = await call(wrong);
          assert.ok(outcome instanceof api.InvalidArgumentError, `${inspect(wrong)}: ${outcome}`);
        }
        // Fields that are undefined are absent.
        const right = { ...part, other: undefined, [name]: value };
        if (at >= required) Object.assign(right, { [name]: undefined });
        assert.match(String(await call(right)), /no option other/);
        assert.ok(!((await call({ ...part })) instanceof Error));
      }
    }
  });

  test('are not repeated where they may be a secret', async () => {
    const misplaced: (() => unknown)[] = [
      () => api.connect({ auth: 'root:hidden' as never }),
      () => api.connect({ auth: 404404 as never }),
      () => api.connect({ tls: '-----BEGIN PRIVATE KEY-----\nhidden' as never }),
      () => api.connect({ tls: { key: ['hidden'] as never } }),
      () => (etcd.auth.userChangePassword as Anything)('user', 'old', 'hidden'),
      () => (etcd.auth.userAdd as Anything)('user', 'hidden'),
      () => (etcd.auth.userAdd as Anything)('user', 404404),
    ];
    for (const call of misplaced) {
      const outcome = await outcomeOf(call);
      assert.ok(outcome instanceof api.InvalidArgumentError, String(outcome));
      assert.doesNotMatch(String(outcome), /hidden|404404/);
    }
  });

  test('that are half a signal are refused, and harm no other call', async () => {
    const half = { aborted: false, addEventListener() {} } as unknown as AbortSignal;
    const others = Array.from({ length: 5 }, () => etcd.get('k'));
    const calls: (() => unknown)[] = [
      () => etcd.get('k', { signal: half }),
      () => api.connect({ signal: half }),
      () => etcd.lease.keepAliveOnce(5n, { signal: half }),
      () => api.Session.create(etcd, { signal: half }),
      () => etcd.watch('k', { signal: half }),
    ];
    for (const call of calls) {
      const outcome = await outcomeOf(call);
      assert.ok(outcome instanceof api.InvalidArgumentError, String(outcome));
      assert.match(outcome.message, /signal is an object; it must be an AbortSignal/);
    }
    await Promise.all(others);
  });

  test('that are undefined are absent', async () => {
    const { revision } = await etcd.put('k', 'v', { lease: undefined, signal: undefined } as object);
    assert.equal((await etcd.get('k', { revision: undefined } as object))?.modRevision, revision);
    const endpoints = server.endpoint;
    const auth = { token: 'fixed', username: undefined, password: undefined };
    await (await api.connect({ endpoints, lazy: true, auth })).close();
    const user = { username: 'u', password: 'p', token: undefined };
    await (await api.connect({ endpoints, lazy: true, auth: user })).close();
  });

  test('are refused by the types, too', () => {
    const never = (): unknown[] => [
      // @ts-expect-error a misspelt field
      etcd.txn({ compare: [], sucess: [] }),
      // @ts-expect-error a misspelt field beside others that are right
      etcd.txn({ success: [], failures: [] }),
      // @ts-expect-error of another client
      etcd.txn({ success: [], else: [] }),
      // @ts-expect-error in a transaction in the transaction
      api.op.txn({ success: [], sucess: [] }),
      // @ts-expect-error a lease is granted first
      etcd.put('k', 'v', { ttl: 5 }),
      // @ts-expect-error a token stands for its user
      api.connect({ auth: { username: 'u', password: 'p', token: 't' } }),
      // @ts-expect-error a mutex is a session's
      new api.Mutex(etcd, 'k'),
    ];
    assert.equal(typeof never, 'function');
  });

  test('that were refused leave nothing behind: the client closes', async () => {
    for (const each of opened) each?.close?.();
    await session.close();
    await etcd.close();
    assert.ok(etcd.closed);
  });
});
