import { EtcdError, StatusCode, UnavailableError } from '../errors.js';
import type { Progress } from '../util/progress.js';
import { clearTimeout, LONGEST_TIMER_MS, setTimeout } from '../util/timers.js';
import { watchMethod } from './request.js';

/** What else is known about attempts, for the error. */
export interface DisconnectionMore {
  /** Whether a request may have left the client. Default: whether the last attempt may have sent one. */
  readonly isSent?: () => boolean;
  /** The progress of an attempt that hasn't failed yet. */
  readonly progress?: Progress;
}

/** How long something may go without a connection. */
export class Disconnection {
  readonly #what: string;
  readonly #atMostMs: number;
  readonly #expired: (error: UnavailableError) => void;
  readonly #more: DisconnectionMore;
  #timer: NodeJS.Timeout | undefined;
  /** Why the last attempt failed; `undefined` while there is a connection, and before the first attempt. */
  failure: unknown;

  /**
   * Begins without a connection.
   *
   * @param what has no connection, for the message.
   * @param expired called once it has lasted too long.
   */
  constructor(
    what: string,
    atMostMs: number,
    expired: (error: UnavailableError) => void,
    more: DisconnectionMore = {},
  ) {
    this.#what = what;
    this.#atMostMs = atMostMs;
    this.#expired = expired;
    this.#more = more;
    this.begin(undefined);
  }

  /** The connection has gone, or couldn't be made. Repeated calls count from the first one. */
  begin(failure: unknown): void {
    this.failure = failure;
    if (this.#atMostMs > LONGEST_TIMER_MS || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => this.#expired(this.#error()), this.#atMostMs);
    // What waits for the next connection keeps the process alive where that is wanted.
    this.#timer.unref();
  }

  /** There is a connection, or none is wanted any more. */
  end(): void {
    this.failure = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #error(): UnavailableError {
    const ms = this.#atMostMs;
    const { progress, isSent } = this.#more;
    const cause = this.failure ?? progress?.tooLate(ms, false).cause;
    const last = cause instanceof Error ? `; the last attempt: ${cause.message}` : '';
    const sent = isSent?.() ?? (!(cause instanceof EtcdError) || cause.sent);
    const init = { code: StatusCode.UNAVAILABLE, method: watchMethod, sent, cause };
    return new UnavailableError(`${this.#what} had no connection for ${ms} ms${last}`, init);
  }
}
