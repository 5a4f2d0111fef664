import type { InspectOptionsStylized } from 'node:util';
import { inspect } from '../built-in.js';
import { DeadlineExceededError, EtcdError, StatusCode } from '../errors.js';
import { jsonOf } from '../json.js';
import { asRange, type Bytes, type KeyRange } from '../kv/key-range.js';
import { compare, type DeleteOp, type NumberCompare, op } from '../kv/txn.js';
import type { LeaseKeepAlive } from '../lease/keep-alive.js';
import { LeaseLostError, type LostMore } from '../lease/lease-lost.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import type { CallControl } from '../rpc/rpc.js';
import { type AnySignal, LazySignal } from '../util/abort/lazy-signal.js';
import { LinkedSignal, type TimeBound, withinBounds } from '../util/abort/linked-signal.js';
import { atCaller } from '../util/at-caller.js';
import { abortSignal, milliseconds } from '../util/kinds.js';
import { guardMethods } from '../util/methods.js';
import { Description, type Hints, type Kinds } from '../util/options.js';
import { Progress, progressOf } from '../util/progress.js';
import { clearTimeout, setTimeout } from '../util/timers.js';
import { atMost, unlessAborted } from '../util/wait.js';
import { Fence, type PlacedKey } from './fence.js';
import { type AttemptBound, persist } from './persist.js';
import type { Session } from './session.js';
import { SharedKey } from './shared-key.js';
import { untilDeleted, untilKey } from './until-deleted.js';

/** How to wait for a lock or a leadership. */
export interface AcquireOptions {
  /**
   * Makes the call give up and reject with `signal.reason`. Once the call has settled, the signal has no effect. What
   * the call has put is removed. If that takes longer than a few ms, the session does it in the background.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * Longest time to wait, in ms. After this time the call gives up, as with `signal`. Default: no bound, but the wait
   * ends with the session.
   */
  readonly timeoutMs?: number | undefined;
}

/** @internal */
export const acquireKinds: Kinds<AcquireOptions> = { signal: abortSignal, timeoutMs: milliseconds };

const OF_SESSION = 'the TTL is the session’s: Session.create(etcd, { ttlSeconds })';
const acquireHints: Hints = { ttl: OF_SESSION, ttlSeconds: OF_SESSION, timeout: 'did you mean timeoutMs?' };

/** @internal */
export const acquireOptions = new Description<AcquireOptions>('this call', acquireKinds, {
  hints: acquireHints,
});

/**
 * Why a key is no longer owned:
 * - `released`: its holder has released it.
 * - `deleted`: somebody else has deleted its key, or revoked the lease (the session is then lost, too).
 * - `resumed`: somebody else has taken it over, by `resume()` or by another write of its key, and holds it now.
 * - `unknown`: the key can't be watched; the cause says why.
 */
export type OwnershipLostReason = 'released' | 'deleted' | 'resumed' | 'unknown';

const explanations: Record<OwnershipLostReason, string> = {
  released: 'it was released',
  deleted: 'its key is gone: somebody deleted it or revoked its lease, or the store was replaced',
  resumed: 'somebody else has resumed it or written its key, and holds it now; acquire it again',
  unknown: 'its key can no longer be watched',
};

/**
 * A lock or leadership is no longer owned, although its session continues. The signals of locks and leaderships abort
 * with this as the reason, or with a {@link LeaseLostError} if the session is lost. Code `ABORTED`; `CANCELLED` for
 * `released`.
 */
export class OwnershipLostError extends EtcdError {
  readonly key: Uint8Array;
  readonly why: OwnershipLostReason;

  /** @internal */
  constructor(key: Uint8Array, why: OwnershipLostReason, { cause, mayBeApplied = false }: LostMore = {}) {
    super(`${JSON.stringify(Buffer.from(key).toString())} is no longer owned: ${explanations[why]}`, {
      code: why === 'released' ? StatusCode.CANCELLED : StatusCode.ABORTED,
      sent: mayBeApplied,
      cause,
    });
    this.key = key;
    this.why = why;
  }

