import type { InspectOptionsStylized } from 'node:util';
import { inspect } from '../built-in.js';
import { Answer, answer } from '../json.js';
import { type Call, idempotentCall, writeCall } from '../rpc/call.js';
import { KVService } from '../rpc/generated/etcdserverpb/methods.js';
import {
  type CompactionRequest,
  type CompactionResponse,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
  type RangeResponse,
  type ResponseHeader as ResponseHeaderMessage,
} from '../rpc/generated/etcdserverpb/rpc.js';
import { PutInOrder, RangeInOrder } from '../rpc/messages/in-order.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import type { EntryMaker } from '../rpc/messages/message-reader.js';
import { PlainPut, PlainRange } from '../rpc/messages/plain-request.js';
import { type EncodedKeyValues, RangeMessage } from '../rpc/messages/range-response.js';
import { type CallControl, describeCall } from '../rpc/rpc.js';
import { type Int64, int64, optionalInt64, signedInt64, toInt64 } from '../util/int64.js';
import { flag, oneOf } from '../util/kinds.js';
import { Description, type Hints, type Kinds } from '../util/options.js';
import type { RangeBytes } from './key-range.js';
import type { Mapping } from './mapping.js';

/** The origin of an answer: etcd's `ResponseHeader`. */
export interface ResponseHeader {
  readonly clusterId: bigint;
  /** The member that answered. */
  readonly memberId: bigint;
  /** Revision of the store when the request was applied. */
  readonly revision: bigint;
  /** Raft term when the request was applied. */
  readonly raftTerm: bigint;
}

/** Options that choose which state of the store a read sees. */
export interface ReadOptions extends CallControl {
  /** Read at this revision. Default: the newest. */
  readonly revision?: Int64 | undefined;
  /**
   * Let the member that receives the request answer on its own. That is faster, but the member may lag behind. Default
   * false: the read is linearizable.
   */
  readonly serializable?: boolean | undefined;
}

/** Options of `range`: etcd's `RangeRequest`. */
export interface RangeOptions extends ReadOptions {
  /** Largest number of keys to return. Default: no limit. `more` in the result says whether there are others. */
  readonly limit?: Int64 | undefined;
  /**
   * What to sort by. Default: `key`, ascending. etcd sorts before it applies `limit`. So for any other order it reads the
   * whole range, also for one key.
   */
  readonly sortBy?: keyof typeof sortTargets | undefined;
  /** Default `ascend`. */
  readonly sortOrder?: 'ascend' | 'descend' | undefined;
  /** Leave the values out. */
  readonly keysOnly?: boolean | undefined;
  /** Return only the count. */
  readonly countOnly?: boolean | undefined;
  /** Leave out keys that were last changed before this revision. */
  readonly minModRevision?: Int64 | undefined;
  /** Leave out keys that were last changed after this revision. */
  readonly maxModRevision?: Int64 | undefined;
  /** Leave out keys that were created before this revision. */
  readonly minCreateRevision?: Int64 | undefined;
  /** Leave out keys that were created after this revision. */
  readonly maxCreateRevision?: Int64 | undefined;
}

/** The result of `range`. */
export interface RangeResult<Entry = KeyValue> {
  readonly header: ResponseHeader;
  /** Revision of the store at the time of the read: the newest one, even if the read was at an older one. */
  readonly revision: bigint;
  /** The keys. Those of a long answer are decoded when this property is first read, and kept. */
  readonly kvs: Entry[];
  /** Whether there are more keys in the range than `limit` allowed. */
  readonly more: boolean;
  /** Number of keys in the range, regardless of `limit` and of the filters on revisions. */
  readonly count: bigint;
  /**
   * The same keys, for a loop over the result itself. Unless `kvs` was read before, each key of a long answer is
   * decoded when the loop reaches it, and isn't kept, so another loop gets new objects. With many ranges in flight that
   * takes less than half the CPU time.
   */
  [Symbol.iterator](): IterableIterator<Entry>;
}

