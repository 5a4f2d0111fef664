import { answer } from '../json.js';
import { onAbort } from '../util/abort/on-abort.js';
import { Leavable } from '../util/item-iterator.js';
import { guardMethods } from '../util/methods.js';
import { monotonicMs, queueMicrotask } from '../util/timers.js';
import type { KeptLease, LeaseKeeper, RenewalWaiter } from './lease-keeper.js';
import type { LeaseLostError } from './lease-lost.js';

/** One renewal of a lease, as etcd's `LeaseKeepAliveResponse`. */
export interface LeaseRenewal {
  readonly leaseId: bigint;
  /** The TTL of the lease from this renewal on, in seconds. */
  readonly ttlSeconds: number;
}

/**
 * A lease that is kept alive, made by {@link LeaseClient.keepAlive}. Its loop is optional. It yields a {@link
 * LeaseRenewal} for each renewal that happens while it waits. It ends after {@link stop}, and throws when the lease is
 * lost.
 */
export class LeaseKeepAlive implements AsyncIterable<LeaseRenewal>, Disposable {
  readonly leaseId: bigint;
  readonly #keeper: LeaseKeeper;
  readonly #lease: KeptLease;
  readonly #iterations = new Set<Iteration>();
  #stopped = false;
  /** What to call when it stops. */
  readonly #unlisten: (() => void)[] = [];

  static {
    guardMethods<Omit<LeaseKeepAlive, 'confirm' | 'loss' | 'onLost'>>(LeaseKeepAlive, (it) => #keeper in it, {
      promised: {},
      direct: { stop: 0 },
    });
  }

  /** @internal */
  constructor(keeper: LeaseKeeper, lease: KeptLease, signal: AbortSignal | undefined) {
    this.#keeper = keeper;
    this.#lease = lease;
    this.leaseId = lease.id;
    if (signal === undefined) return;
    const unbind = onAbort(signal, () => this.stop());
    this.#unlisten.push(unbind);
    this.onLost(unbind);
  }

  /**
   * Aborts when the lease can no longer be relied on, with a {@link LeaseLostError} that says why. It doesn't abort
   * after {@link stop}. By this process's monotonic clock, it aborts at most one TTL after the last successful renewal
   * was sent, even if no server can be reached.
   *
   * `aborted`, `reason` and `throwIfAborted()` check that clock. They are right even after the process was stopped or
   * its event loop blocked, before any timer has run. The event comes with the first such check, or else when the event
   * loop gets to it. Signals derived from this one (`AbortSignal.any`) and calls under way only learn from the event.
   */
  get lost(): AbortSignal {
    return this.#lease.lost.signal;
  }

  /**
   * Why the lease is lost. It checks the clock, like {@link lost}.
   * @internal
   */
  get loss(): LeaseLostError | undefined {
    return this.#lease.lost.reason;
  }

  /**
   * Calls back once the lease is lost, unless {@link stop} was called before.
   * @internal
   */
  onLost(listener: (loss: LeaseLostError) => void): void {
    const { lost } = this.#lease;
    this.#unlisten.push(lost.listen(() => listener(lost.reason as LeaseLostError)));
  }

  /** TTL from the server at the last renewal, in seconds. */
  get ttlSeconds(): number {
    return this.#lease.ttlMs / 1000;
  }

  /** How long the lease lasts at least, in ms from now, if it isn't renewed again. 0 once it is lost. */
  get remainingMs(): number {
    if (this.#lease.lost.aborted) return 0;
    return Math.max(0, this.#lease.renewedAt + this.#lease.ttlMs - monotonicMs());
  }

  /**
   * Throws why the lease is lost, unless it is still live by the clock.
   * @internal
   */
  confirm(): Promise<void> {
    return this.#keeper.confirm(this.#lease);
  }

  /** Stops keeping the lease alive. Other keepalives of the lease on this client continue. Idempotent. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const unlisten of this.#unlisten.splice(0)) unlisten();
    this.#keeper.release(this.#lease);
    for (const iteration of this.#iterations) iteration.stop();
  }

  /** The same as {@link stop}. */
  [Symbol.dispose](): void {
    this.stop();
  }

  /**
   * Yields each renewal from now on, until the keepalive ends by {@link stop} or its signal; throws when the lease is
   * lost.
   */
  [Symbol.asyncIterator](): AsyncGenerator<LeaseRenewal, void, void> {
    const iteration = new Iteration(this.#lease);
    return new Leavable(this.#renewals(iteration), () => iteration.stop());
  }

  async *#renewals(iteration: Iteration): AsyncGenerator<LeaseRenewal, void, void> {
    this.#iterations.add(iteration);
    try {
      while (!this.#stopped && (await iteration.next())) {
        yield answer({ leaseId: this.leaseId, ttlSeconds: this.ttlSeconds });
      }
    } finally {
      this.#iterations.delete(iteration);
    }
  }
}

/** Waits for the renewals, one after another. */
class Iteration {
  readonly #lease: KeptLease;
  #waiter: RenewalWaiter | undefined;
  #stop: (() => void) | undefined;

  constructor(lease: KeptLease) {
    this.#lease = lease;
  }

  /** True after a renewal, false once stopped. */
  next(): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const lease = this.#lease;
      lease.lost.throwIfAborted();
      // The cause is for those who made a call. This waiter is the holder of the lease.
      this.#waiter = {
        renewed: () => resolve(true),
        failed: () => queueMicrotask(() => reject(lease.lost.reason)),
      };
      this.#stop = () => resolve(false);
      lease.waiters.add(this.#waiter);
    });
  }

  stop(): void {
    if (this.#waiter !== undefined) this.#lease.waiters.delete(this.#waiter);
    this.#stop?.();
  }
}
