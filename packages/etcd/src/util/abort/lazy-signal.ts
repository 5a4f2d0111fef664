import { setMaxListeners } from 'node:events';
import { keepProgress, progressOf } from '../progress.js';
import { CheckedAbortController } from './checked-abort.js';

/** A signal that ends an operation of this client. */
export type AnySignal = AbortSignal | LazySignal;

/**
 * What an `AbortSignal` is, for code of this client, which listens to it by `onAbort()`. The `AbortSignal` itself is made
 * only when somebody asks for it: with their listeners, they took a fifth of an uncontended lock's CPU time, and made much
 * of its garbage.
 */
export class LazySignal<Reason = unknown> {
  /** Called before the state is reported; absent once it can't change any more. */
  #look: (() => void) | undefined;
  #looking = false;
  #aborted = false;
  #reason: Reason | undefined;
  #makeReason: (() => Reason) | undefined;
  #callbacks: Set<() => void> | undefined;
  #control: AbortController | undefined;

  /** @param look aborts this signal if it is time. It may read a clock. */
  constructor(look?: () => void) {
    this.#look = look;
  }

  get aborted(): boolean {
    this.#check();
    return this.#aborted;
  }

  get reason(): Reason | undefined {
    this.#check();
    if (this.#makeReason !== undefined) {
      this.#reason = this.#makeReason();
      this.#makeReason = undefined;
    }
    return this.#reason;
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }

  /** The same as an `AbortSignal`, which any number of listeners may share. */
  get signal(): AbortSignal {
    if (this.#control === undefined) {
      this.#control = new CheckedAbortController(() => this.#check());
      const { signal } = this.#control;
      setMaxListeners(0, signal);
      const progress = progressOf(this);
      if (progress !== undefined) keepProgress(signal, progress);
      if (this.aborted) this.#control.abort(this.reason);
    }
    return this.#control.signal;
  }

  abort(reason: Reason): void {
    if (this.#aborted) return;
    this.#reason = reason;
    this.#end();
  }

  /** Aborts with a reason that is made when somebody asks for it. */
  abortWith(makeReason: () => Reason): void {
    if (this.#aborted) return;
    this.#makeReason = makeReason;
    this.#end();
  }
  /** Calls back when it aborts, unless the returned function was called before. It may have aborted already. */
  listen(callback: () => void): () => void {
    if (this.#aborted) return () => {};
    // The same function may listen twice.
    const call = (): void => callback();
    const callbacks = this.#callbacks ?? new Set();
    this.#callbacks = callbacks.add(call);
    return () => callbacks.delete(call);
  }

  #end(): void {
    this.#aborted = true;
    this.#look = undefined;
    this.#control?.abort(this.reason);
    const callbacks = this.#callbacks;
    if (callbacks === undefined) return;
    this.#callbacks = undefined;
    for (const callback of callbacks) callback();
  }

  #check(): void {
    // What aborts the signal may read the signal's state.
    if (this.#look === undefined || this.#looking) return;
    this.#looking = true;
    try {
      this.#look();
    } finally {
      this.#looking = false;
    }
  }
}
