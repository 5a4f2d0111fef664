// views/ has the classes through which programs read and write keys: the whole store or one prefix, in bytes or through
// a codec. The requests and results of their calls are in kv/, the client itself is in connect/.

import { type Bytes, type KeyRange, oneKey, ownRange, prefix } from '../kv/key-range.js';
import {
  type DeleteOptions,
  type DeleteResult,
  deleteRequest,
  type KvCalls,
  kvCalls,
  type PutOptions,
  type PutResult,
  putRequest,
  type RangeOptions,
  type RangeResult,
  type ReadOptions,
  rangeRequest,
} from '../kv/kv.js';
import type { Mapping } from '../kv/mapping.js';
import { type PageOptions, type RangePage, rangePages, rangePortions } from '../kv/range-pages.js';
import { runStm, type Stm, type StmOptions, type StmResult } from '../kv/stm.js';
import { type NoOtherFields, type Txn, type TxnResult, txnCall, txnRequest } from '../kv/txn.js';
import type { LeaseKeeper } from '../lease/lease-keeper.js';
import { none } from '../rpc/call.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import type { CallControl, Rpc } from '../rpc/rpc.js';
import { ItemIterator } from '../util/item-iterator.js';
import { guardMethods } from '../util/methods.js';
import type { WatchOptions } from '../watch/request.js';
import type { Watch } from '../watch/watch.js';
import type { WatchClient } from '../watch/watch-client.js';

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
 * A view of the keys and values of an etcd cluster: all of them (the client itself), those below the prefix of a
 * `Namespace`, or either of these through a codec (`withCodec`).
 *
 * `Key` and `Value` are what calls take, `Entry` is what they return. Views are cheap, share the client's
 * connections, and end with it.
 *
 * Every call has a deadline: its own `timeoutMs`, or else the client's. Until then it is sent again where that is safe:
 * a read while no server answers it, a write only if the attempt before was certainly not applied. So no write is
 * applied twice. Any call may reject with `DeadlineExceededError`, `UnavailableError`, `PermissionDeniedError`,
 * `UnauthenticatedError`, `TooManyRequestsError`, `ClosedError` and the reason of its `signal`. Further errors are
 * listed at each call. `mayBeApplied` of an error says whether a write may have been applied, or may still be applied.
 * In that case read before writing again.
 */
export class Keyspace<Key = Bytes, Value = Bytes, Entry = KeyValue> {
  readonly #rpc: Rpc;
  readonly #watches: WatchClient;
  readonly #mapping: Mapping<Key, Value, Entry>;
  readonly #calls: KvCalls<Entry>;

