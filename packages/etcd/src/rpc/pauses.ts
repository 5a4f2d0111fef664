import { LONGEST_TIMER_MS } from '../util/timers.js';
import { type Wait, waitFor } from '../util/wait.js';

/** The pauses of one part of a client. They end with that part, and keep the process alive only if it does. */
export class Pauses {
  readonly #waits = new Set<Wait<void>>();
  #referenced: boolean;
  #closed = false;

  constructor(referenced = true) {
    this.#referenced = referenced;
  }

  /** Resolves after that time, or when this is closed. Rejects with the signal's reason when it aborts. */
  pause(ms: number, signal?: AbortSignal): Promise<void> {
    return waitFor(
      (wait) => {
        if (this.#closed) wait.resolve();
        this.#waits.add(wait);
        return () => this.#waits.delete(wait);
      },
      {
        signal,
        timeoutMs: Math.min(ms, LONGEST_TIMER_MS),
        ref: this.#referenced,
        expired: (wait) => wait.resolve(),
      },
    );
  }

  setReferenced(referenced: boolean): void {
    this.#referenced = referenced;
    for (const wait of this.#waits) wait.setReferenced(referenced);
  }

  /** Ends all pauses at once, and later ones as they begin. */
  close(): void {
    this.#closed = true;
    for (const wait of [...this.#waits]) wait.resolve();
  }
}
