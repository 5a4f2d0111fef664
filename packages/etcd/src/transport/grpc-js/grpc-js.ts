import * as grpc from '@grpc/grpc-js';
import {
  ClosedError,
  closedInFlight,
  type EtcdError,
  InvalidArgumentError,
  type Metadata,
  noMetadata,
  StatusCode,
} from '../../errors.js';
import { statusError } from '../../server-errors.js';
import { reason } from '../../util/kinds.js';
import { clearTimeout, LONGEST_TIMER_MS, setImmediate, setTimeout } from '../../util/timers.js';
import { afterReading } from '../../util/wait.js';
import { type PendingCall, StreamCall, UnaryCall, wasCancelled } from '../call-state.js';
import { isSecure, parseEndpoint } from '../endpoint.js';
import { TlsSource } from '../tls-source.js';
import type { ByteStream, CallOptions, Transport, TransportOptions, UnaryResponse } from '../transport.js';
import { abortable } from './abortable-resolver.js';
import { type ChannelInit, GrpcJsChannel } from './channel.js';
import { renewedTlsCredentials, tlsCredentials } from './tls-credentials.js';

// How grpc-js reports calls that never got a connection. The second pattern includes this client's own messages.
const closedUnderCall = /^Channel closed before call started/;
const neverSent =
  /^(No connection established|Name resolution failed|Channel closed before call started|connect timeout)/;

// grpc-js treats only ECONNRESET and ETIMEDOUT as a broken connection. Any other socket error becomes INTERNAL.
const brokenConnection =
  /^Received RST_STREAM with code 2 triggered by internal client error: (?:\w+ E[A-Z]+\b|This socket has been ended)/;

/**
 * A transport on `@grpc/grpc-js`, for hosts without the native binary. Where it differs:
 * - without `tls.ca` it trusts the operating system's authorities only from Node 22.15 on, otherwise Node's own.
 * - after `unref()`, calls still keep the process alive while their connection is being made.
 *
 * @throws InvalidArgumentError when the options can't work.
 */
export function grpcJsTransport(options: TransportOptions): Transport {
  return new GrpcJsTransport(options);
}

class GrpcJsTransport implements Transport {
  readonly kind = 'grpc-js';
  readonly #init: Omit<ChannelInit, 'referenced' | 'gaveUp' | 'ended'>;
  /** Where the TLS options come from, if a function gives them. */
  readonly #tls: TlsSource | undefined;
  readonly #calls = new Map<PendingCall, RunningCall>();
  /** The channel for new calls, if there is one, and retired channels that still have calls. */
  readonly #channels = new Set<GrpcJsChannel>();
  #channel: GrpcJsChannel | undefined;
  #referenced = true;
  #closed = false;

  constructor(options: TransportOptions) {
    const { target, host, secure } = targetOf(options.endpoint);
    this.#tls = options.tlsSource && new TlsSource(options.tlsSource);
    this.#init = {
      target: abortable(target),
      credentials: credentials({ ...options, tlsSource: this.#tls?.give }, host, secure),
      options: channelOptions(options, target, secure),
      tcpKeepAliveMs: options.tcpKeepAliveMs ?? 30_000,
      connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
    };
  }

  unary(method: string, request: Uint8Array, options?: CallOptions): Promise<UnaryResponse> {
    return new Promise((resolve, reject) => {
      const call = new GrpcJsUnary(method, resolve, reject);
      this.#begin(call, options, (client, metadata) =>
        client.makeUnaryRequest(method, identity, identity, asBuffer(request), metadata, call.answered),
      );
    });
  }

