import { setMaxListeners } from 'node:events';
import { CheckedAbortController } from './checked-abort.js';
import { onAbort } from './on-abort.js';
import { keepProgress, Progress, progressOf } from './progress.js';
import { clearTimeout, LONGEST_TIMER_MS, setTimeout } from './timers.js';
import { unlessAborted } from './wait.js';

/** A time limit for an operation. */
export interface TimeBound {
  /** In ms; `undefined`: no bound. */
  readonly timeoutMs: number | undefined;
  /** What the caller gave, for the message, where `timeoutMs` is the rest of it. */
  readonly wholeTimeoutMs?: number | undefined;
  /** Whether what is done in that time may take effect anyway, for the error. */
  readonly mayBeApplied: boolean;
  /** The progress of the operation, for the error. Default: the progress of the calls that the signal ends. */
  readonly progress?: Progress | undefined;
}

/**
 * The result of a promise, within the bounds of one of those who wait for it. The operation continues after these
 * bounds.
 *
 * @param bounds the bounds of a write, whose error says that it may be applied.
 */
export async function withinBounds<T>(
  promise: Promise<T>,
  { signal, ...bound }: Omit<TimeBound, 'mayBeApplied'> & { readonly signal?: AbortSignal | undefined },
): Promise<T> {
  // If the promise fails later, nobody may be waiting for it.
  promise.catch(() => {});
  using linked = new LinkedSignal([signal], { ...bound, mayBeApplied: true });
  return await unlessAborted(promise, linked.signal);
}

/**
 * A signal that aborts with the first of several, or when a time has passed, until it is disposed of. Unlike
 * `AbortSignal.any`, it then leaves nothing behind at its sources, which may live long.
 */
export class LinkedSignal implements Disposable {
  readonly signal: AbortSignal;
  readonly #unlink: (() => void)[] = [];

  /** @param bound if absent, there is no time limit. */
  constructor(sources: readonly (AbortSignal | undefined)[], bound?: TimeBound) {
    // Sources may read the clock, and abort at that moment.
    let linked = true;
    const control = new CheckedAbortController(() => linked && sources.some((source) => source?.aborted));
    this.#unlink.push(() => {
      linked = false;
    });
    this.signal = control.signal;
    const bounded = bound?.timeoutMs !== undefined && bound.timeoutMs <= LONGEST_TIMER_MS;
    const progress = bounded ? (bound.progress ?? new Progress()) : inheritedFrom(sources);
    if (progress !== undefined) keepProgress(control.signal, progress);
    setMaxListeners(0, control.signal);
    for (const source of sources) {
      if (source === undefined) continue;
      if (source.aborted) control.abort(source.reason);
      const abort = (): void => control.abort(source.reason);
      this.#unlink.push(onAbort(source, abort));
    }
    if (!bounded || progress === undefined) return;
    const { timeoutMs, wholeTimeoutMs = timeoutMs ?? 0, mayBeApplied } = bound;
    const timer = setTimeout(() => control.abort(progress.tooLate(wholeTimeoutMs, mayBeApplied)), timeoutMs);
    // The operation that waits holds the process, if it may.
    timer.unref();
    this.#unlink.push(() => clearTimeout(timer));
  }

  [Symbol.dispose](): void {
    for (const unlink of this.#unlink.splice(0)) unlink();
  }
}

/** The progress of the source that has a time limit. */
function inheritedFrom(sources: readonly (AbortSignal | undefined)[]): Progress | undefined {
  for (const source of sources) {
    const progress = progressOf(source);
    if (progress !== undefined) return progress;
  }
  return undefined;
}
