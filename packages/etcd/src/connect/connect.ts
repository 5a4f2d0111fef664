import {
  DeadlineExceededError,
  type InvalidArgumentError,
  invalidArgument,
  StatusCode,
  UnauthenticatedError,
  UnavailableError,
} from '../errors.js';
import { backoffMs } from '../rpc/backoff.js';
import { Balancer, type BalancerInit } from '../rpc/balancer.js';
import { idempotentCall } from '../rpc/call.js';
import { noEndpoint } from '../rpc/connect-error.js';
import { AuthService } from '../rpc/generated/etcdserverpb/methods.js';
import type { RetryOptions } from '../rpc/retry.js';
import { Rpc, type RpcInit } from '../rpc/rpc.js';
import { Store } from '../rpc/store.js';
import { type AuthOptions, type Credentials, type FixedToken, TokenSource } from '../rpc/token.js';
import { chooseTransport, type TransportChoice } from '../transport/choose.js';
import type { KeepAliveOptions, TlsOptions, TransportOptions } from '../transport/transport.js';
import {
  abortSignal,
  byteCount,
  flag,
  headerSecret,
  intervalMs,
  type Kind,
  kind,
  milliseconds,
  millisecondsOrNone,
  nonEmptyText,
  oneOf,
  positiveIntegerOrInfinity,
  reason,
  type Shape,
  secret,
} from '../util/kinds.js';
import { refuseMore } from '../util/methods.js';
import { Description } from '../util/options.js';
import { clearInterval, LONGEST_TIMER_MS, monotonicMs, setInterval } from '../util/timers.js';
import { pause, settlesBy, unlessAborted, type Waiter, within } from '../util/wait.js';
import { EtcdClient } from './client.js';
import { DEFAULT_ENDPOINT, endpointsKind, parseEndpoints } from './endpoints.js';
import { lookUpSrv, type SrvOptions, srvFields } from './srv.js';
import { checkTls, tlsFields } from './tls-options.js';

/** How to reach etcd, and how calls behave unless they say otherwise. */
export interface ConnectOptions {
  /**
   * `http://host:port`, `https://host:port`, `unix://path` or, with TLS, `unixs://path`; one or several endpoints of
   * the same cluster. The first that answers decides which cluster that is. Endpoints of a different cluster aren't
   * used, and have a `ClusterMismatchError` in `etcd.endpoints`. In a string, commas separate them. Default
   * `http://127.0.0.1:2379`.
   */
  readonly endpoints?: string | readonly string[] | undefined;
  /** Finds the endpoints in DNS. Excludes `endpoints`. The value is the domain, or the domain with options. */
  readonly srv?: string | SrvOptions | undefined;
  /**
   * Certificates for `https://` endpoints, or a function that returns them. The function is called before each new
   * connection, so renewed certificates need no new client. If it throws, that connection fails.
   */
  readonly tls?: (TlsOptions | (() => TlsOptions | Promise<TlsOptions>)) | undefined;
  /** HTTP/2 keepalive; off by default. */
  readonly keepAlive?: KeepAliveOptions | undefined;
  /** Idle time before TCP's own keepalive probes start, in ms. Default 30 000; 0 turns them off. */
  readonly tcpKeepAliveMs?: number | undefined;
  /**
   * Longest time to reach one endpoint, in ms. Default 5 000. Several endpoints are tried in parallel: each next one
   * starts as soon as one has failed, or after 250 ms.
   */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * How long to wait for an etcd that is still starting, in ms. All endpoints are tried repeatedly until then. After
   * that `connect()` fails: the error's `cause` is the last failure of the endpoint, or an `AggregateError` with those of
   * several endpoints. With `Infinity` only `signal` ends the wait. With `srv`, DNS
   * is also asked again. Default: each endpoint is tried once. Corresponds to `grpc.WithBlock` and `DialTimeout` of
   * clientv3.
   */
  readonly waitForReadyMs?: number | undefined;
  /**
   * Resolve before any endpoint was reached, as clientv3 does by default. Options are checked and `srv` is looked up;
   * the first calls connect and log in. Until an endpoint has answered, calls wait for one until their deadline. Then
   * they fail with UnavailableError, which has the last failure of each endpoint; nothing was sent. Default false.
   * Excludes `waitForReadyMs`.
   */
  readonly lazy?: boolean | undefined;
  /** Deadline of each call that isn't given one, in ms. Default 10 000; `Infinity` for none. Watches have none. */
  readonly timeoutMs?: number | undefined;
  /**
   * Bound on one attempt at a call, in ms. Default `Infinity`. With several endpoints it lets reads leave a frozen
   * member long before their deadline. A write that was sent fails then, since it may have been made. HTTP/2 `keepAlive`
   * lets all calls leave.
   */
  readonly attemptTimeoutMs?: number | undefined;
  /** How calls are sent again where that is safe: reads, and writes that were never proposed. */
  readonly retry?: RetryOptions | undefined;
  /**
   * The user or token of each call, or a function that returns one. The function is called when a token is first
   * needed, for each stream, and when the server refuses a token. If it throws, a call that needs a token fails at once
   * with UnauthenticatedError and nothing is applied. Watches and mirrors call it again until it works. Over `http://`
   * the password is sent in clear text.
   */
  readonly auth?: (AuthOptions | (() => AuthOptions | Promise<AuthOptions>)) | undefined;
  /** How often to look up the cluster's members, in ms, as `cluster.syncEndpoints()` does. Default: never. */
  readonly autoSyncIntervalMs?: number | undefined;
  /** Largest request that is sent, in bytes. Default 2 MiB, as in clientv3. etcd itself accepts 1.5 MiB by default. */
  readonly maxRequestBytes?: number | undefined;
  /** Default `auto`: native if the addon loads, otherwise grpc-js. `QUIESCE_ETCD_TRANSPORT` sets a different default. */
  readonly transport?: TransportChoice | undefined;
  /** Ends the attempt to connect. Once connected, it has no effect. */
  readonly signal?: AbortSignal | undefined;
}

