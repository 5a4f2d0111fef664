import { keepProgress, Progress, progressOf } from '../progress.js';
import { clearTimeout, LONGEST_TIMER_MS, setTimeout } from '../timers.js';
import { within } from '../wait.js';
import { type AnySignal, LazySignal } from './lazy-signal.js';
import { onAbort } from './on-abort.js';

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

/** The bounds of one of those who wait for an operation. */
interface WaiterBounds extends Pick<TimeBound, 'timeoutMs' | 'wholeTimeoutMs'> {
  readonly signal?: AbortSignal | undefined;
  readonly progress: Progress;
}

/**
 * The result of a promise, within the bounds of one of those who wait for it. The operation continues after these
 * bounds.
 *
 * @param bounds the bounds of a write, whose error says that it may be applied.
 */
export function withinBounds<T>(
  promise: Promise<T>,
  { signal, timeoutMs, wholeTimeoutMs = timeoutMs ?? 0, progress }: WaiterBounds,
): Promise<T> {
  return within(promise, {
    signal,
    timeoutMs,
    expired: (wait) => wait.reject(progress.tooLate(wholeTimeoutMs, true)),
  });
}

/**
 * A signal that aborts with the first of several, or when a time has passed, until it is disposed of. Unlike
 * `AbortSignal.any`, it then leaves nothing behind at its sources, which may live long.
 */
export class LinkedSignal extends LazySignal implements Disposable {
  readonly #unlink: (() => void)[] = [];

  /** @param bound if absent, there is no time limit. */
  constructor(sources: readonly (AnySignal | undefined)[], bound?: TimeBound) {
    const linked = sources.filter((source) => source !== undefined);
    // Sources may read the clock, and abort at that moment.
    super(() => linked.some(({ aborted }) => aborted));
    this.#unlink.push(() => linked.splice(0));
    const bounded = bound?.timeoutMs !== undefined && bound.timeoutMs <= LONGEST_TIMER_MS;
    const progress = bounded ? (bound.progress ?? new Progress()) : inheritedFrom(linked);
    if (progress !== undefined) keepProgress(this, progress);
    for (const source of linked) {
      const abort = (): void => this.abortWith(() => source.reason);
      if (source.aborted) abort();
      else this.#unlink.push(onAbort(source, abort));
    }
    if (!bounded || progress === undefined) return;
    const { timeoutMs, wholeTimeoutMs = timeoutMs ?? 0, mayBeApplied } = bound;
    const timer = setTimeout(() => this.abort(progress.tooLate(wholeTimeoutMs, mayBeApplied)), timeoutMs);
    // The operation that waits holds the process, if it may.
    timer.unref();
    this.#unlink.push(() => clearTimeout(timer));
  }

  [Symbol.dispose](): void {
    for (const unlink of this.#unlink.splice(0)) unlink();
  }
}

/** The progress of the source that has a time limit. */
function inheritedFrom(sources: readonly AnySignal[]): Progress | undefined {
  for (const source of sources) {
    const progress = progressOf(source);
    if (progress !== undefined) return progress;
  }
  return undefined;
}
