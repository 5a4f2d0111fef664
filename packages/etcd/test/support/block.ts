import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type CallTrace, channelNames } from '../../src/index.js';
import { busyFor } from './busy-for.js';

/**
 * Blocks the event loop for this long, in ms, once the next call of a method has been sent, so that its answer can't be
 * read before that.
 *
 * @param method the end of the method's name.
 * @returns when the block began, as soon as it has ended.
 */
export function blockAfter(method: string, ms: number): Promise<number> {
  return new Promise((resolve) => {
    const begun = (message: unknown): void => {
      if (!(message as CallTrace).method.endsWith(method)) return;
      unsubscribe(channelNames.callStart, begun);
      // The fallback writes one turn later.
      setImmediate(() =>
        setImmediate(() => {
          const start = performance.now();
          busyFor(ms);
          resolve(start);
        }),
      );
    };
    subscribe(channelNames.callStart, begun);
  });
}
