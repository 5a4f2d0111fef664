import { DeadlineExceededError, StatusCode } from '../errors.js';
import { checkTimeout, longestTimerMs } from '../util/timeout.js';

/** Bounds of a wait for a revision. */
export interface WaitOptions {
  /** Default: 10 000 ms. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** The pause before the server is asked again how far it is, in ms: doubled each time. */
const pauses = { firstMs: 20, longestMs: 320 };

interface Waiting {
  readonly revision: bigint;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Those who wait for a copy to come to a revision. While there are some the server is asked for its progress, with a
 * pause after each answer, as changes elsewhere bring no events.
 */
export class RevisionWaiters {
  readonly #ask: () => Promise<unknown>;
  readonly #waiting = new Set<Waiting>();
  #asking = false;
  #pauseMs = pauses.firstMs;
  #pause: NodeJS.Timeout | undefined;

  /** @param ask has the server tell its progress. */
  constructor(ask: () => Promise<unknown>) {
    this.#ask = ask;
  }

  /** @param shown what the copy has come to, for the message. */
  wait(revision: bigint, { timeoutMs = 10_000, signal }: WaitOptions, shown: () => bigint): Promise<void> {
    checkTimeout('timeoutMs', timeoutMs);
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        this.#waiting.delete(waiting);
        if (this.#waiting.size === 0) clearTimeout(this.#pause);
      };
      const waiting: Waiting = {
        revision,
        resolve() {
          done();
          resolve();
        },
        reject(reason) {
          done();
          reject(reason);
        },
      };
      const abort = (): void => waiting.reject(signal?.reason);
      // The watch that brings the changes holds the process, if it may.
      const timer =
        timeoutMs > longestTimerMs
          ? undefined
          : setTimeout(() => waiting.reject(tooLate(shown(), revision, timeoutMs)), timeoutMs).unref();
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiting.add(waiting);
      this.#pauseMs = pauses.firstMs;
      if (!this.#asking) void this.#askNow();
    });
  }

  /** The copy shows this revision now. */
  reached(revision: bigint): void {
    for (const waiting of [...this.#waiting]) if (waiting.revision <= revision) waiting.resolve();
  }

  /** The copy has ended. */
  fail(reason: unknown): void {
    for (const waiting of [...this.#waiting]) waiting.reject(reason);
  }

  async #askNow(): Promise<void> {
    clearTimeout(this.#pause);
    this.#asking = true;
    try {
      await this.#ask();
    } catch {
      // Whoever waits is told by their deadline, or by the end of the copy.
    }
    this.#asking = false;
    if (this.#waiting.size === 0) return;
    this.#pause = setTimeout(() => void this.#askNow(), this.#pauseMs).unref();
    this.#pauseMs = Math.min(2 * this.#pauseMs, pauses.longestMs);
  }
}

function tooLate(shown: bigint, revision: bigint, timeoutMs: number): DeadlineExceededError {
  return new DeadlineExceededError(
    `DEADLINE_EXCEEDED: the cache shows revision ${shown} and did not come to ${revision} within ${timeoutMs} ms`,
    { code: StatusCode.DEADLINE_EXCEEDED },
  );
}
