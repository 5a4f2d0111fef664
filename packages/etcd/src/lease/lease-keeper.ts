import { ClosedError, DeadlineExceededError, EtcdError, StatusCode, UnavailableError } from '../errors.js';
import { LeaseService } from '../rpc/generated/etcdserverpb/methods.js';
import { LeaseKeepAliveRequest } from '../rpc/generated/etcdserverpb/rpc.js';
import { encodeMessage } from '../rpc/messages/encode-message.js';
import { type ReopeningInit, ReopeningStream, type StreamOwner } from '../rpc/reopening-stream.js';
import type { Rpc } from '../rpc/rpc.js';
import { leaseNotFound } from '../server-errors.js';
import { LazySignal } from '../util/abort/lazy-signal.js';
import { clearTimeout, LONGEST_TIMER_MS, monotonicMs, setImmediate, setTimeout } from '../util/timers.js';
import { DueTimes, slotOf } from './due-times.js';
import { LeaseLostError, type LeaseLostReason } from './lease-lost.js';
import { decodeRenewal, type RenewalAnswer } from './renewal-answer.js';

const keepAliveMethod = LeaseService.leaseKeepAlive.path;

/** How long the first answer for a lease, whose TTL isn't known yet, may take before the stream counts as stalled. */
const FIRST_ANSWER_MS = 3_000;

/**
 * How long before it is due a lease may be renewed together with others, in ms. For a short TTL it is a twelfth of the
 * TTL. As in clientv3.
 */
const EARLIEST_MS = 500;

/**
 * How long answers that nobody waits for may wait for others, in ms, so that many cross into JavaScript together. It is
 * short compared to a third of a TTL, within which they are expected.
 */
const GATHER_MS = 25;

const streamInit: ReopeningInit = {
  method: LeaseService.leaseKeepAlive,
  // The server then ends the stream when it has no leader, instead of leaving it silent.
  options: { metadata: { hasleader: 'true' } },
  backoff: { firstMs: 50, longestMs: 1_000 },
  endedMessage: 'the server ended the stream of keepalives',
  // Only a stream that has stalled leaves its endpoint: see `breakOff`.
  leavesEndpoint: () => false,
  referenced: true,
};

const refusals: ReadonlySet<number> = new Set<StatusCode>([
  StatusCode.INVALID_ARGUMENT,
  StatusCode.PERMISSION_DENIED,
  StatusCode.UNAUTHENTICATED,
  StatusCode.UNIMPLEMENTED,
]);

/** Notified of the next renewal, or of the reason why there is none. */
export interface RenewalWaiter {
  renewed(): void;
  failed(reason: unknown): void;
}

/** A lease that is kept alive, for all its holders. */
export class KeptLease {
  /** Aborts once the lease is lost. Reading its state checks the clock, as timers may run late, and in any order. */
  readonly lost: LazySignal<LeaseLostError>;
  readonly waiters = new Set<RenewalWaiter>();
  holders = 0;
  /** How many requests of this client to revoke it may have been applied. */
  revocations = 0;
  /** Whether a broken stream may have carried a renewal to the server. */
  sent = false;
  /** The TTL at the last renewal; 0 before the first. */
  ttlMs = 0;
  /** When the request of the last renewal was sent. The server keeps the lease for at least `ttlMs` from then on. */
  renewedAt = Number.NEGATIVE_INFINITY;
  /** The same time by the wall clock, which continues while the machine sleeps. */
  renewedAtDate = Number.NEGATIVE_INFINITY;
  /** When the unanswered request was sent. */
  sentAt: number | undefined;
  /** The encoded request to renew the lease. It is always the same. */
  readonly request: Uint8Array;

  /** @param expire loses the lease if its time is over. */
  constructor(
    readonly id: bigint,
    expire: (lease: KeptLease) => void,
  ) {
    this.lost = new LazySignal(() => expire(this));
    this.request = encodeMessage(LeaseKeepAliveRequest, { ID: id });
  }

  get renewed(): boolean {
    return this.ttlMs > 0;
  }

  /** When the lease may be gone, unless it is renewed before. */
  get deadline(): number {
    return this.renewed ? slotOf(this.renewedAt + this.ttlMs) : Number.POSITIVE_INFINITY;
  }

  /** When to renew the lease. */
  get due(): number {
    return this.renewedAt + this.ttlMs / 3;
  }

  /** How long an answer may take before something is wrong with the stream, in ms. */
  get patienceMs(): number {
    return this.renewed ? this.ttlMs / 3 : FIRST_ANSWER_MS;
  }
}

/**
 * Keeps the leases of one client alive on one LeaseKeepAlive stream, with one timer. Each lease is renewed at a third
 * of its TTL; leases that are due at about the same time are renewed together. The stream exists while there are leases
 * to keep. After it broke or stalled, another one is opened, with back-off. A lease is lost if it could not be renewed
 * for as long as its TTL, by the monotonic clock, counted from when its last renewal was sent.
 */
