import { Auth } from './auth.js';
import { Cluster } from './cluster.js';
import type { Bytes, Keys } from './key-range.js';
import { prefix, toKey } from './key-range.js';
import type { KeyValue } from './key-value.js';
import {
  type DeleteOptions,
  type DeleteResult,
  deleteRangeMethod,
  encodeDelete,
  encodePut,
  encodeRange,
  getMethod,
  type PutOptions,
  type PutResult,
  putMethod,
  type RangeOptions,
  type RangeResult,
  type ReadOptions,
  rangeMethod,
} from './kv.js';
import { Maintenance } from './maintenance.js';
import type { Rpc } from './rpc/rpc.js';
import type { Transport } from './transport/transport.js';
import { Watch, type WatchOptions, watchMethod } from './watch.js';

const none = {};

/** @internal */
export interface ClientInit {
  readonly rpc: Rpc;
  readonly transport: Transport['kind'];
}

/**
 * A client of one etcd cluster, made by `connect()`. Its calls fail with an `EtcdError` of the fitting class, or
 * with the reason of the `signal` they were given.
 *
 * While calls and watches are in flight it keeps the process alive, unless {@link unref} was called; an idle
 * client doesn't. However the process ends, the client's thread is ended first.
 */
export class EtcdClient implements AsyncDisposable {
  /** Which transport carries the calls: `native`, or the slower fallback `grpc-js`. */
  readonly transport: Transport['kind'];
  /** Users, roles and permissions. */
  readonly auth: Auth;
  /** The members of the cluster. */
  readonly cluster: Cluster;
  /** Status, alarms, snapshots and other care of the members. */
  readonly maintenance: Maintenance;
  readonly #rpc: Rpc;

  /** @internal Use `connect()`. */
  constructor(init: ClientInit) {
    this.#rpc = init.rpc;
    this.transport = init.transport;
    this.auth = new Auth(init.rpc);
    this.cluster = new Cluster(init.rpc);
    this.maintenance = new Maintenance(init.rpc);
  }

  /** The value of one key, or `undefined` when there is no such key. etcd: `KV.Range`. */
  get(key: Bytes, options: ReadOptions = none): Promise<KeyValue | undefined> {
    return this.#rpc.call(getMethod, () => encodeRange(toKey(key), options), options);
  }

  /**
   * The keys of a range. All of them come in one answer: give a `limit` for ranges that may be large.
   * etcd: `KV.Range`.
   */
  range(keys: Keys, options: RangeOptions = none): Promise<RangeResult> {
    return this.#rpc.call(rangeMethod, () => encodeRange(keys, options), options);
  }

  /** The keys that start with `start`; short for `range(prefix(start))`. */
  getPrefix(start: Bytes, options: RangeOptions = none): Promise<RangeResult> {
    return this.#rpc.call(rangeMethod, () => encodeRange(prefix(start), options), options);
  }

  /** Sets the value of a key. etcd: `KV.Put`. */
  put(key: Bytes, value: Bytes, options: PutOptions = none): Promise<PutResult> {
    return this.#rpc.call(putMethod, () => encodePut(key, value, options), options);
  }

  /** Deletes a key, or all keys of a range. etcd: `KV.DeleteRange`. */
  delete(keys: Keys, options: DeleteOptions = none): Promise<DeleteResult> {
    return this.#rpc.call(deleteRangeMethod, () => encodeDelete(keys, options), options);
  }

  /**
   * Follows the changes of a key or a range. Await `ready` of the result before making changes that it must see.
   * etcd: `Watch.Watch`.
   *
   * @throws InvalidArgumentError and {@link ClosedError}, at once.
   */
  watch(keys: Keys, options: WatchOptions = none): Watch {
    const { signal } = options;
    return new Watch(this.#rpc.stream(watchMethod, signal === undefined ? none : { signal }), keys, options);
  }

  /** Whether {@link close} was called. */
  get closed(): boolean {
    return this.#rpc.closed;
  }

  /** Calls and watches in flight keep the process alive: the default. */
  ref(): void {
    this.#rpc.ref();
  }

  /** Calls and watches in flight no longer keep the process alive. */
  unref(): void {
    this.#rpc.unref();
  }

  /**
   * Ends the client: what is in flight fails with {@link ClosedError}, connections go, and the native thread is
   * joined if this was its last client. Idempotent. Takes about a millisecond and waits for no server.
   */
  close(): Promise<void> {
    return this.#rpc.close();
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
