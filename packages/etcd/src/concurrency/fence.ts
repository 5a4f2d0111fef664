import {
  ClosedError,
  EtcdError,
  LeaseNotFoundError,
  NoSpaceError,
  PermissionDeniedError,
} from '../errors.js';
import { type Bytes, toBytes } from '../kv/key-range.js';
import { compare, type DeleteOp, type NumberCompare, op } from '../kv/txn.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import type { AnySignal } from '../util/abort/lazy-signal.js';
import { LinkedSignal } from '../util/abort/linked-signal.js';
import type { Progress } from '../util/progress.js';
import { unlessAborted } from '../util/wait.js';
import { mayPass, persist } from './persist.js';
import type { Session } from './session.js';
import { untilPut } from './until-put.js';

/** No key has this creation revision. */
const NEVER = 2n ** 63n - 1n;

/** A placed key. */
export interface PlacedKey {
  /** Revision that created it. */
  readonly revision: bigint;
  /** The conditions under which it is still the same key, and nobody else's. */
  readonly mine: readonly NumberCompare<Bytes>[];
}

/** How a key is placed. */
export interface Placing {
  /** Whether no other placing has the key meanwhile. */
  readonly unique: boolean;
  /** The lease that the key was placed with, if it was not the session's. The fence has to last as long. */
  readonly lease?: bigint | undefined;
  /** Called at most once: the key was deleted, and nothing can bring it back. */
  readonly gone?: (() => void) | undefined;
}

/** Options for removing a key. */
export interface Removal {
  /** Deletions in the same transaction. */
  readonly also?: readonly DeleteOp<Bytes>[];
  readonly progress?: Progress;
}

/** For each key without a fence, the task that removes late copies of the session's puts. */
const sweepers = new WeakMap<Session, Map<string, AbortController>>();

/**
 * Guards the placing of one key against its own late copies. An attempt whose answer was lost may be applied after the
 * key was deleted. It would bring the key back, and nobody would know. So each attempt requires that the fence, a key
 * that belongs only to this placing, is missing. After an attempt with an unknown outcome, the transaction that deletes
 * the key also puts up the fence. The fence is attached to the lease that the key was placed with. Once that lease has
 * ended, a late copy fails anyway. Until then the fence has to stay, even when a session that resumed the key is
 * closed.
 *
 * If the fence may not be written (the permissions end at the keys themselves, or the store is full), late copies are
 * deleted as soon as they are seen, as long as the session lasts.
 */
export class Fence {
  readonly #session: Session;
  readonly #key: Uint8Array;
  readonly #fence: Uint8Array;
  readonly #lease: bigint;
  readonly #unique: boolean;
  #gone: (() => void) | undefined;
  #uncertain = false;
  #permitted = true;

  /**
   * @param key the key to place.
   * @param fence the key that guards it. No other placing has this fence meanwhile.
   */
  constructor(
    session: Session,
    key: Uint8Array,
    fence: Uint8Array,
    { unique, lease = session.leaseId, gone }: Placing,
  ) {
    this.#session = session;
    this.#key = key;
    this.#fence = fence;
    this.#lease = lease;
    this.#unique = unique;
    this.#gone = gone;
    const sweeper = sweepers.get(session)?.get(idOf(key));
    if (sweeper === undefined) return;
    // From now on, late copies belong to this placing.
    sweeper.abort();
    this.#uncertain = true;
    this.#permitted = false;
  }

  /** Whether an attempt at placing the key may still be applied. */
  get uncertain(): boolean {
    return this.#uncertain;
  }

  /** The conditions of each attempt at placing the key. */
  get conditions(): NumberCompare<Bytes>[] {
    return this.#permitted ? [compare.missing<Bytes>(this.#fence)] : [];
  }

  /** Records that an attempt at placing the key that isn't known here may still be applied. */
  doubt(): void {
    this.#uncertain = true;
  }

  /** Records that an attempt at placing the key has failed. */
  attemptFailed(error: unknown): void {
    this.#uncertain ||= !(error instanceof EtcdError) || error.mayBeApplied;
  }

