import { type AnySignal, LazySignal } from './lazy-signal.js';

/** The callbacks of each signal that this client listens to now. */
const listening = new WeakMap<
  AbortSignal,
  { readonly callbacks: Set<() => void>; readonly listen: () => void }
>();

/**
 * Calls back when the signal aborts, unless the returned function was called before. Each signal gets only one
 * listener, however many callbacks wait for it. A program may pass the same signal to thousands of calls, and Node
 * warns of a leak at the eleventh listener.
 */
export function onAbort(signal: AnySignal, callback: () => void): () => void {
  if (signal instanceof LazySignal) return signal.listen(callback);
  let entry = listening.get(signal);
  if (entry === undefined) {
    const callbacks = new Set<() => void>();
    const listen = (): void => {
      listening.delete(signal);
      for (const each of callbacks) each();
      callbacks.clear();
    };
    signal.addEventListener('abort', listen, { once: true });
    entry = { callbacks, listen };
    listening.set(signal, entry);
  }
  const { callbacks, listen } = entry;
  // The same function may be registered twice.
  const call = (): void => callback();
  callbacks.add(call);
  return () => {
    if (!callbacks.delete(call) || callbacks.size > 0) return;
    listening.delete(signal);
    signal.removeEventListener('abort', listen);
  };
}
