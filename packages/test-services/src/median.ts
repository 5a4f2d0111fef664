/** The median. For an even number of values it is the mean of the middle two, for none NaN. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  const [lower = Number.NaN, upper = lower] =
    sorted.length % 2 === 1 ? [sorted[half]] : sorted.slice(half - 1);
  return (lower + upper) / 2;
}
