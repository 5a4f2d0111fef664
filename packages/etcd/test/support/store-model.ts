// etcd's key-value store in memory, according to its documentation and its answers: revisions, history, leases,
// transactions. It is the tests' reference for what the client must return.
import type { Compare, Int64, KeyRange, Op, PutOptions, RangeOptions, Txn } from '../../src/index.js';

/** Keys and values are latin1 text here, so that text compares like bytes. */
export type Key = string;
type Keys = Key | KeyRange;

/** A key in the model, with the fields of the client's `KeyValue`. */
export interface ModelKv {
  readonly key: string;
  readonly value: string;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  readonly version: bigint;
  readonly lease: bigint;
}

/** The errors with which etcd refuses a request. */
export class ModelError extends Error {}

/** Stands for any request that the client refuses without asking etcd. */
export const REFUSED_BY_CLIENT = 'refused by the client';

const refuse = (details: string): never => {
  throw new ModelError(details);
};

const COMPACTED = 'etcdserver: mvcc: required revision has been compacted';
const FUTURE = 'etcdserver: mvcc: required revision is a future revision';
const KEY_NOT_FOUND = 'etcdserver: key not found';
const LEASE_NOT_FOUND = 'etcdserver: requested lease not found';
const DUPLICATE_KEY = 'etcdserver: duplicate key given in txn request';

type State = ReadonlyMap<Key, ModelKv>;
type Contains = (key: Key) => boolean;

/** The range that the client's `Keys` stand for. */
function containing(keys: Keys): Contains {
  if (typeof keys === 'string') return (key) => key === keys;
  const start = latin1(keys.key);
  const end = latin1(keys.rangeEnd);
  return (key) => key >= start && (end === '\0' || key < end);
}

