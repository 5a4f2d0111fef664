import { DeadlineExceededError, EtcdError, StatusCode } from '../errors.js';
import { reason } from './kinds.js';

/**
 * Makes the error with which an attempt would fail if it ended now. The argument is the time that the caller gave, in
 * ms.
 */
type InFull = (timeoutMs: number) => unknown;

/**
 * What the calls of an operation have met so far. It is for the error of the time limit of the whole operation, which
 * would otherwise not know why the operation didn't succeed.
 */
export class Progress {
  /** Whether a request has left this client; `undefined` while no call was made. */
  #sent: boolean | undefined;
  #failure: InFull | undefined;
  /** The address that was asked, and has not answered yet. */
  #asked: string | undefined;

  /** From now on all calls report to this object, so none was made before. */
  begins(): void {
    this.#sent ??= false;
  }

  /** A call is searching for an endpoint, or waits for an answer that was not requested here. */
  seeks(inFull: InFull): void {
    this.#sent ??= false;
    this.#failure = inFull;
  }

  /** A request is being sent. */
  asks(address: string): void {
    this.#sent ??= false;
    this.#asked = address;
  }

  /** An attempt has failed. */
  failed(error: unknown, inFull: InFull = () => error): void {
    this.#sent = this.#sent || !(error instanceof EtcdError) || error.sent;
    this.#failure = inFull;
    this.#asked = undefined;
  }

  /** A call was answered, so earlier failures no longer matter. */
  answered(): void {
    this.#sent = true;
    this.#failure = undefined;
    this.#asked = undefined;
  }

  /**
   * The error once the time is over.
   *
   * @param mayBeApplied whether what was sent may be applied, and isn't undone.
   * @param undone what wasn't done in that time.
   */
  tooLate(timeoutMs: number, mayBeApplied: boolean, undone = 'not done'): DeadlineExceededError {
    const cause = this.#failure?.(timeoutMs);
    const asked = this.#asked !== undefined || (cause instanceof EtcdError && cause.sent);
    // Where calls went another way, nothing is known about them.
    const sent = this.#sent === undefined || this.#sent || asked;
    let why = '';
    if (cause !== undefined) why = `; the last attempt: ${reason(cause)}`;
    else if (this.#asked !== undefined) why = `; no answer from ${this.#asked} so far`;
    return new DeadlineExceededError(`DEADLINE_EXCEEDED: ${undone} within ${timeoutMs} ms${why}`, {
      code: StatusCode.DEADLINE_EXCEEDED,
      sent,
      mayBeApplied: mayBeApplied && sent,
      cause,
    });
  }
}

const bySignal = new WeakMap<object, Progress>();

/** Records that what is done until the signal aborts belongs to this progress. */
export function keepProgress(signal: object, progress: Progress): void {
  bySignal.set(signal, progress);
}

/** The progress of the calls that this signal ends; `undefined` where nobody asks for it. */
export function progressOf(signal: object | undefined): Progress | undefined {
  return signal && bySignal.get(signal);
}
