// mirror/ has copies of a range that follow its changes: a stream of changes on top of a base, and a cache built on
// that. Watches without a base are in watch/.

import { EventEmitter } from 'node:events';
import type { InspectOptionsStylized } from 'node:util';
import { inspect } from '../built-in.js';
import {
  ClosedError,
  type CompactedError,
  DeadlineExceededError,
  invalidArgument,
  StoreReplacedError,
} from '../errors.js';
import { jsonOf } from '../json.js';
import { allKeys, type Bytes, type Keys, ownKeys, toKey, toRange } from '../kv/key-range.js';
import { KeyValue } from '../rpc/messages/key-value.js';
import { LinkedSignal } from '../util/abort/linked-signal.js';
import { toInt64 } from '../util/int64.js';
import { checkArgument } from '../util/kinds.js';
import { guardFunctions, guardListeners, guardMethods } from '../util/methods.js';
import { monotonicMs, nextTick, runApart } from '../util/timers.js';
import { type Namespace, namespaceKind } from '../views/namespace.js';
import type { WatchEvent } from '../watch/event.js';
import { Mirror, type MirrorChange, type MirrorOptions, mirrorOptions } from './mirror.js';
import { RevisionWaiters, type WaitOptions, waitOptions } from './revision-waiters.js';
import { type Bounds, boundsOf, covers, SortedEntries, sortable } from './sorted-entries.js';

/** What a {@link Cache} emits, with the arguments of the listeners. */
export interface CacheEvents {
  /** A key was put; the cache has it already. */
  put: [event: WatchEvent];
  /** A key was deleted. */
  delete: [event: WatchEvent];
  /**
   * All keys were read again, after a compaction or because the store was replaced. In the second case the revision may
   * be lower than before. `put` and `delete` were emitted for each difference: the changes in between are missing, but
   * not their result.
   */
  resync: [revision: bigint, cause: CompactedError | StoreReplacedError | undefined];
  /** The connection for changes exists again; missed changes follow. */
  connected: [];
  /**
   * The connection for changes was lost, and a new one is being made. `disconnectedMs` counts from now on. Emitted once
   * until the next `connected`, however many attempts fail.
   */
  disconnected: [];
  /**
   * The cache has ended with an error, and can no longer be read. Without a listener the error is thrown. Closing the
   * cache or its client isn't an error: only `close` reports it.
   */
  error: [error: unknown];
  /** The cache has ended, with or without an error. */
  close: [];
}

/** The events, with the names that other clients use. */
const events: Readonly<Record<keyof CacheEvents, readonly string[]>> = {
  put: ['data', 'event', 'change'],
  delete: ['data', 'event', 'change'],
  resync: ['reset'],
  connected: ['connect'],
  disconnected: ['disconnect'],
  error: [],
  close: ['end'],
};

/** How long an answer to a request for progress may take, in ms. */
const PROGRESS_MS = 1_000;

/** So often etcd is asked for its progress alone. A member that is behind mostly catches up in that time. */
const OFTEN = 4;

const catchingUp: WaitOptions = { timeoutMs: 60_000 };

/** Only `Cache.open` passes this. */
const opening = Symbol('Cache.open');

/**
 * A copy of a range's keys in this process, kept up to date by a watch, so reads need no server. It shows the keys at
 * {@link revision}, never a mixture of revisions, and never goes back unless the store itself was replaced. To see a
 * write, wait for its revision:
 *
 * ```ts
 * await using cache = await Cache.open(etcd, prefix('config/'));
 * const { revision } = await etcd.put('config/colour', 'blue');
 * await cache.waitForRevision(revision);
 * cache.get('config/colour')?.text(); // blue
 * ```
 *
 * What a listener throws is an uncaught exception, and the cache continues.
 */
