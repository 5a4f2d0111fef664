// Probabilities of the binomial distribution, to about 1e-13. They are written here because the libraries that have
// them bring about 200 packages, compute in steps of 1e-7, or are WebAssembly that must be awaited.

/** `log(n!)` minus Stirling's formula for it. */
function stirlingError(n: number): number {
  if (n < 16) {
    let factorial = 1;
    for (let i = 2; i <= n; i++) factorial *= i;
    return Math.log(factorial) - (n + 0.5) * Math.log(n) + n - Math.log(2 * Math.PI) / 2;
  }
  const square = n * n;
  return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / n;
}

/** `x log(x / mean) + mean - x`, without losing digits when both are nearly equal. */
function deviance(x: number, mean: number): number {
  const apart = x - mean;
  if (Math.abs(apart) >= 0.1 * (x + mean)) return x * Math.log(x / mean) - apart;
  const v = apart / (x + mean);
  let sum = apart * v;
  let power = 2 * x * v;
  for (let j = 3; ; j += 2) {
    power *= v * v;
    const next = sum + power / j;
    if (next === sum) return sum;
    sum = next;
  }
}

/**
 * How likely it is that `k` of `n` fail, each with the probability `p`. Loader's saddle-point expansion, like R's
 * `dbinom`.
 */
export function binomialProbability(k: number, n: number, p: number): number {
  if (k < 0 || k > n) return 0;
  if (p <= 0) return k === 0 ? 1 : 0;
  if (p >= 1) return k === n ? 1 : 0;
  if (k === 0) return Math.exp(n * Math.log1p(-p));
  if (k === n) return Math.exp(n * Math.log(p));
  const exponent =
    stirlingError(n) -
    stirlingError(k) -
    stirlingError(n - k) -
    deviance(k, n * p) -
    deviance(n - k, n * (1 - p));
  return Math.exp(exponent) / Math.sqrt(2 * Math.PI * k * (1 - k / n));
}

/** How likely it is that at most `k` fail. */
export function atMost(k: number, n: number, p: number): number {
  return k <= n * p ? tail(k, -1, n, p) : 1 - tail(k + 1, 1, n, p);
}

/** How likely it is that at least `k` fail. */
export function atLeast(k: number, n: number, p: number): number {
  return k >= n * p ? tail(k, 1, n, p) : 1 - tail(k - 1, -1, n, p);
}

/** Sums from `k` away from the mean, until the rest adds nothing. */
function tail(k: number, step: 1 | -1, n: number, p: number): number {
  let term = binomialProbability(k, n, p);
  let sum = 0;
  for (let i = k; term > sum * 1e-17; i += step) {
    sum += term;
    term *= step === 1 ? ((n - i) / (i + 1)) * (p / (1 - p)) : (i / (n - i + 1)) * ((1 - p) / p);
  }
  return sum;
}

/**
 * How likely it is that `k` of `drawn` are among the `marked` of `all`: hypergeometric, from binomial probabilities,
 * like R's `dhyper`.
 */
export function hypergeometricProbability(k: number, all: number, marked: number, drawn: number): number {
  const p = drawn / all;
  return (
    (binomialProbability(k, marked, p) * binomialProbability(drawn - k, all - marked, p)) /
    binomialProbability(drawn, all, p)
  );
}

/** The point in 0..1 up to which a condition holds, to the last digit. */
export function crossing(holds: (p: number) => boolean): number {
  let [low, high] = [0, 1];
  for (;;) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) return high;
    if (holds(middle)) low = middle;
    else high = middle;
  }
}
