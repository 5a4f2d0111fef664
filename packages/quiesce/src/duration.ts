import { UsageError } from './errors.js';
import { NUMBER, upTo } from './number-text.js';

/** A span of time with its unit, such as `"500ms"`, `"10s"`, `"2m"`, `"1h"`. */
export type Duration = string;

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;
const MAX_MS = 24 * 24 * UNIT_MS.h; // a Node timer can't be set for much longer

/** The pattern of a duration, for schemas. An editor shows it, so it is a plain one. */
export const DURATION = new RegExp(`^\\s*(${NUMBER})\\s*(ms|s|m|h)\\s*$`);

/** The pattern of durations that can be used: above 0 and not too long. */
export const USABLE_DURATION = new RegExp(
  `^\\s*(?:${Object.entries(UNIT_MS)
    .map(([unit, ms]) => `${upTo(String(MAX_MS / ms), true)}\\s*${unit}`)
    .join('|')})\\s*$`,
);

/**
 * The milliseconds in a duration, to the nearest microsecond, and at least one.
 * @throws UsageError when it isn't a positive duration of at most 24 days, or has no unit.
 */
export function parseDuration(duration: Duration): number {
  const ms = millisecondsIn(duration);
  if (ms > MAX_MS) {
    throw new UsageError(
      `the duration ${JSON.stringify(duration)} is too long`,
      'give at most 24 days: 576h',
    );
  }
  if (!(ms > 0)) {
    throw new UsageError(
      `${JSON.stringify(duration)} is not a duration`,
      'give a positive number with a unit, such as 500ms, 10s or 2m',
    );
  }
  return Math.max(1, Math.round(ms * 1_000)) / 1_000;
}

/** Whether it is a duration, but of more than 24 days. */
export const isTooLong = (text: string): boolean => millisecondsIn(text) > MAX_MS;

/** NaN if it isn't a duration. */
function millisecondsIn(text: string): number {
  const [, number, unit] = DURATION.exec(text) ?? [];
  return Number(number) * UNIT_MS[unit as keyof typeof UNIT_MS];
}

/** Milliseconds as a person would write them: `3.1 ms`, `412 ms`, `4.1 s`, `2 m 05 s`. */
export function formatMs(ms: number): string {
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${ms.toFixed(0)} ms`;
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, '0')} s`;
}