/** Options of `put`: etcd's `PutRequest`. */
export interface PutOptions extends CallControl {
  /** Attach the key to this lease: the key is deleted when the lease ends. */
  readonly lease?: Int64 | undefined;
  /** Return the key as it was before. */
  readonly prevKv?: boolean | undefined;
  /** Keep the value (give an empty one) and change only the lease. The key must exist. */
  readonly ignoreValue?: boolean | undefined;
  /** Keep the lease. The key must exist. */
  readonly ignoreLease?: boolean | undefined;
}

/** The result of `put`. */
export interface PutResult<Entry = KeyValue> {
  readonly header: ResponseHeader;
  /** Revision that the put made. */
  readonly revision: bigint;
  /** The key as it was before, if `prevKv` was given and the key existed. */
  readonly prevKv: Entry | undefined;
}

/** Options of `delete`: etcd's `DeleteRangeRequest`. */
export interface DeleteOptions extends CallControl {
  /** Return the keys that were deleted. */
  readonly prevKv?: boolean | undefined;
}

/** The result of `delete`. */
export interface DeleteResult<Entry = KeyValue> {
  readonly header: ResponseHeader;
  /** Revision of the store after the call. It is a new one only if something was deleted. */
  readonly revision: bigint;
  /** Number of deleted keys. */
  readonly deleted: bigint;
  /** The deleted keys, if `prevKv` was given. */
  readonly prevKvs: Entry[];
}

const sortTargets = {
  key: RangeRequest_SortTarget.KEY,
  version: RangeRequest_SortTarget.VERSION,
  createRevision: RangeRequest_SortTarget.CREATE,
  modRevision: RangeRequest_SortTarget.MOD,
  value: RangeRequest_SortTarget.VALUE,
};

/** The options of a call, without those on the call itself: a transaction is one call. */
export type OpOptions<Options> = Omit<Options, keyof CallControl>;

/** @internal */
export const readKinds: Kinds<OpOptions<ReadOptions>> = { revision: int64, serializable: flag };

/** @internal */
export const rangeKinds: Kinds<OpOptions<RangeOptions>> = {
  ...readKinds,
  limit: int64,
  sortBy: oneOf('key', 'version', 'createRevision', 'modRevision', 'value'),
  sortOrder: oneOf('ascend', 'descend'),
  keysOnly: flag,
  countOnly: flag,
  minModRevision: int64,
  maxModRevision: int64,
  minCreateRevision: int64,
  maxCreateRevision: int64,
};

/** @internal */
export const putKinds: Kinds<OpOptions<PutOptions>> = {
  lease: signedInt64,
  prevKv: flag,
  ignoreValue: flag,
  ignoreLease: flag,
};

const deleteKinds: Kinds<OpOptions<DeleteOptions>> = { prevKv: flag };

const keysHints: Hints = {
  prefix:
    'the keys are the first argument: range(prefix(start)), delete(prefix(start)), watch(prefix(start))',
  range: 'the keys are the first argument: range(keyRange(start, end))',
  rangeEnd: 'the keys are the first argument: keyRange(start, end)',
  range_end: 'the keys are the first argument: keyRange(start, end)',
};

/** @internal */
export const readHints: Hints = {
  ...keysHints,
  rev: 'did you mean revision?',
  isolation: 'did you mean serializable?',
  consistency: 'did you mean serializable?',
};

/** @internal */
export const rangeHints: Hints = {
  ...readHints,
  sort: 'did you mean sortBy and sortOrder?',
  order: 'did you mean sortOrder?',
  sortTarget: 'did you mean sortBy?',
  count: 'did you mean countOnly?',
};

const LEASE_FIRST = 'grant a lease, and give its id as lease: (await etcd.lease.grant(seconds)).id';

/** @internal */
export const putHints: Hints = {
  ttl: LEASE_FIRST,
  ttlSeconds: LEASE_FIRST,
  expire: LEASE_FIRST,
  leaseId: 'did you mean lease?',
  getPrevious: 'did you mean prevKv?',
};

