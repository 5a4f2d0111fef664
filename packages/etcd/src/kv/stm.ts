import {
  ClosedError,
  EtcdError,
  invalidArgument,
  isHistoryLost,
  StatusCode,
  StoreReplacedError,
} from '../errors.js';
import { answer } from '../json.js';
import { KeyValue } from '../rpc/messages/key-value.js';
import { restOfTime } from '../rpc/rest-of-time.js';
import { type CallControl, describeCall, type Rpc } from '../rpc/rpc.js';
import { isReplaced, unknownState } from '../rpc/store.js';
import { isFutureRevision } from '../server-errors.js';
import { LinkedSignal } from '../util/abort/linked-signal.js';
import { atCaller } from '../util/at-caller.js';
import { signedInt64 } from '../util/int64.js';
import { aFunction, checkArgument, flag, oneOf, positiveInteger, wholeList } from '../util/kinds.js';
import { guardMethods } from '../util/methods.js';
import { Description } from '../util/options.js';
import { setImmediate } from '../util/timers.js';
import { pause } from '../util/wait.js';
import { holds, KeyRange, ownBytes, ownRange, type RangeBytes, rangesWithout } from './key-range.js';
import { type OpOptions, type PutOptions, putHints, type ResponseHeader } from './kv.js';
import { type Mapping, PrefixMapping } from './mapping.js';
import { type Compare, compare, type Op, op, type Txn, type TxnResult, txnCall, txnRequest } from './txn.js';

/**
 * Which concurrent changes a software transaction notices, as in clientv3's `concurrency` package:
 *
 * - `serializableSnapshot`: all reads see the store at the revision of the first. The transaction conflicts when a key
 *   that was read has changed since, and also when a key that it only writes was put since.
 * - `serializable`: the same reads. The transaction conflicts when a key that was read has changed.
 * - `repeatableReads`: each key is read once, at whatever revision the store has then, so keys may not fit together
 *   while the function runs. The transaction conflicts when a key that was read has changed.
 * - `readCommitted`: each read sees the newest value. The transaction never conflicts, so an update that is based on
 *   what was read may undo somebody else's.
 */
export type StmIsolation = 'serializableSnapshot' | 'serializable' | 'repeatableReads' | 'readCommitted';

interface Isolation {
  /** Whether all reads are made at the revision of the first. */
  readonly pinned: boolean;
  /** Whether each key is read once, and must not have changed at the commit. */
  readonly repeatable: boolean;
  /** Whether it is also a conflict when others put a key that is only written, directly or within a deleted range. */
  readonly writeConflicts: boolean;
}

const isolations: Readonly<Record<StmIsolation, Isolation>> = {
  serializableSnapshot: { pinned: true, repeatable: true, writeConflicts: true },
  serializable: { pinned: true, repeatable: true, writeConflicts: false },
  repeatableReads: { pinned: false, repeatable: true, writeConflicts: false },
  readCommitted: { pinned: false, repeatable: false, writeConflicts: false },
};

/** Options of `stm`. `timeoutMs` bounds all attempts together. By default each request has its own deadline. */
export interface StmOptions<Key> extends CallControl {
  /** Default `serializableSnapshot`. */
  readonly isolation?: StmIsolation | undefined;
  /** Keys that the function will read. All of them are read at once before it starts. */
  readonly prefetch?: readonly Key[] | undefined;
  /** How often the function is run at most, before {@link StmConflictError}. Default 100. */
  readonly maxAttempts?: number | undefined;
}

/** What a software transaction reads and writes through. It is done when its function has returned. */
export interface Stm<Key, Value, Entry> {
  /**
   * Reads a key as the transaction sees it, including its own writes. A written key has the revisions from before.
   * Resolves with `undefined` if the key doesn't exist.
   */
  get(key: Key): Promise<Entry | undefined>;
  /** Reads several keys in one round trip. */
  getAll(keys: readonly Key[]): Promise<(Entry | undefined)[]>;
  /** Sets a key when the transaction commits. */
  put(key: Key, value: Value, options?: StmPutOptions): void;
  /**
   * Deletes a key, or all keys of a range, when the transaction commits. That includes keys that others put until then,
   * unless the isolation notices them. Keys that the transaction itself puts there afterwards are put. Each of them
   * adds one operation to the count for the server's `--max-txn-ops`.
   */
  delete(keys: Key | KeyRange): void;
}

/** Options of {@link Stm.put}. */
export type StmPutOptions = OpOptions<Pick<PutOptions, 'lease' | 'ignoreLease'>>;

const stmOptions = describeCall<StmOptions<unknown>>(
  'stm()',
  {
    isolation: oneOf('serializableSnapshot', 'serializable', 'repeatableReads', 'readCommitted'),
    prefetch: wholeList,
    maxAttempts: positiveInteger,
  },
  {
    hints: { retries: 'did you mean maxAttempts?', maxRetries: 'did you mean maxAttempts?' },
    example: '{ maxAttempts: 10 }',
  },
);

