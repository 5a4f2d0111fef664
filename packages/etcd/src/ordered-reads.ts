import type { Bytes, KeyRange } from './key-range.js';
import type { KeyValue } from './key-value.js';
import type { Keyspace } from './keyspace.js';
import type { RangeOptions, RangeResult, ReadOptions } from './kv.js';

/**
 * Reads that are never older than one before: with `serializable`, a member answers from what it has, and another
 * member that is asked next may be behind. Such an answer is thrown away, and the read is made again with the
 * cluster's agreement. As clientv3's `ordering` package, which asks the members in turn instead.
 *
 * ```ts
 * const reads = new OrderedReads(etcd);
 * await reads.get('a', { serializable: true });
 * ```
 */
export class OrderedReads<Key = Bytes, Value = Bytes, Entry = KeyValue> {
  readonly #store: Pick<Keyspace<Key, Value, Entry>, 'range'>;
  #revision = 0n;

  constructor(store: Pick<Keyspace<Key, Value, Entry>, 'range'>) {
    this.#store = store;
  }

  /** The newest revision that was seen: no answer is older. */
  get revision(): bigint {
    return this.#revision;
  }

  /** Another way in which a revision became known, such as the result of a put: later reads aren't older. */
  saw(revision: bigint): void {
    if (revision > this.#revision) this.#revision = revision;
  }

  /** As `get` of the client. */
  async get(key: Key, options: ReadOptions = {}): Promise<Entry | undefined> {
    const { kvs } = await this.range(key, options);
    return kvs[0];
  }

  /** As `range` of the client. */
  async range(keys: Key | KeyRange, options: RangeOptions = {}): Promise<RangeResult<Entry>> {
    const seen = this.#revision;
    let result = await this.#store.range(keys, options);
    if (result.revision < seen && options.serializable) {
      result = await this.#store.range(keys, { ...options, serializable: false });
    }
    this.saw(result.revision);
    return result;
  }
}
