import { ClosedError, CompactedError, invalidArgument } from '../errors.js';
import { type Bytes, type KeyRange, prefix, toBytes, toKey } from '../key-range.js';
import type { KeyValue } from '../key-value.js';
import type { ReadOptions } from '../kv.js';
import type { Namespace } from '../namespace.js';
import type { CallControl } from '../rpc/rpc.js';
import { op } from '../txn.js';
import { LinkedSignal } from './linked-signal.js';
import { type AcquireOptions, claim, OwnedKey } from './owned-key.js';
import { backOff, mayPass } from './persist.js';
import type { Session } from './session.js';

/** A leadership that was won, until it is resigned or lost. `await using` resigns. */
export class Leadership extends OwnedKey {
  /**
   * Announces another value; observers see it.
   *
   * @throws OwnershipLostError when this isn't the leader any more.
   */
  async proclaim(value: Bytes, options: CallControl = {}): Promise<void> {
    if (this.signal.aborted) throw this.signal.reason;
    const { space, leaseId } = this.session;
    const { succeeded } = await space.txn(
      { compare: [this.isOwner()], success: [op.put<Bytes, Bytes>(this.key, value, { lease: leaseId })] },
      options,
    );
    if (!succeeded) throw this.lose('deleted');
  }

  /** Lets the next candidate lead. Idempotent. Does nothing when the session is lost: its leaderships are, too. */
  resign(options: CallControl = {}): Promise<void> {
    return this.release(options);
  }
}

/**
 * An election: of all sessions that campaign, the one that began first leads, and the next when it resigns or dies.
 * As clientv3's `concurrency.Election`, with which it works together on the same names.
 */
export class Election {
  readonly #space: Namespace;
  readonly #candidates: KeyRange;
  readonly #prefix: Uint8Array;

  /**
   * @param space a client, or a namespace of one; for `campaign` of sessions that were made with the same.
   * @param name what the election is for; keys start with it and a slash.
   */
  constructor(space: Namespace, name: Bytes) {
    this.#space = space;
    this.#prefix = Buffer.concat([toKey(name), Buffer.from('/')]);
    this.#candidates = prefix(this.#prefix);
  }

  /**
   * Waits until the session leads. A session has one candidacy in an election: if it campaigns already, or leads,
   * this is the same one, with the new value.
   *
   * @param value what the leader announces, such as its address.
   * @throws LeaseLostError when the session is lost before, DeadlineExceededError after `timeoutMs`.
   */
  async campaign(session: Session, value: Bytes, options: AcquireOptions = {}): Promise<Leadership> {
    this.#check(session);
    return claim(
      {
        session,
        key: Buffer.concat([this.#prefix, Buffer.from(session.leaseName)]),
        value,
        blockers: this.#candidates,
        own: newLeadership,
        found: async (candidacy, before) => {
          if (Buffer.compare(before, toBytes(value)) !== 0) await candidacy.proclaim(value);
        },
      },
      options,
    );
  }

  /**
   * Takes up a leadership or candidacy again that is there, after a restart for instance; its key now hangs on this
   * session.
   *
   * @param candidacy key and revision of a {@link Leadership}.
   * @throws OwnershipLostError when there is no such key any more.
   */
  async resume(
    session: Session,
    candidacy: Pick<Leadership, 'key' | 'revision'>,
    options: CallControl = {},
  ): Promise<Leadership> {
    this.#check(session);
    const leadership = newLeadership(session, candidacy.key, candidacy.revision);
    const { succeeded } = await this.#space.txn(
      {
        compare: [leadership.isOwner()],
        success: [op.put<Bytes, Bytes>(leadership.key, '', { ignoreValue: true, lease: session.leaseId })],
      },
      options,
    );
    if (!succeeded) throw leadership.lose('deleted');
    return leadership;
  }

  /** The leader's key, with the value that it announced last; `undefined` while there is none. */
  async leader(options: ReadOptions = {}): Promise<KeyValue | undefined> {
    const oldest = { sortBy: 'createRevision', limit: 1 } as const;
    return (await this.#space.range(this.#candidates, { ...options, ...oldest })).kvs[0];
  }

  /**
   * The leader now, if there is one, and from then on each new leader and each value that a leader proclaims, in
   * order, over broken connections and away from members that are cut off. A leader who came and went while nobody looked may be missed. Endless; its end
   * comes by leaving the loop, or by the signal with `signal.reason`.
   */
  async *observe(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<KeyValue, void, void> {
    using linked = new LinkedSignal([options.signal]);
    const { signal } = linked;
    let seen: KeyValue | undefined;
    for (let failures = 0; ; ) {
      try {
        const oldest = { sortBy: 'createRevision', limit: 1 } as const;
        const now = await this.#space.range(this.#candidates, { ...oldest, requireLeader: true, signal });
        let [leader] = now.kvs;
        let revision = now.revision;
        if (leader === undefined) {
          leader = await this.#firstCandidate(revision, signal);
          revision = leader.modRevision;
        }
        failures = 0;
        // The next leader's key is older than what the last one has proclaimed.
        const again =
          leader.createRevision === seen?.createRevision && leader.modRevision <= seen.modRevision;
        if (!again) {
          seen = leader;
          yield leader;
        }
        for await (const { type, kv } of this.#space.watch(leader.key, {
          startRevision: revision + 1n,
          requireLeader: 'wait',
          signal,
        })) {
          if (type === 'delete') break;
          seen = kv;
          yield kv;
        }
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof CompactedError) && !mayPass(error)) throw error;
        await backOff(failures++, signal);
      }
    }
  }

  /** The first candidate to come after a revision with none. */
  async #firstCandidate(revision: bigint, signal: AbortSignal): Promise<KeyValue> {
    const options = {
      startRevision: revision + 1n,
      filters: ['delete'],
      requireLeader: 'wait',
      signal,
    } as const;
    for await (const { kv } of this.#space.watch(this.#candidates, options)) return kv;
    throw new ClosedError();
  }

  #check(session: Session): void {
    if (Buffer.compare(session.space.prefix, this.#space.prefix) === 0) return;
    throw invalidArgument(
      'the session was made with another namespace than the election; use the same for both',
    );
  }
}

const newLeadership = (session: Session, key: Uint8Array, revision: bigint): Leadership =>
  new Leadership(session, key, revision);
