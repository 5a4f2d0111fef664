import { EtcdClient } from './client.js';
import { connectError } from './connect-error.js';
import { defaultEndpoint, parseEndpoints } from './endpoints.js';
import { invalidArgument } from './errors.js';
import { Balancer } from './rpc/balancer.js';
import { StatusRequest } from './rpc/generated/etcdserverpb/rpc.js';
import { Rpc } from './rpc/rpc.js';
import { checkTimeout } from './timeout.js';
import { checkTls } from './tls-options.js';
import { chooseTransport, type TransportChoice } from './transport/choose.js';
import type { KeepAliveOptions, TlsOptions, TransportOptions } from './transport/transport.js';

/** How to reach etcd, and how calls behave unless they say otherwise. */
export interface ConnectOptions {
  /**
   * `http://host:port` or `https://host:port`, one or several of the same cluster; commas separate them in a string.
   * Default `http://127.0.0.1:2379`.
   */
  readonly endpoints?: string | readonly string[];
  /** Certificates, for `https://` endpoints. */
  readonly tls?: TlsOptions;
  /** HTTP/2 keepalive; off by default. */
  readonly keepAlive?: KeepAliveOptions;
  /** Idle time before TCP's own keepalive probes start, in ms. Default 30 000; 0 turns them off. */
  readonly tcpKeepAliveMs?: number;
  /** Bound on reaching one endpoint, in ms. Default 5 000. */
  readonly connectTimeoutMs?: number;
  /** Deadline of each call that isn't given its own, in ms. Default 10 000; `Infinity` for none. Watches have none. */
  readonly timeoutMs?: number;
  /** Largest request that is sent, in bytes. Default 2 MiB, as in clientv3; etcd itself takes 1.5 MiB by default. */
  readonly maxRequestBytes?: number;
  /** Default `auto`: native where the addon loads, else grpc-js. `QUIESCE_ETCD_TRANSPORT` sets another default. */
  readonly transport?: TransportChoice;
  /** Gives up connecting. It has no say once connected. */
  readonly signal?: AbortSignal;
}

const optionNames = {
  endpoints: true,
  tls: true,
  keepAlive: true,
  tcpKeepAliveMs: true,
  connectTimeoutMs: true,
  timeoutMs: true,
  maxRequestBytes: true,
  transport: true,
  signal: true,
} satisfies Record<keyof ConnectOptions, true>;

/** etcd answers this one without authentication. */
const statusMethod = '/etcdserverpb.Maintenance/Status';

/**
 * Connects to etcd, and resolves once an endpoint has answered.
 *
 * @param options or the endpoints alone.
 * @throws InvalidArgumentError for options that can't work; UnavailableError when no endpoint answers, with what is
 * wrong with each; UnimplementedError when what answers isn't etcd.
 */
export async function connect(options: ConnectOptions | string = {}): Promise<EtcdClient> {
  const given = typeof options === 'string' ? { endpoints: options } : options;
  checkNames(given);
  const { tls, keepAlive, tcpKeepAliveMs, signal } = given;
  if (tls !== undefined) checkTls(tls);
  const endpoints = parseEndpoints(given.endpoints ?? defaultEndpoint, tls !== undefined);
  const connectTimeoutMs = checkTimeout('connectTimeoutMs', given.connectTimeoutMs ?? 5_000);
  const timeoutMs = checkTimeout('timeoutMs', given.timeoutMs ?? 10_000);
  const maxRequestBytes = checkTimeout('maxRequestBytes', given.maxRequestBytes ?? 2 * 1024 * 1024);
  signal?.throwIfAborted();
  const makeTransport = await chooseTransport(given.transport);
  const shared: Omit<TransportOptions, 'endpoint'> = {
    connectTimeoutMs,
    ...(tls !== undefined && { tls }),
    ...(keepAlive !== undefined && { keepAlive }),
    ...(tcpKeepAliveMs !== undefined && { tcpKeepAliveMs }),
  };
  const transports = endpoints.map((endpoint) => makeTransport({ ...shared, endpoint }));
  const balancer = new Balancer(transports);
  try {
    const failures = await balancer.findEndpoint(statusMethod, StatusRequest.encode({}).finish(), {
      timeoutMs: connectTimeoutMs,
      ...(signal !== undefined && { signal }),
    });
    if (failures !== undefined) throw connectError(endpoints, failures, connectTimeoutMs);
  } catch (error) {
    await balancer.close();
    throw error;
  }
  const balancerOf = (endpoint: string): Balancer =>
    new Balancer(
      parseEndpoints([endpoint], tls !== undefined).map((endpoint) => makeTransport({ ...shared, endpoint })),
    );
  return new EtcdClient({
    rpc: new Rpc({ balancer, balancerOf, timeoutMs, maxRequestBytes }),
    transport: transports[0]?.kind ?? 'native',
  });
}

function checkNames(options: object): void {
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(optionNames, name)) continue;
    throw invalidArgument(
      `there is no option ${JSON.stringify(name)}; connect() takes ${Object.keys(optionNames).join(', ')}`,
    );
  }
}
