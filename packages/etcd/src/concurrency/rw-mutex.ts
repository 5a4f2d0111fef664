import type { Bytes, KeyRange } from '../kv/key-range.js';
import { prefix, toKey } from '../kv/key-range.js';
import { checkArgument } from '../util/kinds.js';
import { guardMethods, refuseMore } from '../util/methods.js';
import { fenceBeside } from './fence.js';
import { Lock } from './mutex.js';
import { type AcquireOptions, claim } from './owned-key.js';
import { type Session, sessionKind } from './session.js';

/**
 * A lock that is shared by readers or held by one writer. They get it in the order in which they came: readers that
 * come after a waiting writer wait for it. Corresponds to clientv3's `recipes.RWMutex`.
 */
export class RwMutex {
  readonly #session: Session;
  readonly #prefix: Uint8Array;

  static {
    guardMethods<RwMutex>(RwMutex, (it) => #session in it, {
      promised: { readLock: 1, writeLock: 1 },
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
    refuseMore('new RwMutex()', [session, name], more);
    checkArgument('session', sessionKind, session);
    this.#session = session;
    this.#prefix = Buffer.concat([toKey(name), Buffer.from('/')]);
  }

  /** Waits until no writer is ahead. Other readers may hold the lock, too. Throws what `Mutex.lock` throws. */
  readLock(options: AcquireOptions = {}): Promise<Lock> {
    return this.#lock('read/', prefix(this.#path('write')), options);
  }

  /** Waits until nobody is ahead. Throws what `Mutex.lock` throws. */
  writeLock(options: AcquireOptions = {}): Promise<Lock> {
    return this.#lock('write/', prefix(this.#prefix), options);
  }

  #lock(kind: string, blockers: KeyRange, options: AcquireOptions): Promise<Lock> {
    const session = this.#session;
    const name = session.uniqueName();
    return claim(
      {
        session,
        key: this.#path(kind + name),
        fence: () => fenceBeside(this.#prefix, name),
        gone: () => session.giveBack(name),
        value: '',
        blockers,
        own: (ownership) => new Lock(ownership),
      },
      options,
    );
  }

  #path(rest: string): Uint8Array {
    return Buffer.concat([this.#prefix, Buffer.from(rest)]);
  }
}