export class Cache extends EventEmitter<CacheEvents> implements AsyncDisposable {
  readonly #store: Namespace;
  readonly #keys: Keys;
  readonly #bounds: Bounds;
  readonly #mirror: Mirror;
  #entries = new SortedEntries();
  /** A base that is being read. It replaces `#entries` when it is complete. */
  #incoming: SortedEntries | undefined;
  #revision = 0n;
  #disconnectedAt: number | undefined;
  #isDown = false;
  /** Why the cache has no connection; `undefined` while it has one. */
  #disconnected: unknown;
  /** The revision that the cache must reach to be up to date again, once there is a connection. */
  #missed: bigint | undefined;
  /** Why the keys are being read again. */
  #cause: CompactedError | StoreReplacedError | undefined;
  /** Whether the cache shows keys of a store that was replaced. */
  #former = false;
  readonly #waiters = new RevisionWaiters((wanted, times) => this.#progress(wanted, times));
  #over: { readonly error: unknown } | undefined;

  static {
    const isOurs = (it: object): boolean => #mirror in it;
    guardMethods<Omit<Cache, keyof EventEmitter>>(Cache, isOurs, {
      promised: { waitForRevision: 2 },
      direct: { get: 1, range: 1, close: 0, toJSON: 0 },
    });
    guardListeners(Cache, isOurs, events);
    guardFunctions<Pick<typeof Cache, 'open'>>('Cache', Cache, { promised: { open: 3 }, direct: {} });
  }

  private constructor(store: Namespace, keys: Keys, options: MirrorOptions, by: typeof opening) {
    super();
    // In JavaScript a constructor can't be private to types. A cache that nobody fills would stay empty.
    if (by !== opening)
      throw invalidArgument('a cache is made by Cache.open(): write await Cache.open(etcd, keys)');
    this.#store = store;
    this.#keys = ownKeys(keys);
    this.#bounds = boundsOf(keys);
    this.#mirror = new Mirror(store, keys, options, (revision, reason) => this.#connection(revision, reason));
  }

  /**
   * Reads the keys, and resolves when the cache has all of them.
   *
   * @param options `signal` is for this call: once the cache is open, it has no effect.
   * @throws what {@link Mirror} throws.
   */
  static async open(store: Namespace, keys: Keys, options: MirrorOptions = {}): Promise<Cache> {
    checkArgument('store', namespaceKind, store);
    mirrorOptions.check(options);
    using until = new LinkedSignal([options.signal]);
    const cache = new Cache(store, keys, { ...options, signal: until.signal }, opening);
    for (;;) {
      const { done, value } = await cache.#mirror[Symbol.asyncIterator]().next();
      if (done) throw new ClosedError('the cache was closed');
      cache.#apply(value);
      if (value.type === 'synced') break;
    }
    void cache.#run();
    return cache;
  }

  /** The store's revision that the cache shows: all changes up to it, and none after. */
  get revision(): bigint {
    return this.#revision;
  }

  /** Number of keys. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * How long the cache may have been stale, in ms: since the connection for changes was lost, until there is a new one
   * and the cache shows the missed changes. 0 while it is up to date.
   */
  get disconnectedMs(): number {
    return this.#disconnectedAt === undefined ? 0 : monotonicMs() - this.#disconnectedAt;
  }

  /**
   * Returns the key with its value, or `undefined` if the key doesn't exist.
   *
   * @throws InvalidArgumentError for a key outside its range; once the cache has ended, the reason: ClosedError after
   * `close()`.
   */
  get(key: Bytes): KeyValue | undefined {
    const wanted = sortable(toKey(key));
    this.#check({ start: wanted, end: `${wanted}\0` });
    return this.#entries.get(wanted);
  }

  /**
   * Returns the keys of a range (default: all), in order.
   *
   * @throws InvalidArgumentError for a range that isn't within its own; once the cache has ended, the reason:
   * ClosedError after `close()`.
   */
  range(keys: Keys = allKeys()): KeyValue[] {
    const { start, end } = boundsOf(keys);
    // "All keys" stands for all keys that the cache has.
    const all = start === '\0' && end === undefined;
    const bounds = all ? this.#bounds : { start, end };
    this.#check(bounds);
    return this.#entries.range(bounds);
  }