function isEndless(keys: Keys): boolean {
  return typeof keys !== 'string' && latin1(keys.rangeEnd) === '\0';
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

function select(state: State, keys: Keys): ModelKv[] {
  const contains = containing(keys);
  return [...state.values()].filter(({ key }) => contains(key)).sort((a, b) => order(a.key, b.key));
}

function order<T extends string | bigint>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The changes of one request, which make one revision if there are any. */
class Changes {
  readonly keys: Map<Key, ModelKv>;
  readonly #base: bigint;
  #changed = false;

  constructor(state: State, revision: bigint) {
    this.keys = new Map(state);
    this.#base = revision;
  }

  get revision(): bigint {
    return this.#changed ? this.#base + 1n : this.#base;
  }

  set(kv: ModelKv): void {
    this.#changed = true;
    this.keys.set(kv.key, kv);
  }

  delete(key: Key): void {
    this.#changed = true;
    this.keys.delete(key);
  }
}

/** The store. Each method returns the result of the client's call of that name, without the header. */
export class StoreModel {
  /** The store at each revision. The first revision is 1. */
  readonly #history: State[] = [new Map(), new Map()];
  readonly #leases = new Set<bigint>();
  #compacted = -1n;

  get revision(): bigint {
    return BigInt(this.#history.length - 1);
  }

  get compacted(): bigint {
    return this.#compacted;
  }

  get #state(): State {
    return this.#history.at(-1) as State;
  }

  get(key: Key, options: RangeOptions): ModelKv | undefined {
    return this.range(key, options).kvs[0];
  }

  range(keys: Keys, options: RangeOptions) {
    this.#checkRevision(options.revision);
    return this.#range(keys, options, this.#state, this.revision);
  }

  put(key: Key, value: string, options: PutOptions) {
    return this.#change((changes) => {
      this.#checkPut(key, value, options);
      return this.#put(key, value, options, changes);
    });
  }

  delete(keys: Keys, options: { readonly prevKv?: boolean | undefined }) {
    return this.#change((changes) => this.#delete(keys, options, changes));
  }

  txn(txn: Txn<string, string>) {
    checkCrash(txn.success ?? []);
    checkCrash(txn.failure ?? []);
    for (const { value, options } of flat([...(txn.success ?? []), ...(txn.failure ?? [])]).filter(isPut))
      this.#checkPutForm(value, options);
    checkWrites(txn.success ?? []);
    checkWrites(txn.failure ?? []);
    const branches = new Map<unknown, boolean>();
    this.#decide(txn, branches);
    return this.#change((changes) => {
      this.#checkOps(txn, branches);
      const result = this.#applyTxn(txn, branches, changes);
      return { revision: changes.revision, ...result };
    });
  }

  compact(revision: bigint) {
    if (revision <= this.#compacted) refuse(COMPACTED);
    if (revision > this.revision) refuse(FUTURE);
    this.#compacted = revision;
    return { revision: this.revision };
  }

  grant(id: bigint): void {
    if (this.#leases.has(id)) refuse('etcdserver: lease already exists');
    this.#leases.add(id);
  }

  revoke(id: bigint): void {
    if (!this.#leases.delete(id)) refuse(LEASE_NOT_FOUND);
    this.#change((changes) => {
      for (const { key, lease } of this.#state.values()) if (lease === id) changes.delete(key);
    });
  }

  /** The keys that are attached to a lease. */
  attached(id: bigint): Key[] {
    return [...this.#state.values()].filter(({ lease }) => lease === id).map(({ key }) => key);
  }

  #change<T>(body: (changes: Changes) => T): T {
    const changes = new Changes(this.#state, this.revision);
    const result = body(changes);
    if (changes.revision > this.revision) this.#history.push(changes.keys);
    return result;
  }

  #checkRevision(revision: Int64 = 0n): void {
    if (BigInt(revision) > this.revision) refuse(FUTURE);
    if (BigInt(revision) !== 0n && BigInt(revision) < this.#compacted) refuse(COMPACTED);
  }

  #range(keys: Keys, options: RangeOptions, current: State, revision: bigint) {
    const { limit = 0, countOnly, keysOnly, sortBy, sortOrder } = options;
    const wanted = Number(options.revision ?? 0);
    const found = select(wanted === 0 ? current : (this.#history[wanted] as State), keys);
    const count = BigInt(found.length);
    if (countOnly) return { revision, kvs: [], more: false, count };
    const least = (bound: Int64 | undefined, n: bigint) => !bound || n >= BigInt(bound);
    const most = (bound: Int64 | undefined, n: bigint) => !bound || n <= BigInt(bound);
    let kvs = found.filter(
      (kv) =>
        least(options.minModRevision, kv.modRevision) &&
        most(options.maxModRevision, kv.modRevision) &&
        least(options.minCreateRevision, kv.createRevision) &&
        most(options.maxCreateRevision, kv.createRevision),
    );
    if (sortBy !== undefined || sortOrder !== undefined) {
      const sign = sortOrder === 'descend' ? -1 : 1;
      kvs.sort((a, b) => sign * order<string | bigint>(a[sortBy ?? 'key'], b[sortBy ?? 'key']));
    }
    const more = Number(limit) > 0 && kvs.length > Number(limit);
    if (more) kvs = kvs.slice(0, Number(limit));
    return { revision, kvs: keysOnly ? kvs.map((kv) => ({ ...kv, value: '' })) : kvs, more, count };
  }

  #checkPutForm(value: string, { ignoreValue, ignoreLease, lease }: PutOptions): void {
    if (ignoreValue && value !== '') refuse('etcdserver: value is provided');
    if (ignoreLease && lease) refuse('etcdserver: lease is provided');
  }

  #checkPut(key: Key, value: string, options: PutOptions): void {
    this.#checkPutForm(value, options);
    if (options.lease && !this.#leases.has(BigInt(options.lease))) refuse(LEASE_NOT_FOUND);
    if ((options.ignoreValue || options.ignoreLease) && !this.#state.has(key)) refuse(KEY_NOT_FOUND);
  }

  #put(key: Key, value: string, options: PutOptions, changes: Changes) {
    const before = changes.keys.get(key);
    changes.set({
      key,
      value: options.ignoreValue ? (before?.value ?? '') : value,
      createRevision: before?.createRevision ?? this.revision + 1n,
      modRevision: this.revision + 1n,
      version: (before?.version ?? 0n) + 1n,
      lease: options.ignoreLease ? (before?.lease ?? 0n) : BigInt(options.lease ?? 0),
    });
    return { revision: changes.revision, prevKv: options.prevKv ? before : undefined };
  }

  #delete(keys: Keys, { prevKv = false }: { readonly prevKv?: boolean | undefined }, changes: Changes) {
    const deleted = select(changes.keys, keys);
    for (const { key } of deleted) changes.delete(key);
    return {
      revision: changes.revision,
      deleted: BigInt(deleted.length),
      prevKvs: prevKv ? deleted : [],
    };
  }

  /** All conditions are checked before anything is done, including those of nested transactions. */
  #decide(txn: Txn<string, string>, branches: Map<unknown, boolean>): void {
    const succeeded = (txn.compare ?? []).every((condition) => holds(condition, this.#state));
    branches.set(txn, succeeded);
    for (const op of branchOf(txn, succeeded)) if (op.type === 'txn') this.#decide(op, branches);
  }

  /**
   * What etcd checks before it applies a transaction, in the order of the operations of the branches that are taken.
   */
  #checkOps(txn: Txn<string, string>, branches: ReadonlyMap<unknown, boolean>): void {
    for (const op of taken(txn, branches)) {
      if (op.type === 'put') {
        const { ignoreValue, ignoreLease, lease } = op.options;
        if ((ignoreValue || ignoreLease) && !this.#state.has(op.key)) refuse(KEY_NOT_FOUND);
        if (lease && !this.#leases.has(BigInt(lease))) refuse(LEASE_NOT_FOUND);
      } else if (op.type === 'get' || op.type === 'range') {
        this.#checkRevision(op.options.revision);
      }
    }
  }

  #applyTxn(
    txn: Txn<string, string>,
    branches: ReadonlyMap<unknown, boolean>,
    changes: Changes,
  ): ModelTxnResult {
    const succeeded = branches.get(txn) as boolean;
    const responses = branchOf(txn, succeeded).map((op) => this.#applyOp(op, branches, changes));
    return { succeeded, responses };
  }

  #applyOp(op: Op<string, string>, branches: ReadonlyMap<unknown, boolean>, changes: Changes): unknown {
    switch (op.type) {
      case 'get':
        return this.#range(op.key, op.options, changes.keys, changes.revision).kvs[0];
      case 'range':
        return this.#range(op.keys, op.options, changes.keys, changes.revision);
      case 'put':
        return this.#put(op.key, op.value, op.options, changes);
      case 'delete':
        return this.#delete(op.keys, op.options, changes);
      case 'txn':
        return this.#applyTxn(op, branches, changes);
    }
  }
}

/** Without the revision. A nested transaction also has the revision of the whole transaction. */
interface ModelTxnResult {
  readonly succeeded: boolean;
  readonly responses: unknown[];
}

function branchOf(txn: Txn<string, string>, succeeded: boolean): readonly Op<string, string>[] {
  return (succeeded ? txn.success : txn.failure) ?? [];
}

/** The operations that are carried out, with those of nested transactions in their places. */
function taken(txn: Txn<string, string>, branches: ReadonlyMap<unknown, boolean>): Op<string, string>[] {
  return branchOf(txn, branches.get(txn) as boolean).flatMap((op) =>
    op.type === 'txn' ? taken(op, branches) : [op],
  );
}

/**
 * Refuses transactions on which etcd crashes, like the client: those that keep the value or lease of a key that a range
 * without an end was deleted with before.
 */
function checkCrash(ops: readonly Op<string, string>[], before: readonly Contains[] = []): Contains[] {
  const deleted = [...before];
  for (const op of ops) {
    if (op.type === 'delete' && isEndless(op.keys)) deleted.push(containing(op.keys));
    if (op.type === 'put' && (op.options.ignoreValue || op.options.ignoreLease)) {
      if (deleted.some((contains) => contains(op.key))) refuse(REFUSED_BY_CLIENT);
    }
    if (op.type === 'txn') {
      const branches = [op.success ?? [], op.failure ?? []];
      deleted.push(...branches.flatMap((branch) => checkCrash(branch, deleted)));
    }
  }
  return deleted;
}

function flat(ops: readonly Op<string, string>[]): Op<string, string>[] {
  return ops.flatMap((op) =>
    op.type === 'txn' ? [...flat(op.success ?? []), ...flat(op.failure ?? [])] : [op],
  );
}

type Put = Extract<Op<string, string>, { type: 'put' }>;
const isPut = (op: Op<string, string>): op is Put => op.type === 'put';

/**
 * Refuses transactions that would write a key twice, as far as etcd checks that. It misses deletes of a range without
 * an end.
 */
function checkWrites(ops: readonly Op<string, string>[]): { puts: Set<Key>; deletes: Contains[] } {
  const deletes = ops.flatMap((op) =>
    op.type === 'delete' && !isEndless(op.keys) ? [containing(op.keys)] : [],
  );
  const written = new Set<Key>();
  const add = (key: Key, alternative?: ReadonlySet<Key>): void => {
    if (written.has(key) && !alternative?.has(key)) refuse(DUPLICATE_KEY);
    if (deletes.some((contains) => contains(key))) refuse(DUPLICATE_KEY);
    written.add(key);
  };
  for (const op of ops) {
    if (op.type !== 'txn') continue;
    const success = checkWrites(op.success ?? []);
    const failure = checkWrites(op.failure ?? []);
    for (const key of success.puts) add(key);
    for (const key of failure.puts) add(key, success.puts);
    deletes.push(...success.deletes, ...failure.deletes);
  }
  for (const op of ops) if (op.type === 'put') add(op.key);
  return { puts: written, deletes };
}

function holds({ target, keys, operator, operand }: Compare<string, string>, state: State): boolean {
  const kvs = select(state, keys);
  if (kvs.length === 0) return target !== 'value' && compares(0n, operator, BigInt(operand as Int64));
  return kvs.every((kv) =>
    target === 'value'
      ? compares(kv.value, operator, operand as string)
      : compares(kv[target], operator, BigInt(operand as Int64)),
  );
}

function compares<T extends string | bigint>(actual: T, operator: string, operand: T): boolean {
  const sign = order(actual, operand);
  return operator === '='
    ? sign === 0
    : operator === '!='
      ? sign !== 0
      : operator === '<'
        ? sign < 0
        : sign > 0;
}
