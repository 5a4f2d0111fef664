import { EtcdError, StatusCode } from '../errors.js';
import type { ByteStream, CallOptions, Transport, UnaryResponse } from '../transport/transport.js';

/**
 * Chooses the endpoint for each call: the one that last worked, and the next when it can't be reached. A call
 * goes to each endpoint once at most, and a write that may have been sent is never sent again.
 */
export class Balancer {
  readonly #transports: readonly Transport[];
  readonly #streams = new WeakMap<ByteStream, number>();
  #current = 0;

  /** @param transports one for each endpoint. */
  constructor(transports: readonly Transport[]) {
    this.#transports = transports;
  }

  get endpointCount(): number {
    return this.#transports.length;
  }

  /** A unary call; `idempotent` ones go to the next endpoint also when the connection broke under them. */
  unary(
    method: string,
    request: Uint8Array,
    options: CallOptions,
    idempotent: boolean,
  ): Promise<UnaryResponse> {
    const first = this.#transport(this.#current).unary(method, request, options);
    if (this.#transports.length === 1) return first;
    return this.#overEndpoints(first, method, request, options, idempotent);
  }

  async #overEndpoints(
    first: Promise<UnaryResponse>,
    method: string,
    request: Uint8Array,
    options: CallOptions,
    idempotent: boolean,
  ): Promise<UnaryResponse> {
    const start = performance.now();
    let index = this.#current;
    let attempt = first;
    for (let left = this.#transports.length - 1; ; left--) {
      try {
        return await attempt;
      } catch (error) {
        if (!isUnreachable(error)) throw error;
        this.#leave(index);
        if (left === 0 || (error.sent && !idempotent)) throw error;
      }
      index = (index + 1) % this.#transports.length;
      const timeoutMs = (options.timeoutMs ?? Number.POSITIVE_INFINITY) - (performance.now() - start);
      attempt = this.#transport(index).unary(method, request, {
        ...options,
        timeoutMs: Math.max(1, timeoutMs),
      });
    }
  }

  /** A streaming call, to the endpoint that last worked. */
  stream(method: string, options: CallOptions): ByteStream {
    const stream = this.#transport(this.#current).stream(method, options);
    this.#streams.set(stream, this.#current);
    return stream;
  }

  /** The endpoint of this stream has failed it: later calls try the next one first. */
  leave(stream: ByteStream): void {
    const index = this.#streams.get(stream);
    if (index !== undefined) this.#leave(index);
  }

  /**
   * Asks one endpoint after another, and stays with the first that answers.
   *
   * @returns undefined, or why each endpoint failed when none answered.
   */
  async findEndpoint(
    method: string,
    request: Uint8Array,
    options: CallOptions,
  ): Promise<readonly unknown[] | undefined> {
    const failures: unknown[] = [];
    for (const [index, transport] of this.#transports.entries()) {
      try {
        await transport.unary(method, request, options);
        this.#current = index;
        return undefined;
      } catch (error) {
        if (options.signal?.aborted) throw error;
        failures.push(error);
      }
    }
    return failures;
  }

  ref(): void {
    for (const transport of this.#transports) transport.ref();
  }

  unref(): void {
    for (const transport of this.#transports) transport.unref();
  }

  async close(): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.close()));
  }

  /** Later calls try the next endpoint first, unless some other call has moved on already. */
  #leave(index: number): void {
    if (this.#current === index) this.#current = (index + 1) % this.#transports.length;
  }

  #transport(index: number): Transport {
    return this.#transports[index] as Transport;
  }
}

function isUnreachable(error: unknown): error is EtcdError {
  return error instanceof EtcdError && error.code === StatusCode.UNAVAILABLE;
}
