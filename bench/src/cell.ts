/** What is measured, in the same way for every client. */
export interface Cell {
  /** `range`: 1,000 keys with their values in one answer. `txn`: a comparison, then a put. */
  readonly op: Op;
  /** Operations in flight. */
  readonly concurrency: number;
  /** Size of each value, in bytes. */
  readonly valueBytes: number;
  /** Clients in the process, each with its own connection, used in turn. */
  readonly connections: number;
}

/** An operation under measurement. */
export type Op = (typeof ops)[number];

/** Names of all operations. */
export const ops = ['get', 'put', 'range', 'txn'] as const;

/** How long to measure, and on what. Every client's program takes these as `--name value`. */
export interface Workload extends Cell {
  readonly endpoint: string;
  /** Length of the timed part. */
  readonly seconds: number;
  /** Seconds of the same work before that, not counted. */
  readonly warmup: number;
  readonly keys: number;
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
  /** Largest resident memory of the client's process; 0 if it isn't known. */
  readonly maxRssMiB: number;
  /** Resident memory once connected, before the first operation. */
  readonly idleRssMiB: number;
  /** The longest delay of the event loop, in ms; 0 if there is no event loop. */
  readonly maxStallMs: number;
  /** The same without the time that its thread waited for a CPU, in ms; 0 if that isn't known. */
  readonly maxOwnStallMs: number;
}

/** Start of the names of all keys; `range` reads all of them. */
export const KEY_PREFIX = 'bench/';

/** The name of a key, the same in bench/go/main.go. */
export const keyName = (index: number): string => `${KEY_PREFIX}${String(index).padStart(4, '0')}`;

/** As many keys as `range` reads, or fewer if they would make a large database. */
export const keyCount = (valueBytes: number): number =>
  Math.min(1000, Math.max(16, Math.floor((64 * 1024 * 1024) / valueBytes)));
