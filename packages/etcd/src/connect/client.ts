// connect/ has the client, and makes it from its options: endpoints, DNS, TLS, credentials. Code in rpc/ decides which
// endpoint serves a call, and transport/ carries its bytes there.

import { Auth } from '../admin/auth.js';
import { Cluster } from '../admin/cluster.js';
import { Maintenance } from '../admin/maintenance.js';
import { type CompactOptions, type CompactResult, compactCall, compactionRequest } from '../kv/kv.js';
import { PrefixMapping } from '../kv/mapping.js';
import { LeaseKeeper } from '../lease/lease-keeper.js';
import type { ConnectionEvent, EndpointStatus } from '../rpc/balancer.js';
import { type RpcMethod, RpcStream, type RpcStreamOptions, rawCall } from '../rpc/raw-call.js';
import type { CallControl, Rpc } from '../rpc/rpc.js';
import type { Transport } from '../transport/transport.js';
import type { Int64 } from '../util/int64.js';
import { aFunction, checkArgument } from '../util/kinds.js';
import { guardMethods } from '../util/methods.js';
import { Namespace } from '../views/namespace.js';
import { WatchClient } from '../watch/watch-client.js';

/** @internal */
export interface ClientInit {
  readonly rpc: Rpc;
  readonly transport: Transport['kind'];
}

/**
 * A client of one etcd cluster, made by `connect()`. Its calls fail with an {@link EtcdError} of the matching class, or
 * with the reason of their `signal`.
 *
 * Calls, watches and keepalives in flight keep the process alive, unless {@link unref} was called. An idle client
 * doesn't. However the process ends, the client's thread ends first.
 */
export class EtcdClient extends Namespace implements AsyncDisposable {
  /** Which transport carries the calls: `native`, or the slower fallback `grpc-js`. */
  readonly transport: Transport['kind'];
  /** Users, roles and permissions. */
  readonly auth: Auth;
  /** The members of the cluster. */
  readonly cluster: Cluster;
  /** Status, alarms, snapshots and other maintenance of the members. */
  readonly maintenance: Maintenance;
  readonly #rpc: Rpc;
  readonly #leaseKeeper: LeaseKeeper;
  readonly #watches: WatchClient;

  static {
    guardMethods<Omit<EtcdClient, keyof Namespace>>(EtcdClient, (it) => #leaseKeeper in it, {
      promised: { compact: 2, unary: 3, close: 0 },
      direct: { stream: 2, setEndpoints: 1, onConnection: 1, ref: 0, unref: 0 },
    });
  }

  /** @internal Use `connect()`. */
  constructor(init: ClientInit) {
    const leaseKeeper = new LeaseKeeper(init.rpc);
    const watches = new WatchClient(init.rpc);
    super({ rpc: init.rpc, leaseKeeper, watches }, new PrefixMapping(new Uint8Array(0)));
    this.#leaseKeeper = leaseKeeper;
    this.#rpc = init.rpc;
    this.#watches = watches;
    this.transport = init.transport;
    this.auth = new Auth(init.rpc);
    this.cluster = new Cluster(init.rpc);
    this.maintenance = new Maintenance(init.rpc);
  }

  /**
   * Drops the history of all keys before `revision`. Reads and watches of an older revision fail with `CompactedError`
   * from then on. etcd: `KV.Compact`.
   *
   * @throws CompactedError when that revision was already compacted; EtcdError with code `OUT_OF_RANGE` when the store
   * hasn't reached it yet.
   */
  compact(revision: Int64, options: CompactOptions = {}): Promise<CompactResult> {
    return this.#rpc.call(compactCall, () => compactionRequest(revision, options), options);
  }

  /**
   * Makes a unary call that the client has no method for, such as those of etcd's own lock service:
   *
   * ```ts
   * const unlock: RpcMethod<UnlockRequest, UnlockResponse> = {
   *   path: '/v3lockpb.Lock/Unlock',
   *   encode: (request) => UnlockRequest.encode(request).finish(),
   *   decode: (bytes) => UnlockResponse.decode(bytes),
   * };
   * await etcd.unary(unlock, { key });
   * ```
   *
   * It follows the rules of all calls: it goes to a healthy endpoint with the client's token, within its deadline and
   * until its signal aborts. {@link RpcMethod.idempotent} says when it is sent again. Keys in its messages are etcd's
   * own, without any namespace.
   *
   * @throws InvalidArgumentError for a malformed method, UnimplementedError when the server has no such method, the
   * errors of all calls of a `Keyspace`, and what `encode` and `decode` throw. If `mayBeApplied` of an error is set,
   * the call may have been applied.
   */
  async unary<Request, Response>(
    method: RpcMethod<Request, Response>,
    request: Request,
    options: CallControl = {},
  ): Promise<Response> {
    return await this.#rpc.call(rawCall(method), () => request, options);
  }

  /**
   * Opens a streaming call that the client has no method for. It goes to a healthy endpoint, with a token that is at
   * most a second old. When it breaks, it isn't opened again, and other calls avoid that endpoint for a while.
   *
   * @throws InvalidArgumentError for a malformed method, and ClosedError. The loop over the stream throws what ends it
   * later.
   */
  stream<Request, Response>(
    method: RpcMethod<Request, Response>,
    options: RpcStreamOptions = {},
  ): RpcStream<Request, Response> {
    return new RpcStream(this.#rpc, method, options);
  }

  /** The client's endpoints, each with its state. */
  get endpoints(): EndpointStatus[] {
    return this.#rpc.endpoints;
  }

  /**
   * Replaces the endpoints. Calls on a removed endpoint run to their end. If all new endpoints belong to a different
   * cluster, the client moves there with the first answer: watches end with `StoreReplacedError`, `Cache` and `Mirror`
   * read their keys again, and sessions are lost.
   *
   * @throws InvalidArgumentError for malformed endpoints, and ClosedError.
   */
  setEndpoints(endpoints: string | readonly string[]): void {
    this.#rpc.setEndpoints(endpoints);
  }

  /**
   * Calls `listener` at each change of an endpoint's state: when it first answers, when it fails, and when it answers
   * again. An error that the listener throws is an uncaught exception.
   *
   * @returns a function that removes the listener.
   */
  onConnection(listener: (event: ConnectionEvent) => void): () => void {
    checkArgument('listener', aFunction(), listener);
    return this.#rpc.onConnection(listener);
  }

  /** Whether {@link close} was called. */
  get closed(): boolean {
    return this.#rpc.closed;
  }

  /** Lets calls, watches and keepalives in flight keep the process alive. This is the default. */
  ref(): void {
    this.#leaseKeeper.setReferenced(true);
    this.#watches.setReferenced(true);
    this.#rpc.ref();
  }

  /** Stops calls, watches and keepalives in flight from keeping the process alive. */
  unref(): void {
    this.#leaseKeeper.setReferenced(false);
    this.#watches.setReferenced(false);
    this.#rpc.unref();
  }

  /**
   * Closes the client: calls in flight fail with `ClosedError`, connections are closed, and the native thread is joined
   * if this was its last client. Idempotent. Takes about a millisecond and waits for no server.
   */
  close(): Promise<void> {
    this.#leaseKeeper.close();
    this.#watches.close();
    return this.#rpc.close();
  }

  /** The same as {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
