/** A middle value, and an interval that contains it with some confidence. */
export interface Estimate {
  readonly middle: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The middle of some positive ratios, and its interval: the estimate of Hodges and Lehmann for their logarithms, with
 * the exact interval of Wilcoxon's signed-rank test. It assumes only that the ratios spread equally to both sides,
 * which is true of two builds that take turns. It is written here because the libraries have the test, but not its
 * interval.
 *
 * @returns an interval from 0 to infinity if there are too few ratios for that confidence.
 */
export function ratioEstimate(ratios: readonly number[], confidence = 0.95): Estimate {
  const logs = ratios.map((ratio) => Math.log(ratio));
  const averages = logs
    .flatMap((one, i) => logs.slice(i).map((other) => (one + other) / 2))
    .toSorted((a, b) => a - b);
  const at = (index: number): number => Math.exp(averages[index] ?? Number.NaN);
  const { length } = averages;
  const middle = Math.sqrt(at(Math.floor((length - 1) / 2)) * at(Math.ceil((length - 1) / 2)));
  const outside = averagesOutside(logs.length, (1 - confidence) / 2);
  if (outside === 0) return { middle, low: 0, high: Number.POSITIVE_INFINITY };
  return { middle, low: at(outside - 1), high: at(length - outside) };
}

/**
 * How many averages to leave out at each end of an interval, so that the true value is beyond that end with at most
 * this probability.
 */
function averagesOutside(count: number, probability: number): number {
  // How many subsets of the ranks 1 to `count` have each sum.
  const sets = [1];
  for (let rank = 1; rank <= count; rank++) {
    for (let sum = (rank * (rank + 1)) / 2; sum >= rank; sum--) {
      sets[sum] = (sets[sum] ?? 0) + (sets[sum - rank] ?? 0);
    }
  }
  let below = 0;
  for (let sum = 0; sum < sets.length; sum++) {
    below += (sets[sum] ?? 0) / 2 ** count;
    if (below > probability) return sum;
  }
  return 0;
}