const stmPutOptions = new Description<StmPutOptions>(
  'put() of a transaction',
  { lease: signedInt64, ignoreLease: flag },
  { hints: putHints, example: '{ lease: id }' },
);

/** A software transaction that was committed. */
export interface StmResult<T> {
  /** What the function returned, in the attempt that was committed. */
  readonly value: T;
  /** Revision of the store after the commit: the commit's own if it wrote anything. */
  readonly revision: bigint;
  /** How often the function was run. */
  readonly attempts: number;
}

/** Each attempt of a software transaction met a conflict. Nothing was written. Code `ABORTED`. */
export class StmConflictError extends EtcdError {
  /** How often the function was run. */
  readonly attempts: number;

  constructor(attempts: number) {
    super(
      `ABORTED: the transaction conflicted in ${attempts === 1 ? 'its attempt' : `each of ${attempts} attempts`}; try again later, make it touch fewer contended keys, or raise maxAttempts`,
      { code: StatusCode.ABORTED, sent: true, mayBeApplied: false },
    );
    this.attempts = attempts;
  }
}

const MAX_BACKOFF_MS = 128;

/** Keys and values as etcd stores them. The attempt itself maps what its function reads and writes. */
const asStored = new PrefixMapping(new Uint8Array(0));

/** @internal */
export async function runStm<Key, Value, Entry, T>(
  rpc: Rpc,
  mapping: Mapping<Key, Value, Entry>,
  body: (stm: Stm<Key, Value, Entry>) => T | Promise<T>,
  options: StmOptions<Key>,
): Promise<StmResult<T>> {
  checkArgument('the body of stm()', aFunction(), body);
  stmOptions.check(options);
  const { isolation: level = 'serializableSnapshot', prefetch = [], maxAttempts = 100, signal } = options;
  const isolation = isolations[level];
  const control = restOfTime(options, 'the transaction was not committed');
  let known: Snapshot | undefined;
  for (let attempt = 1; ; attempt++) {
    const run = new Attempt(rpc, mapping, isolation, control, known);
    // The first retry follows at once, and uses the keys as the failed commit found them.
    const outcome = await run.run(body, prefetch, attempt === 1);
    if (outcome.committed)
      return answer({ value: outcome.value, revision: outcome.revision, attempts: attempt });
    if (attempt >= maxAttempts) throw new StmConflictError(attempt);
    known = outcome.found;
    if (attempt > 1) {
      const delayMs = Math.random() * Math.min(2 ** attempt, MAX_BACKOFF_MS);
      await pause(delayMs, signal);
    }
  }
}

/** Keys as they were at one revision. */
interface Snapshot {
  readonly revision: bigint;
  readonly header: ResponseHeader;
  readonly reads: ReadonlyMap<string, Read>;
}

interface Read {
  readonly key: Uint8Array;
  readonly kv: KeyValue | undefined;
}

interface Write {
  readonly key: Uint8Array;
  /** `undefined` for a delete. */
  readonly value: Uint8Array | undefined;
  readonly options: StmPutOptions;
}

type Commit =
  | { readonly committed: true; readonly revision: bigint }
  /** With the keys as the commit found them, where it was asked to read them. */
  | { readonly committed: false; readonly found: Snapshot | undefined };

type Outcome<T> =
  | Extract<Commit, { committed: false }>
  | (Extract<Commit, { committed: true }> & { readonly value: T });

class Attempt<Key, Value, Entry> implements Stm<Key, Value, Entry> {
  readonly #rpc: Rpc;
  readonly #mapping: Mapping<Key, Value, Entry>;
  readonly #isolation: Isolation;
  readonly #control: () => CallControl;
  readonly #known: Snapshot | undefined;
  readonly #reads = new Map<string, Read>();
  /** Writes to single keys. They came after the deletion of any range that holds the key. */
  readonly #writes = new Map<string, Write>();
  readonly #deletedRanges: RangeBytes[] = [];
  /** Revision of the first read, once it is under way. */
  #first: Promise<bigint> | undefined;
  /** The member and cluster that answered the first read. */
  #origin: ResponseHeader | undefined;
  /** Whether the reads are not reliable: their revision was compacted meanwhile, or the store was replaced. */
  #lost = false;
  #done = false;

  static {
    guardMethods<Stm<unknown, unknown, unknown>>(
      { name: 'Stm', prototype: Attempt.prototype },
      (it) => #reads in it,
      {
        promised: { get: 1, getAll: 1 },
        direct: { put: 3, delete: 1 },
      },
    );
  }

