import type { AnySignal } from './abort/lazy-signal.js';
import { onAbort } from './abort/on-abort.js';
import { atCaller } from './at-caller.js';
import { clearTimeout, LONGEST_TIMER_MS, monotonicMs, setImmediate, setTimeout } from './timers.js';

/** A wait for a value that another part of the client will provide. */
export interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/** Settles a wait, and releases its signal and its timer. */
export interface Wait<T> extends Waiter<T> {
  /** Whether the wait's time keeps the process alive. */
  setReferenced(referenced: boolean): void;
}

/** What bounds a wait. */
export interface WaitBounds<T> {
  /** Ends the wait, which rejects with the signal's reason. */
  readonly signal?: AnySignal | undefined;
  /** How long it may take, in ms. Default `Infinity`. A time that is too long for a timer counts as `Infinity`. */
  readonly timeoutMs?: number | undefined;
  /** Settles the wait when its time is over. */
  readonly expired?: (wait: Wait<T>) => void;
  /** Whether the timer keeps the process alive. Default false: what the wait is for does, if it may. */
  readonly ref?: boolean;
}

/**
 * Waits until the first of three: whoever got the wait from `begin` settles it, the signal aborts, or the time is over.
 * All other ways to wait with a bound use this one.
 *
 * @param begin is not called where the signal has already aborted. The function that it returns is called when the wait
 * is over.
 */
export async function waitFor<T>(
  begin: (wait: Wait<T>) => (() => void) | undefined,
  bounds: WaitBounds<T>,
): Promise<T> {
  try {
    return await settled(begin, bounds);
  } catch (error) {
    throw atCaller(error, bounds.signal);
  }
}

function settled<T>(
  begin: (wait: Wait<T>) => (() => void) | undefined,
  { signal, timeoutMs = Number.POSITIVE_INFINITY, expired, ref = false }: WaitBounds<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    let timer: NodeJS.Timeout | undefined;
    let unlisten: (() => void) | undefined;
    let undo: (() => void) | undefined;
    let over = false;
    const end = (): void => {
      over = true;
      clearTimeout(timer);
      unlisten?.();
      undo?.();
    };
    const wait: Wait<T> = {
      resolve(value) {
        end();
        resolve(value);
      },
      reject(reason) {
        end();
        reject(reason);
      },
      setReferenced(referenced) {
        if (referenced) timer?.ref();
        else timer?.unref();
      },
    };
    if (signal !== undefined) unlisten = onAbort(signal, () => wait.reject(signal.reason));
    if (expired !== undefined && timeoutMs <= LONGEST_TIMER_MS) {
      timer = setTimeout(() => expired(wait), Math.max(timeoutMs, 0));
      if (!ref) timer.unref();
    }
    undo = begin(wait);
    if (over) end();
  });
}

/** The result of the promise, within the bounds. The operation continues after them, for others who wait for it. */
export function within<T>(promise: Promise<T>, bounds: WaitBounds<T>): Promise<T> {
  // If it fails later, nobody may be left to handle that.
  promise.catch(() => {});
  return waitFor((wait) => {
    promise.then(wait.resolve, wait.reject);
    return undefined;
  }, bounds);
}

/** The result of the promise, unless the signal aborts first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AnySignal | undefined): Promise<T> {
  return within(promise, { signal });
}

/**
 * Whether the promise is fulfilled by the deadline, on the clock of `monotonicMs()`. Rejects with its failure, or with
 * the signal's reason.
 */
export function settlesBy(
  promise: Promise<unknown>,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  return within(
    promise.then(() => true),
    {
      signal,
      timeoutMs: deadline - monotonicMs(),
      expired: (wait) => afterReading(() => wait.resolve(false)),
    },
  );
}

/**
 * The same promise, for use as a property. Its failure has the stack of whoever waits for it, and is not an unhandled
 * rejection where nobody does.
 */
export function heldBy<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  let held: Promise<T> | undefined;
  const hold = async (): Promise<T> => {
    try {
      return await promise;
    } catch (error) {
      const there = atCaller(error, signal);
      // Not earlier: the host traces a promise to its waiter only where there is just one.
      held?.catch(() => {});
      throw there;
    }
  };
  held = hold();
  return held;
}

/**
 * Runs something after the host has read what arrived while the event loop was blocked. Timers run before that reading.
 */
export function afterReading(run: () => void): void {
  setImmediate(() => setImmediate(run));
}

/** Resolves when the promise is fulfilled, or after that time. Rejects with the promise's failure. */
export async function atMost(promise: Promise<unknown>, ms: number): Promise<void> {
  await settlesBy(promise, monotonicMs() + ms, undefined);
}

/**
 * Waits that long. Rejects with the signal's reason when the signal aborts first.
 *
 * @param options `ref: false`: the wait doesn't keep the process alive.
 */
export function pause(
  ms: number,
  signal: AnySignal | undefined,
  { ref = true }: { readonly ref?: boolean } = {},
): Promise<void> {
  const timeoutMs = Math.min(ms, LONGEST_TIMER_MS);
  return waitFor(() => undefined, { signal, timeoutMs, ref, expired: (wait) => wait.resolve() });
}
