import {
  ClosedError,
  DeadlineExceededError,
  EtcdError,
  NoLeaderError,
  RequestTooLargeError,
  StatusCode,
} from '../errors.js';
import { isUnwanted } from '../transport/call-state.js';
import { DeferredStream } from '../transport/deferred-stream.js';
import type { ByteStream, CallOptions, UnaryResponse } from '../transport/transport.js';
import { atCaller, callSite } from '../util/at-caller.js';
import {
  abortSignal,
  checkArgument,
  kind,
  leaderRequired,
  milliseconds,
  text,
  withMethods,
} from '../util/kinds.js';
import { Description, type DescriptionMore, type Kinds } from '../util/options.js';
import { type Progress, progressOf } from '../util/progress.js';
import { monotonicMs } from '../util/timers.js';
import { settlesBy } from '../util/wait.js';
import {
  closedAfter,
  type Fate,
  fateWith,
  noToken,
  notSent,
  ofAllAttempts,
  pastBound,
  pastDeadline,
  pastStreamDeadline,
} from './attempts.js';
import { type BackoffBounds, backoffMs } from './backoff.js';
import type { Balancer, ConnectionEvent, Endpoint, EndpointStatus } from './balancer.js';
import { answerTo, type Call, none, type OptionsCheck, type StreamMethod } from './call.js';
import { type CallTrace, callEndChannel, callStartChannel, retryChannel } from './channels.js';
import { noEndpoint, unreachable } from './connect-error.js';
import { logWhereAsked } from './debug-log.js';
import { noBytes } from './messages/byte-slabs.js';
import { encodeMessage } from './messages/encode-message.js';
import { blamesEndpoint, isRetriable, isTokenRefused, staysAtEndpoint } from './retry.js';
import type { Store } from './store.js';
import type { TokenSource } from './token.js';

/** The options that every call takes. */
export interface CallControl {
  /** Cancels the call, which rejects with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Deadline, in ms from now; default: the client's `timeoutMs`. `Infinity` for none. It is rounded up to whole ms. An
   * answer that has arrived by the time the deadline is noticed still counts.
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Bound on one attempt, in ms; default: the client's `attemptTimeoutMs`. When it passes, a read goes to another
   * endpoint. A write doesn't, as it may have been applied.
   */
  readonly attemptTimeoutMs?: number | undefined;
  /**
   * Bound on one attempt, in ms, where neither the call nor the client has a lower one.
   * @internal
   */
  readonly attemptAtMostMs?: number | undefined;
  /**
   * The deadline that the caller gave, for messages, where `timeoutMs` is the rest of it.
   * @internal
   */
  readonly wholeTimeoutMs?: number | undefined;
  /**
   * The progress of the operation that the call belongs to, where a different signal ends the operation. Default: the
   * progress of the call's signal.
   * @internal
   */
  readonly progress?: Progress | undefined;
  /**
   * `true`: the call rejects with NoLeaderError as soon as each endpoint has had its turn, and none has a leader. `'wait'`
   * looks for a member with a leader until the deadline. Without it a member without a leader lets the call
   * wait, or answers a `serializable` read. Default false. etcd: `hasleader`.
   */
  readonly requireLeader?: boolean | 'wait' | undefined;
}

/**
 * Describes the options of a call, with those that every call takes: `describeCall('put()', { … })`.
 * @internal
 */
export function describeCall<Options extends CallControl>(
  what: string,
  own: Kinds<Omit<Options, keyof CallControl>>,
  more?: DescriptionMore,
): OptionsCheck {
  return new Description(what, own, {
    also: control,
    hidden: ['attemptAtMostMs', 'wholeTimeoutMs', 'progress'],
    ...more,
  });
}

const control: Kinds<CallControl> = {
  signal: abortSignal,
  timeoutMs: milliseconds,
  attemptTimeoutMs: milliseconds,
  attemptAtMostMs: milliseconds,
  wholeTimeoutMs: milliseconds,
  progress: withMethods<Progress>('internal', 'tooLate'),
  requireLeader: leaderRequired,
};

