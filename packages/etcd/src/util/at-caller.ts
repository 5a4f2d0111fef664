// util/ has what knows nothing about etcd: waits with a signal and a bound, signals, checks of numbers, iteration. What is
// used in one folder alone is there.

import { captureDeeply, DeadlineExceededError, EtcdError } from '../errors.js';

/** Where the program is, and which async functions wait for that. Its text is made when it is read. */
export interface CallSite {
  readonly stack?: string;
}

/**
 * Where an async function or a promise's handler is just now. The host knows who waits for it only in the turn of its
 * microtask, and not behind a promise that a handler has returned.
 */
export function callSite(): CallSite {
  const site: CallSite = {};
  captureDeeply(site, callSite);
  return site;
}

/** The frames of a place; none where the program's own `Error.prepareStackTrace` gives no text, or fails. */
function framesOf(site: CallSite): string {
  try {
    const stack: unknown = site.stack;
    const start = typeof stack === 'string' ? stack.indexOf('\n    at ') : -1;
    return start < 0 ? '' : (stack as string).slice(start);
  } catch {
    return '';
  }
}

/**
 * The error that is about to be thrown, with the stack of those who wait for it: what a call fails with is made where its
 * answer is read, of which no caller knows. Costs some microseconds, where something has failed.
 *
 * @param signal its reason is somebody else's, and stays as it is; unless it is the end of a time of ours.
 */
export function atCaller(error: unknown, signal?: AbortSignal, site: CallSite = callSite()): unknown {
  if (!(error instanceof EtcdError) || !Object.isExtensible(error)) return error;
  if (signal?.aborted && error === signal.reason && !(error instanceof DeadlineExceededError)) return error;
  return withFrames(error, site);
}

/** The error, with the stack of those who wait at that place. */
export function withFrames<E extends Error>(error: E, site: CallSite): E {
  const frames = framesOf(site);
  if (frames !== '') Reflect.set(error, 'stack', `${error.name}: ${error.message}${frames}`);
  return error;
}
