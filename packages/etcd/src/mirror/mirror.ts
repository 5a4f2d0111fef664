import type { EventEmitter } from 'node:events';
import {
  ClosedError,
  ClusterMismatchError,
  type CompactedError,
  DeadlineExceededError,
  type EtcdError,
  gaveNoCredentials,
  isHistoryLost,
  type StoreReplacedError,
  UnavailableError,
} from '../errors.js';
import { answer } from '../json.js';
import { type Bytes, type Keys, ownKeys, toRange } from '../kv/key-range.js';
import { reopenMs } from '../rpc/backoff.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import { type CallControl, callControl } from '../rpc/rpc.js';
import { LinkedSignal } from '../util/abort/linked-signal.js';
import { Leavable, OneLoop } from '../util/item-iterator.js';
import { aFunction, checkArgument, leaderRequired, positiveInteger, withMethods } from '../util/kinds.js';
import { guardMethods, refuseMore } from '../util/methods.js';
import { Description, type Kinds } from '../util/options.js';
import { keepProgress, Progress } from '../util/progress.js';
import { runApart } from '../util/timers.js';
import { pause } from '../util/wait.js';
import type { Keyspace } from '../views/keyspace.js';
import { Disconnection } from '../watch/disconnection.js';
import type { WatchEvent } from '../watch/event.js';
import { type WatchOptions, watchKinds } from '../watch/request.js';
import { attemptFailed, type Watch } from '../watch/watch.js';

/** Options of {@link Mirror}. */
export interface MirrorOptions
  extends Pick<WatchOptions, 'prevKv' | 'fragment' | 'bufferBytes' | 'maxDisconnectedMs' | 'signal'> {
  /**
   * As for a watch, and also while the base is read. Default `'wait'`: it leaves a member that is cut off from the
   * cluster.
   */
  readonly requireLeader?: boolean | 'wait' | undefined;
  /** Largest number of keys in one request while the base is read. Default 1 000. */
  readonly pageSize?: number | undefined;
}

const { prevKv, fragment, bufferBytes, maxDisconnectedMs, signal } = watchKinds;

/** @internal */
export const mirrorKinds: Kinds<MirrorOptions> = {
  prevKv,
  fragment,
  bufferBytes,
  maxDisconnectedMs,
  signal,
  requireLeader: leaderRequired,
  pageSize: positiveInteger,
};

/** @internal */
export const mirrorOptions = new Description<MirrorOptions>('a mirror or cache', mirrorKinds, {
  hints: {
    startRevision: 'it starts with all keys as they are now',
    prefix: 'the keys are the argument before',
  },
  example: '{ pageSize: 100 }',
});

const stores = withMethods<Pick<Keyspace, 'pages' | 'watch'>>(
  'a client from connect(), one of its namespaces, or the result of withCodec()',
  'pages',
  'watch',
);

/** One step of a {@link Mirror}. */
export type MirrorChange<Entry = KeyValue> =
  /**
   * Everything reported so far is void, and all keys follow, at this revision. This is always the first step. It comes
   * again, with the reason, when changes were lost: after a compaction, or after the store was replaced (then the
   * revision may be lower than before).
   */
  | {
      readonly type: 'reset';
      readonly revision: bigint;
      readonly cause?: CompactedError | StoreReplacedError;
    }
  /** A page of the keys, in order. */
  | { readonly type: 'base'; readonly kvs: readonly Entry[] }
  /** The base is complete; from here on there are updates. */
  | { readonly type: 'synced'; readonly revision: bigint }
  /** Changes of whole revisions, as in {@link WatchBatch}. Without events: nothing has changed up to this revision. */
  | { readonly type: 'update'; readonly revision: bigint; readonly events: readonly WatchEvent<Entry>[] };

const backoff = { firstMs: 50, longestMs: 2_000 };

/**
 * The keys of a range and all their changes from one revision on: first each key at that revision, in pages, then each
 * later change, once and in order. When a compaction has removed changes that were not seen yet, or the store was
 * replaced (restored from a backup, for instance), it starts over with a `reset`. Corresponds to clientv3's `mirror`
 * package, with `SyncBase` and `SyncUpdates` in one.
 *
 * ```ts
 * for await (const change of new Mirror(etcd, prefix('config/'))) …
 * ```
 *
 * It is for one loop, and leaving the loop ends the mirror. It throws what a watch throws, except for CompactedError
 * and StoreReplacedError, and what the first read of the base throws. Later reads are repeated while no endpoint can be
 * reached.
 */
export class Mirror<Entry = KeyValue> implements AsyncIterable<MirrorChange<Entry>>, AsyncDisposable {
  readonly #store: Pick<Keyspace<Bytes, Bytes, Entry>, 'pages' | 'watch'>;
  readonly #keys: Keys;
  readonly #options: MirrorOptions;
  readonly #changes: OneLoop<MirrorChange<Entry>>;
  readonly #onConnection: (revision: bigint | undefined, reason?: unknown) => void;
  readonly #closing = new AbortController();
  #watch: Watch<Entry> | undefined;

