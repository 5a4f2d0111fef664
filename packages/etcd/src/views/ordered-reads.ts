import { StoreReplacedError, type StoreState } from '../errors.js';
import type { Bytes, KeyRange } from '../kv/key-range.js';
import { type RangeOptions, type RangeResult, type ReadOptions, readKinds } from '../kv/kv.js';
import { keysOf, mayWrite, type NoOtherFields, op, type Txn, type TxnResult } from '../kv/txn.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import { type CallControl, describeCall } from '../rpc/rpc.js';
import { isReplaced, unknownState } from '../rpc/store.js';
import { toInt64 } from '../util/int64.js';
import { checkArgument, withMethods } from '../util/kinds.js';
import { guardMethods, refuseMore } from '../util/methods.js';
import type { Keyspace } from './keyspace.js';

const stores = withMethods<Pick<Keyspace, 'range' | 'txn'>>(
  'a client, one of its namespaces, or the result of withCodec()',
  'range',
  'txn',
);

const readOptions = describeCall<ReadOptions>('get()', readKinds);

/**
 * Reads that are never older than one before: with `serializable`, a member answers from what it has, and another
 * member that is asked next may be behind. Such an answer is dropped, and the read is repeated with the cluster's
 * agreement. As clientv3's `ordering` package, which asks the members in turn instead.
 *
 * Where the cluster's own answer is older than one before, the store was replaced, by a backup for instance: then reads
 * that began before throw StoreReplacedError, and later ones go by the store that is there now.
 *
 * ```ts
 * const reads = new OrderedReads(etcd);
 * await reads.get('a', { serializable: true });
 * ```
 */
export class OrderedReads<Key = Bytes, Value = Bytes, Entry = KeyValue> {
  readonly #store: Pick<Keyspace<Key, Value, Entry>, 'range' | 'txn'>;
  /** Of the newest answer. */
  #seen: StoreState = unknownState;

  static {
    guardMethods<OrderedReads>(OrderedReads, (it) => #store in it, {
      promised: { get: 2, range: 2, txn: 2 },
      direct: { saw: 1 },
    });
  }

  constructor(store: Pick<Keyspace<Key, Value, Entry>, 'range' | 'txn'>);
  constructor(store: Pick<Keyspace<Key, Value, Entry>, 'range' | 'txn'>, ...more: readonly unknown[]) {
    refuseMore('new OrderedReads()', [store], more);
    checkArgument('store', stores, store);
    this.#store = store;
  }

  /** The newest revision that was seen: no answer is older. */
  get revision(): bigint {
    return this.#seen.revision;
  }

  /** Takes a revision that became known in another way, such as by a put: later reads aren't older. */
  saw(revision: bigint): void {
    const seen = toInt64('revision', revision);
    if (seen > this.#seen.revision) this.#seen = { ...this.#seen, revision: seen };
  }

  /** Reads a key, as `get` of the client does, and throws as {@link range} does. */
  async get(key: Key, options: ReadOptions = {}): Promise<Entry | undefined> {
    readOptions.check(options);
    const { kvs } = await this.range(key, options);
    return kvs[0];
  }

  /**
   * Reads a range, as `range` of the client does.
   *
   * @throws StoreReplacedError when the store went back behind what was read before, or is another cluster's.
   */
  async range(keys: Key | KeyRange, options: RangeOptions = {}): Promise<RangeResult<Entry>> {
    const seen = this.#seen;
    let result = await this.#store.range(keys, options);
    if (isOlder(seen, result) && options.serializable) {
      result = await this.#store.range(keys, { ...options, serializable: false });
    }
    this.#take(seen, result);
    return result;
  }

  /**
   * Makes a transaction, as `txn` of the client does. One that only reads, with `serializable` in each of its
   * operations, is answered by a member from what it has, and made again as {@link range} is where that is older than what
   * was seen. One that writes is made once.
   *
   * @throws StoreReplacedError as {@link range}; a transaction that writes was applied then, in the store that is there now.
   */
  async txn<const T extends Txn<Key, Value>>(
    txn: T & NoOtherFields<T>,
    options: CallControl = {},
  ): Promise<TxnResult<T, Entry>> {
    const seen = this.#seen;
    const plain: Txn<Key, Value> = txn;
    let result = (await this.#store.txn(plain, options)) as TxnResult<T, Entry>;
    const keys = keysOf(txn);
    if (isOlder(seen, result) && !mayWrite(txn) && keys !== undefined) {
      // One operation that isn't serializable makes the whole transaction wait for the cluster's agreement.
      const read = op.range(keys, { limit: 1, keysOnly: true });
      const { success = [], failure = [] } = txn;
      const agreed: Txn<Key, Value> = { ...plain, success: [...success, read], failure: [...failure, read] };
      const again = await this.#store.txn(agreed, options);
      // The results of all operations but the last are those of `txn`.
      result = { ...again, responses: again.responses.slice(0, -1) } as TxnResult<T, Entry>;
    }
    this.#take(seen, result, mayWrite(txn));
    return result;
  }

  /** What was answered is the newest there is now, if it isn't older than what was seen when it was asked for. */
  #take(seen: StoreState, result: Answer, written = false): void {
    const { clusterId, revision } = result.header;
    if (isOlder(seen, result)) {
      if (this.#seen === seen) this.#seen = { clusterId, revision, raftTerm: 0n };
      const what = 'the transaction was applied there: check what it wrote';
      throw new StoreReplacedError(seen, result.header, written ? { what, sent: true } : {});
    }
    if (revision > this.#seen.revision) this.#seen = { clusterId, revision, raftTerm: 0n };
  }
}

type Answer = Pick<RangeResult<unknown>, 'header'>;

function isOlder(seen: StoreState, { header }: Answer): boolean {
  return isReplaced(seen, header);
}
