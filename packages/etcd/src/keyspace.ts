import { type Bytes, type KeyRange, prefix } from './key-range.js';
import type { KeyValue } from './key-value.js';
import {
  type DeleteOptions,
  type DeleteResult,
  deleteRequest,
  type KvMethods,
  kvMethods,
  type PutOptions,
  type PutResult,
  putRequest,
  type RangeOptions,
  type RangeResult,
  type ReadOptions,
  rangeRequest,
} from './kv.js';
import type { LeaseKeeper } from './lease/lease-keeper.js';
import type { Mapping } from './mapping.js';
import { DeleteRangeRequest, PutRequest, RangeRequest } from './rpc/generated/etcdserverpb/rpc.js';
import type { CallControl, Rpc } from './rpc/rpc.js';
import { encodeTxn, type Txn, type TxnResult, txnMethod } from './txn.js';
import type { WatchOptions } from './watch/request.js';
import type { Watch } from './watch/watch.js';
import type { WatchClient } from './watch/watch-client.js';

const none = {};

/**
 * What a client shares with all of its views.
 * @internal
 */
export interface ClientCore {
  readonly rpc: Rpc;
  readonly leaseKeeper: LeaseKeeper;
  readonly watches: WatchClient;
}

/**
 * Keys and values of an etcd cluster as one program wants to see them: those of the client itself, those below the
 * prefix of a `Namespace`, or either of them through a codec (`withCodec`).
 *
 * `Key` and `Value` are what calls take, `Entry` is what they return. Views are cheap, share the client's
 * connections, and end with it.
 */
export class Keyspace<Key = Bytes, Value = Bytes, Entry = KeyValue> {
  readonly #rpc: Rpc;
  readonly #watches: WatchClient;
  readonly #mapping: Mapping<Key, Value, Entry>;
  readonly #methods: KvMethods<Entry>;

  /** @internal */
  constructor(core: ClientCore, mapping: Mapping<Key, Value, Entry>) {
    this.#rpc = core.rpc;
    this.#watches = core.watches;
    this.#mapping = mapping;
    this.#methods = kvMethods((message) => mapping.entry(message));
  }

  /** A key with its value, or `undefined` when there is no such key. etcd: `KV.Range`. */
  get(key: Key, options: ReadOptions = none): Promise<Entry | undefined> {
    const encode = () => RangeRequest.encode(rangeRequest(this.#mapping.range(key), options)).finish();
    return this.#rpc.call(this.#methods.get, encode, options);
  }

  /**
   * The keys of a range. All of them come in one answer: give a `limit` for ranges that may be large.
   * etcd: `KV.Range`.
   */
  range(keys: Key | KeyRange, options: RangeOptions = none): Promise<RangeResult<Entry>> {
    const encode = () => RangeRequest.encode(rangeRequest(this.#mapping.range(keys), options)).finish();
    return this.#rpc.call(this.#methods.range, encode, options);
  }

  /** The keys that start with `start`; short for `range(prefix(start))`. */
  getPrefix(start: Bytes, options: RangeOptions = none): Promise<RangeResult<Entry>> {
    const encode = () =>
      RangeRequest.encode(rangeRequest(this.#mapping.range(prefix(start)), options)).finish();
    return this.#rpc.call(this.#methods.range, encode, options);
  }

  /** Sets the value of a key. etcd: `KV.Put`. */
  put(key: Key, value: Value, options: PutOptions = none): Promise<PutResult<Entry>> {
    const encode = () => PutRequest.encode(putRequest(this.#mapping, key, value, options)).finish();
    return this.#rpc.call(this.#methods.put, encode, options);
  }

  /** Deletes a key, or all keys of a range. etcd: `KV.DeleteRange`. */
  delete(keys: Key | KeyRange, options: DeleteOptions = none): Promise<DeleteResult<Entry>> {
    const encode = () =>
      DeleteRangeRequest.encode(deleteRequest(this.#mapping.range(keys), options)).finish();
    return this.#rpc.call(this.#methods.deleteRange, encode, options);
  }

  /**
   * Does one of two lists of operations, after whether all conditions hold, as one atomic step with one revision:
   *
   * ```ts
   * const result = await etcd.txn({
   *   compare: [compare.modRevision('stock/7', '=', seen.modRevision)],
   *   success: [op.put('stock/7', '41')],
   *   failure: [op.get('stock/7')],
   * });
   * if (!result.succeeded) console.log('changed meanwhile to', result.responses[0]?.text());
   * ```
   *
   * etcd: `KV.Txn`.
   *
   * @throws InvalidArgumentError when it has more operations than the server's `--max-txn-ops` (128 by default),
   * counted in each list, or writes a key twice.
   */
  txn<const T extends Txn<Key, Value>>(txn: T, options: CallControl = none): Promise<TxnResult<T, Entry>> {
    return this.#rpc.call(
      txnMethod(txn, (message) => this.#mapping.entry(message)),
      () => encodeTxn(txn, this.#mapping),
      options,
    );
  }

  /**
   * Follows the changes of a key or a range. Await `ready` of the result before making changes that it must see.
   * etcd: `Watch.Watch`.
   *
   * @throws InvalidArgumentError and `ClosedError`, at once.
   */
  watch(keys: Key | KeyRange, options: WatchOptions = none): Watch<Entry> {
    return this.#watches.watch(this.#mapping.range(keys), options, (message) => this.#mapping.entry(message));
  }
}