  static {
    guardMethods<Mirror>(Mirror, (it) => #changes in it, {
      promised: { requestProgress: 1 },
      direct: { close: 0 },
    });
  }

  /**
   * @param onConnection is called whenever the connection that brings changes has come or gone: with the store's
   * revision by the server at its other end when it was made, or with `undefined` and the reason when it has gone.
   */
  constructor(
    store: Pick<Keyspace<Bytes, Bytes, Entry>, 'pages' | 'watch'>,
    keys: Keys,
    options?: MirrorOptions,
    onConnection?: (revision: bigint | undefined, reason?: unknown) => void,
  );
  constructor(
    store: Pick<Keyspace<Bytes, Bytes, Entry>, 'pages' | 'watch'>,
    keys: Keys,
    options: MirrorOptions = {},
    onConnection: (revision: bigint | undefined, reason?: unknown) => void = () => {},
    ...more: readonly unknown[]
  ) {
    refuseMore('new Mirror()', [store, keys, options, onConnection], more);
    checkArgument('store', stores, store);
    toRange(keys);
    mirrorOptions.check(options);
    checkArgument('onConnection', aFunction(), onConnection);
    this.#store = store;
    this.#keys = ownKeys(keys);
    this.#options = options;
    this.#onConnection = (...given) => runApart(() => onConnection(...given));
    this.#changes = new OneLoop(new Leavable(this.#follow(), () => this.close()), 'mirror');
  }

  /** The remaining changes. There can be one loop. */
  [Symbol.asyncIterator](): AsyncGenerator<MirrorChange<Entry>, void, void> {
    return this.#changes.iterator();
  }

  /**
   * Like `requestProgress` of a watch: an `update` without events follows. Resolves with `undefined` while the base is
   * read.
   */
  async requestProgress(control?: CallControl): Promise<bigint | undefined> {
    if (control !== undefined) callControl.check(control);
    return await this.#watch?.requestProgress(control);
  }

  /** Ends the mirror, and the loop over it without an error. Idempotent. */
  close(): void {
    this.#closing.abort();
    this.#watch?.close();
  }

  /** The same as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async *#follow(): AsyncGenerator<MirrorChange<Entry>, void, void> {
    const { signal } = this.#closing;
    const lost = new AbortController();
    const progress = new Progress();
    keepProgress(lost.signal, progress);
    using linked = new LinkedSignal([this.#options.signal, signal, lost.signal]);
    const {
      pageSize,
      requireLeader = 'wait',
      maxDisconnectedMs = Number.POSITIVE_INFINITY,
      ...rest
    } = this.#options;
    const expired = (error: EtcdError): void => lost.abort(error);
    const disconnection = new Disconnection('the mirror', maxDisconnectedMs, expired, { progress });
    const watchOptions = { ...rest, requireLeader, signal: linked.signal };
    let synced = false;
    let failures = 0;
    let cause: CompactedError | StoreReplacedError | undefined;
    try {
      while (!signal.aborted) {
        try {
          let reset = false;
          let revision = 0n;
          const reading = {
            signal: linked.signal,
            requireLeader,
            ...(pageSize !== undefined && { pageSize }),
          };
          for await (const page of this.#store.pages(this.#keys, reading)) {
            revision = page.revision;
            if (!reset) {
              // Starts before the base is complete, so that a compaction in the meantime loses nothing.
              disconnection.end();
              this.#watch = this.#follower(revision + 1n, watchOptions, disconnection);
              yield answer({ type: 'reset' as const, revision, ...(cause && { cause }) });
              reset = true;
            }
            if (page.kvs.length > 0) yield { type: 'base', kvs: page.kvs };
          }
          yield answer({ type: 'synced' as const, revision });
          synced = true;
          failures = 0;
          cause = undefined;
          const batches = this.#watch?.batches() ?? [];
          for await (const { events, revision } of batches)
            yield answer({ type: 'update' as const, revision, events });
          return;
        } catch (error) {
          if (signal.aborted) return;
          lost.signal.throwIfAborted();
          if (isHistoryLost(error)) cause = error;
          else if (!synced || !isTransient(error)) throw error;
          if (this.#options.signal?.aborted) throw error;
          this.#watch?.close();
          disconnection.begin(error);
          this.#onConnection(undefined, error);
        }
        await this.#backOff(failures++, linked.signal);
      }
    } finally {
      disconnection.end();
      this.close();
    }
  }

  #follower(
    startRevision: bigint,
    options: Omit<WatchOptions, 'startRevision'>,
    disconnection: Disconnection,
  ): Watch<Entry> {
    this.#watch?.close();
    const watch = this.#store.watch(this.#keys, {
      ...options,
      startRevision,
      progressNotify: true,
      ownStream: true,
    });
    watch.on('connected', (revision) => {
      disconnection.end();
      this.#onConnection(revision);
    });
    (watch as EventEmitter).on(attemptFailed, (reason: unknown) => {
      disconnection.begin(reason);
      this.#onConnection(undefined, reason);
    });
    return watch;
  }

  /** The first retry follows at once: a compaction is not a failure. */
  async #backOff(failures: number, signal: AbortSignal): Promise<void> {
    if (failures === 0) return;
    await pause(reopenMs(failures, backoff), signal).catch(() => {});
  }
}

function isTransient(error: unknown): boolean {
  if (error instanceof ClosedError) return false;
  if (error instanceof ClusterMismatchError) return true;
  return (
    error instanceof UnavailableError || error instanceof DeadlineExceededError || gaveNoCredentials(error)
  );
}
