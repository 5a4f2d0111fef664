import type { LazySignal } from '../util/abort/lazy-signal.js';
import type { Session } from './session.js';

/** An owner of a key that was created at a revision, until `over` aborts. */
export interface KeyOwner {
  readonly over: LazySignal;
  readonly revision: bigint;
  /** Called when another owner has released the key. */
  releasedByOther(): void;
}

/**
 * A key that a session has only one of, however many of its calls claim it: a candidacy in an election. Operations on
 * the key run one after another, so that a claim doesn't find a key that is about to be deleted. The owners should be
 * read in such an operation, too.
 */
export class SharedKey {
  readonly #owners = new Set<KeyOwner>();
  #last: Promise<unknown> = Promise.resolve();

  /** The shared key of a session and a key. */
  static of(session: Session, key: Uint8Array): SharedKey {
    const keys = bySession.get(session) ?? new Map<string, SharedKey>();
    bySession.set(session, keys);
    const id = Buffer.from(key).toString('latin1');
    const shared = keys.get(id) ?? new SharedKey();
    keys.set(id, shared);
    return shared;
  }

  /** Counts the object as an owner until it stops being one. */
  add(owned: KeyOwner): void {
    this.#owners.add(owned);
    owned.over.listen(() => this.#owners.delete(owned));
  }

  /** The owners of the key that was created at this revision, or at any revision if none is given. */
  owners(revision?: bigint): KeyOwner[] {
    return [...this.#owners].filter(
      (owner) => !owner.over.aborted && (revision === undefined || owner.revision === revision),
    );
  }

  /** Runs an operation once all operations that began before it have settled. */
  inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(run);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

const bySession = new WeakMap<Session, Map<string, SharedKey>>();
