import { EtcdError, StatusCode } from '../errors.js';
import { type Bytes, type KeyRange, prefix, toKey } from '../kv/key-range.js';
import type { RangeResult } from '../kv/kv.js';
import { op } from '../kv/txn.js';
import { LinkedSignal } from '../util/abort/linked-signal.js';
import { checkArgument, positiveInteger } from '../util/kinds.js';
import { guardMethods, refuseMore } from '../util/methods.js';
import {
  type AcquireOptions,
  acquireOptions,
  claim,
  handOver,
  lossOf,
  OwnedKey,
  type Ownership,
} from './owned-key.js';
import { persist } from './persist.js';
import { type Session, sessionKind } from './session.js';
import { untilDeleted } from './until-deleted.js';
import { untilPut } from './until-put.js';

/**
 * Lets a number of sessions begin something together and end it together: nobody enters before all have come, and
 * nobody leaves before all are done. Corresponds to clientv3's `recipes.DoubleBarrier`, and works together with it on
 * the same keys. One object takes part once at a time.
 */
export class DoubleBarrier {
  readonly #session: Session;
  readonly #count: number;
  readonly #waiters: Buffer;
  readonly #ready: Buffer;
  /** A prefix outside the range in which the others look for participants. */
  readonly #fences: Buffer;
  #mine: OwnedKey | undefined;

  static {
    guardMethods<DoubleBarrier>(DoubleBarrier, (it) => #session in it, {
      promised: { enter: 1, leave: 1 },
      direct: {},
    });
  }

  /**
   * @param session the session that takes part. When it ends, it counts as having left.
   * @param key the barrier's name. Its keys start with this name and a slash.
   * @param count the number of participants.
   */
  constructor(session: Session, key: Bytes, count: number);
  constructor(session: Session, key: Bytes, count: number, ...more: readonly unknown[]) {
    refuseMore('new DoubleBarrier()', [session, key, count], more);
    checkArgument('count', positiveInteger, count);
    checkArgument('session', sessionKind, session);
    this.#session = session;
    this.#count = count;
    this.#waiters = Buffer.concat([toKey(key), Buffer.from('/waiters/')]);
    this.#ready = Buffer.concat([toKey(key), Buffer.from('/ready')]);
    this.#fences = Buffer.concat([toKey(key), Buffer.from('/fence/')]);
  }

  /**
   * Waits until all participants have entered.
   *
   * @throws EtcdError with code `FAILED_PRECONDITION` when `count` participants have already entered, LeaseLostError
   * when the session is lost meanwhile, DeadlineExceededError after `timeoutMs`. After an error it has not entered.
   */
  async enter(options: AcquireOptions = {}): Promise<void> {
    acquireOptions.check(options);
    await this.#enter(options).catch(this.#lost);
  }

  async #enter(options: AcquireOptions): Promise<void> {
    if (this.#mine !== undefined) throw this.#refused('this object has entered it; call leave() first');
    const bound = { timeoutMs: options.timeoutMs, mayBeApplied: false };
    using linked = new LinkedSignal([options.signal, this.#session.over], bound);
    const { signal } = linked;
    if ((await this.#entered(signal)).kvs.length >= this.#count) throw this.#tooMany();
    const name = this.#session.uniqueName();
    const key = Buffer.concat([this.#waiters, Buffer.from(name)]);
    const fence = (): Uint8Array => Buffer.concat([this.#fences, Buffer.from(name)]);
    const gone = (): void => this.#session.giveBack(name);
    const own = (ownership: Ownership): OwnedKey => new OwnedKey(ownership);
    const mine = await claim(
      { session: this.#session, key, value: '', blockers: prefix(key), fence, gone, own },
      { signal },
    );
    this.#mine = await handOver(mine, () => this.#untilReady(mine, signal));
  }

  /**
   * Waits until all participants have left, or died.
   *
   * @throws EtcdError with code `FAILED_PRECONDITION` when it has not entered, LeaseLostError when the session is lost
   * meanwhile, DeadlineExceededError after `timeoutMs`. After that, leave again or close the session.
   */
  async leave(options: AcquireOptions = {}): Promise<void> {
    acquireOptions.check(options);
    await this.#leave(options).catch(this.#lost);
  }

  async #leave(options: AcquireOptions): Promise<void> {
    const mine = this.#mine;
    if (mine === undefined) throw this.#refused('this object has not entered it; call enter() first');
    const bound = { timeoutMs: options.timeoutMs, mayBeApplied: true };
    using linked = new LinkedSignal([options.signal, this.#session.over], bound);
    const { signal } = linked;
    const { space } = this.#session;
    for (;;) {
      const { kvs, revision } = await this.#entered(signal);
      const [oldest] = kvs;
      const youngest = kvs.at(-1);
      if (oldest === undefined || youngest === undefined) break;
      if (oldest.createRevision !== mine.revision) {
        // All participants except the oldest go first, and then wait for the oldest.
        await mine.release({ signal, timeoutMs: Number.POSITIVE_INFINITY });
        await untilDeleted(space, oldest.key, revision, signal);
      } else if (kvs.length > 1) {
        await untilDeleted(space, youngest.key, revision, signal);
      } else {
        // In the same transaction, so that a late copy finds the key gone and doesn't disturb the next round.
        await mine.release({ signal, timeoutMs: Number.POSITIVE_INFINITY }, [op.delete<Bytes>(this.#ready)]);
      }
    }
    this.#mine = undefined;
  }

  readonly #lost = (error: unknown): never => {
    throw lossOf(error, [this.#session.over]);
  };

  async #untilReady(mine: OwnedKey, signal: AbortSignal): Promise<void> {
    const { space } = this.#session;
    using linked = new LinkedSignal([signal, mine.over]);
    const { kvs } = await this.#entered(linked.signal);
    const last = kvs[this.#count - 1];
    if (last !== undefined && mine.revision > last.createRevision) throw this.#tooMany();
    if (last?.createRevision === mine.revision) {
      // A late copy, applied after this one has left, would let the next ones in before all have come.
      const txn = { compare: [mine.isOwner()], success: [op.put<Bytes, Bytes>(this.#ready, '')] };
      const { succeeded } = await persist(
        (bound) => space.txn(txn, { ...bound, signal: linked.signal }),
        linked.signal,
      );
      if (!succeeded) throw mine.lose('deleted');
      return;
    }
    for (;;) {
      const now = await persist(
        (bound) => space.range(this.#ready, { ...bound, requireLeader: 'wait', signal: linked.signal }),
        linked.signal,
      );
      const [ready] = now.kvs;
      if (ready !== undefined && ready.modRevision > mine.revision) return;
      await untilPut(space, this.#ready, now.revision, linked.signal);
    }
  }

  /** The participants that have entered, the oldest first. */
  #entered(signal: AbortSignal): Promise<RangeResult> {
    const range: KeyRange = prefix(this.#waiters);
    return persist(
      (bound) =>
        this.#session.space.range(range, {
          ...bound,
          sortBy: 'createRevision',
          keysOnly: true,
          requireLeader: 'wait',
          signal,
        }),
      signal,
    );
  }

  #tooMany(): EtcdError {
    return this.#refused(`it is full: ${this.#count} have entered it`);
  }

  #refused(why: string): EtcdError {
    const name = JSON.stringify(this.#ready.subarray(0, -'/ready'.length).toString());
    return new EtcdError(`double barrier ${name}: ${why}`, {
      code: StatusCode.FAILED_PRECONDITION,
      sent: false,
    });
  }
}