  /**
   * The same loss for one of the callers that it fails, with the caller's stack.
   * @internal
   */
  forCaller(mayBeApplied: boolean): OwnershipLostError {
    return new OwnershipLostError(this.key, this.why, { cause: this, mayBeApplied });
  }
}

/** A loss that is the reason of a signal, which several callers get. */
type Loss = LeaseLostError | OwnershipLostError;

const isLoss = (error: unknown): error is Loss =>
  error instanceof LeaseLostError || error instanceof OwnershipLostError;

/**
 * The failure of a call. For the reason of one of these signals, returns a new error: the reason has the stack of the code that
 * ended what was held, and says nothing about this call.
 *
 * @param mayBeApplied whether a request of the call may have been applied.
 */
export function lossOf(error: unknown, signals: readonly AnySignal[], mayBeApplied = false): unknown {
  return isLoss(error) && signals.some((signal) => signal.aborted && signal.reason === error)
    ? atCaller(error.forCaller(mayBeApplied))
    : error;
}

/** Throws why a session or a key is lost. */
export function throwIfLost(signal: AnySignal): void {
  if (signal.aborted) throw lossOf(signal.reason, [signal]);
}

/**
 * How long a call that gives up waits for its key to be removed, in ms. The removal continues in the background. A
 * server that answers has removed it by then, and one that doesn't must not delay the call any longer.
 */
const ABANDON_MS = 25;

/**
 * How long after its placing a key is watched, in ms. Most locks are released earlier, and a watch costs the client and
 * the server more than the lock itself.
 */
const UNWATCHED_MS = 50;

/** The same for a key that waits for its turn. Who waits does nothing yet that could go wrong. */
const UNWATCHED_WAITING_MS = 1_000;

/** A placed ephemeral key. */
export interface Ownership {
  readonly session: Session;
  readonly key: Uint8Array;
  readonly revision: bigint;
  /** Revision of the change that gave the key to the session. A leader's proclamations come after it. */
  readonly modRevision: bigint;
  readonly fence: Fence;
  /** Set where other claims of the session may have the same key. */
  readonly shared?: SharedKey;
}

/** An ephemeral key through which its session owns something. */
export class OwnedKey implements AsyncDisposable {
  readonly session: Session;
  /** The key in etcd, as the session's client or namespace addresses it. */
  readonly key: Uint8Array;
  /**
   * The revision that created the key, which is the fencing token. A later owner has a higher token, unless it resumed
   * this key.
   */
  readonly revision: bigint;
  /**
   * Aborts when this is no longer owned: with an {@link OwnershipLostError} when it was released, resumed by somebody
   * else, or its key deleted; with the session's {@link LeaseLostError} when the session is lost. `aborted`, `reason`
   * and `throwIfAborted()` check the clock, like `lost` of {@link LeaseKeepAlive}, so check the signal before each
   * step. It can't report a deletion or a takeover before the news arrives, nor what happens after the check. The key
   * is watched only once 50 ms have passed since it was placed, so that short locks need no watch. The watch then also
   * reports what happened in that time. If that matters, make changes in a transaction with {@link isOwner}, or pass
   * the fencing token along. The token distinguishes all owners except those that resumed the key.
   */
  get signal(): AbortSignal {
    return this.over.signal;
  }

  /** The same as `signal`. @internal */
  readonly over: LazySignal;
  readonly #modRevision: bigint;
  readonly #fence: Fence;
  readonly #shared: SharedKey | undefined;
  readonly #unlisten: (() => void) | undefined;
  #watched = false;
  /** Until the key is watched. */
  #unwatched: NodeJS.Timeout | undefined;
  #removal: Promise<void> | undefined;
  readonly #removing = new Progress();

  static {
    guardMethods<Pick<OwnedKey, 'isOwner' | 'toJSON'>>(OwnedKey, (it) => OwnedKey.is(it), {
      promised: {},
      direct: { isOwner: 0, toJSON: 0 },
    });
  }

  /** @internal */
  static is(it: object): boolean {
    return #modRevision in it;
  }

