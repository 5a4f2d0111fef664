import { ClosedError } from '../../errors.js';
import { monotonicMs } from '../../util/timers.js';
import { settlesBy } from '../../util/wait.js';
import { DeferredStream } from '../deferred-stream.js';
import { tlsFailed, tlsOverdue } from '../tls-source.js';
import type { ByteStream, CallOptions, TlsOptions, Transport, UnaryResponse } from '../transport.js';

/** A transport whose TLS options can be changed for later connections. */
export interface RenewableTransport extends Transport {
  /** Whether the next call needs no new connection. */
  readonly isConnected: boolean;
  setTls(tls: TlsOptions): void;
}

/** Reads the TLS options again before each connection. While there is a connection, calls pass through. */
export class RenewingTransport implements Transport {
  readonly #inner: RenewableTransport;
  readonly #source: () => Promise<TlsOptions>;
  #renewing: Promise<void> | undefined;
  #closed = false;

  constructor(inner: RenewableTransport, source: () => Promise<TlsOptions>) {
    this.#inner = inner;
    this.#source = source;
  }

  get kind(): Transport['kind'] {
    return this.#inner.kind;
  }

  unary(method: string, request: Uint8Array, options: CallOptions = {}): Promise<UnaryResponse> {
    if (this.#inner.isConnected) return this.#inner.unary(method, request, options);
    return this.#renewed(method, options).then((rest) => this.#inner.unary(method, request, rest));
  }

  stream(method: string, options: CallOptions = {}): ByteStream {
    if (this.#inner.isConnected) return this.#inner.stream(method, options);
    let rest = options;
    const ready = this.#renewed(method, options).then((left) => {
      rest = left;
    });
    return new DeferredStream(method, ready, () => this.#inner.stream(method, rest));
  }

  renew(): void {
    this.#inner.renew();
  }

  ref(): void {
    this.#inner.ref();
  }

  unref(): void {
    this.#inner.unref();
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#inner.close();
  }

  /** Renews the TLS options, and returns the call's options with the rest of its time. */
  async #renewed(method: string, options: CallOptions): Promise<CallOptions> {
    if (this.#closed) throw new ClosedError();
    const { timeoutMs = Number.POSITIVE_INFINITY, signal } = options;
    const deadline = monotonicMs() + timeoutMs;
    // When many calls need a connection, only one asks.
    this.#renewing ??= this.#renew(method).finally(() => {
      this.#renewing = undefined;
    });
    if (!(await settlesBy(this.#renewing, deadline, signal))) {
      throw tlsOverdue(timeoutMs, method);
    }
    if (timeoutMs === Number.POSITIVE_INFINITY) return options;
    return { ...options, timeoutMs: Math.max(1, deadline - monotonicMs()) };
  }

  async #renew(method: string): Promise<void> {
    let tls: TlsOptions;
    try {
      tls = await this.#source();
    } catch (cause) {
      throw tlsFailed(cause, method);
    }
    if (!this.#closed) this.#inner.setTls(tls);
  }
}