/**
 * The options of calls that have no others.
 * @internal
 */
export const callControl = describeCall<CallControl>('this call', {});

/** @internal */
export interface RpcInit {
  readonly balancer: Balancer;
  /**
   * The balancer for one endpoint, which need not be one of the client's. Throws InvalidArgumentError for a malformed
   * one.
   */
  readonly balancerOf: (endpoint: string) => Balancer;
  /** Endpoints in full, as {@link Balancer} takes them. Throws InvalidArgumentError for a malformed endpoint. */
  readonly parseEndpoints: (endpoints: string | readonly string[]) => string[];
  /** Deadline of calls that aren't given their own, in ms. */
  readonly timeoutMs: number;
  /** Bound on each attempt of calls that aren't given their own, in ms; `Infinity` for none. */
  readonly attemptTimeoutMs: number;
  readonly maxRequestBytes: number;
  /** Bound on reaching one endpoint, in ms. */
  readonly connectTimeoutMs: number;
  /** How often a call is sent at most. */
  readonly maxAttempts: number;
  /** Waits between attempts. */
  readonly backoff: BackoffBounds;
  /** Where the tokens come from, for a client with credentials. */
  readonly tokens?: TokenSource;
}

// In a call, since bundlers leave out a module of which nothing is used.
logWhereAsked();

/** For calls to one endpoint. The endpoint's syntax is checked later. */
const oneEndpoint = kind<string>(text.fits, "a string such as 'http://127.0.0.1:2379'");

/** How often a call, or a stream, fetches another token before it gives up. */
const MAX_TOKEN_REFRESHES = 3;

/** The oldest token that a stream begins with, in ms. etcd's simple tokens last 300 s by default. */
const YOUNG_TOKEN_MS = 1_000;

/** Waits between the rounds of a search for an endpoint. */
const searchBackoff: BackoffBounds = { firstMs: 50, longestMs: 1_000 };

/** One attempt at a call. */
interface Attempt {
  readonly endpoint: Endpoint;
  readonly token: string | undefined;
  /** Whether the bound on the attempt ends it sooner than the call's deadline would. */
  readonly bounded: boolean;
  /** How long it may take, in ms. */
  readonly atMostMs: number;
}

/** The attempts at a call so far. */
interface Attempts {
  /** The last one. */
  readonly attempt: Attempt;
  readonly attempts: number;
  /** How the one before the last failed. */
  readonly before: EtcdError | undefined;
  /** The last failure of each endpoint. */
  readonly tried: ReadonlyMap<string, EtcdError>;
  readonly control: CallControl;
}

/** How long an endpoint may leave a call unanswered, in ms, before it is left alone until it answers a probe. */
const SILENT_MS = 1_000;

/**
 * Makes the calls of all parts of a client: with the client's defaults and limits, over its endpoints.
 * @internal
 */
export class Rpc {
  readonly #init: RpcInit;
  /** The {@link Rpc}s for calls to one endpoint, by endpoint. */
  readonly #single = new Map<string, Rpc>();
  readonly #balancer: Balancer;
  /** Where each stream goes. */
  readonly #streams = new WeakMap<ByteStream, Endpoint>();
  #closed = false;
  #referenced = true;

  constructor(init: RpcInit) {
    this.#init = init;
    this.#balancer = init.balancer;
  }

