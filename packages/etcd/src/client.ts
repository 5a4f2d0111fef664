import { ClosedError, RequestTooLargeError, StatusCode } from './errors.js';
import type { Bytes, Keys } from './key-range.js';
import { prefix, toKey } from './key-range.js';
import type { KeyValue } from './key-value.js';
import {
  type CallControl,
  type DeleteOptions,
  type DeleteResult,
  decodeDelete,
  decodeGet,
  decodePut,
  decodeRange,
  encodeDelete,
  encodePut,
  encodeRange,
  KvMethod,
  type PutOptions,
  type PutResult,
  type RangeOptions,
  type RangeResult,
  type ReadOptions,
} from './kv.js';
import type { Balancer } from './rpc/balancer.js';
import { checkTimeout } from './timeout.js';
import type { CallOptions, Transport } from './transport/transport.js';
import { Watch, type WatchOptions, watchMethod } from './watch.js';

const none = {};

/** @internal */
export interface ClientInit {
  readonly balancer: Balancer;
  readonly transport: Transport['kind'];
  readonly timeoutMs: number;
  readonly maxRequestBytes: number;
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
  readonly #balancer: Balancer;
  readonly #timeoutMs: number;
  readonly #maxRequestBytes: number;
  #closed = false;

  /** @internal Use `connect()`. */
  constructor(init: ClientInit) {
    this.#balancer = init.balancer;
    this.transport = init.transport;
    this.#timeoutMs = init.timeoutMs;
    this.#maxRequestBytes = init.maxRequestBytes;
  }

  /** The value of one key, or `undefined` when there is no such key. etcd: `KV.Range`. */
  get(key: Bytes, options: ReadOptions = none): Promise<KeyValue | undefined> {
    return this.#call(KvMethod.Range, () => encodeRange(toKey(key), options), decodeGet, options, true);
  }

  /**
   * The keys of a range. All of them come in one answer: give a `limit` for ranges that may be large.
   * etcd: `KV.Range`.
   */
  range(keys: Keys, options: RangeOptions = none): Promise<RangeResult> {
    return this.#call(KvMethod.Range, () => encodeRange(keys, options), decodeRange, options, true);
  }

  /** The keys that start with `start`; short for `range(prefix(start))`. */
  getPrefix(start: Bytes, options: RangeOptions = none): Promise<RangeResult> {
    return this.#call(KvMethod.Range, () => encodeRange(prefix(start), options), decodeRange, options, true);
  }

  /** Sets the value of a key. etcd: `KV.Put`. */
  put(key: Bytes, value: Bytes, options: PutOptions = none): Promise<PutResult> {
    return this.#call(KvMethod.Put, () => encodePut(key, value, options), decodePut, options, false);
  }

  /** Deletes a key, or all keys of a range. etcd: `KV.DeleteRange`. */
  delete(keys: Keys, options: DeleteOptions = none): Promise<DeleteResult> {
    return this.#call(KvMethod.DeleteRange, () => encodeDelete(keys, options), decodeDelete, options, false);
  }

  /**
   * Follows the changes of a key or a range. Await `ready` of the result before making changes that it must see.
   * etcd: `Watch.Watch`.
   *
   * @throws InvalidArgumentError and {@link ClosedError}, at once.
   */
  watch(keys: Keys, options: WatchOptions = none): Watch {
    if (this.#closed) throw new ClosedError();
    const { signal } = options;
    return new Watch(
      this.#balancer.stream(watchMethod, signal === undefined ? none : { signal }),
      keys,
      options,
    );
  }

  /** Whether {@link close} was called. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Calls and watches in flight keep the process alive: the default. */
  ref(): void {
    this.#balancer.ref();
  }

  /** Calls and watches in flight no longer keep the process alive. */
  unref(): void {
    this.#balancer.unref();
  }

  /**
   * Ends the client: what is in flight fails with {@link ClosedError}, connections go, and the native thread is
   * joined if this was its last client. Idempotent. Takes about a millisecond and waits for no server.
   */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#balancer.close();
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // Not async: each `await` would cost the hot path another turn of the microtask queue.
  #call<T>(
    method: string,
    encode: () => Uint8Array,
    decode: (message: Uint8Array) => T,
    options: CallControl,
    idempotent: boolean,
  ): Promise<T> {
    try {
      const request = encode();
      if (request.length > this.#maxRequestBytes)
        throw tooLarge(method, request.length, this.#maxRequestBytes);
      return this.#balancer
        .unary(method, request, this.#callOptions(options), idempotent)
        .then((response) => decode(response.message));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #callOptions({ timeoutMs, signal }: CallControl): CallOptions {
    const checked = timeoutMs === undefined ? this.#timeoutMs : checkTimeout('timeoutMs', timeoutMs);
    return signal === undefined ? { timeoutMs: checked } : { timeoutMs: checked, signal };
  }
}

function tooLarge(method: string, bytes: number, max: number): RequestTooLargeError {
  return new RequestTooLargeError(
    `the request has ${bytes} bytes and maxRequestBytes is ${max}; make key and value smaller, or raise maxRequestBytes here and --max-request-bytes at the server`,
    { code: StatusCode.RESOURCE_EXHAUSTED, method, sent: false },
  );
}
