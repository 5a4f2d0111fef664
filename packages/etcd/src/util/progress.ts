import { DeadlineExceededError, EtcdError, StatusCode } from '../errors.js';
import { reason } from './kinds.js';

/** What an attempt would fail with if it ended now, in words of the time that its caller gave, in ms. */
type InFull = (timeoutMs: number) => unknown;

/**
 * What the calls that are made for something have met so far: for the error of the time that bounds them all, which would
 * otherwise not know why nothing came of them.
 */
export class Progress {
  /** Whether a request has left this client; `undefined` while no call was made. */
  #sent: boolean | undefined;
  #failure: InFull | undefined;
  /** Who was asked, and has not answered so far. */
  #asked: string | undefined;

  /** All calls will report to it, so that until then none was made. */
  begins(): void {
    this.#sent ??= false;
  }

  /** A call looks for somebody to ask, or waits for an answer that was not asked for here. */
  seeks(inFull: InFull): void {
    this.#sent ??= false;
    this.#failure = inFull;
  }

  /** A request is sent. */
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

  /** A call was answered, so that what failed before is of no interest. */
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
    // Where calls went another way, nothing is known of them.
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

const bySignal = new WeakMap<AbortSignal, Progress>();

/** What is done until that signal aborts makes this progress. */
export function keepProgress(signal: AbortSignal, progress: Progress): void {
  bySignal.set(signal, progress);
}

/** That of calls which this signal ends; `undefined` where nobody asks for it. */
export function progressOf(signal: AbortSignal | undefined): Progress | undefined {
  return signal && bySignal.get(signal);
}
