// util/ contains code that knows nothing about etcd: waits with a signal and a bound, signals, checks of numbers,
// iteration. Helpers that only one folder uses are in that folder.

import { captureDeeply, DeadlineExceededError, EtcdError } from '../errors.js';
import type { AnySignal } from './abort/lazy-signal.js';

/** The program's position, and which async functions wait for it. Its text is made when it is read. */
export interface CallSite {
  readonly stack?: string;
}

/**
 * The present position of an async function or a promise's handler. The host knows who waits for it only in the turn of
 * its microtask, and not behind a promise that a handler has returned.
 */
export function callSite(): CallSite {
  const site: CallSite = {};
  captureDeeply(site, callSite);
  return site;
}

/** The frames of a position; none where the program's own `Error.prepareStackTrace` returns no text, or throws. */
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
 * The error that is about to be thrown, with the stack of its callers. A call's failure is made where its answer is
 * read, and its stack there shows no caller. This costs some microseconds, only where something has failed.
 *
 * @param signal its reason belongs to the caller and stays as it is, unless it is this client's own time limit.
 */
export function atCaller(error: unknown, signal?: AnySignal, site: CallSite = callSite()): unknown {
  if (!(error instanceof EtcdError) || !Object.isExtensible(error)) return error;
  if (signal?.aborted && error === signal.reason && !(error instanceof DeadlineExceededError)) return error;
  return withFrames(error, site);
}

/** The error, with the stack of those who wait at that position. */
export function withFrames<E extends Error>(error: E, site: CallSite): E {
  const frames = framesOf(site);
  if (frames !== '') Reflect.set(error, 'stack', `${error.name}: ${error.message}${frames}`);
  return error;
}
