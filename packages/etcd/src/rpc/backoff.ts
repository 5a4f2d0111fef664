/** Bounds of an exponential back-off, in ms. */
export interface BackoffBounds {
  readonly firstMs: number;
  readonly longestMs: number;
}

/**
 * How long to wait after `failures` failures in a row: the wait doubles each time, with a jitter of up to a fifth
 * either way.
 */
export function backoffMs(failures: number, { firstMs, longestMs }: BackoffBounds): number {
  const exact = Math.min(longestMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return exact * (0.8 + 0.4 * Math.random());
}

/**
 * How long to wait before a stream is opened again; `failures` counts from 0. The wait doubles each time, and is
 * shortened by up to a half, so that the many clients of a failed server don't all return at once.
 */
export function reopenMs(failures: number, { firstMs, longestMs }: BackoffBounds): number {
  return Math.min(firstMs * 2 ** failures, longestMs) * (0.5 + Math.random() / 2);
}
