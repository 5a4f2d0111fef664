import { EtcdError, invalidArgument } from '../errors.js';
import { answer, answerList } from '../json.js';
import { knownHeader, type ResponseHeader } from '../kv/kv.js';
import { type Call, idempotentCall, none, nothing, writeCall } from '../rpc/call.js';
import { LeaseService } from '../rpc/generated/etcdserverpb/methods.js';
import type {
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
} from '../rpc/generated/etcdserverpb/rpc.js';
import { type CallControl, callControl, describeCall, progressIn, type Rpc } from '../rpc/rpc.js';
import { isLeaseThere } from '../server-errors.js';
import { type Int64, optionalInt64, signedInt64, toInt64, toSignedInt64 } from '../util/int64.js';
import { flag } from '../util/kinds.js';
import { guardMethods } from '../util/methods.js';
import { waitFor } from '../util/wait.js';
import { LeaseKeepAlive, type LeaseRenewal } from './keep-alive.js';
import type { KeptLease, LeaseKeeper, RenewalWaiter } from './lease-keeper.js';
import type { LeaseLostError } from './lease-lost.js';

/** Options of {@link LeaseClient.grant}. */
export interface GrantOptions extends CallControl {
  /** Id for the lease; default: the server chooses one. */
  readonly id?: Int64 | undefined;
}

/** A granted lease. */
export interface GrantResult {
  readonly header: ResponseHeader;
  readonly id: bigint;
  /** TTL that the server chose, in seconds: at least the requested one. */
  readonly ttlSeconds: number;
}

/** Options of {@link LeaseClient.timeToLive}. */
export interface TimeToLiveOptions extends CallControl {
  /** List the keys that are attached to the lease. Default false. */
  readonly keys?: boolean | undefined;
}

/** What {@link LeaseClient.timeToLive} found. */
export interface TimeToLiveResult {
  readonly header: ResponseHeader;
  readonly id: bigint;
  /** Remaining time, in seconds, rounded down. */
  readonly ttlSeconds: number;
  /** The TTL that the lease was granted with, and that it has again after each renewal, in seconds. */
  readonly grantedTtlSeconds: number;
  /** Keys attached to the lease, if `keys` was given; for a namespace, only those in it. */
  readonly keys: Uint8Array[];
}

const grantOptions = describeCall<GrantOptions>(
  'grant()',
  { id: signedInt64 },
  {
    hints: {
      ttl: 'the TTL is the first argument, in seconds',
      ttlSeconds: 'the TTL is the first argument',
      leaseId: 'did you mean id?',
    },
    example: '{ id: 7n }',
  },
);

const timeToLiveOptions = describeCall<TimeToLiveOptions>(
  'timeToLive()',
  { keys: flag },
  { example: '{ keys: true }' },
);

/**
 * Converts a key to the form in which the view of the client has it, in separate bytes; `undefined` when the view
 * doesn't have it.
 */
type ToKey = (key: Uint8Array) => Uint8Array | undefined;

/**
 * Leases: the keys attached to a lease are deleted when it is revoked or no longer renewed. `etcd.lease`; clientv3:
 * `Lease`.
 *
 * Besides the errors listed at each call, its calls may reject like all calls of a `Keyspace`.
 *
 * Like a call in flight, a keepalive keeps the process alive, unless the client's `unref()` was called.
 */
export class LeaseClient {
  readonly #rpc: Rpc;
  readonly #keeper: LeaseKeeper;
  readonly #timeToLive: Call<LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, TimeToLiveResult | undefined>;

