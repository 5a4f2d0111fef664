import { setMaxListeners } from 'node:events';
import {
  ClusterMismatchError,
  DeadlineExceededError,
  type EtcdError,
  PermissionDeniedError,
  StatusCode,
  UnauthenticatedError,
} from '../errors.js';
import { noLeader, statusError } from '../server-errors.js';
import type { Transport } from '../transport/transport.js';
import { monotonicMs, runApart } from '../util/timers.js';
import { atMost } from '../util/wait.js';
import { backoffMs } from './backoff.js';
import { connectionChannel } from './channels.js';
import { isHttpAlone } from './connect-error.js';
import { MaintenanceService } from './generated/etcdserverpb/methods.js';
import { type ResponseHeader, StatusRequest, StatusResponse } from './generated/etcdserverpb/rpc.js';
import { readable } from './messages/readable.js';
import { Pauses } from './pauses.js';
import { headerOf, type Store } from './store.js';

/**
 * State of an endpoint: `idle` (not used yet), `ready` (answering), or `failed` (not used for a while after a failure).
 */
export type EndpointState = 'idle' | 'ready' | 'failed';

/** An endpoint and its state. */
export interface EndpointStatus {
  readonly endpoint: string;
  readonly state: EndpointState;
  /** Number of failures in a row. */
  readonly failures: number;
  /** The last failure, while `state` is `failed`. */
  readonly error: unknown;
}

/** A change of an endpoint's state. */
export interface ConnectionEvent extends EndpointStatus {
  /** Time until it is tried again, in ms; `undefined` unless `state` is `failed`. */
  readonly retryInMs: number | undefined;
}

/**
 * One endpoint with its connection.
 * @internal
 */
export interface Endpoint {
  readonly address: string;
  readonly transport: Transport;
  state: EndpointState;
  failures: number;
  error: unknown;
  /** When a failed endpoint is tried again, on the clock of `monotonicMs()`. */
  retryAt: number;
  probing: boolean;
  cluster: ClusterMembership;
}

/**
 * Whether an endpoint belongs to the client's cluster, by its last answer: not known yet, the client's, a different
 * cluster from the beginning, or a different cluster although it was the client's before.
 */
type ClusterMembership = 'unknown' | 'ours' | 'foreign' | 'moved';

/** @internal */
export interface BalancerInit {
  readonly endpoints: readonly string[];
  readonly makeTransport: (endpoint: string) => Transport;
  /** Bound on a probe, in ms. */
  readonly probeTimeoutMs: number;
  /** What is known about the store behind the endpoints. Without it, any cluster is accepted. */
  readonly store?: Store;
  /** The first calls have to find an endpoint that answers. Default false: `connect()` has found one. */
  readonly mustFind?: boolean;
}

const statusMethod = MaintenanceService.status.path;
const statusRequest = StatusRequest.encode({}).finish();

/** How long a search gives an endpoint before it also asks the next one, in ms. RFC 8305 recommends this value. */
const NEXT_ENDPOINT_MS = 250;

/** The first and the longest time for which a failed endpoint is left alone, in ms. */
const failedBackoff = { firstMs: 100, longestMs: 10_000 };

/**
 * Chooses the endpoint for each call: round robin among the healthy ones. An endpoint that failed is left alone, with
 * exponential back-off. Then it is asked for its status, and serves again once it answers and knows a leader. A new
 * endpoint is asked first, too, so that no write goes to another cluster. While no endpoint is healthy, the one that
 * has waited longest is tried.
 * @internal
 */
export class Balancer {
  readonly #init: BalancerInit;
  #endpoints: Endpoint[] = [];
  /**
   * Endpoints that are no longer chosen. They are kept until `close()`, for the calls on them and in case they return.
   */
  readonly #retired = new Map<string, Endpoint>();
  readonly #listeners = new Set<(event: ConnectionEvent) => void>();
  readonly #pauses = new Pauses();
  #next = 0;
  #referenced = true;
  #closed = false;
  #search: Promise<readonly unknown[] | undefined> | undefined;
  /** Why an endpoint did not answer when it was last asked. */
  readonly #causes = new WeakMap<Endpoint, unknown>();
  #mustFind: boolean;

