import { ClosedError, RequestTooLargeError, StatusCode } from '../errors.js';
import { checkTimeout } from '../timeout.js';
import type { ByteStream, CallOptions } from '../transport/transport.js';
import type { Balancer } from './balancer.js';

/** What every call can be given. */
export interface CallControl {
  /** Cancels the call, which rejects with `signal.reason`. */
  readonly signal?: AbortSignal;
  /** Deadline, in ms from now; default: the client's `timeoutMs`. `Infinity` for none. */
  readonly timeoutMs?: number;
}

/**
 * One of etcd's unary calls.
 * @internal
 */
export interface Method<T> {
  /** Full name, such as `/etcdserverpb.KV/Range`. */
  readonly name: string;
  readonly decode: (message: Uint8Array) => T;
  /** Whether it changes nothing when it is sent again after a first attempt that may have been applied. */
  readonly idempotent: boolean;
}

/** @internal */
export interface RpcInit {
  readonly balancer: Balancer;
  /** The same for one endpoint, which need not be one of the client's. Throws InvalidArgumentError for a malformed one. */
  readonly balancerOf: (endpoint: string) => Balancer;
  /** Deadline of calls that aren't given their own, in ms. */
  readonly timeoutMs: number;
  readonly maxRequestBytes: number;
}

/**
 * What all parts of a client make their calls with: the client's defaults and limits, over its endpoints.
 * @internal
 */
export class Rpc {
  readonly #init: RpcInit;
  /** For calls to one endpoint, by that endpoint. */
  readonly #single = new Map<string, Rpc>();
  readonly #balancer: Balancer;
  readonly #timeoutMs: number;
  readonly #maxRequestBytes: number;
  #closed = false;
  #referenced = true;

  constructor(init: RpcInit) {
    this.#init = init;
    this.#balancer = init.balancer;
    this.#timeoutMs = init.timeoutMs;
    this.#maxRequestBytes = init.maxRequestBytes;
  }

  /**
   * A unary call. What `encode` throws rejects it.
   *
   * Not async: each `await` would cost the hot path another turn of the microtask queue.
   */
  call<T>(method: Method<T>, encode: () => Uint8Array, control: CallControl): Promise<T> {
    try {
      const request = encode();
      if (request.length > this.#maxRequestBytes) throw this.#tooLarge(method.name, request.length);
      return this.#balancer
        .unary(method.name, request, this.#callOptions(control), method.idempotent)
        .then((response) => method.decode(response.message));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * A streaming call, without a deadline unless it is given one.
   *
   * @throws ClosedError once closed.
   */
  stream(method: string, options: CallOptions): ByteStream {
    if (this.#closed) throw new ClosedError();
    return this.#balancer.stream(method, options);
  }

  /**
   * The same calls, to one endpoint alone: on a connection of their own, which stays until this is closed.
   *
   * @throws InvalidArgumentError for a malformed endpoint, and ClosedError.
   */
  at(endpoint: string): Rpc {
    if (this.#closed) throw new ClosedError();
    let rpc = this.#single.get(endpoint);
    if (rpc === undefined) {
      rpc = new Rpc({ ...this.#init, balancer: this.#init.balancerOf(endpoint) });
      if (!this.#referenced) rpc.unref();
      this.#single.set(endpoint, rpc);
    }
    return rpc;
  }

  get endpointCount(): number {
    return this.#balancer.endpointCount;
  }

  /** The endpoint of this stream has failed it: the next stream tries another one. */
  leaveEndpoint(stream: ByteStream): void {
    this.#balancer.leave(stream);
  }

  get closed(): boolean {
    return this.#closed;
  }

  ref(): void {
    this.#referenced = true;
    this.#balancer.ref();
    for (const rpc of this.#single.values()) rpc.ref();
  }

  unref(): void {
    this.#referenced = false;
    this.#balancer.unref();
    for (const rpc of this.#single.values()) rpc.unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#balancer.close(), ...Array.from(this.#single.values(), (rpc) => rpc.close())]);
  }

  /** The deadline that a call with these settings has, in ms. */
  timeoutOf({ timeoutMs }: CallControl): number {
    return timeoutMs === undefined ? this.#timeoutMs : checkTimeout('timeoutMs', timeoutMs);
  }

  #callOptions(control: CallControl): CallOptions {
    const { signal } = control;
    const checked = this.timeoutOf(control);
    return signal === undefined ? { timeoutMs: checked } : { timeoutMs: checked, signal };
  }

  #tooLarge(method: string, bytes: number): RequestTooLargeError {
    return new RequestTooLargeError(
      `the request has ${bytes} bytes and maxRequestBytes is ${this.#maxRequestBytes}; make key and value smaller, or raise maxRequestBytes here and --max-request-bytes at the server`,
      { code: StatusCode.RESOURCE_EXHAUSTED, method, sent: false },
    );
  }
}
