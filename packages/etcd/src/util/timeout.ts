/** The longest that a timer runs, in ms. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;