const deleteHints: Hints = { ...keysHints, getPrevious: 'did you mean prevKv?' };

const OF_TXN = 'a transaction is one call: give it to txn()';
const controlHints: Hints = {
  signal: OF_TXN,
  timeoutMs: OF_TXN,
  attemptTimeoutMs: OF_TXN,
  requireLeader: OF_TXN,
};

const ofGet: Hints = { limit: 'range() has it', sortBy: 'range() has it', keysOnly: 'range() has it' };

/**
 * The options of the operations in transactions.
 * @internal
 */
export const opOptions = {
  get: new Description<OpOptions<ReadOptions>>('op.get()', readKinds, {
    hints: { ...readHints, ...ofGet, ...controlHints },
  }),
  range: new Description<OpOptions<RangeOptions>>('op.range()', rangeKinds, {
    hints: { ...rangeHints, ...controlHints },
  }),
  put: new Description<OpOptions<PutOptions>>('op.put()', putKinds, {
    hints: { ...putHints, ...controlHints },
    example: '{ lease: id }',
  }),
  delete: new Description<OpOptions<DeleteOptions>>('op.delete()', deleteKinds, {
    hints: { ...deleteHints, ...controlHints },
    example: '{ prevKv: true }',
  }),
};

const callOptions = {
  get: describeCall<ReadOptions>('get()', readKinds, { hints: { ...readHints, ...ofGet } }),
  range: describeCall<RangeOptions>('range()', rangeKinds, {
    hints: rangeHints,
    example: '{ limit: 100 }',
  }),
  getPrefix: describeCall<RangeOptions>('getPrefix()', rangeKinds, {
    hints: rangeHints,
    example: '{ limit: 100 }',
  }),
  put: describeCall<PutOptions>('put()', putKinds, { hints: putHints, example: '{ lease: id }' }),
  delete: describeCall<DeleteOptions>('delete()', deleteKinds, {
    hints: deleteHints,
    example: '{ prevKv: true }',
  }),
  compact: describeCall<CompactOptions>(
    'compact()',
    { physical: flag },
    { hints: { revision: 'the revision is the first argument' }, example: '{ physical: true }' },
  ),
};

/**
 * The part of a view that KV messages are made with.
 * @internal
 */
export type KvMapping<Key, Value> = Pick<Mapping<Key, Value, unknown>, 'key' | 'range' | 'value'>;

/**
 * Like the other functions here that make requests, it expects options that were already checked.
 * @internal
 */
export function rangeRequest({ key, rangeEnd }: RangeBytes, options: RangeOptions): RangeRequest {
  const { sortBy = 'key', sortOrder = 'ascend' } = options;
  // Keys come in this order anyway. Told to sort, etcd reads the whole range, regardless of the limit.
  const isSorted = sortBy === 'key' && sortOrder === 'ascend';
  return {
    key,
    rangeEnd,
    limit: optionalInt64(options.limit),
    revision: optionalInt64(options.revision),
    sortOrder: isSorted ? RangeRequest_SortOrder.NONE : sortOrders[sortOrder],
    sortTarget: sortTargets[sortBy],
    serializable: options.serializable ?? false,
    keysOnly: options.keysOnly ?? false,
    countOnly: options.countOnly ?? false,
    minModRevision: optionalInt64(options.minModRevision),
    maxModRevision: optionalInt64(options.maxModRevision),
    minCreateRevision: optionalInt64(options.minCreateRevision),
    maxCreateRevision: optionalInt64(options.maxCreateRevision),
  };
}

const sortOrders = {
  ascend: RangeRequest_SortOrder.ASCEND,
  descend: RangeRequest_SortOrder.DESCEND,
};

/** @internal */
export function putRequest<Key, Value>(
  mapping: KvMapping<Key, Value>,
  key: Key,
  value: Value,
  options: PutOptions,
): PutRequest {
  return {
    key: mapping.key(key),
    value: mapping.value(value),
    lease: optionalInt64(options.lease),
    prevKv: options.prevKv ?? false,
    ignoreValue: options.ignoreValue ?? false,
    ignoreLease: options.ignoreLease ?? false,
  };
}

