import type { InspectOptionsStylized } from 'node:util';
import { inspect } from '../built-in.js';
import { ClosedError, EtcdError, invalidArgument, LeaseNotFoundError } from '../errors.js';
import { jsonOf } from '../json.js';
import { LeaseKeepAlive } from '../lease/keep-alive.js';
import { LeaseLostError } from '../lease/lease-lost.js';
import { reopenMs } from '../rpc/backoff.js';
import { restOfTime } from '../rpc/rest-of-time.js';
import { type CallControl, callControl, describeCall } from '../rpc/rpc.js';
import { LazySignal } from '../util/abort/lazy-signal.js';
import { LinkedSignal, withinBounds } from '../util/abort/linked-signal.js';
import { type Int64, int64, signedInt64 } from '../util/int64.js';
import { checkArgument, type Kind, withMethods } from '../util/kinds.js';
import { guardFunctions, guardMethods } from '../util/methods.js';
import { Progress } from '../util/progress.js';
import { clearTimeout, LONGEST_TIMER_MS, setTimeout } from '../util/timers.js';
import { pause, unlessAborted } from '../util/wait.js';
import { type Namespace, namespaceKind } from '../views/namespace.js';
import { FIRST_ATTEMPT_MS, persist } from './persist.js';
import { randomBytes } from './random.js';

/** Options of {@link Session.create}. */
export interface SessionOptions extends CallControl {
  /** TTL of the lease that is granted, in seconds. Default 60, as in clientv3. */
  readonly ttlSeconds?: Int64 | undefined;
  /** Use this existing lease instead of a new one. It has its own TTL, so give only one of the two options. */
  readonly leaseId?: Int64 | undefined;
}

const sessionOptions = describeCall<SessionOptions>(
  'Session.create()',
  { ttlSeconds: int64, leaseId: signedInt64 },
  {
    hints: {
      ttl: 'did you mean ttlSeconds?',
      lease: 'did you mean leaseId?',
    },
    example: '{ ttlSeconds: 30 }',
  },
);

/**
 * A lease that is kept alive for as long as its holder lives. Locks, elections and other ephemeral keys are attached to
 * it. When the holder dies, or loses its connection for longer than the TTL, these keys are deleted. Corresponds to
 * clientv3's `concurrency.Session`.
 *
 * An open session keeps the process alive as a call would, unless the client's `unref()` was called.
 */
export class Session implements AsyncDisposable {
  /** The client or namespace that the session was made with. It contains the keys of its locks and elections. */
  readonly space: Namespace;
  readonly leaseId: bigint;
  readonly #keepAlive: LeaseKeepAlive;
  /** The same as `signal`. @internal */
  readonly over = new LazySignal<LeaseLostError>(() => {
    const { loss } = this.#keepAlive;
    if (loss !== undefined) this.#lose(loss);
  });
  /**
   * Aborts, some time after `over`, when nothing of the session is left at the server, as far as this client can know.
   * @internal
   */
  readonly ended = new LazySignal<LeaseLostError>();
  #ending: NodeJS.Timeout | undefined;
  /** Somebody else may make a session on the same lease, with names of their own. */
  readonly #nonce = randomBytes(4).toString('hex');
  /** Removals of keys that were given up, as long as they are under way. */
  readonly #removals = new Set<Promise<void>>();
  #closing: Promise<void> | undefined;
  readonly #revoking = new Progress();
  /** Whether an attempt at revoking the lease may still be applied. */
  #mayBeRevoked = false;
  #names = 0;
  readonly #freeNames: string[] = [];

