import { ClosedError, invalidArgument, isHistoryLost, StoreReplacedError } from '../errors.js';
import { asRange, type Bytes, type KeyRange, ownBytes, prefix, toKey } from '../kv/key-range.js';
import { type ReadOptions, readKinds } from '../kv/kv.js';
import { compare, type NumberCompare, op } from '../kv/txn.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import { type CallControl, callControl, describeCall } from '../rpc/rpc.js';
import { LinkedSignal } from '../util/abort/linked-signal.js';
import { Leavable } from '../util/item-iterator.js';
import { abortSignal, checkArgument } from '../util/kinds.js';
import { guardMethods, refuseMore } from '../util/methods.js';
import { Description } from '../util/options.js';
import { type Namespace, namespaceKind } from '../views/namespace.js';
import { Fence, fenceBeside } from './fence.js';
import {
  type AcquireOptions,
  acquireOptions,
  claim,
  lossOf,
  OwnedKey,
  type Ownership,
  throwIfLost,
} from './owned-key.js';
import { backOff, FIRST_ATTEMPT_MS, mayPass, persist } from './persist.js';
import { hangOn, type KeptKey, keptKey, ofKept } from './resume.js';
import { type Session, sessionKind } from './session.js';
import { SharedKey } from './shared-key.js';
import { putsAfter } from './until-put.js';

/** A leadership that was won, until it is resigned or lost. `await using` resigns. */
export class Leadership extends OwnedKey {
  /** Revision of the key's last known change. A late copy of an earlier proclamation has an older one. */
  #modRevision: bigint;

  static {
    guardMethods<Pick<Leadership, 'proclaim' | 'resign' | 'isOwner'>>(
      Leadership,
      (it) => #modRevision in it,
      { promised: { proclaim: 2, resign: 1 }, direct: { isOwner: 0 } },
    );
  }

  /** @internal */
  constructor(ownership: Ownership) {
    super(ownership);
    this.#modRevision = ownership.modRevision;
  }

  /**
   * A condition for a transaction: the candidacy still exists. It is the same condition as in clientv3. It still holds
   * after later proclamations, which a comparison of the last change would not. It also holds after another session has
   * resumed the leadership. If that can happen, compare the key's lease as well: `compare.lease(leadership.key, '=',
   * leadership.session.leaseId)`.
   */
  override isOwner(): NumberCompare<never> {
    return compare.createRevision<never>(asRange(this.key), '=', this.revision);
  }

  /** Proclamations change the key. Only resuming it changes its lease. @internal */
  override get mine(): readonly NumberCompare<Bytes>[] {
    return [this.isOwner(), compare.lease<Bytes>(this.key, '=', this.session.leaseId)];
  }

  /** Like {@link mine}. @internal */
  override isMine({ createRevision, lease }: KeyValue): boolean {
    return createRevision === this.revision && lease === this.session.leaseId;
  }