  /** Whether the attempt failed because of the fence, and should be repeated without it. */
  isRefused(error: unknown): boolean {
    if (!this.#permitted || !(error instanceof PermissionDeniedError)) return false;
    this.#permitted = false;
    return true;
  }

  /**
   * Deletes the key, if it is still as it was placed, and makes sure that no late copy of its placing brings it back.
   * Continues after broken connections until the lease has ended, and the key with it.
   *
   * @param placed `undefined` where it isn't known whether the key is there.
   */
  async remove(placed: PlacedKey | undefined, removal: Removal = {}): Promise<void> {
    const { also = [], progress } = removal;
    const { ended } = this.#session;
    try {
      if (this.#uncertain && this.#permitted) {
        try {
          await unlessAborted(this.#removeFenced(placed, removal, ended), ended);
          return;
        } catch (error) {
          // When the lease of the placing has ended, late copies can no longer be applied.
          if (error instanceof LeaseNotFoundError && this.#lease !== this.#session.leaseId) {
            this.#uncertain = false;
          } else if (!(error instanceof PermissionDeniedError || error instanceof NoSpaceError)) throw error;
        }
      }
      if (placed !== undefined) {
        const success = [op.delete<Bytes>(this.#key), ...also];
        const txn = { compare: placed.mine, success };
        const { succeeded } = await unlessAborted(
          persist((bound) => this.#session.space.txn(txn, bound), ended, { progress }),
          ended,
        );
        if (succeeded && !this.#uncertain) this.#reportGone();
      }
      if (this.#uncertain) void this.#sweep();
    } catch (error) {
      if (!ended.aborted) throw error;
      // The key stays until the lease expires: nobody can remove it through a closed client.
      if (ended.reason?.why === 'halted') throw new ClosedError();
    }
  }

  /** Makes an attempt with an unknown outcome harmless, and leaves the key to whoever has it. */
  async raise(): Promise<void> {
    if (!this.#uncertain || !this.#permitted) return;
    const { space, ended } = this.#session;
    const put = persist((bound) => space.put(this.#fence, '', { lease: this.#lease, ...bound }), ended);
    await unlessAborted(put, ended).catch(() => {});
  }

  #reportGone(): void {
    const gone = this.#gone;
    this.#gone = undefined;
    gone?.();
  }

  async #removeFenced(
    placed: PlacedKey | undefined,
    { also = [], progress }: Removal,
    signal: AnySignal,
  ): Promise<void> {
    const { space } = this.#session;
    const raise = op.put<Bytes, Bytes>(this.#fence, '', { lease: this.#lease });
    const result = await persist(
      (bound) =>
        space.txn(
          {
            compare: placed?.mine ?? [compare.createRevision<Bytes>(this.#key, '=', NEVER)],
            success: [raise, op.delete<Bytes>(this.#key), ...also],
            failure: [raise, op.get<Bytes>(this.#key)],
          },
          bound,
        ),
      signal,
      { progress },
    );
    if (result.succeeded) return;
    // Another placing may have the same key by now. This placing's key may be there although the attempt was never
    // answered.
    const stray = result.responses[1];
    if (stray === undefined || !(this.#unique || placed === undefined)) return;
    // If it is the same key, but changed, somebody has resumed it.
    if (stray.createRevision !== placed?.revision) await this.#removeStray(stray, signal);
  }

  /** Deletes a key that was placed by an unanswered attempt, unless it is somebody else's. */
  async #removeStray({ lease, modRevision }: KeyValue, signal: AnySignal): Promise<void> {
    const { space, leaseId } = this.#session;
    if (lease !== leaseId) return;
    const unchanged = compare.modRevision<Bytes>(this.#key, '=', modRevision);
    const txn = { compare: [unchanged], success: [op.delete<Bytes>(this.#key)] };
    await persist((bound) => space.txn(txn, bound), signal);
  }

  /** Deletes late copies of the key until the lease has ended, or the session places the key again. */
  async #sweep(): Promise<void> {
    const { space, leaseId, ended } = this.#session;
    const control = new AbortController();
    const mine = sweepers.get(this.#session) ?? new Map<string, AbortController>();
    const id = idOf(this.#key);
    mine.get(id)?.abort();
    sweepers.set(this.#session, mine.set(id, control));
    using linked = new LinkedSignal([control.signal, ended]);
    const { signal } = linked;
    try {
      for (;;) {
        const { kvs, revision } = await persist(
          (bound) => space.range(this.#key, { ...bound, keysOnly: true, requireLeader: 'wait', signal }),
          signal,
        );
        signal.throwIfAborted();
        const [late] = kvs;
        if (late?.lease === leaseId) await this.#removeStray(late, signal);
        else await untilPut(space, this.#key, revision, signal);
      }
    } catch (error) {
      // The session's end and the next placing are not failures. Nobody is left who could be notified of another
      // failure.
      if (!signal.aborted && mayPass(error)) void this.#sweep();
    }
  }
}

/**
 * The fence of a key that starts with `name/`. The fence itself must not start with that: a waiter takes each older key
 * there for a holder, here and in clientv3. It starts with the name. So it is within permissions and namespaces that
 * cover more than just these keys.
 *
 * @param keys the name and a slash.
 * @param unique a part that no other placing has.
 */
export function fenceBeside(keys: Uint8Array, unique: Bytes): Uint8Array {
  return Buffer.concat([keys.subarray(0, -1), Buffer.from('~fence/'), toBytes(unique)]);
}

const idOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1');
