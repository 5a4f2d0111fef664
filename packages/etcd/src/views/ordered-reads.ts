import { StoreReplacedError, type StoreState } from '../errors.js';
import type { Bytes, KeyRange } from '../kv/key-range.js';
import type { RangeOptions, RangeResult, ReadOptions } from '../kv/kv.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import { isReplaced, unknownState } from '../rpc/store.js';
import type { Keyspace } from './keyspace.js';

/**
 * Reads that are never older than one before: with `serializable`, a member answers from what it has, and another
 * member that is asked next may be behind. Such an answer is thrown away, and the read is made again with the
 * cluster's agreement. As clientv3's `ordering` package, which asks the members in turn instead.
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
  readonly #store: Pick<Keyspace<Key, Value, Entry>, 'range'>;
  /** Of the newest answer. */
  #seen: StoreState = unknownState;

  constructor(store: Pick<Keyspace<Key, Value, Entry>, 'range'>) {
    this.#store = store;
  }

  /** The newest revision that was seen: no answer is older. */
  get revision(): bigint {
    return this.#seen.revision;
  }

  /** Another way in which a revision became known, such as the result of a put: later reads aren't older. */
  saw(revision: bigint): void {
    if (revision > this.#seen.revision) this.#seen = { ...this.#seen, revision };
  }

  /** Reads a key, as `get` of the client does, and throws as {@link range} does. */
  async get(key: Key, options: ReadOptions = {}): Promise<Entry | undefined> {
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
    const { clusterId, revision } = result.header;
    if (isOlder(seen, result)) {
      if (this.#seen === seen) this.#seen = { clusterId, revision, raftTerm: 0n };
      throw new StoreReplacedError(seen, result.header);
    }
    if (revision > this.#seen.revision) this.#seen = { clusterId, revision, raftTerm: 0n };
    return result;
  }
}

function isOlder(seen: StoreState, { header }: RangeResult<unknown>): boolean {
  return isReplaced(seen, header);
}