const srvKind: Kind<string | SrvOptions> = {
  fits: (value) => typeof value === 'string' || srvFields.fits(value),
  explain: srvFields.explain,
};

/** A field of the other form. That there is both is said by itself. */
const nothing = kind<never>(() => false, 'left out');

const credentialFields = new Description<Credentials>(
  'auth',
  { username: nonEmptyText, password: secret, token: nothing },
  {
    required: ['username', 'password'],
    hidden: ['token'],
    hints: { user: 'did you mean username?', name: 'did you mean username?' },
    example: '{ username, password }, or { token }',
  },
);

const tokenFields = new Description<FixedToken>(
  'auth',
  { token: headerSecret, username: nothing, password: nothing },
  { required: ['token'], hidden: ['username', 'password'], example: '{ token }' },
);

type AnyAuth = Partial<Record<keyof Credentials, unknown>>;

const isToken = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && (value as AnyAuth).token !== undefined;

const isBoth = (value: unknown): boolean => {
  const { username, password } = Object(value) as AnyAuth;
  return isToken(value) && (username !== undefined || password !== undefined);
};

const authKind: Kind<AuthOptions> = {
  fits: (value) => (isToken(value) ? tokenFields : credentialFields).fits(value),
  explain: (name, value) =>
    isBoth(value)
      ? 'auth has a token and a user; give either { token } or { username, password }'
      : (isToken(value) ? tokenFields : credentialFields).explain(name, value),
};

/** The kind, or a function that returns such a value. */
function orFunction<T>(of: Kind<T>): Kind<T | (() => T | Promise<T>)> {
  return { fits: (value) => typeof value === 'function' || of.fits(value), explain: of.explain };
}

