/** What is measured, with every client alike. */
export interface Cell {
  readonly op: 'get' | 'put';
  /** Operations in flight. */
  readonly concurrency: number;
}

/** How long, and on what. Every client's program takes these as `--name value`. */
export interface Workload extends Cell {
  readonly endpoint: string;
  /** Length of the timed part. */
  readonly seconds: number;
  /** Seconds of the same work before it, not counted. */
  readonly warmup: number;
  readonly keys: number;
  /** What put writes. */
  readonly value: string;
}

/** The one JSON line that a client's program prints. */
export interface Measurement extends Cell {
  readonly client: string;
  readonly ops: number;
  readonly seconds: number;
  /** User and system time of the client's process, over the timed part. */
  readonly cpuSeconds: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
}

/** The name of a key, the same in bench/go/main.go. */
export const keyName = (index: number): string => `bench/${String(index).padStart(4, '0')}`;
