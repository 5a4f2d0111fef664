import type { Metadata } from '../errors.js';

/** Certificates for an `https://` endpoint, as PEM text or bytes. */
export interface TlsOptions {
  /**
   * Certificate authorities to trust, including intermediate ones, and server certificates that are trusted as such.
   * Default: the operating system's authorities.
   */
  readonly ca?: string | Uint8Array | undefined;
  /** Client certificate chain, for mutual TLS. Needs `key`. */
  readonly cert?: string | Uint8Array | undefined;
  /** Private key of `cert`. */
  readonly key?: string | Uint8Array | undefined;
  /**
   * Name against which the server's certificate is checked. Default: the endpoint's host. A final dot is ignored in
   * both.
   */
  readonly serverName?: string | undefined;
  /**
   * Accept any certificate. Anybody between client and server can then read and change everything. It is for
   * development only, and the process warns once. Default false. clientv3: `InsecureSkipVerify`.
   */
  readonly dangerouslySkipVerification?: boolean | undefined;
}

/** HTTP/2 PINGs that detect a dead connection. */
export interface KeepAliveOptions {
  /** Silence after which a PING is sent, in ms. etcd closes connections that send one more often than every 5 s. */
  readonly intervalMs: number;
  /** How long to wait for the answer before the connection counts as dead, in ms. Default 20 000. */
  readonly timeoutMs?: number | undefined;
  /** Also send PINGs while no call is in flight. Default false: etcd drops clients that do so too often. */
  readonly whileIdle?: boolean | undefined;
}

/** How to reach one server. */
export interface TransportOptions {
  /** `http://host:port`, `https://host:port`, `unix://path` or, with TLS, `unixs://path`. */
  readonly endpoint: string;
  /** Ignored for `http://` and `unix://`. */
  readonly tls?: TlsOptions | undefined;
  /** Returns the TLS options before each new connection, instead of `tls`. */
  readonly tlsSource?: (() => Promise<TlsOptions>) | undefined;
  /** HTTP/2 keepalive; off by default. */
  readonly keepAlive?: KeepAliveOptions | undefined;
  /** Idle time before TCP's own keepalive probes start, in ms. Default 30 000; 0 turns them off. */
  readonly tcpKeepAliveMs?: number | undefined;
  /** Longest time for one connection attempt (TCP and TLS), in ms. Default 5 000. */
  readonly connectTimeoutMs?: number | undefined;
}

/** Settings of one call. */
export interface CallOptions {
  /** Metadata to send, names in lower case. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Deadline, in ms from now; when it passes the call is cancelled at the server. Default: none. */
  readonly timeoutMs?: number | undefined;
  /** Cancels the call; it rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
}

/** The answer to a unary call. */
export interface UnaryResponse {
  /**
   * The response message, protobuf bytes. Belongs to the caller, but may be a view of a larger buffer. A caller may take it
   * out of here: what holds the response for longer then doesn't hold the message.
   */
  message: Uint8Array;
  readonly headers: Metadata;
  readonly trailers: Metadata;
}

/**
 * A server-streaming or bidirectional call of raw messages, with one reader and one writer.
 * Both directions are bounded: `send` waits for room, and the server is held back while nobody reads.
 */
export interface ByteStream {
  /** Queues one message; resolves when the transport has room for another. Rejects once the call has ended. */
  send(message: Uint8Array): Promise<void>;
  /**
   * Like {@link send}, for a sender that has little to send and doesn't wait for room. Only the end of the call reports a
   * failure.
   */
  post(message: Uint8Array): void;
  /** Half-closes: no more messages will be sent. */
  closeSend(): void;
  /**
   * Messages from now on may wait this long, in ms, so that others are received together with them. Useful for many
   * short messages that nobody waits for. The default is 0: no wait. This is only a hint.
   */
  gather(ms: number): void;
  /**
   * The next message, or `undefined` after the last one of a call that ended with status OK.
   * Rejects with a typed {@link EtcdError} for any other status. One call at a time.
   */
  receive(): Promise<Uint8Array | undefined>;
  /**
   * Returns what {@link receive} would resolve with at once, without a promise: the next message that has arrived, if
   * nobody waits for it.
   */
  poll(): Uint8Array | undefined;
  /** Response headers; rejects if the call ends without any. */
  readonly headers: Promise<Metadata>;
  /** Trailers; empty until the call has ended. */
  readonly trailers: Metadata;
  /** Ends the call at once; a waiting `receive` or `send` rejects with `reason`, or as CANCELLED without one. Idempotent. */
  cancel(reason?: unknown): void;
}

/**
 * The line between moving bytes and the client's semantics: one HTTP/2 connection to one server, which carries gRPC
 * calls of encoded messages. It is made when it is first needed, and again after it broke.
 *
 * Every failure is an {@link EtcdError} (or `signal.reason`). While calls or streams are in flight the transport keeps
 * the process alive, unless `unref()` was called.
 */
export interface Transport {
  /** Which implementation this is. */
  readonly kind: 'native' | 'grpc-js';
  /** A unary call, such as `/etcdserverpb.KV/Range`. */
  unary(method: string, request: Uint8Array, options?: CallOptions): Promise<UnaryResponse>;
  /** Opens a streaming call. A server-streaming one is `send` once, then `closeSend`. */
  stream(method: string, options?: CallOptions): ByteStream;
  /** Retires the connection: new calls get another one. Calls in flight continue if they can. */
  renew(): void;
  /** Calls in flight keep the process alive (the default). */
  ref(): void;
  /** Calls in flight no longer keep the process alive. */
  unref(): void;
  /**
   * Closes the transport: calls in flight reject with {@link ClosedError}, the connection is closed, and background
   * threads are joined. Idempotent. Later calls reject with {@link ClosedError}.
   */
  close(): Promise<void>;
}

/** Makes a {@link Transport}; throws an {@link InvalidArgumentError} for options that can't work. No I/O yet. */
export type TransportFactory = (options: TransportOptions) => Transport;
