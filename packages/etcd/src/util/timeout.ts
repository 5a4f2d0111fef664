import { invalidArgument } from '../errors.js';

/** The longest that a timer runs, in ms. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Checks a time in ms: above 0, `Infinity` for no bound. */
export function checkTimeout(name: string, ms: number): number {
  if (typeof ms !== 'number' || !(ms > 0)) {
    throw invalidArgument(
      `${name} is ${String(ms)}; it must be a number of ms above 0, or Infinity for no bound`,
    );
  }
  return ms;
}