  static {
    guardMethods<LeaseClient>(LeaseClient, (it) => #rpc in it, {
      promised: { grant: 2, grantOnce: 3, revoke: 2, timeToLive: 2, list: 1, keepAliveOnce: 2, keepAlive: 2 },
      direct: {},
    });
  }

  /** @internal */
  constructor(rpc: Rpc, keeper: LeaseKeeper, toKey: ToKey) {
    this.#rpc = rpc;
    this.#keeper = keeper;
    this.#timeToLive = idempotentCall(
      LeaseService.leaseTimeToLive,
      (response) => timeToLiveResult(response, toKey),
      timeToLiveOptions,
    );
  }

  /**
   * Makes a lease. The server has a smallest TTL, 2 s with its default settings, and never gives less. Without an `id`
   * the call is sent again while no server answers. An attempt whose answer was lost may then leave a lease that nobody
   * knows, until it expires. With an `id` the call is sent again only if the attempt before certainly made no lease.
   * etcd: `Lease.LeaseGrant`.
   *
   * @param ttlSeconds the lease expires after this time without a renewal; an integer.
   * @throws EtcdError with code `FAILED_PRECONDITION` when a lease with this id exists, and with `OUT_OF_RANGE` for a
   * TTL above 9,000,000,000 s.
   */
  grant(ttlSeconds: Int64, options: GrantOptions = none): Promise<GrantResult> {
    // A call that is sent twice may leave a lease that nobody knows and that expires. With an id, the second attempt
    // would fail.
    const call = options?.id === undefined ? grantCall : grantIdCall;
    return this.#rpc.call(call, () => grantRequest(ttlSeconds, options), options);
  }

  /**
   * Makes a lease with an id that nobody else has, even if connections break. Where a lease with that id exists
   * already, it was made by an attempt whose answer was lost.
   * @internal
   */
  async grantOnce(id: bigint, ttlSeconds: Int64, control: CallControl): Promise<void> {
    try {
      await this.#rpc.call(grantCall, () => grantRequest(ttlSeconds, { id }), control);
    } catch (error) {
      if (!isLeaseThere(error)) throw error;
    }
  }

  /**
   * Ends a lease, and deletes the keys attached to it. The call is sent again while no server answers. Keepalives and
   * sessions of this client lose the lease at once, with a reason that says that this program revoked it. etcd:
   * `Lease.LeaseRevoke`.
   *
   * @throws LeaseNotFoundError when the lease doesn't exist. An earlier attempt whose answer was lost may have revoked
   * it.
   */
  async revoke(id: Int64, options: CallControl = none): Promise<void> {
    const ID = toSignedInt64('id', id);
    callControl.check(options);
    const kept = this.#keeper.revoking(ID);
    try {
      await this.#rpc.call(revokeCall, () => ({ ID }), options);
    } catch (error) {
      // The reason of a signal says nothing about the request.
      const mayBeDone = options?.signal?.aborted || !(error instanceof EtcdError) || error.mayBeApplied;
      if (kept !== undefined && !mayBeDone) kept.revocations -= 1;
      throw error;
    }
    this.#keeper.revoked(ID);
  }

  /**
   * Reads a lease's remaining time and the keys attached to it. Resolves with `undefined` if the lease doesn't exist.
   * The call is sent again while no server answers. etcd: `Lease.LeaseTimeToLive`.
   */
  timeToLive(id: Int64, options: TimeToLiveOptions = none): Promise<TimeToLiveResult | undefined> {
    const request = () => ({ ID: toSignedInt64('id', id), keys: options.keys ?? false });
    return this.#rpc.call(this.#timeToLive, request, options);
  }

  /** Reads the ids of all leases. The call is sent again while no server answers. etcd: `Lease.LeaseLeases`. */
  list(options: CallControl = none): Promise<bigint[]> {
    return this.#rpc.call(listCall, () => ({}), options);
  }

  /**
   * Renews a lease once, now. While no server answers, the renewal is sent again until its deadline. etcd:
   * `Lease.LeaseKeepAlive`.
   *
   * @throws LeaseNotFoundError when the lease doesn't exist; {@link LeaseLostError} when this client also keeps it
   * alive and it has run out by the clock; DeadlineExceededError, whose cause says why the last stream broke.
   */
  async keepAliveOnce(id: Int64, options: CallControl = none): Promise<LeaseRenewal> {
    callControl.check(options);
    const lease = this.#keeper.hold(toSignedInt64('id', id));
    try {
      await this.#renewed(lease, options, () => this.#keeper.renewNow(lease));
      await this.#keeper.confirm(lease);
      return answer({ leaseId: lease.id, ttlSeconds: lease.ttlMs / 1000 });
    } finally {
      this.#keeper.release(lease);
    }
  }

  /**
   * Keeps a lease alive until `stop()` or its `signal`. It is renewed at each third of its TTL, also after reconnects.
   * When that fails for too long, the result's `lost` aborts. Resolves after the first renewal. All leases of a client
   * share one stream. etcd: `Lease.LeaseKeepAlive`.
   *
   * @param options `timeoutMs` bounds only the first renewal; `signal` ends the keepalive at any time.
   * @throws what {@link keepAliveOnce} throws. When it resolves, the lease is live by the clock.
   */
  async keepAlive(id: Int64, options: CallControl = none): Promise<LeaseKeepAlive> {
    callControl.check(options);
    const lease = this.#keeper.hold(toSignedInt64('id', id));
    try {
      if (!lease.renewed) await this.#renewed(lease, options);
      await this.#keeper.confirm(lease);
      options.signal?.throwIfAborted();
      return new LeaseKeepAlive(this.#keeper, lease, options.signal);
    } catch (error) {
      this.#keeper.release(lease);
      throw error;
    }
  }

  /** Waits for a lease's next renewal. */
  async #renewed(lease: KeptLease, control: CallControl, begin?: () => void): Promise<void> {
    const { signal } = control;
    const timeoutMs = this.#rpc.timeoutOf(control);
    signal?.throwIfAborted();
    lease.lost.throwIfAborted();
    const progress = progressIn(control);
    progress?.seeks((ms) => this.#keeper.tooLate(lease, ms));
    await waitFor<void>(
      (wait) => {
        const waiter: RenewalWaiter = { renewed: wait.resolve, failed: wait.reject };
        lease.waiters.add(waiter);
        begin?.();
        return () => lease.waiters.delete(waiter);
      },
      // The keeper holds the process, if it may.
      { signal, timeoutMs, expired: (wait) => wait.reject(this.#keeper.tooLate(lease, timeoutMs)) },
    );
    progress?.answered();
  }
}

function grantRequest(ttlSeconds: Int64, { id }: GrantOptions): LeaseGrantRequest {
  const TTL = toInt64('ttlSeconds', ttlSeconds);
  if (TTL === 0n) throw invalidArgument('ttlSeconds is 0; it must be a whole number of seconds, at least 1');
  return { TTL, ID: optionalInt64(id) };
}

function grantResult({ header, ID, TTL }: LeaseGrantResponse): GrantResult {
  return answer({ header: knownHeader(header), id: ID, ttlSeconds: Number(TTL) });
}

function timeToLiveResult(
  { header, ID, TTL, grantedTTL, keys }: LeaseTimeToLiveResponse,
  toKey: ToKey,
): TimeToLiveResult | undefined {
  if (TTL < 0n) return undefined;
  return answer({
    header: knownHeader(header),
    id: ID,
    ttlSeconds: Number(TTL),
    grantedTtlSeconds: Number(grantedTTL),
    keys: keys.flatMap((key) => toKey(key) ?? []),
  });
}

const grantCall = idempotentCall(LeaseService.leaseGrant, grantResult, grantOptions);
const grantIdCall = writeCall(LeaseService.leaseGrant, grantResult, grantOptions);
// If two requests were sent, the second may find no lease. That means the same.
const revokeCall = idempotentCall(LeaseService.leaseRevoke, nothing);
const listCall = idempotentCall(LeaseService.leaseLeases, ({ leases }) =>
  answerList(leases.map(({ ID }) => ID)),
);