  static {
    guardMethods<Keyspace>(Keyspace, (it) => #rpc in it, {
      promised: { get: 2, range: 2, getPrefix: 2, put: 3, delete: 2, txn: 2, stm: 2 },
      direct: { iterate: 2, pages: 2, watch: 2 },
    });
  }

  /** @internal */
  constructor(core: ClientCore, mapping: Mapping<Key, Value, Entry>) {
    this.#rpc = core.rpc;
    this.#watches = core.watches;
    this.#mapping = mapping;
    this.#calls = kvCalls(mapping);
  }

  /**
   * Reads a key. Resolves with the key and its value, or with `undefined` if the key doesn't exist. While no server
   * answers, the call is sent again until its deadline, to another endpoint if there is one. etcd: `KV.Range`.
   *
   * @throws InvalidArgumentError for an empty key; CompactedError when `revision` was compacted; EtcdError with code
   * `OUT_OF_RANGE` when the store hasn't reached it yet.
   */
  get(key: Key, options: ReadOptions = none): Promise<Entry | undefined> {
    return this.#rpc.call(
      this.#calls.get,
      () => rangeRequest(this.#mapping.range(oneKey(key)), options),
      options,
    );
  }

  /**
   * Reads the keys of a range. All of them come in one answer: give a `limit` for ranges that may be large. It is sent
   * again like {@link get}. etcd: `KV.Range`.
   *
   * @throws InvalidArgumentError for options that can't work; CompactedError and EtcdError as for {@link get}.
   */
  range(keys: Key | KeyRange, options: RangeOptions = none): Promise<RangeResult<Entry>> {
    return this.#rpc.call(this.#calls.range, () => rangeRequest(this.#mapping.range(keys), options), options);
  }

  /** Reads the keys that start with `start`: short for `range(prefix(start))`. */
  getPrefix(start: Bytes, options: RangeOptions = none): Promise<RangeResult<Entry>> {
    const request = () => rangeRequest(this.#mapping.range(prefix(start)), options);
    return this.#rpc.call(this.#calls.getPrefix, request, options);
  }

  /**
   * Reads the keys of a range one by one, in order, all at one revision: for ranges that are too large for one answer.
   * It asks for `pageSize` keys at a time. Each such request is sent again like {@link get}. An aborted `signal` ends the
   * loop with its reason before the next key, also before keys that have already come. etcd: `KV.Range`.
   *
   * @throws InvalidArgumentError at once; CompactedError from the loop, when the revision was compacted before the loop
   * reached the end; StoreReplacedError when the store was replaced meanwhile.
   */
  iterate(keys: Key | KeyRange, options: PageOptions = none): AsyncGenerator<Entry, void, void> {
    const range = ownRange(this.#mapping.range(keys));
    const portions = rangePortions(this.#rpc, range, options, this.#mapping);
    let portion: readonly Entry[] | undefined;
    const source = {
      arrival: async () => {
        portion = (await portions.next()).value ?? undefined;
      },
      // What is yielded isn't kept until the next portion comes.
      take: () => {
        const taken = portion;
        portion = undefined;
        return taken;
      },
      close: async () => {
        await portions.return();
      },
    };
    return new ItemIterator(source, options.signal);
  }

  /** Reads the keys of a range like {@link iterate}, but page by page, with the revision of the reads. */
  pages(keys: Key | KeyRange, options: PageOptions = none): AsyncGenerator<RangePage<Entry>, void, void> {
    const range = ownRange(this.#mapping.range(keys));
    return rangePages(this.#rpc, range, options, this.#mapping);
  }

  /**
   * Sets the value of a key. It is sent again only if the attempt before was certainly not applied: it never left this
   * client, or etcd proposed nothing. etcd: `KV.Put`.
   *
   * @throws InvalidArgumentError for an empty key, and for `ignoreValue` or `ignoreLease` of a key that doesn't exist;
   * LeaseNotFoundError when the `lease` doesn't exist; RequestTooLargeError above the client's `maxRequestBytes` or the
   * server's limit; NoSpaceError when the database is full. If `mayBeApplied` of an error is set, the put may have been
   * applied.
   */
  put(key: Key, value: Value, options: PutOptions = none): Promise<PutResult<Entry>> {
    return this.#rpc.call(this.#calls.put, () => putRequest(this.#mapping, key, value, options), options);
  }

  /**
   * Deletes a key, or all keys of a range. A missing key is not an error. It is sent again like {@link put}. etcd:
   * `KV.DeleteRange`.
   *
   * @throws InvalidArgumentError for an empty key. If `mayBeApplied` of an error is set, the keys may have been
   * deleted.
   */
  delete(keys: Key | KeyRange, options: DeleteOptions = none): Promise<DeleteResult<Entry>> {
    const request = () => deleteRequest(this.#mapping.range(keys), options);
    return this.#rpc.call(this.#calls.deleteRange, request, options);
  }

  /**
   * Carries out one of two lists of operations, depending on whether all conditions hold, as one atomic step with one
   * revision:
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
   * A transaction that only reads is sent again like {@link get}, any other like {@link put}. etcd: `KV.Txn`.
   *
   * @throws InvalidArgumentError when it has more operations than the server's `--max-txn-ops` (128 by default),
   * counted in each list, or writes a key twice; the errors of {@link get} and {@link put} for its operations. After
   * any of these errors, no operation was carried out. If `mayBeApplied` of an error is set, the transaction may have
   * been applied as a whole.
   */
  txn<const T extends Txn<Key, Value>>(
    txn: T & NoOtherFields<T>,
    options: CallControl = none,
  ): Promise<TxnResult<T, Entry>> {
    try {
      const call = txnCall(txn, this.#mapping);
      return this.#rpc.call(call, () => txnRequest(txn, this.#mapping), options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Runs a function that reads and writes keys, and commits its writes as one transaction if nobody has interfered.
   * Otherwise it runs the function again: the first time at once, then after a random time that grows up to 128 ms. So
   * everything else that the function does must be repeatable.
   *
   * ```ts
   * const { value: left } = await etcd.stm(async (stm) => {
   *   const count = Number((await stm.get('stock/7'))?.text() ?? 0);
   *   if (count > 0) stm.put('stock/7', String(count - 1));
   *   return count - 1;
   * });
   * ```
   *
   * If the function throws, the call rejects with that, and nothing is written. Corresponds to clientv3's
   * `concurrency.NewSTM`.
   *
   * @throws StmConflictError when each of `maxAttempts` attempts met a conflict. StoreReplacedError and
   * ClusterMismatchError when it was applied in a different store than the reads came from; if that is noticed before
   * the commit, the function is run again. When the commit fails in another way (`UnavailableError`,
   * `DeadlineExceededError`), it may or may not have been applied.
   */
  stm<T>(
    body: (stm: Stm<Key, Value, Entry>) => T | Promise<T>,
    options: StmOptions<Key> = none,
  ): Promise<StmResult<T>> {
    return runStm(this.#rpc, this.#mapping, body, options);
  }

  /**
   * Follows the changes of a key or a range. Await `ready` of the result before making changes that it must see. After
   * a broken connection it continues where it stopped, without a limit or for `maxDisconnectedMs`. etcd: `Watch.Watch`.
   *
   * @throws InvalidArgumentError and ClosedError at once. The loop over the watch throws what ends it later: see
   * `Watch`.
   */
  watch(keys: Key | KeyRange, options: WatchOptions = none): Watch<Entry> {
    return this.#watches.watch(ownRange(this.#mapping.range(keys)), options, this.#mapping);
  }
}