const connectOptions = new Description<ConnectOptions>(
  'connect()',
  {
    endpoints: endpointsKind,
    srv: srvKind,
    tls: orFunction(tlsFields),
    keepAlive: new Description<KeepAliveOptions>(
      'keepAlive',
      { intervalMs: milliseconds, timeoutMs: milliseconds, whileIdle: flag },
      {
        required: ['intervalMs'],
        hints: {
          interval: 'did you mean intervalMs?',
          time: 'did you mean intervalMs?',
          timeout: 'did you mean timeoutMs?',
        },
        example: '{ intervalMs: 30_000 }',
      },
    ),
    tcpKeepAliveMs: millisecondsOrNone,
    connectTimeoutMs: milliseconds,
    waitForReadyMs: milliseconds,
    lazy: flag,
    timeoutMs: milliseconds,
    attemptTimeoutMs: milliseconds,
    retry: new Description<RetryOptions>(
      'retry',
      { maxAttempts: positiveIntegerOrInfinity, backoffMs: intervalMs, maxBackoffMs: intervalMs },
      {
        hints: { retries: 'did you mean maxAttempts?', maxRetries: 'did you mean maxAttempts?' },
        example: '{ maxAttempts: 1 }',
      },
    ),
    auth: orFunction(authKind),
    autoSyncIntervalMs: intervalMs,
    maxRequestBytes: byteCount,
    transport: oneOf('auto', 'native', 'grpc-js'),
    signal: abortSignal,
  },
  {
    hints: {
      hosts: 'did you mean endpoints?',
      host: 'did you mean endpoints?',
      url: 'did you mean endpoints?',
      urls: 'did you mean endpoints?',
      port: 'it is part of endpoints',
      user: 'write auth: { username, password }',
      username: 'write auth: { username, password }',
      password: 'write auth: { username, password }',
      credentials: 'write tls: { ca, cert, key }',
      ca: 'write tls: { ca }',
      caCert: 'write tls: { ca }',
      cert: 'write tls: { cert, key }',
      key: 'write tls: { cert, key }',
      insecureSkipTlsVerify: 'write tls: { dangerouslySkipVerification: true }',
      insecureTransport: 'write endpoints with http://',
      discoverySrv: 'write srv: { domain }',
      dialTimeout: 'did you mean connectTimeoutMs?',
      dialKeepAliveTime: 'write keepAlive: { intervalMs }',
      dialKeepAliveTimeout: 'write keepAlive: { intervalMs, timeoutMs }',
      permitWithoutStream: 'write keepAlive: { intervalMs, whileIdle: true }',
      defaultCallOptions: 'give timeoutMs for all calls, or each call its own',
      faultHandling: 'did you mean retry?',
      maxRetries: 'write retry: { maxAttempts }',
      autoSyncInterval: 'did you mean autoSyncIntervalMs?',
      maxCallSendMsgSize: 'did you mean maxRequestBytes?',
      namespace: 'use etcd.namespace(prefix) on the connected client',
      timeout: 'did you mean timeoutMs?',
    },
    example: "{ endpoints: 'http://127.0.0.1:2379' }",
  },
);

const never = Number.POSITIVE_INFINITY;
const lookUpBackoff = { firstMs: 100, longestMs: 1_000 };

const authenticate = idempotentCall(AuthService.authenticate, ({ token }) => token);

/**
 * Connects to etcd. Resolves once an endpoint has answered and the user is logged in, or at once with `lazy`.
 *
 * @param options the options, or only the endpoints.
 * @throws InvalidArgumentError for options that can't work; UnavailableError when no endpoint answers: its `cause` has
 * the failure of each, in the order of the endpoints; UnimplementedError when a server answers that isn't etcd.
 */
