/** Median, 99th percentile and largest of some measurements, each one of the values (nearest rank). */
export interface Summary {
  readonly count: number;
  readonly median: number;
  readonly p99: number;
  readonly max: number;
}

/**
 * Summarises measurements in whatever unit they have; `null` when there are none.
 * @throws RangeError when one isn't a number.
 */
export function summarize(values: readonly number[]): Summary | null {
  if (values.length === 0) return null;
  const wrong = values.find((value) => typeof value !== 'number' || Number.isNaN(value));
  if (wrong !== undefined) throw new RangeError(`${String(wrong)} is not a measurement`);
  const sorted = [...values].sort((a, b) => a - b);
  const rank = (q: number): number => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] as number;
  return { count: sorted.length, median: rank(0.5), p99: rank(0.99), max: rank(1) };
}