  /**
   * Resolves once the cache shows this revision or a later one.
   *
   * @throws StoreReplacedError when the store is replaced meanwhile: revisions of the old store mean nothing in the new
   * one. DeadlineExceededError, `signal.reason`, and the reason for which the cache has ended.
   */
  async waitForRevision(revision: bigint, options: WaitOptions = {}): Promise<void> {
    waitOptions.check(options);
    const wanted = toInt64('revision', revision);
    this.#throwIfOver();
    if (this.#former || this.#revision < wanted)
      await this.#waiters.wait(wanted, options, () => ({
        revision: this.#revision,
        disconnected: this.#disconnected,
      }));
  }

  /** Ends the cache, which can no longer be read. Idempotent. */
  close(): void {
    this.#end(new ClosedError('the cache is closed; open another'));
    this.#mirror.close();
  }

  /** For `JSON.stringify` and logs: its revision and size, not its keys. */
  toJSON(): unknown {
    const { revision, size, disconnectedMs } = this;
    return jsonOf({ revision, size, disconnectedMs });
  }

  /** For `console.log`. @internal */
  [inspect.custom](_depth: number, options: InspectOptionsStylized, show: typeof inspect): string {
    return `Cache ${show(this.toJSON(), options)}`;
  }

  /** The same as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async #run(): Promise<void> {
    try {
      for await (const change of this.#mirror) this.#apply(change);
    } catch (error) {
      this.#end(error);
    }
  }

  /**
   * Has etcd report its progress. A proxy such as etcd's grpc-proxy doesn't pass that on, or reports an old revision. So
   * the keys themselves are compared after a while.
   */
  async #progress(wanted: bigint, times: number): Promise<void> {
    const reported = await this.#mirror
      .requestProgress({ timeoutMs: PROGRESS_MS })
      .catch((error: unknown) => {
        if (error instanceof DeadlineExceededError) return 0n;
        throw error;
      });
    const isShort = reported !== undefined && reported < wanted;
    if (isShort && (reported === 0n || times > OFTEN) && this.#disconnected === undefined) {
      await this.#compare(wanted);
    }
  }

  /**
   * Looks whether etcd has the keys that the cache shows, and no other. Then the cache shows etcd's revision: none of its
   * keys has changed since, and there are as many.
   */
  async #compare(wanted: bigint): Promise<void> {
    const now = await this.#store.range(toRange(this.#keys).key, { countOnly: true, timeoutMs: PROGRESS_MS });
    // To compare, etcd reads all keys of the range.
    if (now.revision < wanted) return;
    const [shown, entries, { size }] = [this.#revision, this.#entries, this.#entries];
    const changed = { minModRevision: shown + 1n, limit: 1, keysOnly: true, timeoutMs: PROGRESS_MS };
    const { kvs, count, revision } = await this.#store.range(this.#keys, changed);
    if (kvs.length > 0 || count !== BigInt(size) || revision <= shown) return;
    // Changes that came meanwhile are in another order to this answer.
    if (this.#revision !== shown || this.#entries !== entries || this.#former) return;
    this.#revision = revision;
    this.#shows();
  }

  #end(error: unknown): void {
    if (this.#over !== undefined) return;
    this.#over = { error };
    this.#waiters.fail(error);
    // What a listener throws must not reach the caller who ended the cache.
    nextTick(() => {
      if (!(error instanceof ClosedError)) this.#notify('error', error);
      this.#notify('close');
    });
  }

  #apply(change: MirrorChange): void {
    switch (change.type) {
      case 'reset':
        this.#incoming = new SortedEntries();
        this.#cause = change.cause;
        if (change.cause instanceof StoreReplacedError) this.#former = true;
        break;
      case 'base':
        for (const kv of change.kvs) this.#incoming?.set(sortable(kv.key), kv);
        break;
      case 'synced':
        this.#swap(this.#incoming ?? new SortedEntries(), change.revision);
        break;
      case 'update':
        for (const { type, kv } of change.events) {
          if (type === 'put') this.#entries.set(sortable(kv.key), kv);
          else this.#entries.delete(sortable(kv.key));
        }
        if (change.revision > this.#revision) this.#revision = change.revision;
        this.#shows();
        // Listeners see whole revisions.
        for (const event of change.events) this.#notify(event.type, event);
    }
  }

  #swap(incoming: SortedEntries, revision: bigint): void {
    const first = this.#revision === 0n;
    const before = this.#entries;
    // Revisions of a former store mean nothing in this one: it may have given the same one to something else.
    const isSame = this.#former ? isAlike : isOfOneRevision;
    this.#entries = incoming;
    this.#incoming = undefined;
    this.#revision = revision;
    this.#former = false;
    this.#shows();
    if (first) return;
    for (const [key, kv] of incoming) {
      const prevKv = before.get(key);
      if (prevKv === undefined || !isSame(prevKv, kv)) {
        this.#notify('put', { type: 'put', kv, prevKv, revision: kv.modRevision });
      }
    }
    for (const [key, prevKv] of before) {
      if (incoming.get(key) !== undefined) continue;
      this.#notify('delete', { type: 'delete', kv: deleted(prevKv.key, revision), prevKv, revision });
    }
    this.#notify('resync', revision, this.#cause);
  }

  /** What a listener throws is the program's fault. The cache continues. */
  #notify<Name extends keyof CacheEvents>(name: Name, ...args: CacheEvents[Name]): void {
    runApart(() => (this as EventEmitter).emit(name, ...args));
  }

  #connection(revision: bigint | undefined, reason: unknown): void {
    this.#missed = revision;
    this.#disconnected = reason;
    if (revision === undefined) {
      if (reason instanceof StoreReplacedError) {
        this.#former = true;
        this.#waiters.fail(reason);
      }
      this.#disconnectedAt ??= monotonicMs();
      if (this.#isDown) return;
      this.#isDown = true;
      this.#notify('disconnected');
      return;
    }
    this.#isDown = false;
    this.#shows();
    // If the missed changes were to other keys, nothing else moves the cache to that revision.
    if (this.#missed !== undefined) this.waitForRevision(revision, catchingUp).catch(() => {});
    this.#notify('connected');
  }

  /** The cache shows another revision, or has a connection again. */
  #shows(): void {
    if (this.#former) return;
    this.#waiters.reached(this.#revision);
    // While a base is being read, the cache shows the state from before.
    if (this.#missed === undefined || this.#incoming !== undefined || this.#missed > this.#revision) return;
    this.#missed = undefined;
    this.#disconnectedAt = undefined;
  }

  #throwIfOver(): void {
    if (this.#over === undefined) return;
    const { error } = this.#over;
    // A new one, as that has the stack of the code that closed the cache.
    throw error instanceof ClosedError ? new ClosedError(error.message) : error;
  }

  #check(bounds: Bounds): void {
    this.#throwIfOver();
    if (covers(this.#bounds, bounds)) return;
    throw invalidArgument('the cache holds one range, and the request is not all within it');
  }
}

const isOfOneRevision = (one: KeyValue, other: KeyValue): boolean => one.modRevision === other.modRevision;

const isAlike = (one: KeyValue, other: KeyValue): boolean =>
  isOfOneRevision(one, other) &&
  one.createRevision === other.createRevision &&
  one.version === other.version &&
  one.lease === other.lease &&
  Buffer.compare(one.value, other.value) === 0;

function deleted(key: Uint8Array, modRevision: bigint): KeyValue {
  const none = new Uint8Array(0);
  return new KeyValue(key, none, 0n, modRevision, 0n, 0n);
}
