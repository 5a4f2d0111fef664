import { invalidArgument } from '../errors.js';
import type { RangeBytes } from '../kv/key-range.js';
import { WatchService } from '../rpc/generated/etcdserverpb/methods.js';
import {
  type WatchCreateRequest,
  WatchCreateRequest_FilterType,
  WatchRequest,
} from '../rpc/generated/etcdserverpb/rpc.js';
import { type Int64, int64, optionalInt64 } from '../util/int64.js';
import { abortSignal, byteCount, flag, leaderRequired, listOf, milliseconds, reason } from '../util/kinds.js';
import { Description, type Kinds } from '../util/options.js';

/** Full name of the streaming RPC that makes a watch, for errors. */
export const watchMethod = WatchService.watch.path;

/** Options of `watch`: etcd's `WatchCreateRequest`. */
export interface WatchOptions {
  /** See changes from this revision on. Default: changes after the watch was made. */
  readonly startRevision?: Int64 | undefined;
  /** Also give the key before the change. */
  readonly prevKv?: boolean | undefined;
  /**
   * Have the server report its revision from time to time while nothing changes (etcd: every 10 minutes,
   * `--watch-progress-notify-interval`). This keeps a watch of rarely changed keys from falling behind a compaction.
   */
  readonly progressNotify?: boolean | undefined;
  /** Leave out changes of this type. */
  readonly filters?: readonly ('put' | 'delete')[] | undefined;
  /**
   * Have the server split responses that are larger than its `--max-request-bytes`. Batches still consist of whole
   * revisions, but the earlier revisions of a part needn't wait for the rest. It is for histories of large values:
   * without it one response has up to 1,000 revisions, whatever their size. Default false, as in clientv3: with many
   * small events etcd's time for the splitting grows with the square of their number in a part.
   */
  readonly fragment?: boolean | undefined;
  /**
   * Leave a member that has no leader, which may be cut off from the cluster: the watch moves on to other endpoints. If
   * none of them has a leader, `true` ends the watch with an `UnavailableError` ("no leader"). With `'wait'` it
   * continues as after any lost connection, bounded by `maxDisconnectedMs`. Default false.
   */
  readonly requireLeader?: boolean | 'wait' | undefined;
  /**
   * Use a stream of its own. Otherwise the watches of a client share one. The server answers `requestProgress()` once
   * all watches of a stream have caught up, so on a stream of its own no other watch can delay the answer, such as one
   * with a future `startRevision`. Default false.
   */
  readonly ownStream?: boolean | undefined;
  /**
   * How much may wait for the consumer, in bytes: keys and values, and about 500 bytes more for each event. Beyond
   * that, the server stops sending. It continues where it stopped once half of the space is free. Default 4 MiB.
   */
  readonly bufferBytes?: number | undefined;
  /** The watch ends with an `UnavailableError` after this time without a connection, in ms. Default `Infinity`. */
  readonly maxDisconnectedMs?: number | undefined;
  /** Ends the watch; a loop over it throws `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
}

/** @internal */
export const watchKinds: Kinds<WatchOptions> = {
  startRevision: int64,
  prevKv: flag,
  progressNotify: flag,
  filters: listOf('put', 'delete'),
  fragment: flag,
  requireLeader: leaderRequired,
  ownStream: flag,
  bufferBytes: byteCount,
  maxDisconnectedMs: milliseconds,
  signal: abortSignal,
};

const watchOptions = new Description<WatchOptions>('watch()', watchKinds, {
  hints: {
    prefix: 'the keys are the first argument: prefix(start)',
    rangeEnd: 'the keys are the first argument: keyRange(start, end)',
    range_end: 'the keys are the first argument: keyRange(start, end)',
    key: 'the keys are the first argument',
    revision: 'did you mean startRevision?',
    rev: 'did you mean startRevision?',
    noPut: "write filters: ['put']",
    noDelete: "write filters: ['delete']",
    ignorePut: "write filters: ['put']",
    timeoutMs: 'a watch has no deadline; maxDisconnectedMs bounds how long it goes without a connection',
  },
  example: '{ startRevision: 7n }',
});

/**
 * What a watch requests from the server, after the checks.
 * @internal
 */
export interface WatchSpec {
  /** Everything except where the watch starts, which differs each time it is made. */
  readonly create: WatchCreateRequest;
  /** The first wanted revision; 0 for all revisions after the watch was made. */
  readonly startRevision: bigint;
  readonly requireLeader: boolean;
  /** Whether the watch ends where no endpoint has a leader. */
  readonly endsWithoutLeader: boolean;
  readonly ownStream: boolean;
  readonly bufferBytes: number;
  readonly maxDisconnectedMs: number;
}

const filterTypes: Readonly<Record<'put' | 'delete', WatchCreateRequest_FilterType>> = {
  put: WatchCreateRequest_FilterType.NOPUT,
  delete: WatchCreateRequest_FilterType.NODELETE,
};

/**
 * @throws InvalidArgumentError for options that can't work.
 * @internal
 */
export function toWatchSpec({ key, rangeEnd }: RangeBytes, options: WatchOptions): WatchSpec {
  watchOptions.check(options);
  const { requireLeader = false } = options;
  const startRevision = optionalInt64(options.startRevision);
  const spec: WatchSpec = {
    create: {
      key,
      rangeEnd,
      startRevision,
      progressNotify: options.progressNotify ?? false,
      filters: (options.filters ?? []).map((type) => filterTypes[type]),
      prevKv: options.prevKv ?? false,
      watchId: 0n,
      fragment: options.fragment ?? false,
    },
    startRevision,
    requireLeader: requireLeader !== false,
    endsWithoutLeader: requireLeader === true,
    // A request that the server finds too large ends its whole stream.
    ownStream: (options.ownStream ?? false) || key.length + rangeEnd.length > LARGE_BYTES,
    bufferBytes: options.bufferBytes ?? 4 * 1024 * 1024,
    maxDisconnectedMs: options.maxDisconnectedMs ?? Number.POSITIVE_INFINITY,
  };
  // The request is encoded again each time a stream is opened. A failure there would affect all watches of the stream.
  try {
    encodeCreate(spec.create, 0, startRevision);
  } catch (cause) {
    throw invalidArgument(`watch() can't ask for that: ${reason(cause)}`, cause);
  }
  return spec;
}

/** From this size on, in bytes, a request to watch a range gets its own stream. etcd's own limit is always higher. */
const LARGE_BYTES = 256 * 1024;

/** @internal */
export function encodeCreate(create: WatchCreateRequest, watchId: number, startRevision: bigint): Uint8Array {
  const value = { ...create, watchId: BigInt(watchId), startRevision };
  return WatchRequest.encode({ requestUnion: { $case: 'createRequest', value } }).finish();
}

/** @internal */
export function encodeCancel(watchId: number): Uint8Array {
  const value = { watchId: BigInt(watchId) };
  return WatchRequest.encode({ requestUnion: { $case: 'cancelRequest', value } }).finish();
}

/** @internal */
export function encodeProgress(): Uint8Array {
  return WatchRequest.encode({ requestUnion: { $case: 'progressRequest', value: {} } }).finish();
}