export class LeaseKeeper implements StreamOwner {
  readonly #rpc: Rpc;
  readonly #stream: ReopeningStream;
  readonly #leases = new Map<bigint, KeptLease>();
  readonly #due = new DueTimes<KeptLease>();
  /** When the present stream was opened, or when its last message arrived. */
  #lastReceived = 0;
  /** Whether the stream's answers wait for others at present. */
  #gathering = false;
  /** Why the last stream broke, until the next one has brought a message. */
  #failure: unknown;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #referenced = true;
  #closed = false;

  constructor(rpc: Rpc) {
    this.#rpc = rpc;
    this.#stream = new ReopeningStream(rpc, streamInit, this);
  }

  /**
   * Keeps a lease alive until it is released as often as it was held.
   *
   * @throws ClosedError once closed.
   */
  hold(id: bigint): KeptLease {
    if (this.#closed) throw new ClosedError();
    let lease = this.#leases.get(id);
    if (lease === undefined) {
      lease = new KeptLease(id, this.#expire);
      this.#leases.set(id, lease);
      this.#renew(lease);
    }
    lease.holders += 1;
    return lease;
  }

  /** Ends one {@link hold}. */
  release(lease: KeptLease): void {
    lease.holders -= 1;
    if (lease.holders === 0) this.#forget(lease);
  }

  /** Renews a held lease now, unless an answer is already on its way. */
  renewNow(lease: KeptLease): void {
    if (lease.sentAt === undefined) this.#renew(lease);
  }

  /**
   * Throws why the lease is lost, unless it is still live by the clock. Call it before handing the lease to somebody
   * who relies on it.
   */
  async confirm(lease: KeptLease): Promise<void> {
    // A renewal that would save the lease may wait to be read. The second turn begins with reading.
    if (lease.deadline <= monotonicMs()) {
      await new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));
    }
    lease.lost.throwIfAborted();
  }

  /** The error for a renewal that took too long. Where nothing was sent, it says why there is no connection. */
  tooLate(lease: KeptLease, timeoutMs: number): EtcdError {
    const { current } = this.#stream;
    const address = current && this.#rpc.addressOf(current);
    const sent = lease.sent || lease.renewed || (lease.sentAt !== undefined && address !== undefined);
    if (!sent && this.#failure instanceof UnavailableError) return this.#failure;
    const from = address === undefined ? '' : ` from ${address}`;
    const before =
      this.#failure instanceof EtcdError ? `; the last stream failed: ${this.#failure.message}` : '';
    const details = `no answer to the keepalive${from} within ${timeoutMs} ms${before}`;
    const init = {
      code: StatusCode.DEADLINE_EXCEEDED,
      details,
      method: keepAliveMethod,
      sent,
      cause: this.#failure,
    };
    return new DeadlineExceededError(`DEADLINE_EXCEEDED: ${details}`, init);
  }

  /** A lease that is kept alive is about to be revoked through this client. */
  revoking(id: bigint): KeptLease | undefined {
    const lease = this.#leases.get(id);
    if (lease !== undefined) lease.revocations += 1;
    return lease;
  }

  /** The lease was revoked through this client, so the server needn't be asked. */
  revoked(id: bigint): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.revocations += 1;
    this.#lose(lease, 'revoked', leaseNotFound(id, keepAliveMethod));
  }

  /** Whether keeping leases alive keeps the process alive. */
  setReferenced(referenced: boolean): void {
    this.#referenced = referenced;
    this.#stream.setReferenced(referenced);
    if (referenced) this.#timer?.ref();
    else this.#timer?.unref();
  }