  /**
   * Announces another value, which observers see. While no server answers, the request is sent again, to another member
   * if there is one. An attempt that arrives late doesn't undo a later proclamation.
   *
   * @param options `timeoutMs` is 10 000 by default.
   * @throws OwnershipLostError when this is no longer the leader.
   */
  async proclaim(value: Bytes, options: CallControl = {}): Promise<void> {
    callControl.check(options);
    throwIfLost(this.over);
    const { space, leaseId } = this.session;
    const put = op.put<Bytes, Bytes>(this.key, ownBytes(value), { lease: leaseId });
    const { signal: given, timeoutMs = 10_000, ...control } = options;
    using linked = new LinkedSignal([given, this.over], { timeoutMs, mayBeApplied: true });
    const { signal } = linked;
    for (;;) {
      const unchanged = compare.modRevision<Bytes>(this.key, '=', this.#modRevision);
      const txn = { compare: [unchanged], success: [put], failure: [op.get<Bytes>(this.key)] } as const;
      // The signal ends the attempt, too: one that waits for a server would be sent after the call has failed.
      const result = await persist((bound) => space.txn(txn, { ...bound, ...control, signal }), signal).catch(
        (error: unknown) => {
          // The attempt in flight may be applied. The signal's reason does not say so.
          throw lossOf(error, [this.over], true);
        },
      );
      if (result.succeeded) {
        this.#modRevision = result.revision;
        return;
      }
      const [now] = result.responses;
      if (now === undefined || !this.isMine(now)) throw this.gone(now);
      this.#modRevision = now.modRevision;
    }
  }

  /**
   * Lets the next candidate lead. Idempotent. Does nothing if the session is lost, since its leaderships are lost with
   * it.
   */
  async resign(options: CallControl = {}): Promise<void> {
    callControl.check(options);
    await this.release(options);
  }
}

const leaderOptions = describeCall<ReadOptions>('leader()', readKinds);

/** How to observe an election. */
export interface ObserveOptions {
  /** Ends the loop, with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
}

const observeOptions = new Description<ObserveOptions>('observe()', { signal: abortSignal });

/**
 * An election. Of all sessions that campaign, the one that began first leads; when it resigns or dies, the next one
 * leads. Corresponds to clientv3's `concurrency.Election`, and works together with it on the same names.
 */
export class Election {
  readonly #space: Namespace;
  readonly #candidates: KeyRange;
  readonly #prefix: Uint8Array;

  static {
    guardMethods<Election>(Election, (it) => #space in it, {
      promised: { campaign: 3, resume: 3, leader: 1 },
      direct: { observe: 1 },
    });
  }

  /**
   * @param space a client, or a namespace of one. `campaign` takes sessions that were made with the same one.
   * @param name the election's name. Its keys start with the name and a slash, its fences with the name and `~fence/`.
   * Don't use a name that begins with another name and a slash: an election `a` takes the keys of `a/b` for its own.
   */
  constructor(space: Namespace, name: Bytes);
  constructor(space: Namespace, name: Bytes, ...more: readonly unknown[]) {
    refuseMore('new Election()', [space, name], more);
    checkArgument('space', namespaceKind, space);
    this.#space = space;
    this.#prefix = Buffer.concat([toKey(name), Buffer.from('/')]);
    this.#candidates = prefix(this.#prefix);
  }

