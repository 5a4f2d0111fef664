import { type Int64, toInt64 } from './int64.js';
import { type Bytes, type Keys, toBytes, toKey, toRange } from './key-range.js';
import { KeyValue } from './key-value.js';
import {
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
  RangeResponse,
  type ResponseHeader,
} from './rpc/generated/etcdserverpb/rpc.js';
import type { CallControl, Method } from './rpc/rpc.js';

/** Which state of the store a read sees. */
export interface ReadOptions extends CallControl {
  /** Read as of this revision; default: the newest. */
  readonly revision?: Int64;
  /** Let the member that was asked answer by itself: faster, but it may lag behind. Default false, which is linearizable. */
  readonly serializable?: boolean;
}

/** Options of `range`, as etcd's `RangeRequest`. */
export interface RangeOptions extends ReadOptions {
  /** At most so many keys; default: no limit. `more` in the result says whether there were others. */
  readonly limit?: Int64;
  /** What to sort by; default `key`, ascending. etcd sorts before it applies `limit`. */
  readonly sortBy?: keyof typeof sortTargets;
  /** Default `ascend`. */
  readonly sortOrder?: 'ascend' | 'descend';
  /** Leave the values out. */
  readonly keysOnly?: boolean;
  /** Return the count alone. */
  readonly countOnly?: boolean;
  /** Leave out keys that were last changed before this revision. */
  readonly minModRevision?: Int64;
  /** Leave out keys that were last changed after this revision. */
  readonly maxModRevision?: Int64;
  /** Leave out keys that were created before this revision. */
  readonly minCreateRevision?: Int64;
  /** Leave out keys that were created after this revision. */
  readonly maxCreateRevision?: Int64;
}

/** What `range` found. */
export interface RangeResult {
  /** Revision of the store when it was read: the newest one, also where an older one was asked for. */
  readonly revision: bigint;
  readonly kvs: KeyValue[];
  /** Whether there are more keys in the range than `limit` allowed. */
  readonly more: boolean;
  /** Keys in the range, without regard to `limit` and to the filters on revisions. */
  readonly count: bigint;
}

/** Options of `put`, as etcd's `PutRequest`. */
export interface PutOptions extends CallControl {
  /** Attach the key to this lease, and it goes with it. */
  readonly lease?: Int64;
  /** Return the key as it was before. */
  readonly prevKv?: boolean;
  /** Keep the value (give an empty one) and change the lease alone. The key must exist. */
  readonly ignoreValue?: boolean;
  /** Keep the lease. The key must exist. */
  readonly ignoreLease?: boolean;
}

/** The effect of `put`. */
export interface PutResult {
  /** Revision that the put made. */
  readonly revision: bigint;
  /** The key as it was before, where `prevKv` asked for it and there was one. */
  readonly prevKv: KeyValue | undefined;
}

/** Options of `delete`, as etcd's `DeleteRangeRequest`. */
export interface DeleteOptions extends CallControl {
  /** Return the keys that were deleted. */
  readonly prevKv?: boolean;
}

/** The effect of `delete`. */
export interface DeleteResult {
  /** Revision of the store after it; a new one only if something was deleted. */
  readonly revision: bigint;
  /** How many keys there were to delete. */
  readonly deleted: bigint;
  /** The deleted keys, where `prevKv` asked for them. */
  readonly prevKvs: KeyValue[];
}

const sortTargets = {
  key: RangeRequest_SortTarget.KEY,
  version: RangeRequest_SortTarget.VERSION,
  createRevision: RangeRequest_SortTarget.CREATE,
  modRevision: RangeRequest_SortTarget.MOD,
  value: RangeRequest_SortTarget.VALUE,
};

export function encodeRange(keys: Keys, options: RangeOptions): Uint8Array {
  const { key, rangeEnd } = toRange(keys);
  const sorted = options.sortBy !== undefined || options.sortOrder !== undefined;
  return RangeRequest.encode({
    key,
    rangeEnd,
    limit: toInt64('limit', options.limit),
    revision: toInt64('revision', options.revision),
    sortOrder: sorted ? sortOrder(options) : RangeRequest_SortOrder.NONE,
    sortTarget: sortTargets[options.sortBy ?? 'key'],
    serializable: options.serializable ?? false,
    keysOnly: options.keysOnly ?? false,
    countOnly: options.countOnly ?? false,
    minModRevision: toInt64('minModRevision', options.minModRevision),
    maxModRevision: toInt64('maxModRevision', options.maxModRevision),
    minCreateRevision: toInt64('minCreateRevision', options.minCreateRevision),
    maxCreateRevision: toInt64('maxCreateRevision', options.maxCreateRevision),
  }).finish();
}

function sortOrder(options: RangeOptions): RangeRequest_SortOrder {
  return options.sortOrder === 'descend' ? RangeRequest_SortOrder.DESCEND : RangeRequest_SortOrder.ASCEND;
}

function decodeRange(message: Uint8Array): RangeResult {
  const { header, kvs, more, count } = RangeResponse.decode(message);
  return { revision: revisionOf(header), kvs: kvs.map((kv) => new KeyValue(kv)), more, count };
}

function decodeGet(message: Uint8Array): KeyValue | undefined {
  const [kv] = RangeResponse.decode(message).kvs;
  return kv && new KeyValue(kv);
}

export function encodePut(key: Bytes, value: Bytes, options: PutOptions): Uint8Array {
  return PutRequest.encode({
    key: toKey(key),
    value: toBytes(value),
    lease: toInt64('lease', options.lease),
    prevKv: options.prevKv ?? false,
    ignoreValue: options.ignoreValue ?? false,
    ignoreLease: options.ignoreLease ?? false,
  }).finish();
}

function decodePut(message: Uint8Array): PutResult {
  const { header, prevKv } = PutResponse.decode(message);
  return { revision: revisionOf(header), prevKv: prevKv && new KeyValue(prevKv) };
}

export function encodeDelete(keys: Keys, options: DeleteOptions): Uint8Array {
  const { key, rangeEnd } = toRange(keys);
  return DeleteRangeRequest.encode({ key, rangeEnd, prevKv: options.prevKv ?? false }).finish();
}

function decodeDelete(message: Uint8Array): DeleteResult {
  const { header, deleted, prevKvs } = DeleteRangeResponse.decode(message);
  return { revision: revisionOf(header), deleted, prevKvs: prevKvs.map((kv) => new KeyValue(kv)) };
}

function revisionOf(header: ResponseHeader | undefined): bigint {
  return header?.revision ?? 0n;
}

const range = '/etcdserverpb.KV/Range';

/** @internal */
export const getMethod: Method<KeyValue | undefined> = { name: range, decode: decodeGet, idempotent: true };
/** @internal */
export const rangeMethod: Method<RangeResult> = { name: range, decode: decodeRange, idempotent: true };
/** @internal */
export const putMethod: Method<PutResult> = {
  name: '/etcdserverpb.KV/Put',
  decode: decodePut,
  idempotent: false,
};
/** @internal */
export const deleteRangeMethod: Method<DeleteResult> = {
  name: '/etcdserverpb.KV/DeleteRange',
  decode: decodeDelete,
  idempotent: false,
};