  static {
    guardMethods<Pick<Session, 'close' | 'orphan' | 'toJSON'>>(Session, (it) => #keepAlive in it, {
      promised: { close: 1 },
      direct: { orphan: 0, toJSON: 0 },
    });
    guardFunctions<Pick<typeof Session, 'create'>>('Session', Session, {
      promised: { create: 2 },
      direct: {},
    });
  }

  private constructor(space: Namespace, keepAlive: LeaseKeepAlive) {
    if (!(keepAlive instanceof LeaseKeepAlive)) {
      throw invalidArgument('a session is made by Session.create(): write await Session.create(etcd)');
    }
    this.space = space;
    this.leaseId = keepAlive.leaseId;
    this.#keepAlive = keepAlive;
    if (keepAlive.loss !== undefined) this.#lose(keepAlive.loss);
    else keepAlive.onLost((loss) => this.#lose(loss));
  }

  /**
   * Aborts when what the session guards can no longer be relied on, with a {@link LeaseLostError} as its reason: the
   * lease is lost, or the session was closed or orphaned. It checks the clock whenever its state is read, like `lost`
   * of {@link LeaseKeepAlive}.
   */
  get signal(): AbortSignal {
    return this.over.signal;
  }

  /**
   * Grants a lease and keeps it alive. If that fails, the new lease is revoked in the background, as soon as etcd answers.
   * Then `mayBeApplied` is true.
   *
   * @param space a client, or a namespace of one.
   * @param options `signal` and `timeoutMs` are for the whole call. Once the session exists, they have no effect.
   * @throws LeaseNotFoundError when there is no lease `leaseId`, or it has run out meanwhile; LeaseLostError when it
   * has run out by this process's clock.
   */
  static async create(space: Namespace, options: SessionOptions = {}): Promise<Session> {
    checkArgument('space', namespaceKind, space);
    sessionOptions.check(options);
    if (options.leaseId !== undefined && options.ttlSeconds !== undefined) {
      throw invalidArgument("leaseId and ttlSeconds can't be combined: an existing lease has its TTL");
    }
    const { ttlSeconds = 60, leaseId, signal: given, ...rest } = options;
    const control = { attemptAtMostMs: FIRST_ATTEMPT_MS, ...rest };
    // Once it is disposed of, it no longer stops the keepalive.
    const bound = { timeoutMs: rest.timeoutMs, mayBeApplied: leaseId === undefined };
    const endless = given === undefined && rest.timeoutMs === undefined;
    using linked = endless ? undefined : new LinkedSignal([given], bound);
    const signal = linked?.signal;
    signal?.throwIfAborted();
    if (leaseId !== undefined) {
      return new Session(space, await space.lease.keepAlive(leaseId, { ...control, signal }));
    }
    // Chosen here, so that the lease can be revoked when no answer comes.
    const id = randomBytes(8).readBigUInt64BE() >> 1n || 1n;
    let sent = true;
    try {
      try {
        await space.lease.grantOnce(id, ttlSeconds, { ...control, signal });
      } catch (error) {
        // The reason of a signal says nothing about the request.
        sent = signal?.aborted || !(error instanceof EtcdError) || error.mayBeApplied;
        throw error;
      }
      return new Session(space, await space.lease.keepAlive(id, { ...control, signal }));
    } catch (error) {
      if (sent) void revokeLate(space, id, Number(ttlSeconds));
      throw error;
    }
  }

  /** TTL of the lease, in seconds, as the server set it. */
  get ttlSeconds(): number {
    return this.#keepAlive.ttlSeconds;
  }

  /** How long the session lasts at least, in ms from now, if its lease isn't renewed again. 0 once it is lost. */
  get remainingMs(): number {
    return this.over.aborted ? 0 : this.#keepAlive.remainingMs;
  }

  /**
   * Ends the session and revokes its lease, so that its keys are deleted at once. Idempotent. Fails if the lease can't
   * be revoked: then close the session again, or let the lease expire.
   *
   * @throws ClosedError when its client was already closed: the keys stay until the TTL has passed.
   */
  async close(options: CallControl = {}): Promise<void> {
    callControl.check(options);
    const control = restOfTime(options, 'the session was not closed', {
      progress: this.#revoking,
      mayBeApplied: () => this.#mayBeRevoked,
    });
    for (;;) {
      const others = this.#closing;
      if (others === undefined) {
        this.#closing = this.#close(control()).catch((error: unknown) => {
          this.#closing = undefined;
          throw error;
        });
        await this.#closing;
        return;
      }
      // The earlier call has the bounds of its own caller. Where it has given up, this call continues.
      const closed = others.then(
        () => true,
        () => false,
      );
      const bounds = { timeoutMs: undefined, ...control(), progress: this.#revoking };
      if (await withinBounds(closed, bounds)) return;
    }
  }

  /**
   * Ends the session without revoking its lease. Its keys stay until the TTL has passed, or longer if somebody else
   * keeps the lease alive. Idempotent.
   */
  orphan(): void {
    this.#keepAlive.stop();
    if (!this.over.aborted) this.#lose(new LeaseLostError(this.leaseId, 'closed'));
  }

  /**
   * Throws why the session is over, unless it is still live by the clock.
   * @internal
   */
  async confirm(): Promise<void> {
    await this.#keepAlive.confirm();
    this.over.throwIfAborted();
  }

  /** For `JSON.stringify` and logs. */
  toJSON(): unknown {
    const { leaseId, ttlSeconds, remainingMs } = this;
    return jsonOf({ leaseId, ttlSeconds, remainingMs, lost: this.over.aborted });
  }

  /** For `console.log`. @internal */
  [inspect.custom](_depth: number, options: InspectOptionsStylized, show: typeof inspect): string {
    return `Session ${show(this.toJSON(), options)}`;
  }

  /** The same as {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * A name for a key of this session. No other key of any session has it, until it is given back.
   * @internal
   */
  uniqueName(): string {
    const free = this.#freeNames.pop();
    if (free !== undefined) return free;
    this.#names += 1;
    return `${this.leaseName}-${this.#nonce}-${this.#names}`;
  }

  /**
   * Gives a name back, once its key is deleted and nothing can bring the key back. Until the next compaction etcd looks
   * at each key that there ever was in a range. So a lock that is taken often must not have a new key each time.
   * @internal
   */
  giveBack(name: string): void {
    this.#freeNames.push(name);
  }

  /**
   * The name that clientv3 uses for this session's keys.
   * @internal
   */
  get leaseName(): string {
    return this.leaseId.toString(16);
  }

  /**
   * Continues to remove keys that were given up, until that is done or nothing of the session is left.
   * @internal
   */
  owns(removal: Promise<void>): void {
    const owned = unlessAborted(removal, this.ended).catch(() => {});
    this.#removals.add(owned);
    void owned.then(() => this.#removals.delete(owned));
  }

  /**
   * Waits for the removal of all keys that were given up.
   * @internal
   */
  async settled(): Promise<void> {
    while (this.#removals.size > 0) await Promise.all(this.#removals);
  }

  async #close(options: CallControl): Promise<void> {
    // The holder was notified already, and nothing more can be done.
    const why = this.over.reason?.why ?? 'closed';
    this.orphan();
    if (why === 'halted') throw new ClosedError();
    if (why !== 'closed') return;
    try {
      const bound = { attemptAtMostMs: FIRST_ATTEMPT_MS, ...options, progress: this.#revoking };
      await this.space.lease.revoke(this.leaseId, bound);
    } catch (error) {
      if (!(error instanceof LeaseNotFoundError)) {
        // The reason of a signal says nothing about the request.
        this.#mayBeRevoked ||= options.signal?.aborted || !(error instanceof EtcdError) || error.mayBeApplied;
        throw error;
      }
    }
    this.#end();
    await this.settled();
  }

  /** The session is over. If it was closed or orphaned, its lease may live until its TTL has passed. */
  #lose(loss: LeaseLostError): void {
    if (loss.why === 'closed') {
      const longestMs = Math.min(this.ttlSeconds * 1000, LONGEST_TIMER_MS);
      this.#ending = setTimeout(() => this.#end(), longestMs).unref();
    }
    this.over.abort(loss);
    if (loss.why !== 'closed') this.#end();
  }

  /** Nothing of the session is left at the server. */
  #end(): void {
    clearTimeout(this.#ending);
    this.ended.abort(this.over.reason as LeaseLostError);
  }
}