  /** Ends all keepalives. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const lease of [...this.#leases.values()]) this.#lose(lease, 'halted', new ClosedError());
  }

  // StreamOwner.

  opened(): void {
    this.#lastReceived = monotonicMs();
    this.#gathering = false;
    const owed: KeptLease[] = [];
    for (const lease of this.#leases.values()) {
      if (lease.due <= this.#lastReceived || lease.waiters.size > 0) owed.push(lease);
      else this.#due.set(lease, lease.due);
    }
    this.#send(owed);
  }

  received(message: Uint8Array): undefined {
    this.#answered(decodeRenewal(message));
  }

  broke(failure: unknown, refused: boolean): void {
    if (failure instanceof ClosedError) {
      this.close();
      return;
    }
    this.#failure = failure;
    for (const lease of this.#leases.values()) {
      if (lease.sentAt !== undefined && failure instanceof EtcdError && failure.sent) lease.sent = true;
      lease.sentAt = undefined;
      this.#due.set(lease, lease.deadline);
    }
    this.#arm(this.#due.next());
    if (refused || !refusals.has((failure as EtcdError).code)) return;
    for (const lease of [...this.#leases.values()]) if (!lease.renewed) this.#lose(lease, 'halted', failure);
  }

  #renew(lease: KeptLease): void {
    if (this.#stream.current !== undefined) this.#send([lease]);
    // Otherwise the renewals that are due are sent on the next stream.
    else this.#stream.open();
  }

  #send(leases: readonly KeptLease[]): void {
    const now = monotonicMs();
    this.#gather(leases.every(({ renewed, waiters }) => renewed && waiters.size === 0));
    for (const lease of leases) {
      lease.sentAt = now;
      this.#due.set(lease, Math.min(now + lease.patienceMs, lease.deadline));
      // All at once, so that they cross in one batch. There is at most one message for each lease.
      this.#stream.send(lease.request);
    }
    this.#arm(this.#due.next());
  }

  #gather(gathering: boolean): void {
    if (gathering === this.#gathering) return;
    this.#gathering = gathering;
    this.#stream.current?.gather(gathering ? GATHER_MS : 0);
  }

  #answered({ id, ttlSeconds }: RenewalAnswer): void {
    const now = monotonicMs();
    this.#lastReceived = now;
    this.#failure = undefined;
    this.#stream.tokenTaken();
    const lease = this.#leases.get(id);
    if (lease?.sentAt === undefined) return;
    if (ttlSeconds <= 0) {
      this.#notFound(lease);
      return;
    }
    const { sentAt } = lease;
    lease.sentAt = undefined;
    const ttlMs = ttlSeconds * 1000;
    if (slotOf(sentAt + ttlMs) <= now) {
      // The answer is too old to say anything about the present. For a lease that nobody relies on yet, the next answer
      // may.
      if (lease.renewed) this.#expire(lease);
      else this.#renew(lease);
      return;
    }
    lease.ttlMs = ttlMs;
    lease.renewedAt = sentAt;
    lease.renewedAtDate = Date.now() - (now - sentAt);
    this.#due.set(lease, lease.due);
    this.#arm(lease.due);
    if (lease.waiters.size === 0) return;
    const waiters = [...lease.waiters];
    lease.waiters.clear();
    for (const waiter of waiters) waiter.renewed();
  }

  #notFound(lease: KeptLease): void {
    const age = Math.max(monotonicMs() - lease.renewedAt, Date.now() - lease.renewedAtDate);
    this.#lose(lease, age < lease.ttlMs ? 'revoked' : 'expired', leaseNotFound(lease.id, keepAliveMethod));
  }

  readonly #wake = (): void => {
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = monotonicMs();
    const expired: KeptLease[] = [];
    const due: KeptLease[] = [];
    let stalled = false;
    for (const lease of this.#due.take(now)) {
      if (lease.deadline <= now) expired.push(lease);
      else if (lease.sentAt === undefined) due.push(lease);
      else if (now - this.#lastReceived >= lease.patienceMs) stalled = true;
      else this.#due.set(lease, Math.min(this.#lastReceived + lease.patienceMs, lease.deadline));
    }
    if (expired.length > 0) {
      // The answer to their renewal may be waiting to be read, if the event loop was blocked.
      setImmediate(() => expired.forEach(this.#expire));
    }
    if (stalled) {
      // A new stream may reach another endpoint.
      const message = 'the stream of keepalives has stalled';
      this.#stream.breakOff(
        new UnavailableError(message, { code: StatusCode.UNAVAILABLE, method: keepAliveMethod, sent: true }),
      );
    } else if (due.length > 0 && this.#stream.current !== undefined) {
      // Leases that are due soon are renewed together with these, now and later, which saves wake-ups.
      const soon = (lease: KeptLease): boolean =>
        lease.sentAt === undefined && lease.due - now <= Math.min(EARLIEST_MS, lease.ttlMs / 12);
      this.#send([...due, ...this.#due.take(now + EARLIEST_MS, soon)]);
    }
    this.#arm(this.#due.next());
  };

  /** Marks a lease as lost once its time is over. */
  readonly #expire = (lease: KeptLease): void => {
    if (lease.deadline > monotonicMs()) return;
    this.#lose(lease, 'expired', this.#failure ?? this.tooLate(lease, lease.ttlMs));
  };

  /** Wakes up at that time, or earlier. */
  #arm(time: number): void {
    if (time >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = time;
    const delay = Math.min(Math.max(time - monotonicMs(), 0), LONGEST_TIMER_MS);
    this.#timer = setTimeout(this.#wake, Math.ceil(delay));
    if (!this.#referenced) this.#timer.unref();
  }

  /** Stops keeping a lease. Those who wait for its renewal get the cause. */
  #lose(lease: KeptLease, why: LeaseLostReason, cause: unknown): void {
    if (!this.#forget(lease)) return;
    const waiters = [...lease.waiters];
    lease.waiters.clear();
    for (const waiter of waiters) waiter.failed(cause);
    const byUs = why === 'revoked' && lease.revocations > 0;
    lease.lost.abort(new LeaseLostError(lease.id, why, { cause, byUs }));
  }

  /** Returns false when the lease isn't kept any more. */
  #forget(lease: KeptLease): boolean {
    if (this.#leases.get(lease.id) !== lease) return false;
    this.#leases.delete(lease.id);
    this.#due.delete(lease);
    if (this.#leases.size === 0) this.#rest();
    return true;
  }

  /** There is nothing left to keep alive. */
  #rest(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#failure = undefined;
    this.#stream.close();
  }
}