  /** @internal */
  constructor({ session, key, revision, modRevision, fence, shared }: Ownership) {
    this.session = session;
    this.key = key;
    this.revision = revision;
    this.#modRevision = modRevision;
    this.#fence = fence;
    this.#shared = shared;
    const { over } = session;
    // When this signal's state is read, the other signal updates it.
    this.over = new LazySignal(() => over.aborted);
    if (over.aborted) this.over.abort(over.reason);
    else {
      this.#unlisten = over.listen(() => this.#end(() => over.reason));
      this.#watchIn(UNWATCHED_MS);
      shared?.add(this);
    }
  }

  /**
   * A condition for a transaction: this is still owned. The key exists, and nobody has written it since. Resuming it is
   * such a write. It fits each view of the session's client or namespace, whatever codec the view has.
   */
  isOwner(): NumberCompare<never> {
    return compare.modRevision<never>(asRange(this.key), '=', this.#modRevision);
  }

  /**
   * The conditions for removing the key: it is still the same key, and nobody else's.
   * @internal
   */
  get mine(): readonly NumberCompare<Bytes>[] {
    return [this.isOwner()];
  }

  /**
   * Whether the key in this state is still owned by this object.
   * @internal
   */
  isMine(kv: KeyValue): boolean {
    return kv.modRevision === this.#modRevision;
  }

  /**
   * Throws why this is no longer owned, unless its lease is still live by the clock. Call it before handing the key
   * over.
   * @internal
   */
  async confirm(): Promise<void> {
    try {
      await this.session.confirm();
      this.over.throwIfAborted();
    } catch (error) {
      throw lossOf(error, [this.over, this.session.over]);
    }
  }

  /** For `JSON.stringify` and logs: what a program stores to resume the key, and its lease. */
  toJSON(): unknown {
    const { key, revision } = this;
    return jsonOf({ key, revision, leaseId: this.session.leaseId, held: !this.over.aborted });
  }

  /** For `console.log`. @internal */
  [inspect.custom](_depth: number, options: InspectOptionsStylized, show: typeof inspect): string {
    return `${this.constructor.name} ${show(this.toJSON(), options)}`;
  }

  /** Releases it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release({});
  }

  /**
   * Deletes the key, if it is still the same key. The bounds apply only to the wait. The removal continues until it is
   * done, or the lease has ended.
   *
   * @param also deletions in the same transaction.
   * @internal
   */
  async release(
    { signal, timeoutMs = 10_000 }: CallControl = {},
    also: readonly DeleteOp<Bytes>[] = [],
  ): Promise<void> {
    this.markReleased();
    this.#removal ??= this.#remove(also).catch((error: unknown) => {
      this.#removal = undefined;
      throw error;
    });
    await withinBounds(this.#removal, { signal, timeoutMs, progress: this.#removing });
  }

  /** @internal */
  releasedByOther(): void {
    this.markReleased();
    void this.#fence.raise();
  }

