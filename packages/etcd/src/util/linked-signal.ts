import { setMaxListeners } from 'node:events';
import { DeadlineExceededError, StatusCode } from '../errors.js';
import { CheckedAbortController } from './checked-abort.js';
import { onAbort } from './on-abort.js';
import { clearTimeout, LONGEST_TIMER_MS, setTimeout } from './timers.js';

/** A time for what is done meanwhile. */
export interface TimeBound {
  /** In ms; `undefined`: no bound. */
  readonly timeoutMs: number | undefined;
  /** Whether what is done then may be there anyway, for the error. */
  readonly mayBeApplied: boolean;
}

/**
 * A signal that aborts with the first of several, or when a time has passed, until it is disposed of. Unlike
 * `AbortSignal.any`, it then leaves nothing behind at its sources, which may live long.
 */
export class LinkedSignal implements Disposable {
  readonly signal: AbortSignal;
  readonly #unlink: (() => void)[] = [];

  /** @param bound none: no time has to pass for it. */
  constructor(sources: readonly (AbortSignal | undefined)[], bound?: TimeBound) {
    // Sources may look at the clock, and abort themselves then.
    let linked = true;
    const control = new CheckedAbortController(() => linked && sources.some((source) => source?.aborted));
    this.#unlink.push(() => {
      linked = false;
    });
    this.signal = control.signal;
    setMaxListeners(0, control.signal);
    for (const source of sources) {
      if (source === undefined) continue;
      if (source.aborted) control.abort(source.reason);
      const abort = (): void => control.abort(source.reason);
      this.#unlink.push(onAbort(source, abort));
    }
    if (bound?.timeoutMs === undefined || bound.timeoutMs > LONGEST_TIMER_MS) return;
    const { timeoutMs, mayBeApplied } = bound;
    const timer = setTimeout(() => {
      const message = `DEADLINE_EXCEEDED: not done within ${timeoutMs} ms`;
      const code = StatusCode.DEADLINE_EXCEEDED;
      control.abort(new DeadlineExceededError(message, { code, sent: true, mayBeApplied }));
    }, timeoutMs);
    // What is waited for holds the process, if it may.
    timer.unref();
    this.#unlink.push(() => clearTimeout(timer));
  }

  [Symbol.dispose](): void {
    for (const unlink of this.#unlink.splice(0)) unlink();
  }
}