/** @internal */
export function deleteRequest({ key, rangeEnd }: RangeBytes, options: DeleteOptions): DeleteRangeRequest {
  return { key, rangeEnd, prevKv: options.prevKv ?? false };
}

class RangeAnswer<Entry> extends Answer implements RangeResult<Entry> {
  // Made in the constructor, in the order in which they are printed.
  declare readonly header: ResponseHeader;
  declare readonly kvs: Entry[];
  declare readonly more: boolean;
  declare readonly count: bigint;
  declare readonly revision: bigint;
  #kvs: Entry[] | undefined;
  #encoded: EncodedKeyValues | undefined;
  /** Whether a loop has begun, which may still be reading. */
  #isLooped = false;
  readonly #maker: EntryMaker<Entry>;

  constructor({ header, kvs, more, count }: RangeMessage, maker: EntryMaker<Entry>) {
    super();
    this.#maker = maker;
    this.header = knownHeader(header);
    if (Array.isArray(kvs)) {
      this.kvs = kvs.map((kv) => maker.entry(kv));
    } else {
      this.#encoded = kvs;
      Object.defineProperty(this, 'kvs', RangeAnswer.#decodedWhenRead);
    }
    this.more = more;
    this.count = count;
    this.revision = this.header.revision;
  }

  /**
   * Defined on each answer itself, and enumerable, as if the property had been there from the start. So copies,
   * comparisons, `structuredClone` and JSON include it.
   */
  static readonly #decodedWhenRead = {
    configurable: true,
    enumerable: true,
    get(this: RangeAnswer<unknown>): unknown[] {
      if (this.#encoded !== undefined) {
        this.#kvs = this.#encoded.fromStart(this.#isLooped).take(Number.POSITIVE_INFINITY, this.#maker);
        this.#encoded = undefined;
      }
      return this.#kvs ?? [];
    },
    set(this: RangeAnswer<unknown>, kvs: unknown[]): void {
      this.#encoded = undefined;
      this.#kvs = kvs;
    },
  };

  [Symbol.iterator](): IterableIterator<Entry> {
    this.#isLooped = true;
    const left = this.#encoded?.fromStart(true);
    return left === undefined ? this.kvs.values() : new Entries(left, this.#maker);
  }

  /** For `console.log`, which would show a getter. @internal */
  [inspect.custom](_depth: number, options: InspectOptionsStylized, show: typeof inspect): string {
    return `RangeAnswer ${show({ ...this }, options)}`;
  }
}

/** Decodes the keys of a long answer for a loop. It isn't a generator, which V8 continues for each key in more steps. */
class Entries<Entry> implements IterableIterator<Entry> {
  readonly #left: EncodedKeyValues;
  readonly #maker: EntryMaker<Entry>;

  constructor(left: EncodedKeyValues, maker: EntryMaker<Entry>) {
    this.#left = left;
    this.#maker = maker;
  }

