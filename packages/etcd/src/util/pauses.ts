import { longestTimerMs } from './timeout.js';

/** The waits of one client between attempts at its calls: they end with it, and hold the process only if it may. */
export class Pauses {
  readonly #waits = new Map<NodeJS.Timeout, () => void>();
  #referenced = true;
  #closed = false;

  /** Resolves after that time, or when the client is closed; rejects with the signal's reason when it aborts. */
  async pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    if (this.#closed) return;
    let end: (() => void) | undefined;
    const over = new Promise<void>((resolve) => {
      end = resolve;
    });
    const done = end as unknown as () => void;
    const timer = setTimeout(done, Math.min(ms, longestTimerMs));
    if (!this.#referenced) timer.unref();
    this.#waits.set(timer, done);
    signal?.addEventListener('abort', done, { once: true });
    await over;
    clearTimeout(timer);
    this.#waits.delete(timer);
    signal?.removeEventListener('abort', done);
    signal?.throwIfAborted();
  }

  setReferenced(referenced: boolean): void {
    this.#referenced = referenced;
    for (const timer of this.#waits.keys()) {
      if (referenced) timer.ref();
      else timer.unref();
    }
  }

  /** Ends all waits, and those to come at once. */
  close(): void {
    this.#closed = true;
    for (const end of this.#waits.values()) end();
  }
}
