/** What programs do with sessions. */
export const sessionLoads = ['locks', 'elections', 'sessions', 'keepalives'] as const;
export type SessionLoad = (typeof sessionLoads)[number];

/** What a program of `pressure` does. */
export type Load = 'bursts' | 'slow' | 'workers' | 'idle' | SessionLoad;

/** How much of it. Each program reads what it needs. */
export interface LoadSize {
  /**
   * Number of watches. In `bursts`, each has its own key. In `slow`, all have the same range, and there is one more
   * slow watch.
   */
  readonly watches: number;
  /** `bursts`: how often all keys change at once. */
  readonly bursts: number;
  /** `slow`: events that each watch catches up with. */
  readonly events: number;
  readonly startRevision: bigint;
  /** `slow`: whether there is a slow watch. */
  readonly slow: number;
  /** `workers`: number of threads, each with a client, and calls in flight for each; also in `sessions`. */
  readonly threads: number;
  readonly concurrency: number;
  /** `locks` and `elections`: number of sessions, each with its own name or, if `shared` is 1, the same. */
  readonly sessions: number;
  readonly shared: number;
  /** How often each acquires and releases. */
  readonly times: number;
  readonly seconds: number;
}

/** The one JSON line that such a program prints; 0 for figures that don't apply. */
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
