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
 * Reads that are never older than the one before. With `serializable` a member answers by itself, and the member that
 * is asked next may be behind. Such an older answer is dropped, and the read is repeated with the cluster's agreement.
 * Corresponds to clientv3's `ordering` package, which asks the members one after another instead.
 *
 * If the cluster's own answer is older than the one before, the store was replaced, for instance by a backup. Then
 * reads that began before throw StoreReplacedError, and later ones follow the new store.
 *
 * ```ts
 * const reads = new OrderedReads(etcd);
 * await reads.get('a', { serializable: true });
 * ```
 */
export class OrderedReads<Key = Bytes, Value = Bytes, Entry = KeyValue> {
  readonly #store: Pick<Keyspace<Key, Value, Entry>, 'range' | 'txn'>;
  /** The state of the store at the newest answer. */
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

  /** The newest revision seen so far: no answer is older. */
  get revision(): bigint {
    return this.#seen.revision;
  }

  /** Records a revision that became known in another way, such as by a put: later reads aren't older. */
  saw(revision: bigint): void {
    const seen = toInt64('revision', revision);
    if (seen > this.#seen.revision) this.#seen = { ...this.#seen, revision: seen };
  }

  /** Reads a key like the client's `get`. Throws the errors of {@link range}. */
  async get(key: Key, options: ReadOptions = {}): Promise<Entry | undefined> {
    readOptions.check(options);
    const { kvs } = await this.range(key, options);
    return kvs[0];
  }

  /**
   * Reads a range like the client's `range`.
   *
   * @throws StoreReplacedError when the store is older than what was read before, or belongs to a different cluster.
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
   * Makes a transaction like the client's `txn`. If it only reads, with `serializable` in each operation, a member
   * answers by itself, and the transaction is repeated like {@link range} if that answer is too old. One that writes is
   * made once.
   *
   * @throws StoreReplacedError as for {@link range}. A transaction that writes was then applied in the new store.
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
      // A single operation that isn't serializable makes the whole transaction wait for the cluster's agreement.
      const read = op.range(keys, { limit: 1, keysOnly: true });
      const { success = [], failure = [] } = txn;
      const agreed: Txn<Key, Value> = { ...plain, success: [...success, read], failure: [...failure, read] };
      const again = await this.#store.txn(agreed, options);
      // The last result belongs to the added operation. The others are the results of `txn`.
      result = { ...again, responses: again.responses.slice(0, -1) } as TxnResult<T, Entry>;
    }
    this.#take(seen, result, mayWrite(txn));
    return result;
  }

  /** Records an answer as the newest, if it isn't older than what was seen when the request was made. */
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
