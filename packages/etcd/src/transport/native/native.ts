import {
  ClosedError,
  closedInFlight,
  EtcdError,
  InvalidArgumentError,
  invalidArgument,
  type Metadata,
  StatusCode,
} from '../../errors.js';
import { statusError } from '../../server-errors.js';
import { reason } from '../../util/kinds.js';
import { nextTick, setImmediate } from '../../util/timers.js';
import { type PendingCall, StreamCall, UnaryCall, wasCancelled } from '../call-state.js';
import { shortage } from '../shortage.js';
import type {
  ByteStream,
  CallOptions,
  TlsOptions,
  Transport,
  TransportOptions,
  UnaryResponse,
} from '../transport.js';
import {
  loadNativeAddon,
  type NativeAddon,
  type NativeBinding,
  type NativeOptions,
  type NativeTls,
} from './addon.js';
import { CommandBatch, CompletionBatch, type CompletionHandler } from './frames.js';
import { type RenewableTransport, RenewingTransport } from './renewing.js';
import { TurnPace } from './turn-pace.js';

/** The number of messages of a stream that may wait to be sent. */
const SEND_WINDOW = 16;

/** The credit of a stream, of which the messages that wait here take a part: `STREAM_WINDOW` in crates/etcd-transport/src/calls.rs. */
const STREAM_WINDOW = 256;

/** The credit that a message takes: `credit_of` in crates/etcd-transport/src/calls.rs. */
function creditOf(message: Uint8Array): number {
  return Math.min(1 + Math.floor(message.length / 4096), 64);
}

/** A batch of this many bytes is submitted before the turn is over. */
const FULL_BATCH_BYTES = 1024 * 1024;

/** Longest deadline that the framing carries, in ms (about 49 days). */
const LONGEST_TIMEOUT_MS = 2 ** 32 - 1;

/** Why there is no native transport on this host; `undefined` where there is one. */
export function nativeUnavailable(): Error | undefined {
  const addon = loadNativeAddon();
  return addon instanceof Error ? addon : undefined;
}

/**
 * A transport on the Rust core: HTTP/2 on a tokio runtime of this napi env that starts with the env's first
 * transport and is joined when its last one closes, or when the env or the process ends. When the env or the process
 * ends, all calls stay unsettled, new ones too. Nobody is left to handle a rejection, and an unhandled one would turn a
 * clean exit into a failure.
 *
 * @throws InvalidArgumentError when the options can't work, UnavailableError when the system has no thread or descriptor for it.
 */
export function nativeTransport(options: TransportOptions): Transport {
  const addon = loadNativeAddon();
  if (addon instanceof Error) throw addon;
  const transport = new NativeTransport(addon, options);
  const { tlsSource } = options;
  return tlsSource === undefined ? transport : new RenewingTransport(transport, tlsSource);
}

class NativeTransport implements RenewableTransport, CompletionHandler {
  readonly kind = 'native';
  readonly #native: NativeBinding;
  readonly #batch = new CommandBatch((message) => this.#native.giveLong(message));
  readonly #calls = new Map<number, PendingCall>();
  readonly #pace = new TurnPace();
  /** The batch that was drained and isn't fully read. */
  #unread: CompletionBatch | undefined;
  /** Whether there is more to drain after that batch. */
  #more = false;
  #nextDrain: NodeJS.Immediate | undefined;
  #referenced = true;
  #lastId = 0;
  #flushScheduled = false;
  #closed = false;
  /** Why the transport closed, where its owner didn't close it. */
  #broken: ((sent: boolean) => EtcdError) | undefined;

  constructor(addon: NativeAddon, options: TransportOptions) {
    const init = nativeOptions(options);
    try {
      this.#native = new addon.NativeTransport(init, this.#woken);
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      // Any other failure comes from the start of the runtime, and may pass.
      if (code !== 'InvalidArg') throw shortage(`the native transport can't start: ${message}`, cause);
      throw invalidArgument(`can't use endpoint ${options.endpoint}: ${message}`, cause);
    }
  }

  unary(method: string, request: Uint8Array, options?: CallOptions): Promise<UnaryResponse> {
    return new Promise((resolve, reject) => {
      const call = new UnaryCall(method, resolve, reject);
      const id = this.#start(call, options);
      if (id === undefined) return;
      try {
        this.#batch.unary(id, timeoutOf(options), method, options?.metadata, request);
      } catch (cause) {
        this.#refuse(id, method, cause);
        return;
      }
      this.#schedule();
    });
  }

  stream(method: string, options?: CallOptions): ByteStream {
    const stream = new NativeStream(method, this);
    const id = this.#start(stream, options);
    if (id !== undefined) {
      stream.id = id;
      try {
        this.#batch.openStream(id, timeoutOf(options), method, options?.metadata);
      } catch (cause) {
        this.#refuse(id, method, cause);
        return stream;
      }
      this.#schedule();
    }
    return stream;
  }