  /**
   * Removes a key that didn't win, unless another claim of the session has it.
   *
   * @returns whether the removal is already done.
   * @internal
   */
  async abandon(): Promise<boolean> {
    this.markReleased();
    return await inBackground(this.session, takeBack(this.#fence, this.#shared, this));
  }

  /**
   * Waits until no key of a range is older.
   *
   * @param known the youngest older key, where it was already read.
   * @internal
   */
  async untilFirst(blockers: KeyRange, waiting: AnySignal, known?: Blocker): Promise<void> {
    using linked = new LinkedSignal([waiting, this.over]);
    const { signal } = linked;
    const { space } = this.session;
    this.#watchIn(UNWATCHED_WAITING_MS);
    if (known !== undefined) await untilDeleted(space, known.key, known.revision, signal);
    const youngestOlder = op.range<Bytes>(blockers, {
      sortBy: 'createRevision',
      sortOrder: 'descend',
      limit: 1,
      keysOnly: true,
      maxCreateRevision: this.revision - 1n,
    });
    for (;;) {
      const { revision, responses } = await persist(
        (bound) =>
          space.txn(
            { success: [youngestOlder, op.get<Bytes>(this.key)] },
            { ...bound, requireLeader: 'wait', signal },
          ),
        signal,
      );
      const [older, own] = responses;
      if (own === undefined || !this.isMine(own)) throw this.gone(own);
      const blocker = older?.kvs[0];
      if (blocker === undefined) return this.#watchIn(UNWATCHED_MS);
      await untilDeleted(space, blocker.key, revision, signal);
    }
  }

  /**
   * Records that it was released. Mostly nobody asks for the error.
   * @internal
   */
  markReleased(): void {
    this.#end(() => new OwnershipLostError(this.key, 'released'));
  }

  /**
   * Records that it is no longer owned.
   * @internal
   */
  lose(why: Exclude<OwnershipLostReason, 'released'>, cause?: unknown): OwnershipLostError {
    const error = new OwnershipLostError(this.key, why, { cause });
    if (this.over.aborted) return error;
    this.#end(() => error);
    // A late copy of the attempt that placed the key would bring it back.
    if (this.#fence.uncertain) void this.abandon();
    return error;
  }

  /**
   * Records, for the present state of the key, that it is no longer owned.
   * @internal
   */
  gone(now: KeyValue | undefined): OwnershipLostError {
    return this.lose(now?.createRevision === this.revision ? 'resumed' : 'deleted');
  }

  /** Deletes the key, for all claims of the session that have it. */
  #remove(also: readonly DeleteOp<Bytes>[]): Promise<void> {
    return inTurn(this.#shared, () => {
      for (const other of this.#shared?.owners(this.revision) ?? []) other.releasedByOther();
      return this.#fence.remove(this, { also, progress: this.#removing });
    });
  }

  #end(makeReason: () => unknown): void {
    if (this.over.aborted) return;
    this.#unlisten?.();
    clearTimeout(this.#unwatched);
    this.over.abortWith(makeReason);
  }

  /** Begins to watch the key after this time, unless it is watched already. */
  #watchIn(ms: number): void {
    if (this.#watched || this.over.aborted) return;
    clearTimeout(this.#unwatched);
    this.#unwatched = setTimeout(() => void this.#guard(), ms).unref();
  }

  async #guard(): Promise<void> {
    this.#watched = true;
    try {
      const other = (kv: KeyValue): boolean => !this.isMine(kv);
      this.gone(await untilKey(this.session.space, this.key, this.#modRevision, other, this.over.signal));
    } catch (error) {
      if (!this.over.aborted) this.lose('unknown', error);
    }
  }
}

/** Runs an operation on a key. Where other claims of the session may have the key, waits for its turn. */
function inTurn<T>(shared: SharedKey | undefined, run: () => Promise<T>): Promise<T> {
  return shared === undefined ? run() : shared.inTurn(run);
}

/**
 * Takes back a key that was placed, or may have been placed, unless another claim of the session has it. Continues
 * until that is done, or the lease has ended.
 */
function takeBack(fence: Fence, shared: SharedKey | undefined, placed?: PlacedKey): Promise<void> {
  return inTurn(shared, () =>
    shared?.owners(placed?.revision).length ? fence.raise() : fence.remove(placed),
  );
}

/** Waits a moment for a removal that the session continues in the background. Resolves with whether it is done. */
async function inBackground(session: Session, removal: Promise<unknown>): Promise<boolean> {
  session.owns(removal.then(() => {}));
  return await soon(removal);
}

/** Whether a removal succeeds while a call that gives up waits for it. */
export async function soon(removal: Promise<unknown>): Promise<boolean> {
  let done = false;
  const removed = removal.then(
    (result) => {
      done = result !== false;
    },
    () => {},
  );
  await atMost(removed, ABANDON_MS);
  return done;
}

/** The failure of a call that gave up, while its key may still exist. */
function keyLeft(error: unknown): unknown {
  return mayBeApplied(error, 'its key may be there until etcd answers or the lease ends');
}

/**
 * The failure of a call that gave up, while something of it may stay.
 *
 * @param left what may stay, for the message.
 */
function mayBeApplied(error: unknown, left: string): unknown {
  if (isLoss(error)) return error.mayBeApplied ? error : atCaller(error.forCaller(true));
  if (!(error instanceof DeadlineExceededError) || !error.sent || error.mayBeApplied) return error;
  const { message, code, method, cause } = error;
  return new DeadlineExceededError(`${message}; ${left}`, {
    code,
    method,
    sent: true,
    mayBeApplied: true,
    cause,
  });
}

/** What to claim, and how. */
export interface Claim<Owned extends OwnedKey> {
  readonly session: Session;
  readonly key: Uint8Array;
  readonly value: Bytes;
  /** The claim holds once no key of this range is older. */
  readonly blockers: KeyRange;
  /** A key that belongs only to this claim, and blocks no waiter; see {@link Fence}. Called at each placing. */
  readonly fence: () => Uint8Array;
  /** Called once the key was deleted and nothing can bring it back: its name is free. */
  readonly gone?: () => void;
  /** Other claims of the session may have the same key. Default false. */
  readonly shared?: boolean;
  readonly own: (ownership: Ownership) => Owned;
  /** Called where the session already had the key, with this value. Resolves with whether it has changed the value. */
  readonly found?: (owned: Owned, value: Uint8Array, signal: AbortSignal) => Promise<boolean>;
}

/**
 * Puts a key and waits until no older key is in the way. If that fails, the key is removed: {@link OwnedKey.abandon}.
 */
export async function claim<Owned extends OwnedKey>(
  init: Claim<Owned>,
  options: AcquireOptions,
): Promise<Owned> {
  acquireOptions.check(options);
  const { signal, timeoutMs } = options;
  // A failed claim takes its key back.
  const bound = { timeoutMs, mayBeApplied: false };
  using linked = boundedIn(init.session, signal, bound);
  const waiting = linked ?? init.session.over;
  const condition = compare.missing<Bytes>(init.key);
  for (;;) {
    const placed = await place(init, condition, waiting);
    if (placed === undefined) {
      if (!init.shared) throw new OwnershipLostError(init.key, 'resumed');
      await untilOurs(init.session, init.key, waiting.signal);
      continue;
    }
    const { owned, before, blocker } = placed;
    return await handOver(owned, async () => {
      let changed = false;
      try {
        if (before !== undefined && init.found !== undefined) {
          changed = true;
          changed = await init.found(owned, before, waiting.signal);
        }
        if (blocker === 'none') return;
        await owned.untilFirst(init.blockers, waiting, blocker === 'unknown' ? undefined : blocker);
      } catch (error) {
        throw changed ? mayBeApplied(error, 'its new value may be there') : error;
      }
    });
  }
}

/** The session's signal with further bounds; `undefined` where there are none. */
function boundedIn(
  session: Session,
  signal: AbortSignal | undefined,
  bound: TimeBound,
): LinkedSignal | undefined {
  if (signal === undefined && bound.timeoutMs === undefined) return undefined;
  return new LinkedSignal([signal, session.over], bound);
}

/**
 * Waits until nobody else has the key. A session that resumed this session's earlier key has it under the same name.
 */
async function untilOurs(session: Session, key: Uint8Array, signal: AbortSignal): Promise<void> {
  await untilKey(session.space, key, undefined, ({ lease }) => lease === session.leaseId, signal);
}

/** Puts a key if nothing is in the way. Otherwise resolves with `undefined`. If it fails, the key is removed. */
export async function tryClaim<Owned extends OwnedKey>(
  init: Claim<Owned>,
  options: AcquireOptions,
): Promise<Owned | undefined> {
  acquireOptions.check(options);
  const { signal, timeoutMs } = options;
  using waiting = new LinkedSignal([signal, init.session.over], { timeoutMs, mayBeApplied: false });
  const placed = await place(init, compare.missing<Bytes>(init.blockers), waiting);
  return placed && (await handOver(placed.owned));
}

/**
 * Hands a placed key over to the caller, once it is prepared and its session is still live by the clock. If that fails,
 * the key is taken back.
 */
export async function handOver<Owned extends OwnedKey>(
  owned: Owned,
  prepare?: () => Promise<void>,
): Promise<Owned> {
  try {
    await prepare?.();
    await owned.confirm();
    return owned;
  } catch (error) {
    const { over, session } = owned;
    const lost = lossOf(error, [over, session.over]);
    throw (await owned.abandon()) ? lost : keyLeft(error);
  }
}

/** A key, and a revision at which it was there. */
interface Blocker {
  readonly key: Uint8Array;
  readonly revision: bigint;
}

interface Placed<Owned> {
  readonly owned: Owned;
  /** The value that the key had, where the session already had it. */
  readonly before: Uint8Array | undefined;
  /** The youngest key that is older, and so is in the way. */
  readonly blocker: Blocker | 'none' | 'unknown';
}

/** The key that is placed, and the one before it. */
const YOUNGEST = 2;

/**
 * Puts the key if the condition holds, or finds it; `undefined` where the condition doesn't hold, or somebody else has
 * the key.
 */
async function place<Owned extends OwnedKey>(
  { session, key, value, blockers, fence: fenceKey, gone, shared: isShared = false, own }: Claim<Owned>,
  condition: NumberCompare<Bytes>,
  waiting: AnySignal,
): Promise<Placed<Owned> | undefined> {
  throwIfLost(session.over);
  waiting.throwIfAborted();
  const fence = new Fence(session, key, fenceKey(), { unique: !isShared, gone });
  const shared = isShared ? SharedKey.of(session, key) : undefined;
  // The same transaction looks for the youngest older key, so that no second one is needed for that.
  const youngest = op.range<Bytes>(blockers, {
    sortBy: 'createRevision',
    sortOrder: 'descend',
    limit: YOUNGEST,
    keysOnly: true,
  });
  const attempt = async (bound: AttemptBound): Promise<Placed<Owned> | undefined> => {
    const result = await session.space.txn(
      {
        compare: [condition, ...fence.conditions],
        success: [op.put<Bytes, Bytes>(key, value, { lease: session.leaseId }), youngest],
        // The key exists if an unanswered attempt, or another attempt with the same lease, has put it.
        failure: [op.get<Bytes>(key), youngest],
      },
      bound,
    );
    const before = result.succeeded ? undefined : result.responses[0];
    // If it is attached to another lease, somebody else has resumed it.
    if (!result.succeeded && before?.lease !== session.leaseId) return undefined;
    const { revision } = result;
    const { createRevision, modRevision } = before ?? { createRevision: revision, modRevision: revision };
    const { kvs } = result.responses[1];
    const older = kvs.find((kv) => kv.createRevision < createRevision);
    // Others may have come after a key that was there before.
    const otherwise = kvs.length < YOUNGEST ? 'none' : 'unknown';
    const blocker = older === undefined ? otherwise : { key: older.key, revision };
    const owned = own({
      ...{ session, key, revision: createRevision, modRevision, fence },
      ...(shared && { shared }),
    });
    return { owned, before: before?.value, blocker };
  };
  const permitted = (bound: AttemptBound): Promise<Placed<Owned> | undefined> =>
    attempt(bound).catch((error: unknown) => {
      if (fence.isRefused(error)) return attempt(bound);
      throw error;
    });
  // Not cancelled with the wait: it may be applied anyway, and then the key has to be removed.
  const placing = inTurn(shared, async () => {
    // The turn may come late.
    waiting.throwIfAborted();
    const failed = (error: unknown): void => fence.attemptFailed(error);
    return await persist(permitted, session.over, { failed, progress: progressOf(waiting) });
  });
  const abandoned = async (): Promise<boolean> => {
    const placed = await placing.catch(() => undefined);
    if (placed !== undefined) return await placed.owned.abandon();
    if (fence.uncertain) await takeBack(fence, shared);
    return true;
  };
  const giveUp = (): Promise<boolean> => inBackground(session, abandoned());
  try {
    const placed = await unlessAborted(placing, waiting);
    if (placed === undefined) await giveUp();
    return placed;
  } catch (error) {
    throw (await giveUp()) ? lossOf(error, [session.over]) : keyLeft(error);
  }
}
