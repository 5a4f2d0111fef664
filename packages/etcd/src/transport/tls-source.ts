import { DeadlineExceededError, EtcdError, StatusCode, UnavailableError } from '../errors.js';
import { reason } from '../util/kinds.js';
import type { TlsOptions } from './transport.js';

/** The failure of a call for which a function was to return TLS options, but threw. */
export function tlsFailed(cause: unknown, method: string): EtcdError {
  if (cause instanceof EtcdError) return cause;
  const message = `UNAVAILABLE: the tls function failed: ${reason(cause)}`;
  return new UnavailableError(message, { code: StatusCode.UNAVAILABLE, method, sent: false, cause });
}

/** The failure where the function takes too long. */
export function tlsOverdue(timeoutMs: number, method: string): DeadlineExceededError {
  const message = `DEADLINE_EXCEEDED: the tls function returned nothing within ${timeoutMs} ms`;
  return new DeadlineExceededError(message, { code: StatusCode.DEADLINE_EXCEEDED, method, sent: false });
}

/** Records how a function that returns TLS options fared, for a transport that reports failures only as text. */
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

  /** Why a call got no connection, where the function is the cause. */
  failure(timeoutMs: number, method: string): EtcdError | undefined {
    if (this.#waiting > 0) return tlsOverdue(timeoutMs, method);
    return this.#failure === undefined ? undefined : tlsFailed(this.#failure, method);
  }
}