export async function connect(options?: ConnectOptions | string): Promise<EtcdClient>;
export async function connect(
  options: ConnectOptions | string = {},
  ...more: readonly unknown[]
): Promise<EtcdClient> {
  refuseMore('connect()', [options], more);
  if ((options as unknown) instanceof URL) {
    throw invalidArgument('connect() was given a URL object; give its text: url.href');
  }
  const given = typeof options === 'string' ? { endpoints: options } : options;
  connectOptions.check(given);
  const { tls, keepAlive, tcpKeepAliveMs, signal, srv } = given;
  if (srv !== undefined && given.endpoints !== undefined) {
    throw invalidArgument("endpoints and srv can't be combined: give one of them");
  }
  const { waitForReadyMs, lazy = false } = given;
  if (lazy && waitForReadyMs !== undefined) {
    throw invalidArgument("lazy and waitForReadyMs can't be combined: give one of them");
  }
  const readyBy = waitForReadyMs === undefined ? undefined : monotonicMs() + waitForReadyMs;
  const {
    connectTimeoutMs: wantedMs = 5_000,
    timeoutMs = 10_000,
    maxRequestBytes = 2 * 1024 * 1024,
    attemptTimeoutMs = Number.POSITIVE_INFINITY,
    autoSyncIntervalMs,
    auth,
  } = given;
  // A time that no timer can run for means never.
  const connectTimeoutMs = wantedMs > LONGEST_TIMER_MS ? never : wantedMs;
  signal?.throwIfAborted();
  const parse = (given: string | readonly string[]): string[] => parseEndpoints(given, tls !== undefined);
  const retry = retryInit(given.retry);
  const wanted = given.endpoints ?? DEFAULT_ENDPOINT;
  // A copy, since the caller may change the list while this waits.
  const named = typeof wanted === 'string' ? wanted : [...wanted];
  if (tls !== undefined && typeof tls !== 'function') await checkTls(tls);
  const endpoints = parse(
    srv === undefined ? named : await lookUp(srv, tls !== undefined, { readyBy, connectTimeoutMs, signal }),
  );
  const makeTransport = await chooseTransport(given.transport);
  const shared: Omit<TransportOptions, 'endpoint'> = {
    connectTimeoutMs,
    ...(typeof tls === 'function'
      ? { tlsSource: () => tlsOf(tls, connectTimeoutMs) }
      : tls !== undefined && { tls }),
    ...(keepAlive !== undefined && { keepAlive }),
    ...(tcpKeepAliveMs !== undefined && { tcpKeepAliveMs }),
  };
  const balancerOf = (
    addresses: readonly string[],
    more: Pick<BalancerInit, 'store' | 'mustFind'> = {},
  ): Balancer =>
    new Balancer({
      ...more,
      endpoints: addresses,
      makeTransport: (endpoint) => makeTransport({ ...shared, endpoint }),
      probeTimeoutMs: connectTimeoutMs,
    });
  const balancer = balancerOf(endpoints, { store: new Store(), mustFind: lazy });
  const init: RpcInit = {
    balancer,
    balancerOf: (endpoint) => balancerOf(parse([endpoint])),
    parseEndpoints: parse,
    timeoutMs,
    attemptTimeoutMs,
    maxRequestBytes,
    connectTimeoutMs,
    ...retry,
  };
  try {
    const tokens = auth && tokenSource(new Rpc(init), auth, timeoutMs);
    if (!lazy) {
      if (readyBy === undefined || waitForReadyMs === undefined) {
        const failures = await unlessAborted(balancer.findEndpoint(), signal);
        if (failures !== undefined) throw noEndpoint(endpoints, failures, connectTimeoutMs, undefined);
      } else await new Rpc(init).untilFound(readyBy, waitForReadyMs, signal);
      const inTime =
        tokens === undefined || (await settlesBy(tokens.refresh(undefined), readyBy ?? never, signal));
      if (!inTime) throw notLoggedIn(waitForReadyMs);
    }
    const rpc = new Rpc({ ...init, ...(tokens && { tokens }) });
    const client = new EtcdClient({ rpc, transport: balancer.transportKind });
    if (autoSyncIntervalMs !== undefined) syncRegularly(client, autoSyncIntervalMs);
    return client;
  } catch (error) {
    await balancer.close();
    throw error;
  }
}

/** Authenticates over the client's own endpoints, without a token. With a fixed token it doesn't authenticate. */
function tokenSource(rpc: Rpc, auth: NonNullable<ConnectOptions['auth']>, timeoutMs: number): TokenSource {
  const fixed = typeof auth !== 'function' && auth.token !== undefined;
  const fetch = async (): Promise<string> => {
    const given = typeof auth === 'function' ? await authOf(auth, timeoutMs) : auth;
    if (given.token !== undefined) return given.token;
    const { username, password } = given;
    return await rpc.call(authenticate, () => ({ name: username, password }), {});
  };
  return new TokenSource(fetch, fixed);
}

/** The result of the auth function. */
async function authOf(
  auth: () => AuthOptions | Promise<AuthOptions>,
  timeoutMs: number,
): Promise<AuthOptions> {
  let given: AuthOptions;
  try {
    given = await inTime('auth', auth, timeoutMs);
  } catch (cause) {
    if (cause instanceof DeadlineExceededError) throw cause;
    const message = `the auth function failed: ${reason(cause)}`;
    throw new UnauthenticatedError(message, { code: StatusCode.UNAUTHENTICATED, sent: false, cause });
  }
  if (!authKind.fits(given)) throw wrongGift('auth', authKind, given);
  return given;
}