/** The lease that a key's name contains, here and in clientv3, or `undefined` if it contains none. */
export function leaseOf(name: Uint8Array): bigint | undefined {
  const [lease] =
    /^[0-9a-f]{1,16}(?=-|$)/.exec(Buffer.from(name).toString('latin1').replace(/^.*\//s, '')) ?? [];
  return lease === undefined ? undefined : BigInt.asIntN(64, BigInt(`0x${lease}`)) || undefined;
}

const lateRevokeBackoff = { firstMs: 50, longestMs: 20_000 };

/** The longest time to wait for a grant, in ms. A later grant leaves a lease without keys, for its TTL. */
const LATEST_GRANT_MS = 60_000;

/**
 * Revokes a lease that may be granted late, again and again until its TTL has passed. An answered revocation proves
 * nothing, because the grant may have been sent more than once.
 */
async function revokeLate(space: Namespace, id: bigint, ttlSeconds: number): Promise<void> {
  const timeoutMs = Math.min(ttlSeconds * 1000, LATEST_GRANT_MS);
  using linked = new LinkedSignal([], { timeoutMs, mayBeApplied: true });
  const until = linked.signal;
  try {
    for (let done = 0; ; done++) {
      try {
        await persist((bound) => space.lease.revoke(id, { ...bound, signal: until }), until);
      } catch (error) {
        if (!(error instanceof LeaseNotFoundError)) throw error;
      }
      await pause(reopenMs(done, lateRevokeBackoff), until, { ref: false });
    }
  } catch {
    // The lease expires by itself.
  }
}

/**
 * The type of parameters that take a session.
 * @internal
 */
export const sessionKind: Kind<Session> = withMethods(
  'a session: await Session.create(etcd)',
  'uniqueName',
  'confirm',
);