  stream(method: string, options?: CallOptions): ByteStream {
    const stream = new GrpcJsStream(method, this);
    this.#begin(stream, options, (client, metadata) => {
      const duplex = client.makeBidiStreamRequest(method, identity, identity, metadata);
      stream.attach(duplex);
      return duplex;
    });
    return stream;
  }

  ref(): void {
    this.#referenced = true;
    for (const channel of this.#channels) channel.ref();
  }

  unref(): void {
    this.#referenced = false;
    for (const channel of this.#channels) channel.unref();
  }

  renew(): void {
    this.#leave(this.#channel);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const call of [...this.#calls.keys()]) this.cancel(call, closedInFlight(call.method));
    for (const channel of [...this.#channels]) channel.close();
  }

  /** Starts the call. If it can't begin, it fails here. */
  #begin(
    call: GrpcJsUnary | GrpcJsStream,
    options: CallOptions | undefined,
    start: (client: grpc.Client, metadata: grpc.Metadata) => SurfaceCall,
  ): void {
    const signal = options?.signal;
    if (this.#closed) call.fail(new ClosedError());
    else if (signal?.aborted) call.fail(signal.reason);
    else {
      this.#channel ??= this.#connect();
      const channel = this.#channel;
      let surface: SurfaceCall;
      try {
        surface = start(channel.client, toGrpcMetadata(options?.metadata));
      } catch (cause) {
        call.fail(malformed(cause, call.method));
        return;
      }
      channel.callBegan();
      this.#calls.set(call, { surface, channel, timer: this.#deadline(call, options?.timeoutMs) });
      if (signal !== undefined) call.watch(signal, () => this.cancel(call, signal.reason));
      surface.on('metadata', (metadata: grpc.Metadata) => call.headersCame(fromGrpcMetadata(metadata)));
      surface.on('status', (status: grpc.StatusObject) => {
        if (!this.#calls.has(call)) return;
        const seen = byRetirement(status, channel);
        // A channel that could not connect refuses calls until its back-off has passed; a new one tries at once.
        const unsent = status.code !== StatusCode.OK && neverSent.test(status.details);
        if (unsent) this.#leave(channel);
        this.#forget(call);
        const failure = unsent ? this.#tls?.failure(this.#init.connectTimeoutMs, call.method) : undefined;
        if (failure === undefined) call.ended(seen, fromGrpcMetadata(status.metadata));
        else call.fail(failure);
      });
    }
  }

  /** The call is over. Returns what carried it, unless it was over before. */
  #forget(call: PendingCall): SurfaceCall | undefined {
    const running = this.#calls.get(call);
    if (running === undefined) return undefined;
    this.#calls.delete(call);
    clearTimeout(running.timer);
    running.channel.callEnded();
    return running.surface;
  }

  /** Ends a call here and at the server. */
  cancel(call: PendingCall, reason: unknown): void {
    const surface = this.#forget(call);
    if (surface === undefined) return;
    call.cut(reason);
    // grpc-js forgets a cancellation in the same microtasks in which it begins a call, and makes the call anyway.
    setImmediate(() => surface.cancel());
  }

  /**
   * Ends the call when its time is over. grpc-js's own deadline would also fail a call whose answer came in time, if
   * something has blocked the event loop: its timer runs before the reading.
   */
  #deadline(call: PendingCall, givenMs = Number.POSITIVE_INFINITY): NodeJS.Timeout | undefined {
    if (givenMs > LONGEST_TIMER_MS) return undefined;
    // As in the native transport. A timer would cut off the fraction.
    const timeoutMs = Math.max(1, Math.ceil(givenMs));
    const expired = (): void => {
      const surface = this.#forget(call);
      if (surface === undefined) return;
      const details = `no answer within ${timeoutMs} ms`;
      const { method } = call;
      call.fail(
        this.#tls?.failure(timeoutMs, method) ??
          statusError({ code: StatusCode.DEADLINE_EXCEEDED, details, method, sent: true }),
      );
      setImmediate(() => surface.cancel());
    };
    return setTimeout(() => afterReading(expired), timeoutMs).unref();
  }

  #connect(): GrpcJsChannel {
    const channel: GrpcJsChannel = new GrpcJsChannel({
      ...this.#init,
      referenced: this.#referenced,
      gaveUp: () => this.#leave(channel),
      ended: () => this.#channels.delete(channel),
    });
    this.#channels.add(channel);
    return channel;
  }

  /** The next call gets another channel. */
  #leave(channel: GrpcJsChannel | undefined): void {
    if (channel === undefined || this.#channel !== channel) return;
    this.#channel = undefined;
    channel.retire();
  }
}

/** A call of grpc-js. */
type SurfaceCall = ReturnType<grpc.Client['makeUnaryRequest']> | grpc.ClientDuplexStream<Buffer, Buffer>;

/** What carries a call. */
interface RunningCall {
  readonly surface: SurfaceCall;
  readonly channel: GrpcJsChannel;
  readonly timer: NodeJS.Timeout | undefined;
}

class GrpcJsUnary extends UnaryCall {
  #headers: Metadata = noMetadata;
  #message: Buffer | undefined;
  #error: Error | undefined;

  // The status, with its trailers, follows the answer.
  readonly answered = (error: grpc.ServiceError | null, message?: Buffer): void => {
    this.#error = error ?? undefined;
    this.#message = message;
  };

  override headersCame(headers: Metadata): void {
    this.#headers = headers;
  }

  /** The call has ended with a status. */
  ended(status: grpc.StatusObject, trailers: Metadata): void {
    if (this.#message !== undefined) {
      this.answer({ message: this.#message, headers: this.#headers, trailers });
    } else if (status.code === grpc.status.OK) {
      const details = 'the server sent no message';
      const fate = { sent: true, mayBeApplied: true };
      this.fail(
        statusError({ code: StatusCode.UNIMPLEMENTED, details, trailers, method: this.method, ...fate }),
      );
    } else this.fail(fromStatus(status, trailers, this.method, this.#error));
  }
}

/** Reads in paused mode: Node's stream buffer (16 messages each way) is the bound. */
class GrpcJsStream extends StreamCall {
  readonly #transport: GrpcJsTransport;
  #duplex: grpc.ClientDuplexStream<Buffer, Buffer> | undefined;

  constructor(method: string, transport: GrpcJsTransport) {
    super(method);
    this.#transport = transport;
  }

  attach(duplex: grpc.ClientDuplexStream<Buffer, Buffer>): void {
    this.#duplex = duplex;
    duplex.on('readable', () => this.wakeReader());
    duplex.on('drain', () => this.wakeSenders(Number.POSITIVE_INFINITY));
    // The 'status' event has the error, too.
    duplex.on('error', () => {});
  }

  override cancel(reason?: unknown): void {
    if (!this.isOver) this.#transport.cancel(this, reason ?? wasCancelled(this.method));
  }

  /** The call has ended with a status. */
  ended(status: grpc.StatusObject, trailers: Metadata): void {
    if (status.code === grpc.status.OK) this.finish(trailers);
    else this.fail(fromStatus(status, trailers, this.method));
  }

  protected override write(message: Uint8Array): boolean {
    return this.#duplex?.write(asBuffer(message)) ?? false;
  }

  protected override endWriting(): void {
    this.#duplex?.end();
  }

  protected override take(): Uint8Array | undefined {
    return this.#duplex?.read() ?? undefined;
  }

  protected override drop(): void {
    this.#duplex = undefined;
  }
}

function malformed(cause: unknown, method?: string): InvalidArgumentError {
  return new InvalidArgumentError(reason(cause), {
    code: StatusCode.INVALID_ARGUMENT,
    ...(method !== undefined && { method }),
    sent: false,
    cause,
  });
}

function fromStatus(
  status: grpc.StatusObject,
  trailers: Metadata,
  method: string,
  cause: Error | undefined = undefined,
): EtcdError {
  return statusError({
    code: brokenConnection.test(status.details) ? StatusCode.UNAVAILABLE : knownCode(status.code),
    details: status.details,
    trailers,
    method,
    sent: !neverSent.test(status.details),
    cause,
  });
}

/** A server can send any number as the code, and some errors of grpc-js have none. gRPC defines both as UNKNOWN. */
function knownCode(code: number | undefined): StatusCode {
  return codes.has(code as StatusCode) ? (code as StatusCode) : StatusCode.UNKNOWN;
}

const codes: ReadonlySet<StatusCode> = new Set(Object.values(StatusCode));

const identity = (bytes: Buffer): Buffer => bytes;

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Calls that wait for a connection fail with their channel. Their status then gets the reason why the channel was given
 * up.
 */
function byRetirement(status: grpc.StatusObject, { why }: GrpcJsChannel): grpc.StatusObject {
  return why !== undefined && closedUnderCall.test(status.details) ? { ...status, details: why } : status;
}

function toGrpcMetadata(metadata: Readonly<Record<string, string>> | undefined): grpc.Metadata {
  const result = new grpc.Metadata();
  if (metadata === undefined) return result;
  for (const [name, value] of Object.entries(metadata)) {
    result.set(name, name.endsWith('-bin') ? Buffer.from(value, 'base64') : value);
  }
  return result;
}

function fromGrpcMetadata(metadata: grpc.Metadata): Metadata {
  const result: Record<string, string[]> = {};
  for (const name of Object.keys(metadata.getMap())) {
    result[name] = metadata
      .get(name)
      .map((value) => (typeof value === 'string' ? value : value.toString('base64')));
  }
  return result;
}

/** An endpoint as grpc-js names it, and the host that its certificate is for. */
function targetOf(endpoint: string): {
  readonly target: string;
  readonly host: string;
  readonly secure: boolean;
} {
  const parts = parseEndpoint(endpoint);
  if (parts?.scheme === undefined) {
    throw malformed(`endpoint ${endpoint} is neither http://, https:// nor unix://`);
  }
  const secure = isSecure(parts);
  // A socket's path is not a name that a certificate could be for.
  if (parts.path !== undefined) return { target: `unix:${parts.path}`, host: 'localhost', secure };
  // The host in lower case, and names in other scripts in the form that DNS uses.
  const { hostname } = new URL(`http://${parts.host}`);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  return { target: `${hostname}:${parts.port ?? (secure ? 443 : 80)}`, host, secure };
}

function credentials(options: TransportOptions, host: string, secure: boolean): grpc.ChannelCredentials {
  if (!secure) return grpc.credentials.createInsecure();
  const { tls = {}, tlsSource } = options;
  if (tlsSource !== undefined) return renewedTlsCredentials(tlsSource, host);
  try {
    return tlsCredentials(tls, host);
  } catch (cause) {
    throw malformed(cause);
  }
}

function channelOptions(
  { tls, keepAlive }: TransportOptions,
  target: string,
  secure: boolean,
): grpc.ChannelOptions {
  const serverName = tls?.serverName ?? (target.startsWith('unix:') ? 'localhost' : undefined);
  return {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    'grpc.enable_http_proxy': 0,
    'grpc.enable_retries': 0,
    'grpc.service_config_disable_resolution': 1,
    ...(secure &&
      serverName !== undefined && {
        'grpc.default_authority': serverName,
      }),
    ...(keepAlive !== undefined && {
      'grpc.keepalive_time_ms': keepAlive.intervalMs,
      'grpc.keepalive_timeout_ms': keepAlive.timeoutMs ?? 20_000,
      'grpc.keepalive_permit_without_calls': keepAlive.whileIdle ? 1 : 0,
    }),
  };
}