  /**
   * Waits until the session leads. A session has one candidacy in an election. If it campaigns or leads already, this
   * call joins that candidacy, with the new value. Giving up one of these calls leaves the candidacy to the others;
   * resigning ends it for all. A candidacy that was given up, or resigned, is gone before the session makes another.
   *
   * If another session has resumed this session's candidacy, the call waits until that candidacy ends, and then
   * campaigns again.
   *
   * @param value what the leader announces, such as its address.
   * @throws LeaseLostError when the session is lost meanwhile, OwnershipLostError when the candidacy is (the key was
   * deleted, another session resumed it, or another call of the session resigned), DeadlineExceededError after
   * `timeoutMs`.
   */
  async campaign(session: Session, value: Bytes, options: AcquireOptions = {}): Promise<Leadership> {
    this.#check(session);
    acquireOptions.check(options);
    const announced = ownBytes(value);
    return claim(
      {
        session,
        key: Buffer.concat([this.#prefix, Buffer.from(session.leaseName)]),
        fence: () => fenceBeside(this.#prefix, session.uniqueName()),
        shared: true,
        value: announced,
        blockers: this.#candidates,
        own: (ownership) => new Leadership(ownership),
        found: async (candidacy, before, signal) => {
          if (Buffer.compare(before, announced) === 0) return false;
          await candidacy.proclaim(announced, { signal, timeoutMs: Number.POSITIVE_INFINITY });
          return true;
        },
      },
      options,
    );
  }

  /**
   * Resumes an existing leadership or candidacy, for instance after a restart. Its key is then attached to this
   * session's lease.
   *
   * An earlier leader that is still alive loses its leadership. Its signal aborts with an {@link OwnershipLostError}
   * for `resumed` as soon as the news arrives, or when its lease runs out at the latest. Its `proclaim()` is refused,
   * and its `resign()` changes nothing. Its `isOwner()` still holds. In the same session, the call joins the candidacy,
   * as `campaign` does.
   *
   * @param candidacy key and revision of a {@link Leadership}.
   * @param options `timeoutMs` bounds the whole operation. By default each request has its own deadline.
   * @throws OwnershipLostError when the key no longer exists, LeaseLostError when the session is lost.
   */
  async resume(session: Session, candidacy: KeptKey, options: CallControl = {}): Promise<Leadership> {
    this.#check(session);
    checkArgument('candidacy', keptKey, candidacy);
    callControl.check(options);
    const { key, revision } = ofKept(candidacy);
    const modRevision = await hangOn(session, { key, revision }, options, 'the candidacy was not resumed');
    const fence = new Fence(session, key, fenceBeside(this.#prefix, session.uniqueName()), {
      unique: false,
    });
    const shared = SharedKey.of(session, key);
    const leadership = new Leadership({ session, key, revision, modRevision, fence, shared });
    await leadership.confirm();
    return leadership;
  }

  /** The leader's key with the value that it announced last, or `undefined` if there is no leader. */
  async leader(options: ReadOptions = {}): Promise<KeyValue | undefined> {
    leaderOptions.check(options);
    const oldest = { sortBy: 'createRevision', limit: 1 } as const;
    return (await this.#space.range(this.#candidates, { ...options, ...oldest })).kvs[0];
  }

  /**
   * Yields the present leader, if there is one, and then each new leader and each proclaimed value, in order. It
   * continues after broken connections, and leaves members that are cut off from the cluster. A leader that came and
   * went between two reads may be missed. The loop never ends by itself: leave it, or abort the signal, which makes it
   * throw `signal.reason`.
   */
  observe(options: ObserveOptions = {}): AsyncGenerator<KeyValue, void, void> {
    observeOptions.check(options);
    const leaving = new AbortController();
    return new Leavable(this.#observe([options.signal, leaving.signal]), () => leaving.abort());
  }

  async *#observe(signals: readonly (AbortSignal | undefined)[]): AsyncGenerator<KeyValue, void, void> {
    using linked = new LinkedSignal(signals);
    const { signal } = linked;
    let seen: KeyValue | undefined;
    for (let failures = 0; ; ) {
      try {
        const oldest = { sortBy: 'createRevision', limit: 1 } as const;
        const bound = { attemptAtMostMs: FIRST_ATTEMPT_MS, requireLeader: 'wait', signal } as const;
        const now = await this.#space.range(this.#candidates, { ...oldest, ...bound });
        let [leader] = now.kvs;
        let revision = now.revision;
        if (leader === undefined) {
          leader = await this.#firstCandidate(revision, signal);
          revision = leader.modRevision;
        }
        failures = 0;
        // The next leader's key is older than the last leader's proclamation.
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
        if (!isHistoryLost(error) && !mayPass(error)) throw error;
        // The revisions of another store say nothing about this one. Its leader may have gone back to an earlier value.
        if (error instanceof StoreReplacedError) seen = undefined;
        await backOff(failures++, signal);
      }
    }
  }

  /** Waits for the first candidate after a revision at which there was none. */
  async #firstCandidate(revision: bigint, signal: AbortSignal): Promise<KeyValue> {
    for await (const { kv } of this.#space.watch(this.#candidates, putsAfter(revision, signal))) return kv;
    throw new ClosedError();
  }

  #check(session: Session): void {
    checkArgument('session', sessionKind, session);
    if (Buffer.compare(session.space.prefix, this.#space.prefix) === 0) return;
    throw invalidArgument("the session's namespace differs from the election's; use the same for both");
  }
}