/** The error for a function whose result the option doesn't accept. */
function wrongGift(option: 'auth' | 'tls', kind: Shape, given: unknown): InvalidArgumentError {
  return invalidArgument(`what the ${option} function gave is wrong: ${kind.explain('', given)}`);
}

/** What an option's function returns. All calls wait for it, so one that hangs must not block them forever. */
function inTime<T>(option: 'auth' | 'tls', give: () => T | Promise<T>, timeoutMs: number): Promise<T> {
  const expired = (wait: Waiter<T>): void => {
    const message = `DEADLINE_EXCEEDED: the ${option} function returned nothing within ${timeoutMs} ms`;
    wait.reject(new DeadlineExceededError(message, { code: StatusCode.DEADLINE_EXCEEDED, sent: false }));
  };
  return within((async () => give())(), { timeoutMs, expired, ref: true });
}

/** The result of the tls function. */
async function tlsOf(tls: () => TlsOptions | Promise<TlsOptions>, timeoutMs: number): Promise<TlsOptions> {
  const given = await inTime('tls', tls, timeoutMs);
  if (!tlsFields.fits(given)) throw wrongGift('tls', tlsFields, given);
  await checkTls(given);
  return given;
}

/** Asks DNS for the endpoints: once, or repeatedly within `waitForReadyMs` if that is given. */
async function lookUp(
  srv: string | SrvOptions,
  withTls: boolean,
  bounds: {
    readonly readyBy: number | undefined;
    readonly connectTimeoutMs: number;
    readonly signal: AbortSignal | undefined;
  },
): Promise<string[]> {
  const { readyBy, connectTimeoutMs, signal } = bounds;
  let last: unknown;
  for (let failures = 1; ; failures++) {
    try {
      const found = lookUpSrv(srv, withTls);
      const leftMs = readyBy === undefined ? connectTimeoutMs : readyBy - monotonicMs();
      // A resolver of the user's may hold nothing that keeps the process alive.
      const expired = (wait: Waiter<undefined>): void => wait.resolve(undefined);
      const endpoints = await within<string[] | undefined>(found, {
        signal,
        timeoutMs: leftMs,
        expired,
        ref: true,
      });
      if (endpoints !== undefined) return endpoints;
      const inTime = readyBy === undefined ? ` within ${connectTimeoutMs} ms` : '';
      const init = { code: StatusCode.UNAVAILABLE, sent: false };
      throw last ?? new UnavailableError(`DNS gave no answer${inTime}`, init);
    } catch (error) {
      last = error;
      const leftMs = (readyBy ?? 0) - monotonicMs();
      if (!(error instanceof UnavailableError) || leftMs <= 0) throw error;
      await pause(Math.min(backoffMs(failures, lookUpBackoff), leftMs), signal);
    }
  }
}

function notLoggedIn(waitForReadyMs: number | undefined): DeadlineExceededError {
  const message = `DEADLINE_EXCEEDED: an endpoint answered, but issued no token within ${waitForReadyMs} ms`;
  return new DeadlineExceededError(message, { code: StatusCode.DEADLINE_EXCEEDED, sent: false });
}

function syncRegularly(client: EtcdClient, intervalMs: number): void {
  // A time that no timer can run for means never.
  if (intervalMs > LONGEST_TIMER_MS) return;
  const timer = setInterval(() => {
    if (client.closed) clearInterval(timer);
    // The endpoints stay as they are until it works.
    else client.cluster.syncEndpoints({ timeoutMs: intervalMs }).catch(() => {});
  }, intervalMs);
  timer.unref();
}

function retryInit({
  maxAttempts = Number.POSITIVE_INFINITY,
  backoffMs: firstMs = 25,
  maxBackoffMs,
}: RetryOptions = {}): Pick<RpcInit, 'maxAttempts' | 'backoff'> {
  if (maxBackoffMs !== undefined && maxBackoffMs < firstMs) {
    throw invalidArgument(
      `retry.maxBackoffMs is ${maxBackoffMs}, which is less than backoffMs (${firstMs}); make it at least as long`,
    );
  }
  return { maxAttempts, backoff: { firstMs, longestMs: maxBackoffMs ?? Math.max(firstMs, 1_000) } };
}
