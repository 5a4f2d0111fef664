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
import { longestTimerMs } from '../../util/timeout.js';
import type { Waiter } from '../../util/waiter.js';
import { alreadyWaiting, hasEnded, sentAfterClose, wasCancelled } from '../stream-errors.js';
import type { ByteStream, CallOptions, Transport, TransportOptions, UnaryResponse } from '../transport.js';
import { abortable } from './abortable-resolver.js';
import { type ChannelInit, GrpcJsChannel } from './channel.js';
import { tlsCredentials } from './tls-credentials.js';

// What grpc-js says of calls that never got a connection, and what is said here.
const closedUnderCall = /^Channel closed before call started/;
const neverSent =
  /^(No connection established|Name resolution failed|Channel closed before call started|connect timeout)/;

// To grpc-js only ECONNRESET and ETIMEDOUT are a broken connection, all else that a socket fails with is INTERNAL.
const brokenConnection =
  /^Received RST_STREAM with code 2 triggered by internal client error: (?:\w+ E[A-Z]+\b|This socket has been ended)/;

/**
 * A transport on `@grpc/grpc-js`, for hosts without the native binary. Where it differs:
 * - without `tls.ca` it trusts the operating system's authorities only from Node 22.15 on, else Node's own.
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
  readonly #calls = new Set<Call>();
  /** The one for new calls, if there is one, and those that were retired and still have calls. */
  readonly #channels = new Set<GrpcJsChannel>();
  #channel: GrpcJsChannel | undefined;
  #referenced = true;
  #closed = false;

  constructor(options: TransportOptions) {
    const { target, host, secure } = parseTarget(options.endpoint);
    this.#init = {
      target: abortable(target),
      credentials: credentials(options, host, secure),
      options: channelOptions(options, secure),
      tcpKeepAliveMs: options.tcpKeepAliveMs ?? 30_000,
      connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
    };
  }

  unary(method: string, request: Uint8Array, options?: CallOptions): Promise<UnaryResponse> {
    return new Promise((resolve, reject) => {
      const call = new UnaryCall(method, resolve, reject);
      this.#begin(call, options, (client, metadata, deadline) =>
        client.makeUnaryRequest(
          method,
          identity,
          identity,
          asBuffer(request),
          metadata,
          deadline,
          call.answered,
        ),
      );
    });
  }

  stream(method: string, options?: CallOptions): ByteStream {
    const stream = new GrpcJsStream(method);
    this.#begin(stream, options, (client, metadata, deadline) => {
      const duplex = client.makeBidiStreamRequest(method, identity, identity, metadata, deadline);
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
    for (const call of [...this.#calls]) call.cancel(closedInFlight());
    for (const channel of [...this.#channels]) channel.close();
  }

  /** Starts the call, unless it can't begin: then it has failed. */
  #begin(
    call: Call,
    options: CallOptions | undefined,
    start: (client: grpc.Client, metadata: grpc.Metadata, deadline: Deadline) => SurfaceCall,
  ): void {
    const signal = options?.signal;
    if (this.#closed) call.fail(new ClosedError());
    else if (signal?.aborted) call.fail(signal.reason);
    else {
      const deadline = deadlineOf(options);
      this.#channel ??= this.#connect();
      const channel = this.#channel;
      let surface: SurfaceCall;
      try {
        surface = start(channel.client, toGrpcMetadata(options?.metadata), deadline);
      } catch (cause) {
        call.fail(malformed(cause, call.method));
        return;
      }
      channel.callBegan();
      this.#calls.add(call);
      call.begun(surface, channel, deadline, signal, (status) => {
        this.#calls.delete(call);
        // A channel that could not connect refuses calls until its back-off has passed; a new one tries at once.
        if (status !== undefined && status.code !== StatusCode.OK && neverSent.test(status.details)) {
          this.#leave(channel);
        }
        channel.callEnded();
      });
    }
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

type SurfaceCall = ReturnType<grpc.Client['makeUnaryRequest']> | grpc.ClientDuplexStream<Buffer, Buffer>;

/** What both kinds of call share: one end, by status, cancellation or close, whichever comes first. */
abstract class Call {
  protected headersSeen: Metadata = noMetadata;
  #surface: SurfaceCall | undefined;
  #ended: ((status: grpc.StatusObject | undefined) => void) | undefined;
  #signal: AbortSignal | undefined;

  constructor(readonly method: string) {}

  begun(
    surface: SurfaceCall,
    channel: GrpcJsChannel,
    deadline: Deadline,
    signal: AbortSignal | undefined,
    ended: (status: grpc.StatusObject | undefined) => void,
  ): void {
    this.#surface = surface;
    this.#ended = ended;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#abort, { once: true });
    surface.on('metadata', (metadata: grpc.Metadata) => {
      this.headersSeen = fromGrpcMetadata(metadata);
      this.headersCame(this.headersSeen);
    });
    surface.on('status', (status: grpc.StatusObject) => {
      const told = byRetirement(byDeadline(status, deadline), channel);
      if (this.#end(status)) this.finish(told, fromGrpcMetadata(status.metadata));
    });
  }

  /** Ends the call here and at the server. Idempotent. */
  cancel(reason?: unknown): void {
    if (!this.#end(undefined)) return;
    this.fail(reason ?? wasCancelled(this.method));
    // grpc-js forgets a cancellation that comes in the microtasks in which it begins a call, and makes the call.
    const surface = this.#surface;
    setImmediate(() => surface?.cancel());
  }

  readonly #abort = (): void => this.cancel(this.#signal?.reason);

  /** False when the call has ended before. */
  #end(status: grpc.StatusObject | undefined): boolean {
    const ended = this.#ended;
    if (ended === undefined) return false;
    this.#ended = undefined;
    this.#signal?.removeEventListener('abort', this.#abort);
    ended(status);
    return true;
  }

  protected headersCame(_headers: Metadata): void {}
  /** The call ended with a status. */
  protected abstract finish(status: grpc.StatusObject, trailers: Metadata): void;
  /** The call ended without one. */
  abstract fail(reason: unknown): void;
}

class UnaryCall extends Call {
  readonly #resolve: (response: UnaryResponse) => void;
  readonly #reject: (reason: unknown) => void;
  #message: Buffer | undefined;
  #error: Error | undefined;

  constructor(method: string, resolve: (response: UnaryResponse) => void, reject: (reason: unknown) => void) {
    super(method);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  // The status, with its trailers, follows the answer.
  readonly answered = (error: grpc.ServiceError | null, message?: Buffer): void => {
    this.#error = error ?? undefined;
    this.#message = message;
  };

  protected override finish(status: grpc.StatusObject, trailers: Metadata): void {
    if (this.#message !== undefined) {
      this.#resolve({ message: this.#message, headers: this.headersSeen, trailers });
    } else if (status.code === grpc.status.OK) {
      const details = 'the server sent no message';
      this.#reject(statusError({ code: StatusCode.UNIMPLEMENTED, details, trailers, method: this.method }));
    } else this.#reject(fromStatus(status, trailers, this.method, this.#error));
  }

  override fail(reason: unknown): void {
    this.#reject(reason);
  }
}

/** Reads in paused mode: Node's stream buffer (16 messages each way) is the bound. */
class GrpcJsStream extends Call implements ByteStream {
  readonly headers: Promise<Metadata>;
  trailers: Metadata = noMetadata;
  #headersWaiter!: Waiter<Metadata>;
  #duplex: grpc.ClientDuplexStream<Buffer, Buffer> | undefined;
  #reader: Waiter<Uint8Array | undefined> | undefined;
  #senders: Waiter<void>[] = [];
  #sendClosed = false;
  #over: { readonly failure?: unknown } | undefined;

  constructor(method: string) {
    super(method);
    this.headers = new Promise((resolve, reject) => {
      this.#headersWaiter = { resolve, reject };
    });
    // Few callers read the headers, and the failure reaches all of them by `receive`.
    this.headers.catch(() => {});
  }

  attach(duplex: grpc.ClientDuplexStream<Buffer, Buffer>): void {
    this.#duplex = duplex;
    duplex.on('readable', () => this.#wakeReader());
    duplex.on('drain', () => {
      for (const sender of this.#senders.splice(0)) sender.resolve();
    });
    // Told by 'status' too.
    duplex.on('error', () => {});
  }

  send(message: Uint8Array): Promise<void> {
    if (this.#over !== undefined) return Promise.reject(this.#endedError());
    if (this.#sendClosed) return Promise.reject(sentAfterClose(this.method));
    if (this.#duplex?.write(asBuffer(message))) return Promise.resolve();
    return new Promise((resolve, reject) => this.#senders.push({ resolve, reject }));
  }

  closeSend(): void {
    if (this.#sendClosed || this.#over !== undefined) return;
    this.#sendClosed = true;
    this.#duplex?.end();
  }

  receive(): Promise<Uint8Array | undefined> {
    if (this.#reader !== undefined) {
      return Promise.reject(alreadyWaiting(this.method));
    }
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      this.#wakeReader();
    });
  }

  /** Gives the reader what is there: a message first, then the end. */
  #wakeReader(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    const over = this.#over;
    const cut = over !== undefined && 'failure' in over && !(over.failure instanceof StatusFailure);
    const message = cut ? null : (this.#duplex?.read() ?? null);
    if (message === null && over === undefined) return;
    this.#reader = undefined;
    if (message !== null) reader.resolve(message);
    else if (over !== undefined && 'failure' in over) reader.reject(reasonOf(over.failure));
    else reader.resolve(undefined);
  }

  protected override headersCame(headers: Metadata): void {
    this.#headersWaiter.resolve(headers);
  }

  protected override finish(status: grpc.StatusObject, trailers: Metadata): void {
    this.trailers = trailers;
    if (status.code === grpc.status.OK) this.#finish({});
    else this.#finish({ failure: new StatusFailure(fromStatus(status, trailers, this.method)) });
  }

  override fail(reason: unknown): void {
    this.#finish({ failure: reason });
  }

  #finish(over: { readonly failure?: unknown }): void {
    this.#over = over;
    this.#headersWaiter.reject(this.#endedError());
    for (const sender of this.#senders.splice(0)) sender.reject(this.#endedError());
    this.#wakeReader();
  }

  #endedError(): unknown {
    if (this.#over !== undefined && 'failure' in this.#over) return reasonOf(this.#over.failure);
    return hasEnded(this.method);
  }
}

/** A failure that the server told, after all of its messages; one made here drops those not yet read. */
class StatusFailure {
  constructor(readonly error: EtcdError) {}
}

function reasonOf(failure: unknown): unknown {
  return failure instanceof StatusFailure ? failure.error : failure;
}

function malformed(cause: unknown, method?: string): InvalidArgumentError {
  return new InvalidArgumentError(cause instanceof Error ? cause.message : String(cause), {
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

/** Servers can send any number, and some errors of grpc-js have none: as gRPC says, that is UNKNOWN. */
function knownCode(code: number | undefined): StatusCode {
  return codes.has(code as StatusCode) ? (code as StatusCode) : StatusCode.UNKNOWN;
}

const codes: ReadonlySet<StatusCode> = new Set(Object.values(StatusCode));

const identity = (bytes: Buffer): Buffer => bytes;

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** When a call has to be over, in ms since 1970, as grpc-js takes it. */
interface Deadline {
  readonly deadline?: number;
}

/** The server resets a call when its deadline passes, and may be quicker than the timer here. As grpc-go. */
function byDeadline(
  status: grpc.StatusObject,
  { deadline = Number.POSITIVE_INFINITY }: Deadline,
): grpc.StatusObject {
  if (status.code !== grpc.status.CANCELLED || Date.now() < deadline) return status;
  return { ...status, code: grpc.status.DEADLINE_EXCEEDED, details: 'the deadline has passed' };
}

/** Calls that wait for a connection fail with their channel; here is why that was given up. */
function byRetirement(status: grpc.StatusObject, { why }: GrpcJsChannel): grpc.StatusObject {
  return why !== undefined && closedUnderCall.test(status.details) ? { ...status, details: why } : status;
}

function deadlineOf(options: CallOptions | undefined): Deadline {
  const ms = options?.timeoutMs;
  // grpc-js has a timer for each.
  if (ms === undefined || ms > longestTimerMs) return {};
  return { deadline: Date.now() + Math.max(1, Math.ceil(ms)) };
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
function parseTarget(endpoint: string): {
  readonly target: string;
  readonly host: string;
  readonly secure: boolean;
} {
  const unix = /^(unixs?):\/\/(.+)$/.exec(endpoint);
  // A socket's path is no name that a certificate could be for.
  if (unix !== null) return { target: `unix:${unix[2]}`, host: 'localhost', secure: unix[1] === 'unixs' };
  let url: URL;
  try {
    url = new URL(endpoint);
  } catch (cause) {
    throw malformed(cause);
  }
  const secure = url.protocol === 'https:';
  if (!secure && url.protocol !== 'http:') {
    throw malformed(`endpoint ${endpoint} is neither http://, https:// nor unix://`);
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { target: `${url.hostname}:${url.port || (secure ? 443 : 80)}`, host, secure };
}

function credentials({ tls = {} }: TransportOptions, host: string, secure: boolean): grpc.ChannelCredentials {
  if (!secure) return grpc.credentials.createInsecure();
  try {
    return tlsCredentials(tls, host);
  } catch (cause) {
    throw malformed(cause);
  }
}

function channelOptions(
  { endpoint, tls, keepAlive }: TransportOptions,
  secure: boolean,
): grpc.ChannelOptions {
  const serverName = tls?.serverName ?? (endpoint.startsWith('unix') ? 'localhost' : undefined);
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
