import { invalidArgument } from '../errors.js';
import type { Bytes } from '../kv/key-range.js';
import { prefix, toKey } from '../kv/key-range.js';
import { type CallControl, callControl } from '../rpc/rpc.js';
import { LinkedSignal } from '../util/abort/linked-signal.js';
import { checkArgument } from '../util/kinds.js';
import { guardMethods, refuseMore } from '../util/methods.js';
import { Fence, fenceBeside } from './fence.js';
import {
  type AcquireOptions,
  acquireOptions,
  type Claim,
  claim,
  handOver,
  OwnedKey,
  tryClaim,
} from './owned-key.js';
import { hangOn, type KeptKey, keptKey, ofKept } from './resume.js';
import { leaseOf, type Session, sessionKind } from './session.js';

/** A lock that is held, until it is unlocked or lost. `await using` unlocks it. */
export class Lock extends OwnedKey {
  static {
    guardMethods<Omit<Lock, keyof OwnedKey>>(Lock, OwnedKey.is, { promised: { unlock: 1 }, direct: {} });
  }

  /**
   * Passes the lock to the next waiter. Idempotent. Does nothing if the session is lost, since its locks are lost with
   * it.
   *
   * @throws ClosedError when the client was already closed: the lock ends with the lease's TTL. DeadlineExceededError
   * after `timeoutMs` (default 10 000): the lock is then released in the background.
   */
  async unlock(options: CallControl = {}): Promise<void> {
    callControl.check(options);
    await this.release(options);
  }
}

/**
 * A fair lock with one holder at a time among all clients of a cluster: the one that has waited longest gets it.
 * Corresponds to clientv3's `concurrency.Mutex`, and works together with it on the same names. Unlike there, mutexes of
 * the same session exclude each other, too.
 */
export class Mutex {
  readonly #session: Session;
  readonly #prefix: Uint8Array;

  static {
    guardMethods<Mutex>(Mutex, (it) => #session in it, {
      promised: { lock: 1, tryLock: 1, resume: 2 },
      direct: {},
    });
  }

  /**
   * @param session the session that holds the lock. When it ends, the lock is released.
   * @param name the lock's name. Its keys start with the name and a slash, its fences with the name and `~fence/`.
   * Don't use a name that begins with another name and a slash: a lock `a` takes the keys of `a/b` for its own.
   */
  constructor(session: Session, name: Bytes);
  constructor(session: Session, name: Bytes, ...more: readonly unknown[]) {
    refuseMore('new Mutex()', [session, name], more);
    checkArgument('session', sessionKind, session);
    this.#session = session;
    this.#prefix = Buffer.concat([toKey(name), Buffer.from('/')]);
  }

  /**
   * Waits for the lock.
   *
   * @throws LeaseLostError when the session is lost meanwhile, OwnershipLostError when the waiting key was deleted, as
   * in a store that was replaced, DeadlineExceededError after `timeoutMs`.
   */
  lock(options: AcquireOptions = {}): Promise<Lock> {
    return claim(this.#claim(), options);
  }

  /**
   * Takes the lock if nobody holds it or waits for it. Otherwise resolves with `undefined`.
   *
   * @param options `timeoutMs` is 10 000 by default.
   * @throws the errors of {@link Mutex.lock}.
   */
  async tryLock(options: AcquireOptions = {}): Promise<Lock | undefined> {
    acquireOptions.check(options);
    const { signal, timeoutMs = 10_000 } = options;
    return await tryClaim(this.#claim(), { signal, timeoutMs });
  }

  /**
   * Resumes an existing lock, for instance after a restart within its lease's TTL. Its key is then attached to this
   * session's lease and keeps its place in the order. Waits until there is no older key, as {@link Mutex.lock} does.
   * For a lock that was held there is none.
   *
   * An earlier holder that is still alive loses the lock, even in the same session. Its `isOwner()` no longer holds,
   * and its `unlock()` changes nothing. Its signal aborts with an {@link OwnershipLostError} for `resumed` as soon as
   * the news arrives, or when its lease runs out at the latest. Until then it may believe that it holds the lock.
   * Anything that must not be done twice needs a transaction with `isOwner()`.
   *
   * @param lock key and revision of a {@link Lock} of this name, which its program has stored.
   * @throws InvalidArgumentError when the key is not one of this mutex; OwnershipLostError when the key no longer
   * exists, or somebody else resumes it meanwhile; otherwise the errors of {@link Mutex.lock}, and then the lock is
   * given up. If the error's `mayBeApplied` is true, this session may hold the lock anyway: resume it again, or close
   * the session.
   */
  async resume(lock: KeptKey, options: AcquireOptions = {}): Promise<Lock> {
    checkArgument('lock', keptKey, lock);
    acquireOptions.check(options);
    const session = this.#session;
    const { key, revision } = ofKept(lock);
    const { length } = this.#prefix;
    if (Buffer.compare(key.subarray(0, length), this.#prefix) !== 0 || key.length === length) {
      throw invalidArgument(
        `${JSON.stringify(Buffer.from(key).toString())} is not a key of this mutex; its keys start with ${JSON.stringify(Buffer.from(this.#prefix).toString())}`,
      );
    }
    // The key may be attached to this session's lease by then.
    const bound = { timeoutMs: options.timeoutMs, mayBeApplied: true };
    using waiting = new LinkedSignal([options.signal, session.over], bound);
    const { signal } = waiting;
    const modRevision = await hangOn(session, { key, revision }, { signal }, 'the lock was not resumed');
    const name = key.subarray(length);
    const fence = new Fence(session, key, fenceBeside(this.#prefix, name), {
      unique: true,
      lease: leaseOf(name),
    });
    // Late attempts of the earlier program at placing the key may still arrive.
    fence.doubt();
    const held = new Lock({ session, key, revision, modRevision, fence });
    return await handOver(held, () => held.untilFirst(prefix(this.#prefix), signal));
  }

  #claim(): Claim<Lock> {
    const session = this.#session;
    const name = session.uniqueName();
    return {
      session,
      key: Buffer.concat([this.#prefix, Buffer.from(name)]),
      fence: () => fenceBeside(this.#prefix, name),
      gone: () => session.giveBack(name),
      value: '',
      blockers: prefix(this.#prefix),
      own: (ownership) => new Lock(ownership),
    };
  }
}