  constructor(init: BalancerInit) {
    this.#init = init;
    this.#mustFind = init.mustFind ?? false;
    this.setEndpoints(init.endpoints);
  }

  /** How many endpoints there are. */
  get size(): number {
    return this.#endpoints.length;
  }

  /** Whether no endpoint has answered yet, so that {@link findEndpoint} must run before the first call. */
  get mustFind(): boolean {
    return this.#mustFind;
  }

  /** Which transport serves the endpoints. */
  get transportKind(): Transport['kind'] {
    return (this.#endpoints[0] as Endpoint).transport.kind;
  }

  get status(): EndpointStatus[] {
    return this.#endpoints.map(statusOf);
  }

  /** The endpoint for the next call, other than `failed` where there is another one. */
  pick(failed?: Endpoint): Endpoint {
    const endpoints = this.#endpoints;
    const count = endpoints.length;
    if (count === 1) {
      const [only] = endpoints as [Endpoint];
      if (only.state === 'failed') this.#probeUnready();
      return only;
    }
    let idle: Endpoint | undefined;
    let earliest: Endpoint | undefined;
    for (let i = 0; i < count; i++) {
      const at = (this.#next + i) % count;
      const endpoint = endpoints[at] as Endpoint;
      if (endpoint === failed) continue;
      if (endpoint.state === 'ready') {
        this.#next = (at + 1) % count;
        this.#probeUnready();
        return endpoint;
      }
      // An endpoint of another cluster isn't used, even if it is the only one.
      if (endpoint.cluster === 'foreign') continue;
      if (endpoint.state === 'idle') idle ??= endpoint;
      else if (earliest === undefined || endpoint.retryAt < earliest.retryAt) earliest = endpoint;
    }
    if (idle !== undefined) return idle;
    if (failed !== undefined && failed.state !== 'failed' && endpoints.includes(failed)) return failed;
    return earliest ?? failed ?? (endpoints[0] as Endpoint);
  }

  /**
   * Waits before the next attempt at a call, and at most until the balancer is closed. Rejects with the signal's
   * reason.
   */
  pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return this.#pauses.pause(ms, signal);
  }

  /** What is known about the store behind the endpoints. */
  get store(): Store | undefined {
    return this.#init.store;
  }

  /**
   * Checks the header of a response, before anything else is done with it.
   *
   * @returns why the response can't be used: it is from another cluster. The endpoint is then left alone, unless its
   * cluster has become the client's. After `setEndpoints()` has replaced all endpoints, that is not a failure.
   */
  check(endpoint: Endpoint, message: Uint8Array): ClusterMismatchError | undefined {
    const { store } = this.#init;
    if (store === undefined) return undefined;
    if (!store.takes(message)) return this.#otherCluster(store, endpoint, message);
    endpoint.cluster = 'ours';
    return undefined;
  }

  /** A call on this endpoint was answered. */
  succeeded(endpoint: Endpoint): void {
    const { state, cluster } = endpoint;
    if (state === 'ready' || cluster === 'foreign' || cluster === 'moved') return;
    this.#mustFind = false;
    endpoint.state = 'ready';
    endpoint.failures = 0;
    endpoint.error = undefined;
    this.#notify(endpoint, undefined);
  }

  /** A call on this endpoint could not be answered, and the endpoint is the cause. */
  failed(endpoint: Endpoint, error: unknown): void {
    const now = monotonicMs();
    // If many calls fail together, only one counts.
    if (endpoint.state === 'failed' && now < endpoint.retryAt) return;
    endpoint.failures += 1;
    endpoint.state = 'failed';
    endpoint.error = error;
    const retryInMs = backoffMs(endpoint.failures, failedBackoff);
    endpoint.retryAt = now + retryInMs;
    this.#notify(endpoint, retryInMs);
  }

  /** Replaces the endpoints, all or none. Calls on a removed endpoint run to their end. */
  setEndpoints(addresses: readonly string[]): void {
    const known = new Map([
      ...this.#retired,
      ...this.#endpoints.map((each) => [each.address, each] as const),
    ]);
    const made: Endpoint[] = [];
    try {
      this.#endpoints = addresses.map((address) => {
        const endpoint = known.get(address) ?? this.#make(address);
        if (!known.delete(address)) made.push(endpoint);
        return endpoint;
      });
    } catch (error) {
      // Everything stays as it was. A failure to close an unused transport would hide the cause.
      for (const { transport } of made) transport.close().catch(() => {});
      throw error;
    }
    this.#retired.clear();
    for (const [address, endpoint] of known) this.#retired.set(address, endpoint);
    this.#next = 0;
  }

  /** Reports each change of an endpoint's state, until the returned function is called. */
  onChange(listener: (event: ConnectionEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Asks the endpoints until one answers. The next one is asked as soon as one has failed, or after
   * {@link NEXT_ENDPOINT_MS}. An endpoint that had that long, and hadn't answered when another one did, is left alone
   * as if it had failed. Callers share a running search.
   *
   * @returns undefined, or {@link searchFailures} when no endpoint answered.
   */
  findEndpoint(): Promise<readonly unknown[] | undefined> {
    this.#search ??= this.#findEndpoint().finally(() => {
      this.#search = undefined;
    });
    return this.#search;
  }

  /** Why each endpoint did not answer {@link findEndpoint} when it was last asked, in the order of the endpoints. */
  get searchFailures(): readonly unknown[] {
    return this.#endpoints.map((endpoint) => this.#causes.get(endpoint) ?? unanswered);
  }

  async #findEndpoint(): Promise<readonly unknown[] | undefined> {
    const over = new AbortController();
    setMaxListeners(0, over.signal);
    let answered = false;
    const ask = async (endpoint: Endpoint, report: () => void): Promise<void> => {
      const start = monotonicMs();
      try {
        const options = { timeoutMs: this.#init.probeTimeoutMs, signal: over.signal };
        const answer = await endpoint.transport.unary(statusMethod, statusRequest, options);
        const mismatch = this.check(endpoint, answer.message);
        if (mismatch !== undefined && !mismatch.adopted) throw mismatch;
        readStatus(answer.message);
      } catch (error) {
        if (error === unanswered) {
          if (monotonicMs() - start >= NEXT_ENDPOINT_MS) this.failed(endpoint, unanswered);
          return;
        }
        if (!refusedForAuth(error)) {
          this.#causes.set(endpoint, error);
          if (!this.#closed) this.failed(endpoint, error);
          return;
        }
      }
      answered = true;
      this.succeeded(endpoint);
      report();
    };
    const asked: Promise<void>[] = [];
    await new Promise<void>((resolve) => {
      void (async () => {
        for (const endpoint of this.#endpoints) {
          const asking = ask(endpoint, resolve);
          asked.push(asking);
          await atMost(asking, NEXT_ENDPOINT_MS);
          if (answered) return;
        }
        await Promise.all(asked);
        resolve();
      })();
    });
    over.abort(unanswered);
    if (answered) return undefined;
    return this.searchFailures;
  }

  ref(): void {
    this.#referenced = true;
    this.#pauses.setReferenced(true);
    for (const { transport } of this.#all()) transport.ref();
  }

  unref(): void {
    this.#referenced = false;
    this.#pauses.setReferenced(false);
    for (const { transport } of this.#all()) transport.unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#pauses.close();
    await Promise.all(this.#all().map(({ transport }) => transport.close()));
  }

  #all(): Endpoint[] {
    return [...this.#endpoints, ...this.#retired.values()];
  }

  #make(address: string): Endpoint {
    const transport = this.#init.makeTransport(address);
    if (!this.#referenced) transport.unref();
    return {
      address,
      transport,
      state: 'idle',
      failures: 0,
      error: undefined,
      retryAt: 0,
      probing: false,
      cluster: 'unknown',
    };
  }

  /** Asks endpoints that aren't ready and are due, so that no call of the user has to find out. */
  #probeUnready(): void {
    for (const endpoint of this.#endpoints) {
      if (endpoint.state !== 'ready' && !endpoint.probing && monotonicMs() >= endpoint.retryAt) {
        void this.#probe(endpoint);
      }
    }
  }

  async #probe(endpoint: Endpoint): Promise<void> {
    endpoint.probing = true;
    try {
      const answer = await endpoint.transport.unary(statusMethod, statusRequest, {
        timeoutMs: this.#init.probeTimeoutMs,
      });
      const mismatch = this.check(endpoint, answer.message);
      if (mismatch !== undefined && !mismatch.adopted) throw mismatch;
      const { leader, isLearner } = readStatus(answer.message);
      if (leader === 0n || isLearner) {
        this.failed(endpoint, leader === 0n ? noLeader(statusMethod) : isALearner());
      } else this.succeeded(endpoint);
    } catch (error) {
      if (refusedForAuth(error)) this.succeeded(endpoint);
      else if (!this.#closed) {
        // The member may be frozen, or the connection may lead nowhere. Then only a new connection finds the member
        // again.
        if (error instanceof DeadlineExceededError) endpoint.transport.renew();
        this.failed(endpoint, error);
      }
    } finally {
      endpoint.probing = false;
    }
  }

  /**
   * Decides which of two clusters is the client's. It stays the former one as long as one of its endpoints may come
   * back. But where an endpoint has changed its cluster, and no other healthy endpoint is still in the former one, the
   * whole cluster was replaced.
   */
  #otherCluster(store: Store, endpoint: Endpoint, message: Uint8Array): ClusterMismatchError | undefined {
    const header = headerOf(message) as ResponseHeader;
    const inUse = this.#endpoints.includes(endpoint);
    const ours = this.#endpoints.filter((each) => each !== endpoint && each.cluster === 'ours');
    const moved = endpoint.cluster === 'ours' || endpoint.cluster === 'moved';
    const gone = ours.length === 0 || (moved && ours.every(({ state }) => state === 'failed'));
    const adopted = inUse && gone;
    const { clusterId } = header;
    const mismatch = new ClusterMismatchError(endpoint.address, {
      clusterId,
      expectedClusterId: store.clusterId,
      adopted,
    });
    if (adopted) {
      for (const each of this.#all()) each.cluster = 'unknown';
      endpoint.cluster = 'ours';
      store.replacedBy(header, mismatch);
    } else endpoint.cluster = moved ? 'moved' : 'foreign';
    return adopted && !moved ? undefined : mismatch;
  }

  #notify(endpoint: Endpoint, retryInMs: number | undefined): void {
    if (this.#closed || (this.#listeners.size === 0 && !connectionChannel.hasSubscribers)) return;
    const event: ConnectionEvent = { ...statusOf(endpoint), retryInMs };
    connectionChannel.publish(event);
    for (const listener of [...this.#listeners]) runApart(() => listener(event));
  }
}

/** The failure of an endpoint that had not answered when another one had, or when the time was over. */
const unanswered = new DeadlineExceededError('no answer so far', {
  code: StatusCode.DEADLINE_EXCEEDED,
  method: statusMethod,
  sent: true,
});

/** @throws EtcdError where it isn't etcd that has answered. */
function readStatus(message: Uint8Array): StatusResponse {
  return readable(statusMethod, () => StatusResponse.decode(message));
}

function statusOf({ address, state, failures, error }: Endpoint): EndpointStatus {
  return { endpoint: address, state, failures, error };
}

function isALearner(): EtcdError {
  const details = 'the member is a learner';
  return statusError({ code: StatusCode.UNAVAILABLE, details, method: statusMethod, sent: true });
}

/**
 * With authentication on, etcd gives its status only to known users. A refusal is also an answer, unless it comes from
 * a proxy.
 */
function refusedForAuth(error: unknown): boolean {
  return (
    (error instanceof UnauthenticatedError || error instanceof PermissionDeniedError) && !isHttpAlone(error)
  );
}