  constructor(
    rpc: Rpc,
    mapping: Mapping<Key, Value, Entry>,
    isolation: Isolation,
    control: () => CallControl,
    known: Snapshot | undefined,
  ) {
    this.#rpc = rpc;
    this.#mapping = mapping;
    this.#isolation = isolation;
    this.#control = control;
    this.#known = known;
    this.#origin = known?.header;
    if (known !== undefined && isolation.pinned) this.#first = Promise.resolve(known.revision);
  }

  async run<T>(
    body: (stm: Stm<Key, Value, Entry>) => T | Promise<T>,
    prefetch: readonly Key[],
    retryAtOnce: boolean,
  ): Promise<Outcome<T>> {
    try {
      if (this.#isolation.repeatable) await this.getAll(prefetch);
      const value = await this.#withinBounds(body);
      this.#done = true;
      if (this.#lost) return { committed: false, found: undefined };
      const committed = await this.#commit(retryAtOnce);
      return committed.committed ? { ...committed, value } : committed;
    } catch (error) {
      if (this.#lost) return { committed: false, found: undefined };
      throw error;
    } finally {
      this.#done = true;
    }
  }

  /**
   * The result of the function. It may wait for anything, within the transaction's bounds and until the client closes.
   */
  async #withinBounds<T>(body: (stm: Stm<Key, Value, Entry>) => T | Promise<T>): Promise<T> {
    const over = new AbortController();
    using linked = new LinkedSignal([this.#control().signal, over.signal]);
    const { signal } = linked;
    const bound = async (): Promise<never> => {
      // The control throws once the time is over.
      for (;;) {
        const { timeoutMs = Number.POSITIVE_INFINITY } = this.#control();
        await this.#rpc.pause(timeoutMs, signal);
        if (!this.#rpc.closed) continue;
        // A call that was in flight knows more.
        await new Promise((resolve) => setImmediate(resolve));
        throw new ClosedError();
      }
    };
    try {
      return await Promise.race([(async () => await body(this))(), bound()]);
    } catch (error) {
      throw atCaller(error, signal);
    } finally {
      over.abort();
    }
  }

  async get(key: Key): Promise<Entry | undefined> {
    const [entry] = await this.#getAll([key]);
    return entry;
  }

  async getAll(keys: readonly Key[]): Promise<(Entry | undefined)[]> {
    checkArgument('keys', wholeList, keys);
    return await this.#getAll(keys);
  }

  async #getAll(keys: readonly Key[]): Promise<(Entry | undefined)[]> {
    this.#check();
    // Captured at the time of this call: what is written while the reads are under way comes after them.
    const wanted = keys.map((key) => {
      const bytes = ownBytes(this.#mapping.key(key));
      return { bytes, id: idOf(bytes), write: this.#writeOf(bytes) };
    });
    const read = await this.#read(wanted.flatMap(({ bytes, write }) => (write === undefined ? [bytes] : [])));
    return wanted.map(({ id, write }) => {
      const kv = read.get(id)?.kv;
      const seen = write === undefined ? kv : written(write, kv);
      return seen && this.#mapping.entry(seen);
    });
  }

  put(key: Key, value: Value, options: StmPutOptions = {}): void {
    this.#check();
    const bytes = ownBytes(this.#mapping.key(key));
    stmPutOptions.check(options);
    this.#writes.set(idOf(bytes), {
      key: bytes,
      value: ownBytes(this.#mapping.value(value)),
      options: { ...options },
    });
  }

  delete(keys: Key | KeyRange): void {
    this.#check();
    const range = ownRange(this.#mapping.range(keys));
    const { key, rangeEnd } = range;
    if (rangeEnd.length === 0) {
      this.#writes.set(idOf(key), deletionOf(key));
      return;
    }
    for (const [id, write] of this.#writes) if (holds(range, write.key)) this.#writes.delete(id);
    this.#deletedRanges.push(range);
  }

  #writeOf(key: Uint8Array): Write | undefined {
    const write = this.#writes.get(idOf(key));
    if (write !== undefined) return write;
    return this.#deletedRanges.some((range) => holds(range, key)) ? deletionOf(key) : undefined;
  }

  #check(): void {
    if (this.#done) {
      throw invalidArgument('the transaction is over; its function must await all that it starts');
    }
  }

  async #read(keys: readonly Uint8Array[]): Promise<ReadonlyMap<string, Read>> {
    const { repeatable, pinned } = this.#isolation;
    if (!repeatable) {
      const found = new Map<string, Read>();
      if (keys.length > 0) await this.#fetch(keys, found);
      return found;
    }
    const missing = keys.filter((key) => !this.#has(idOf(key)));
    if (missing.length === 0) return this.#reads;
    if (!pinned) {
      await this.#fetch(missing, this.#reads);
    } else if (this.#first === undefined) {
      this.#first = this.#fetch(missing, this.#reads);
      await this.#first;
    } else {
      await this.#fetch(missing, this.#reads, await this.#first);
    }
    return this.#reads;
  }

  /** Whether a key was already read, in this attempt or by the commit of the attempt before. */
  #has(id: string): boolean {
    if (this.#reads.has(id)) return true;
    const known = this.#known?.reads.get(id);
    if (known === undefined) return false;
    this.#reads.set(id, known);
    return true;
  }

  /** @returns the revision that the keys were read at. */
  async #fetch(keys: readonly Uint8Array[], into: Map<string, Read>, revision?: bigint): Promise<bigint> {
    try {
      const options = revision === undefined ? {} : { revision };
      const result = await this.#txn({ success: keys.map((key) => op.get(key, options)) });
      this.#origin ??= result.header;
      // Reads at the revision of the first read come after it. Other reads may overtake each other.
      if (revision !== undefined && isReplaced(this.#origin, result.header)) {
        throw new StoreReplacedError(this.#origin, result.header);
      }
      for (const [index, key] of keys.entries()) {
        // Only the first read of a key counts, even among several at a time.
        if (!into.has(idOf(key))) into.set(idOf(key), { key, kv: result.responses[index] });
      }
      return revision ?? result.revision;
    } catch (error) {
      const beyond = revision !== undefined && isFutureRevision(error);
      if (beyond || isHistoryLost(error)) this.#lost = true;
      throw error;
    }
  }

  async #commit(retryAtOnce: boolean): Promise<Commit> {
    const reads = [...this.#reads.values()];
    const result = await this.#txn({
      compare: await this.#conditions(reads),
      success: this.#operations(),
      failure: retryAtOnce ? reads.map(({ key }) => op.get(key)) : [],
    });
    const { revision, header } = result;
    const before = this.#origin ?? unknownState;
    if (isReplaced(before, header)) {
      if (!result.succeeded) return { committed: false, found: undefined };
      const what =
        'the transaction was applied there, on conditions from the former store: check what it wrote';
      throw new StoreReplacedError(before, header, { what, sent: true });
    }
    if (result.succeeded) return { committed: true, revision };
    if (!retryAtOnce) return { committed: false, found: undefined };
    const found = reads.map(({ key }, index): [string, Read] => [
      idOf(key),
      { key, kv: result.responses[index] },
    ]);
    return { committed: false, found: { revision, header, reads: new Map(found) } };
  }

  /**
   * etcd refuses a transaction that deletes a range and puts one of its keys. So the range is deleted around those
   * keys.
   */
  #operations(): Op<Uint8Array, Uint8Array>[] {
    const writes = [...this.#writes.values()];
    const put = writes.flatMap(({ key, value }) => (value === undefined ? [] : [key]));
    const ranges = this.#deletedRanges.flatMap((range) => rangesWithout(range, put));
    return [...ranges.map((range) => op.delete<Uint8Array>(range)), ...writes.map(toOp)];
  }

  #txn<const T extends Txn<Uint8Array, Uint8Array>>(txn: T): Promise<TxnResult<T, KeyValue>> {
    const call = txnCall(txn, asStored);
    return this.#rpc.call(call, () => txnRequest(txn, asStored), this.#control());
  }

  async #conditions(reads: readonly Read[]): Promise<Compare<Uint8Array, Uint8Array>[]> {
    const unchanged = reads.map(({ key, kv }) => compare.modRevision(key, '=', kv?.modRevision ?? 0n));
    if (!this.#isolation.writeConflicts || this.#first === undefined) return unchanged;
    const first = await this.#first;
    for (const [id, { key }] of this.#writes) {
      if (!this.#reads.has(id)) unchanged.push(compare.modRevision(key, '<', first + 1n));
    }
    for (const { key, rangeEnd } of this.#deletedRanges) {
      unchanged.push(compare.modRevision<Uint8Array>(new KeyRange(key, rangeEnd), '<', first + 1n));
    }
    return unchanged;
  }
}

function toOp({ key, value, options }: Write): Op<Uint8Array, Uint8Array> {
  return value === undefined ? op.delete(key) : op.put(key, value, options);
}

function deletionOf(key: Uint8Array): Write {
  return { key, value: undefined, options: {} };
}

/** A key in the view of the transaction that has written it. */
function written({ key, value, options }: Write, before: KeyValue | undefined): KeyValue | undefined {
  if (value === undefined) return undefined;
  const { createRevision = 0n, modRevision = 0n, version = 0n, lease = 0n } = before ?? {};
  return new KeyValue(
    // Copies, as the caller may continue to use these.
    new Uint8Array(key),
    new Uint8Array(value),
    createRevision,
    modRevision,
    version,
    options.ignoreLease ? lease : BigInt(options.lease ?? 0n),
  );
}

/** Bytes as a map key. */
function idOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}