  next(): IteratorResult<Entry, undefined> {
    const left = this.#left;
    const done = left.isTaken;
    // Made in one place: V8 then makes no object for it in a loop. With two places it does, for each key.
    return { value: done ? undefined : left.next(this.#maker), done } as IteratorResult<Entry, undefined>;
  }

  [Symbol.iterator](): this {
    return this;
  }
}

// As the iterators of arrays and generators do, it has the methods of `Iterator` where the host has them.
Object.setPrototypeOf(Entries.prototype, Object.getPrototypeOf(Object.getPrototypeOf([].values())));

class PutAnswer<Entry> extends Answer implements PutResult<Entry> {
  readonly revision: bigint;

  constructor(
    readonly header: ResponseHeader,
    readonly prevKv: Entry | undefined,
  ) {
    super();
    this.revision = header.revision;
  }
}

class DeleteAnswer<Entry> extends Answer implements DeleteResult<Entry> {
  readonly revision: bigint;

  constructor(
    readonly header: ResponseHeader,
    readonly deleted: bigint,
    readonly prevKvs: Entry[],
  ) {
    super();
    this.revision = header.revision;
  }
}

/** @internal */
export function rangeResult<Entry>(message: RangeMessage, maker: EntryMaker<Entry>): RangeResult<Entry> {
  return new RangeAnswer(message, maker);
}

/**
 * KV.Range, for many keys.
 * @internal
 */
export const rangeMethod = { ...KVService.range, request: PlainRange, response: RangeMessage };

/** KV.Range, for one key. */
const getMethod = { ...KVService.range, request: PlainRange, response: RangeInOrder };

const putMethod = { ...KVService.put, request: PlainPut, response: PutInOrder };

/** @internal */
export function putResult<Entry>(
  { header, prevKv }: PutResponse,
  maker: EntryMaker<Entry>,
): PutResult<Entry> {
  const known = knownHeader(header);
  return new PutAnswer(known, prevKv && maker.entry(prevKv));
}

/** @internal */
export function deleteResult<Entry>(
  { header, deleted, prevKvs }: DeleteRangeResponse,
  maker: EntryMaker<Entry>,
): DeleteResult<Entry> {
  const known = knownHeader(header);
  return new DeleteAnswer(
    known,
    deleted,
    prevKvs.map((kv) => maker.entry(kv)),
  );
}

const noHeader: ResponseHeader = Object.freeze({ clusterId: 0n, memberId: 0n, revision: 0n, raftTerm: 0n });

/**
 * A response's header, which etcd always sends.
 * @internal
 */
export function knownHeader(header: ResponseHeaderMessage | undefined): ResponseHeader {
  return header ?? noHeader;
}

/**
 * The unary calls of one view.
 * @internal
 */
export interface KvCalls<Entry> {
  readonly get: Call<RangeRequest, RangeResponse, Entry | undefined>;
  readonly range: Call<RangeRequest, RangeMessage, RangeResult<Entry>>;
  readonly getPrefix: Call<RangeRequest, RangeMessage, RangeResult<Entry>>;
  readonly put: Call<PutRequest, PutResponse, PutResult<Entry>>;
  readonly deleteRange: Call<DeleteRangeRequest, DeleteRangeResponse, DeleteResult<Entry>>;
}

/** @internal */
export function kvCalls<Entry>(maker: EntryMaker<Entry>): KvCalls<Entry> {
  return {
    get: idempotentCall(getMethod, ({ kvs }) => kvs[0] && maker.entry(kvs[0]), callOptions.get),
    range: idempotentCall(rangeMethod, (response) => rangeResult(response, maker), callOptions.range),
    getPrefix: idempotentCall(rangeMethod, (response) => rangeResult(response, maker), callOptions.getPrefix),
    put: writeCall(putMethod, (response) => putResult(response, maker), callOptions.put),
    deleteRange: writeCall(
      KVService.deleteRange,
      (response) => deleteResult(response, maker),
      callOptions.delete,
    ),
  };
}

/** Options of `compact`: etcd's `CompactionRequest`. */
export interface CompactOptions extends CallControl {
  /** Wait until the old revisions are gone from the backend database, too. Default false. */
  readonly physical?: boolean | undefined;
}

/** The result of `compact`. */
export interface CompactResult {
  readonly header: ResponseHeader;
  /** Revision of the store, which compaction doesn't change. */
  readonly revision: bigint;
}

/** @internal */
export function compactionRequest(revision: Int64, options: CompactOptions): CompactionRequest {
  return { revision: toInt64('revision', revision), physical: options.physical ?? false };
}

/** @internal */
export const compactCall = writeCall(KVService.compact, compactResult, callOptions.compact);

function compactResult(response: CompactionResponse): CompactResult {
  const header = knownHeader(response.header);
  return answer({ header, revision: header.revision });
}