  ref(): void {
    this.#referenced = true;
    this.#nextDrain?.ref();
    this.#native.setReferenced(true);
  }

  unref(): void {
    this.#referenced = false;
    this.#nextDrain?.unref();
    this.#native.setReferenced(false);
  }

  renew(): void {
    if (!this.#closed) this.#native.renew();
  }

  get isConnected(): boolean {
    return !this.#closed && this.#native.isConnected();
  }

  setTls(tls: TlsOptions): void {
    try {
      if (!this.#closed) this.#native.setTls(nativeTls(tls));
    } catch (cause) {
      throw invalidArgument(`can't use the tls options: ${(cause as Error).message}`, cause);
    }
  }

  async close(): Promise<void> {
    this.closeNow();
  }

  /** The same as {@link close}, for places that can't wait. */
  closeNow(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unread = undefined;
    try {
      this.#native.close();
    } finally {
      const calls = [...this.#calls.values()];
      this.#calls.clear();
      for (const call of calls) call.cut(this.#broken?.(true) ?? closedInFlight(call.method));
    }
  }

  /** Gives the call an id. If the call can't begin, it fails here. */
  #start(call: PendingCall, options: CallOptions | undefined): number | undefined {
    if (this.#closed) {
      call.fail(this.#broken?.(false) ?? new ClosedError());
      return undefined;
    }
    const signal = options?.signal;
    if (signal?.aborted) {
      call.fail(signal.reason);
      return undefined;
    }
    do this.#lastId = (this.#lastId + 1) >>> 0;
    while (this.#calls.has(this.#lastId));
    const id = this.#lastId;
    this.#calls.set(id, call);
    if (signal !== undefined) call.watch(signal, () => this.cancel(id, signal.reason));
    return id;
  }

  /** Ends a call whose metadata or message exceeds the limits of the framing. */
  #refuse(id: number, method: string, cause: unknown): void {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    const details = `the call can't be made: ${reason(cause)}`;
    call?.fail(
      new InvalidArgumentError(details, { code: StatusCode.INVALID_ARGUMENT, method, sent: false, cause }),
    );
  }

  /** Ends a call on both sides of the framing. */
  cancel(id: number, reason: unknown): void {
    const call = this.#calls.get(id);
    if (call === undefined) return;
    this.#calls.delete(id);
    this.#batch.cancel(id);
    this.#schedule();
    call.cut(reason);
  }

  /** Queues one message of a stream. */
  send(id: number, message: Uint8Array): void {
    this.#batch.send(id, message);
    this.#schedule();
  }

  /** Half-closes a stream. */
  closeSend(id: number): void {
    this.#batch.closeSend(id);
    this.#schedule();
  }

  /** Returns credit for messages of a stream that were taken. */
  credit(id: number, credit: number): void {
    this.#batch.credit(id, credit);
    this.#schedule();
  }

  /** Lets the messages of a stream wait for more. */
  gather(id: number, ms: number): void {
    this.#batch.gather(id, ms);
    this.#schedule();
  }

  readonly #woken = (): void => {
    this.#more = true;
    if (this.#nextDrain === undefined) this.#drain();
  };

  // Between two parts of a batch the event loop gets a turn, and the garbage collector can free what the first part's
  // callers have dropped.
  readonly #drain = (): void => {
    this.#nextDrain = undefined;
    if (this.#closed) return;
    let batch = this.#unread;
    if (batch === undefined) {
      batch = new CompletionBatch(this.#native.drain(), this.#takeLong);
      this.#more = batch.isFollowed;
    }
    try {
      this.#pace.handled(batch.read(this.#pace.begin(), this));
    } catch (cause) {
      // The frames after it can't be read either, and their calls would wait forever.
      this.broken(`the answers of the native transport can't be read: ${(cause as Error).message}`, cause);
    }
    if (this.#closed) return;
    this.#unread = batch.isRead ? undefined : batch;
    if (batch.isRead && !this.#more) return;
    this.#nextDrain = setImmediate(this.#drain);
    if (!this.#referenced) this.#nextDrain.unref();
  };

  readonly #takeLong = (into: Uint8Array): void => this.#native.takeLong(into);

  // Node runs this after all microtasks of the turn, so that the calls they make cross together.
  readonly #flush = (): void => {
    this.#flushScheduled = false;
    const batch = this.#batch;
    const taken =
      this.#closed || batch.length === 0 || this.#native.submit(batch.buffer, batch.length, batch.opened);
    batch.clear();
    if (!taken) this.broken('the native transport ended unexpectedly');
  };

  #schedule(): void {
    if (this.#batch.wholeLength > FULL_BATCH_BYTES) this.#flush();
    else if (!this.#flushScheduled) {
      this.#flushScheduled = true;
      nextTick(this.#flush);
    }
  }

  // CompletionHandler. The frames of a call that was cancelled here are dropped, as the call is no longer known.

  unaryOk(id: number, headers: Metadata, trailers: Metadata, message: Uint8Array): void {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    call?.answer({ message, headers, trailers });
  }

  headers(id: number, headers: Metadata): void {
    this.#calls.get(id)?.headersCame(headers);
  }

  message(id: number, message: Uint8Array): void {
    this.#calls.get(id)?.messageCame(message);
  }

  sent(id: number): void {
    this.#calls.get(id)?.messageSent();
  }

  end(id: number, code: number, sent: boolean, details: string, trailers: Metadata): void {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (call === undefined) return;
    if (code === StatusCode.OK) call.finish(trailers);
    else call.fail(statusError({ code: code as StatusCode, details, trailers, method: call.method, sent }));
  }

  // A defect of this client, not a failure of the server: the transport can't continue.
  broken(details: string, cause?: unknown): void {
    this.#broken = (sent) => new EtcdError(details, { code: StatusCode.INTERNAL, sent, cause });
    this.closeNow();
  }
}

class NativeStream extends StreamCall {
  /** Set when the stream has begun. */
  id = 0;
  readonly #transport: NativeTransport;
  readonly #inbox: Uint8Array[] = [];
  /** Credit of taken messages that was not returned yet. */
  #taken = 0;
  #unsent = 0;

  constructor(method: string, transport: NativeTransport) {
    super(method);
    this.#transport = transport;
  }

  override cancel(reason?: unknown): void {
    if (!this.isOver) this.#transport.cancel(this.id, reason ?? wasCancelled(this.method));
  }

  override gather(ms: number): void {
    if (!this.isOver) this.#transport.gather(this.id, ms);
  }

  override messageCame(message: Uint8Array): void {
    if (this.giveToReader(message)) this.#countTaken(message);
    else this.#inbox.push(message);
  }

  override messageSent(): void {
    this.#unsent -= 1;
    // The message of a waiting sender is among those that are not sent yet: each message that is sent makes room for one.
    this.wakeSenders(1);
  }

  protected override write(message: Uint8Array): boolean {
    this.#transport.send(this.id, message);
    this.#unsent += 1;
    return this.#unsent < SEND_WINDOW;
  }

  protected override endWriting(): void {
    this.#transport.closeSend(this.id);
  }

  protected override take(): Uint8Array | undefined {
    const message = this.#inbox.shift();
    if (message !== undefined) this.#countTaken(message);
    return message;
  }

  protected override drop(): void {
    this.#inbox.length = 0;
  }

  /** Returns the credit of a message, in halves of the window. */
  #countTaken(message: Uint8Array): void {
    this.#taken += creditOf(message);
    if (this.#taken < STREAM_WINDOW / 2 || this.isOver) return;
    this.#transport.credit(this.id, this.#taken);
    this.#taken = 0;
  }
}

function timeoutOf(options: CallOptions | undefined): number {
  const ms = options?.timeoutMs;
  if (ms === undefined || ms >= LONGEST_TIMEOUT_MS) return 0;
  // 0 stands for no deadline in the framing, and a deadline of 0 ms or less has already passed.
  return Math.max(1, Math.ceil(ms));
}

function nativeTls({ ca, cert, key, serverName, dangerouslySkipVerification }: TlsOptions): NativeTls {
  return {
    ...(ca !== undefined && { ca: pemBytes(ca) }),
    ...(cert !== undefined && { cert: pemBytes(cert) }),
    ...(key !== undefined && { key: pemBytes(key) }),
    ...(serverName !== undefined && { serverName }),
    skipVerification: dangerouslySkipVerification ?? false,
  };
}

/** Removes the byte-order mark that some editors put before the first line. That line must begin with dashes. */
function pemBytes(pem: string | Uint8Array): Buffer {
  const bytes = Buffer.from(pem);
  return bytes.indexOf('\ufeff') === 0 ? bytes.subarray(3) : bytes;
}

/** Times in the form that the addon takes: whole ms in 32 bits. Longer times become about 49 days; only 0 stays 0. */
function wholeMs(ms: number): number {
  return Math.min(Math.ceil(ms), 0xffffffff);
}

/** Bun and Deno have libuv's functions, but no event loop of it. */
const hasLibuv = process.versions.bun === undefined && process.versions.deno === undefined;

function nativeOptions(options: TransportOptions): NativeOptions {
  const { tls, tlsSource, keepAlive } = options;
  return {
    endpoint: options.endpoint,
    ...(tlsSource === undefined && { tls: nativeTls(tls ?? {}) }),
    ...(keepAlive !== undefined && { keepAliveIntervalMs: wholeMs(keepAlive.intervalMs) }),
    keepAliveTimeoutMs: wholeMs(keepAlive?.timeoutMs ?? 20_000),
    keepAliveWhileIdle: keepAlive?.whileIdle ?? false,
    tcpKeepAliveMs: wholeMs(options.tcpKeepAliveMs ?? 30_000),
    connectTimeoutMs: wholeMs(options.connectTimeoutMs ?? 5_000),
    libuv: hasLibuv,
  };
}
