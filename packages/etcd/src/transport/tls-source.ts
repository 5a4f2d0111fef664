import { DeadlineExceededError, EtcdError, StatusCode, UnavailableError } from '../errors.js';
import { reason } from '../util/kinds.js';
import type { TlsOptions } from './transport.js';

/** The failure of a call for which a function was to give TLS options, and threw. */
export function tlsFailed(cause: unknown, method: string): EtcdError {
  if (cause instanceof EtcdError) return cause;
  const message = `UNAVAILABLE: the function tls failed: ${reason(cause)}`;
  return new UnavailableError(message, { code: StatusCode.UNAVAILABLE, method, sent: false, cause });
}

/** The same, where the function takes too long. */
export function tlsOverdue(timeoutMs: number, method: string): DeadlineExceededError {
  const message = `DEADLINE_EXCEEDED: the function tls returned nothing within ${timeoutMs} ms`;
  return new DeadlineExceededError(message, { code: StatusCode.DEADLINE_EXCEEDED, method, sent: false });
}

/** Remembers how a function that gives TLS options fared, for a transport that reports failures as texts alone. */
export class TlsSource {
  readonly #source: () => Promise<TlsOptions>;
  #waiting = 0;
  #failure: unknown;

  constructor(source: () => Promise<TlsOptions>) {
    this.#source = source;
  }

  readonly give = async (): Promise<TlsOptions> => {
    this.#waiting += 1;
    this.#failure = undefined;
    try {
      return await this.#source();
    } catch (cause) {
      this.#failure = cause;
      throw cause;
    } finally {
      this.#waiting -= 1;
    }
  };

  /** Why a call that got no connection has failed, where that is the function's doing. */
  failure(timeoutMs: number, method: string): EtcdError | undefined {
    if (this.#waiting > 0) return tlsOverdue(timeoutMs, method);
    return this.#failure === undefined ? undefined : tlsFailed(this.#failure, method);
  }
}
