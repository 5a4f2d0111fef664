import { DeadlineExceededError, StatusCode } from '../errors.js';
import { abortSignal, milliseconds, reason } from '../util/kinds.js';
import { Description } from '../util/options.js';
import { clearTimeout, setTimeout } from '../util/timers.js';
import { type Wait, waitFor } from '../util/wait.js';

/** Bounds of a wait for a revision. */
export interface WaitOptions {
  /** Default: 10 000 ms. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The description of {@link WaitOptions}. */
export const waitOptions = new Description<WaitOptions>('waitForRevision()', {
  timeoutMs: milliseconds,
  signal: abortSignal,
});

/** The pause before the server is asked for its progress again, in ms. It doubles each time. */
const pauses = { firstMs: 20, longestMs: 320 };

/** The state of a copy. */
export interface Shown {
  readonly revision: bigint;
  /** Why the copy has no connection for changes; `undefined` while it has one. */
  readonly disconnected: unknown;
}

interface Waiting {
  readonly revision: bigint;
  readonly wait: Wait<void>;
}

/**
 * Makes the server report its progress.
 *
 * @param wanted the lowest revision that somebody waits for.
 * @param times how often the server was asked since a wait ended.
 */
type Ask = (wanted: bigint, times: number) => Promise<unknown>;

/**
 * The waits for a copy to reach a revision. While there are any, the server is asked for its progress, with a pause
 * after each answer, since changes to other keys bring no events.
 */
export class RevisionWaiters {
  readonly #ask: Ask;
  readonly #waiting = new Set<Waiting>();
  #asking = false;
  #times = 0;
  #pauseMs = pauses.firstMs;
  #pause: NodeJS.Timeout | undefined;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  /** @param shown returns the copy's state for the message. */
  wait(revision: bigint, { timeoutMs = 10_000, signal }: WaitOptions, shown: () => Shown): Promise<void> {
    return waitFor(
      (wait) => {
        const waiting: Waiting = { revision, wait };
        this.#waiting.add(waiting);
        this.#pauseMs = pauses.firstMs;
        if (!this.#asking) void this.#askNow();
        return () => {
          this.#waiting.delete(waiting);
          if (this.#waiting.size === 0) clearTimeout(this.#pause);
        };
      },
      { signal, timeoutMs, expired: (wait) => wait.reject(tooLate(shown(), revision, timeoutMs)) },
    );
  }

  /** The copy shows this revision now. */
  reached(revision: bigint): void {
    for (const waiting of [...this.#waiting]) {
      if (waiting.revision > revision) continue;
      this.#times = 0;
      waiting.wait.resolve();
    }
  }

  /** The copy has ended. */
  fail(reason: unknown): void {
    for (const { wait } of [...this.#waiting]) wait.reject(reason);
  }

  async #askNow(): Promise<void> {
    clearTimeout(this.#pause);
    this.#asking = true;
    let wanted: bigint | undefined;
    for (const { revision } of this.#waiting)
      if (wanted === undefined || revision < wanted) wanted = revision;
    try {
      if (wanted !== undefined) await this.#ask(wanted, ++this.#times);
    } catch {
      // Those who wait are ended by their own deadline, or by the end of the copy.
    }
    this.#asking = false;
    if (this.#waiting.size === 0) return;
    this.#pause = setTimeout(() => void this.#askNow(), this.#pauseMs).unref();
    this.#pauseMs = Math.min(2 * this.#pauseMs, pauses.longestMs);
  }
}

function tooLate(shown: Shown, revision: bigint, timeoutMs: number): DeadlineExceededError {
  const { disconnected: cause } = shown;
  const why = cause === undefined ? '' : `; it has no connection: ${reason(cause)}`;
  return new DeadlineExceededError(
    `DEADLINE_EXCEEDED: the cache is at revision ${shown.revision} and did not reach ${revision} within ${timeoutMs} ms${why}`,
    { code: StatusCode.DEADLINE_EXCEEDED, sent: false, cause },
  );
}
