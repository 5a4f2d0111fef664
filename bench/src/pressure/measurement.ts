/** What a program of `pressure` does. */
export type Load = 'bursts' | 'slow' | 'workers' | 'idle';

/** How much of it; each program reads what it needs. */
export interface LoadSize {
  /** Watches: of `bursts` each has a key, of `slow` all have the same range, and one more is slow. */
  readonly watches: number;
  /** `bursts`: how often all keys change at once. */
  readonly bursts: number;
  /** `slow`: events that each watch catches up with. */
  readonly events: number;
  readonly startRevision: bigint;
  /** `slow`: whether there is a slow watch. */
  readonly slow: number;
  /** `workers`: threads, each with a client, and calls in flight of each. */
  readonly threads: number;
  readonly concurrency: number;
  readonly seconds: number;
}

/** The one JSON line that such a program prints; 0 for what doesn't apply. */
export interface LoadMeasurement {
  readonly client: string;
  readonly ops: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly maxRssMiB: number;
  readonly maxStallMs: number;
  readonly maxOwnStallMs: number;
}

/** A quantile of latencies in ms, as µs. */
export function quantileMicros(latencies: Iterable<number>): (quantile: number) => number {
  const sorted = Float64Array.from(latencies).sort();
  return (quantile) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))] ?? 0) * 1000;
}