  /**
   * A unary call. Its options are checked here; if `message` throws, the call rejects with that.
   *
   * Not async: each `await` would cost the hot path another turn of the microtask queue.
   */
  call<Request, Response, Result>(
    call: Call<Request, Response, Result>,
    message: () => Request,
    control: CallControl,
  ): Promise<Result> {
    try {
      const { method, options = callControl } = call;
      if (control !== none) options.check(control);
      const request = encodeMessage(method.request, message());
      if (request.length > this.#init.maxRequestBytes) throw this.#tooLarge(method.path, request.length);
      const timeoutMs = this.timeoutOf(control);
      if (callStartChannel.hasSubscribers || callEndChannel.hasSubscribers) {
        return this.#traced(call, request, control, timeoutMs);
      }
      return this.#begin(call, request, control, timeoutMs, undefined);
    } catch (error) {
      return Promise.reject(atCaller(error));
    }
  }

  /**
   * A streaming call, without a deadline unless it is given one. It is not retried: only its owner knows what the next
   * stream has to ask for. An endpoint on which it fails is left alone for a while.
   *
   * @throws ClosedError once closed.
   */
  stream({ path }: StreamMethod<never, unknown>, options: CallOptions): ByteStream {
    return this.streamOf(path, options);
  }

  /** The same as {@link stream}, for a method of that full name. */
  streamOf(method: string, options: CallOptions): ByteStream {
    if (this.#closed) throw new ClosedError();
    const { tokens } = this.#init;
    if (tokens === undefined && !this.#balancer.mustFind) return this.#openStream(method, options);
    const { timeoutMs = Number.POSITIVE_INFINITY, signal } = options;
    const deadline = monotonicMs() + timeoutMs;
    // As in clientv3, the stream has a token of its own. One that expires soon would fail it much later.
    const needed = tokens === undefined ? this.#findOnce() : tokens.notOlderThan(YOUNG_TOKEN_MS);
    const ready = settlesBy(needed, deadline, signal).then((inTime) => {
      if (inTime) return;
      throw tokens === undefined
        ? this.#noEndpoint(timeoutMs)
        : noToken(method, timeoutMs, undefined, notSent);
    });
    const deferred: DeferredStream = new DeferredStream(method, ready, () => {
      if (this.#closed) throw new ClosedError();
      const token = tokens?.current;
      const left = timeoutMs === Number.POSITIVE_INFINITY ? {} : { timeoutMs: deadline - monotonicMs() };
      const withToken = token ? { metadata: { ...options.metadata, token } } : {};
      return this.#openStream(method, { ...options, ...left, ...withToken }, deferred);
    });
    return deferred;
  }

  /**
   * The same calls to one endpoint alone, on a connection of their own. The connection stays until this is closed.
   *
   * @throws InvalidArgumentError for a malformed endpoint, and ClosedError.
   */
  at(endpoint: string): Rpc {
    checkArgument('endpoint', oneEndpoint, endpoint);
    if (this.#closed) throw new ClosedError();
    let rpc = this.#single.get(endpoint);
    if (rpc === undefined) {
      rpc = new Rpc({ ...this.#init, balancer: this.#init.balancerOf(endpoint) });
      if (!this.#referenced) rpc.unref();
      this.#single.set(endpoint, rpc);
    }
    return rpc;
  }

  /**
   * Whether the server has refused a stream's token, and another token may help. Then the next stream gets one.
   *
   * @param refusals how many streams in a row were refused before.
   */
  takesAnotherToken(error: unknown, refusals: number): boolean {
    const { tokens } = this.#init;
    if (tokens === undefined || tokens.fixed || !isTokenRefused(error) || refusals >= MAX_TOKEN_REFRESHES)
      return false;
    tokens.refused();
    return true;
  }

  get endpointCount(): number {
    return this.#balancer.size;
  }

  /** The endpoint of this stream has caused its failure. The next stream tries another endpoint. */
  leaveEndpoint(stream: ByteStream, error: unknown): void {
    const endpoint = this.#streams.get(stream);
    if (endpoint !== undefined && !this.#closed) this.#balancer.failed(endpoint, error);
  }

  /**
   * Whether a stream that only reads may be opened again, as a call would be sent again, after it failed before its
   * first message. Waits until it is time.
   *
   * @param attempts how many streams have failed in a row.
   */
  async mayReopen(
    stream: ByteStream,
    error: unknown,
    attempts: number,
    deadline: number,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (!(error instanceof EtcdError) || signal.aborted || this.#closed) return false;
    if (blamesEndpoint(error, false)) this.leaveEndpoint(stream, error);
    if (this.takesAnotherToken(error, attempts - 1)) return monotonicMs() < deadline;
    if (attempts >= this.#init.maxAttempts || !isRetriable(error, true, false)) return false;
    const waitMs = this.#waitMs(attempts, staysAtEndpoint(error), deadline);
    if (waitMs === undefined) return false;
    if (waitMs > 0) await this.#balancer.pause(waitMs, signal);
    return true;
  }

  /** Where a stream goes, once it has begun. */
  addressOf(stream: ByteStream): string | undefined {
    return this.#streams.get(stream)?.address;
  }

  /**
   * The failure of a stream in terms that its caller knows, like the errors of calls: its endpoint and its bound. The
   * reason of the caller's signal is returned as it is.
   *
   * @param answered whether the stream has brought a message.
   */
  inWordsOf(
    stream: ByteStream,
    error: unknown,
    { signal, timeoutMs }: Pick<CallControl, 'signal' | 'timeoutMs'> = {},
    answered = false,
  ): unknown {
    const endpoint = this.#streams.get(stream);
    if (endpoint === undefined || !(error instanceof EtcdError) || signal?.aborted) return error;
    const { address } = endpoint;
    if (!(error instanceof DeadlineExceededError))
      return unreachable(error, new Map([[address, error]]), this.#init.connectTimeoutMs);
    if (timeoutMs !== undefined && answered) return pastStreamDeadline(error, timeoutMs, address);
    return timeoutMs === undefined ? error : pastDeadline(error, timeoutMs, 1, undefined, address);
  }

  /**
   * Checks the header of a message from this stream, before anything else is done with it.
   *
   * @throws ClusterMismatchError where the message is from another cluster.
   */
  check(stream: ByteStream, message: Uint8Array): void {
    const endpoint = this.#streams.get(stream);
    const mismatch = endpoint && this.#balancer.check(endpoint, message);
    if (mismatch === undefined) return;
    if (!mismatch.adopted) this.leaveEndpoint(stream, mismatch);
    throw mismatch;
  }

  /**
   * A call to the endpoint of a stream, without retries.
   *
   * @throws ClusterMismatchError where the answer is from another cluster.
   */
  async callBeside<Request, Response, Result>(
    stream: ByteStream,
    call: Call<Request, Response, Result>,
    message: Request,
    control: CallControl,
  ): Promise<Result> {
    const endpoint = this.#streams.get(stream);
    if (this.#closed || endpoint === undefined) throw new ClosedError();
    const options = callOptions(this.timeoutOf(control), control, this.#init.tokens?.current);
    const { method } = call;
    const request = encodeMessage(method.request, message);
    const answer = await endpoint.transport.unary(method.path, request, options);
    this.check(stream, answer.message);
    return call.result(answerTo(method, answer.message));
  }

  /**
   * What is known about the store behind the endpoints; `undefined` for calls to one endpoint, which may be in any
   * cluster.
   */
  get store(): Store | undefined {
    return this.#balancer.store;
  }

  /** What is known about each endpoint. */
  get endpoints(): EndpointStatus[] {
    return this.#balancer.status;
  }

  /**
   * Replaces the endpoints, and returns them in full. Calls on a removed endpoint run to their end.
   *
   * @throws InvalidArgumentError for a malformed endpoint, and ClosedError.
   */
  setEndpoints(endpoints: string | readonly string[]): string[] {
    if (this.#closed) throw new ClosedError();
    const parsed = this.#init.parseEndpoints(endpoints);
    this.#balancer.setEndpoints(parsed);
    return parsed;
  }

  /** Reports each change of an endpoint's state, until the returned function is called. */
  onConnection(listener: (event: ConnectionEvent) => void): () => void {
    return this.#balancer.onChange(listener);
  }

  get closed(): boolean {
    return this.#closed;
  }

  ref(): void {
    this.#referenced = true;
    this.#balancer.ref();
    for (const rpc of this.#single.values()) rpc.ref();
  }

  unref(): void {
    this.#referenced = false;
    this.#balancer.unref();
    for (const rpc of this.#single.values()) rpc.unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#balancer.close(), ...Array.from(this.#single.values(), (rpc) => rpc.close())]);
  }

  /** Waits that long, or until this is closed. Keeps the process alive as a call does. Rejects with the signal's reason. */
  pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return this.#balancer.pause(ms, signal);
  }

  /** The deadline that a call with these settings has, in ms. */
  timeoutOf({ timeoutMs }: CallControl): number {
    return timeoutMs ?? this.#init.timeoutMs;
  }

  /**
   * Looks for an endpoint that answers, again and again until the deadline.
   *
   * @param timeoutMs the time limit that the deadline comes from.
   * @throws UnavailableError with the last failure of each endpoint; at once where no failure can pass.
   */
  async untilFound(deadline: number, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    for (let rounds = 1; ; rounds++) {
      const round = this.#balancer.findEndpoint();
      const inTime = await settlesBy(round, deadline, signal);
      const failures = inTime ? await round : this.#balancer.searchFailures;
      if (failures === undefined) return;
      const mayPass = failures.some(
        (each) => each instanceof EtcdError && isRetriable(each, true, each instanceof DeadlineExceededError),
      );
      const leftMs = deadline - monotonicMs();
      if (this.#closed || !mayPass || leftMs <= 0) throw this.#noEndpoint(mayPass ? timeoutMs : undefined);
      await this.#balancer.pause(Math.min(backoffMs(rounds, searchBackoff), leftMs), signal);
    }
  }

  /** Looks once for an endpoint that answers. If there is none, the owner of the stream opens another one. */
  async #findOnce(): Promise<void> {
    if ((await this.#balancer.findEndpoint()) !== undefined) throw this.#noEndpoint(undefined);
  }

  #noEndpoint(timeoutMs: number | undefined): unknown {
    if (this.#closed) return new ClosedError();
    const addresses = this.#balancer.status.map(({ endpoint }) => endpoint);
    return noEndpoint(addresses, this.#balancer.searchFailures, this.#init.connectTimeoutMs, timeoutMs);
  }

  #begin<Response, Result>(
    call: Call<never, Response, Result>,
    request: Uint8Array,
    control: CallControl,
    timeoutMs: number,
    trace: CallTrace | undefined,
  ): Promise<Result> {
    return this.#balancer.mustFind
      ? this.#afterSearch(call, request, control, timeoutMs, trace)
      : this.#first(call, request, control, timeoutMs, trace);
  }

  async #afterSearch<Response, Result>(
    call: Call<never, Response, Result>,
    request: Uint8Array,
    control: CallControl,
    timeoutMs: number,
    trace: CallTrace | undefined,
  ): Promise<Result> {
    const deadline = monotonicMs() + timeoutMs;
    progressIn(control)?.seeks((ms) => this.#noEndpoint(ms));
    await this.untilFound(deadline, this.#givenMs(control), control.signal);
    return await this.#first(call, request, control, Math.max(1, deadline - monotonicMs()), trace);
  }

  /** The first attempt, which for nearly all calls is the only one. */
  #first<Response, Result>(
    call: Call<never, Response, Result>,
    request: Uint8Array,
    control: CallControl,
    timeoutMs: number,
    trace: CallTrace | undefined,
  ): Promise<Result> {
    const start = monotonicMs();
    const endpoint = this.#balancer.pick();
    const token = this.#init.tokens?.current;
    const attemptTimeoutMs = this.#attemptTimeoutOf(control);
    const bounded = attemptTimeoutMs < timeoutMs;
    const atMostMs = bounded ? attemptTimeoutMs : timeoutMs;
    if (trace !== undefined) {
      trace.endpoint = endpoint.address;
      trace.attempts = 1;
    }
    const progress = progressIn(control);
    progress?.asks(endpoint.address);
    return endpoint.transport.unary(call.method.path, request, callOptions(atMostMs, control, token)).then(
      (response) => {
        let answer: Response;
        try {
          answer = this.#answer(call, endpoint, response);
        } catch (error) {
          const attempt: Attempt = { endpoint, token, bounded, atMostMs };
          return this.#afterFailure(call, request, control, start + timeoutMs, trace, attempt, error);
        }
        if (endpoint.state !== 'ready') this.#balancer.succeeded(endpoint);
        progress?.answered();
        return call.result(answer);
      },
      (error) => {
        const attempt: Attempt = { endpoint, token, bounded, atMostMs };
        return this.#afterFailure(call, request, control, start + timeoutMs, trace, attempt, error);
      },
    );
  }

  /** Continues a call whose first attempt has failed. */
  #afterFailure<Response, Result>(
    call: Call<never, Response, Result>,
    request: Uint8Array,
    control: CallControl,
    ...rest: [deadline: number, trace: CallTrace | undefined, first: Attempt, error: unknown]
  ): Promise<Result> {
    const site = callSite();
    return this.#moreAttempts(call, request, control, ...rest).catch((error: unknown) => {
      if (!control.signal?.aborted) progressIn(control)?.failed(error);
      throw atCaller(error, control.signal, site);
    });
  }

  async #moreAttempts<Response, Result>(
    call: Call<never, Response, Result>,
    request: Uint8Array,
    control: CallControl,
    deadline: number,
    trace: CallTrace | undefined,
    first: Attempt,
    firstError: unknown,
  ): Promise<Result> {
    let attempt = first;
    let error = firstError;
    let before: EtcdError | undefined;
    let refreshes = 0;
    let fate = notSent;
    const progress = progressIn(control);
    const tried = new Map<string, EtcdError>();
    for (let attempts = 1; ; ) {
      // The reason may be an EtcdError that did not come from the server.
      if (!(error instanceof EtcdError) || control.signal?.aborted) throw error;
      fate = fateWith(fate, error);
      if (call.readOnly) fate = { ...fate, mayBeApplied: false };
      if (error instanceof ClosedError || this.#closed) throw ofAllAttempts(error, fate);
      const last = error;
      const at = { attempt, attempts, before, tried, control };
      if (attempt.bounded || !(last instanceof DeadlineExceededError)) {
        tried.set(attempt.endpoint.address, last);
      }
      progress?.failed(last, () => this.#inFull(last, at));
      const ended = (): EtcdError => ofAllAttempts(this.#inFull(last, at), fate);
      const unanswered = error.code === StatusCode.DEADLINE_EXCEEDED;
      const timedOut = attempt.bounded && unanswered;
      const stays = staysAtEndpoint(error);
      let waitMs = 0;
      if (this.#init.tokens !== undefined && isTokenRefused(error)) {
        if (this.#init.tokens.fixed || ++refreshes > MAX_TOKEN_REFRESHES) throw ofAllAttempts(error, fate);
        if (!(await this.#refreshToken(this.#init.tokens, attempt.token, deadline, control.signal, fate))) {
          throw noToken(call.method.path, this.#givenMs(control), error, fate);
        }
      } else {
        const silent = unanswered && attempt.atMostMs >= SILENT_MS;
        if (blamesEndpoint(error, timedOut || silent)) this.#balancer.failed(attempt.endpoint, error);
        if (attempts >= this.#init.maxAttempts || !isRetriable(error, call.idempotent, timedOut)) {
          throw ended();
        }
        const beforeNext = this.#waitMs(attempts, stays, deadline);
        if (beforeNext === undefined) throw ended();
        waitMs = beforeNext;
        const isLast = waitMs > 0 && control.requireLeader === true;
        const leaderless = isLast && Array.from(tried.values()).find((each) => each instanceof NoLeaderError);
        if (leaderless) throw ofAllAttempts(this.#inFull(leaderless, at), fate);
        retryChannel.publish({
          call: trace,
          method: call.method.path,
          endpoint: attempt.endpoint.address,
          attempts,
          error,
          waitMs,
        });
        if (waitMs > 0) await this.#balancer.pause(waitMs, control.signal);
        if (this.#closed) throw closedAfter(fate, call.method.path);
      }
      attempts += 1;
      const endpoint = stays ? attempt.endpoint : this.#balancer.pick(attempt.endpoint);
      const leftMs = Math.max(1, deadline - monotonicMs());
      const attemptTimeoutMs = this.#attemptTimeoutOf(control);
      const token = this.#init.tokens?.current;
      const atMostMs = Math.min(attemptTimeoutMs, leftMs);
      attempt = { endpoint, token, bounded: attemptTimeoutMs < leftMs, atMostMs };
      if (trace !== undefined) {
        trace.endpoint = endpoint.address;
        trace.attempts = attempts;
      }
      progress?.asks(endpoint.address);
      try {
        const options = callOptions(atMostMs, control, token);
        const response = await endpoint.transport.unary(call.method.path, request, options);
        const answer = this.#answer(call, endpoint, response);
        this.#balancer.succeeded(endpoint);
        progress?.answered();
        return call.result(answer);
      } catch (again) {
        before = last;
        error = again;
      }
    }
  }

  /**
   * An answer from this endpoint, decoded.
   *
   * @throws ClusterMismatchError, and EtcdError where it can't be read.
   */
  #answer<Response>(
    { method }: Call<never, Response, unknown>,
    endpoint: Endpoint,
    response: UnaryResponse,
  ): Response {
    const { message } = response;
    // The transport's promise has waited, and V8 keeps what an old promise holds until the next full collection.
    response.message = noBytes;
    const mismatch = this.#balancer.check(endpoint, message);
    if (mismatch !== undefined) throw mismatch;
    return answerTo(method, message);
  }

  /** How long to wait after so many attempts, in ms; `undefined` where there is no time for another one. */
  #waitMs(attempts: number, stays: boolean, deadline: number): number | undefined {
    const { size } = this.#balancer;
    const { backoff } = this.#init;
    // The other endpoints are tried at once; then it is time to wait.
    const waits = stays || attempts % size === 0;
    let waitMs = waits ? backoffMs(stays ? attempts : attempts / size, backoff) : 0;
    // The last attempts come closer together, so that the whole of the call's time is used.
    const leftMs = deadline - monotonicMs();
    if (waitMs >= leftMs) waitMs = leftMs / 2;
    const tooClose = waitMs > 0 && waitMs < backoff.firstMs / 2;
    return leftMs <= 0 || tooClose ? undefined : waitMs;
  }

  /** The bound that the call's caller gave, in ms. */
  #givenMs(control: CallControl): number {
    return control.wholeTimeoutMs ?? this.timeoutOf(control);
  }

  /** The error that ends a call, in terms that its caller knows: the bounds and the endpoints. */
  #inFull(error: EtcdError, { attempt, attempts, before, tried, control }: Attempts): EtcdError {
    const { connectTimeoutMs } = this.#init;
    const { bounded, endpoint } = attempt;
    if (!(error instanceof DeadlineExceededError)) return unreachable(error, tried, connectTimeoutMs);
    if (bounded) return pastBound(error, attempt.atMostMs, endpoint.address);
    const earlier = before && unreachable(before, tried, connectTimeoutMs);
    return pastDeadline(error, this.#givenMs(control), attempts, earlier, endpoint.address);
  }

  /**
   * Has another token fetched; false when that took too long. All who need a token wait for one request. Its bound is
   * the client's, so a call with more time makes another request.
   */
  async #refreshToken(
    tokens: TokenSource,
    refused: string | undefined,
    deadline: number,
    signal: AbortSignal | undefined,
    fate: Fate,
  ): Promise<boolean> {
    for (;;) {
      try {
        return await settlesBy(tokens.refresh(refused), deadline, signal);
      } catch (error) {
        if (!(error instanceof EtcdError) || signal?.aborted) throw error;
        const timedOut = error.code === StatusCode.DEADLINE_EXCEEDED;
        // With a bound on attempts, the request may have failed at once, and would again.
        const tookItsTime = timedOut || this.#init.maxAttempts === Number.POSITIVE_INFINITY;
        const again = tookItsTime && isRetriable(error, true, timedOut) && !this.#closed;
        if (!again || monotonicMs() >= deadline) throw ofAllAttempts(error, fate);
      }
    }
  }

  async #traced<Response, Result>(
    call: Call<never, Response, Result>,
    request: Uint8Array,
    control: CallControl,
    timeoutMs: number,
  ): Promise<Result> {
    const start = monotonicMs();
    const trace = newTrace(call.method.path, 'unary');
    callStartChannel.publish(trace);
    try {
      const result = await this.#begin(call, request, control, timeoutMs, trace);
      endTrace(trace, start, undefined);
      return result;
    } catch (error) {
      endTrace(trace, start, error);
      throw error;
    }
  }

  /** @param outer the stream that the owner holds, where it isn't the stream itself. */
  #openStream(method: string, options: CallOptions, outer?: ByteStream): ByteStream {
    const start = monotonicMs();
    const endpoint = this.#balancer.pick();
    const stream = endpoint.transport.stream(method, options);
    this.#streams.set(outer ?? stream, endpoint);
    stream.headers.then(
      () => this.#balancer.succeeded(endpoint),
      (error) => {
        if (!this.#closed && blamesEndpoint(error, false)) this.#balancer.failed(endpoint, error);
      },
    );
    if (callStartChannel.hasSubscribers || callEndChannel.hasSubscribers) {
      // A stream's trace ends when it is established: how it ends is reported by what it carries.
      const trace = newTrace(method, 'stream');
      trace.endpoint = endpoint.address;
      trace.attempts = 1;
      callStartChannel.publish(trace);
      stream.headers.then(
        () => endTrace(trace, start, undefined),
        (error) => endTrace(trace, start, error),
      );
    }
    return stream;
  }

  #attemptTimeoutOf({ attemptTimeoutMs, attemptAtMostMs = Number.POSITIVE_INFINITY }: CallControl): number {
    if (attemptTimeoutMs === undefined) return Math.min(this.#init.attemptTimeoutMs, attemptAtMostMs);
    return attemptTimeoutMs;
  }

  #tooLarge(method: string, bytes: number): RequestTooLargeError {
    return new RequestTooLargeError(
      `the request has ${bytes} bytes, but maxRequestBytes is ${this.#init.maxRequestBytes}; make the key and value smaller, or raise maxRequestBytes here and --max-request-bytes on the server`,
      { code: StatusCode.RESOURCE_EXHAUSTED, method, sent: false },
    );
  }
}

/**
 * The progress of the operation that a call belongs to; `undefined` where nobody asks for it.
 * @internal
 */
export function progressIn({ progress, signal }: CallControl): Progress | undefined {
  return progress ?? progressOf(signal);
}

function callOptions(timeoutMs: number, control: CallControl, token: string | undefined): CallOptions {
  const { signal, requireLeader } = control;
  if (!token && !requireLeader) return signal === undefined ? { timeoutMs } : { timeoutMs, signal };
  const metadata: Record<string, string> = {};
  if (token) metadata.token = token;
  if (requireLeader) metadata.hasleader = 'true';
  return signal === undefined ? { timeoutMs, metadata } : { timeoutMs, signal, metadata };
}

function newTrace(method: string, kind: CallTrace['kind']): CallTrace {
  return {
    method,
    kind,
    endpoint: undefined,
    attempts: 0,
    durationMs: undefined,
    code: undefined,
    error: undefined,
  };
}

function endTrace(trace: CallTrace, start: number, error: unknown): void {
  trace.durationMs = monotonicMs() - start;
  trace.error = isUnwanted(error) ? undefined : error;
  if (error === undefined) trace.code = StatusCode.OK;
  else if (error instanceof EtcdError) trace.code = error.code;
  callEndChannel.publish(trace);
}
