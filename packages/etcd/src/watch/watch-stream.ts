import {
  ClosedError,
  ClusterMismatchError,
  EtcdError,
  gaveNoCredentials,
  NoLeaderError,
  RequestTooLargeError,
  StatusCode,
  type StoreReplacedError,
  UnavailableError,
} from '../errors.js';
import { idempotentCall } from '../rpc/call.js';
import { KVService, WatchService } from '../rpc/generated/etcdserverpb/methods.js';
import { RangeRequest } from '../rpc/generated/etcdserverpb/rpc.js';
import { type ReopeningInit, ReopeningStream, type StreamOwner } from '../rpc/reopening-stream.js';
import type { CallControl, Rpc } from '../rpc/rpc.js';
import { headerOf } from '../rpc/store.js';
import {
  clearInterval,
  clearTimeout,
  LONGEST_TIMER_MS,
  setImmediate,
  setInterval,
  setTimeout,
} from '../util/timers.js';
import { cancelledError } from './cancelled.js';
import { confirmStore, isBehind } from './confirm-store.js';
import { encodeCancel, encodeProgress, watchMethod } from './request.js';
import { WatchMessage } from './watch-message.js';

const backoff = { firstMs: 50, longestMs: 2_000 };
const PROGRESS_RETRY_MS = 200;

/** How long the read of a store's revision may take, in ms. */
const REST_READ_MS = 5_000;

const serializableRead = idempotentCall(KVService.range, ({ header }) => header);

/** The id that etcd uses in answers that are for no watch or for all of them. */
const NO_ID = -1;

/** Failures that may not happen again on another stream, whichever server it reaches. */
const transient: ReadonlySet<number> = new Set<StatusCode>([
  StatusCode.CANCELLED,
  StatusCode.DEADLINE_EXCEEDED,
  StatusCode.INTERNAL,
  StatusCode.RESOURCE_EXHAUSTED,
  StatusCode.UNAVAILABLE,
]);

/** A watch in the view of the stream that serves it. */
export interface StreamedWatch {
  /** Its id at the server, on the current stream; `undefined` while it has none. */
  readonly id: number | undefined;
  /** The first key that the watch covers. */
  readonly key: Uint8Array;
  /** The first revision that the watch needs; 0 while it starts from now. */
  readonly nextRevision: bigint;
  /** Whether a server has made the watch before. */
  readonly madeBefore: boolean;
  /** Whether the watch was cancelled at the server because its consumer is behind. */
  readonly paused: boolean;
  /** Whether the watch has room for another response. */
  readonly hasRoom: boolean;
  /** Whether the watch ends where no endpoint has a leader, rather than waiting for one. */
  readonly endsWithoutLeader: boolean;
  /** Whether somebody waits for a progress notification. */
  readonly progressWanted: boolean;
  /** The request that makes the watch at a server, from the next revision that it needs. */
  encodeCreate(id: number): Uint8Array;
  created(id: number, revision: bigint): void;
  /** Receives the events of the present part of a response. */
  receive(message: WatchMessage): void;
  /** Nothing else has happened up to this revision. */
  progress(revision: bigint): void;
  /** The server no longer sends events for the watch. The watch calls {@link WatchStream.resume} when it has room. */
  pause(): void;
  /** The watch has lost its stream, and should get another one. */
  disconnected(reason: unknown): void;
  /** Ends the watch with an error, after the events that were received before. */
  fail(error: unknown): void;
  /** Ends the watch with an error, at once. */
  abort(reason: unknown): void;
}

/**
 * Many watches on one stream to the server. When the stream breaks, another one is opened, with back-off, and each
 * watch is made on it again from the next revision that it needs. The stream ends with its last watch.
 */
export class WatchStream implements StreamOwner {
  readonly #rpc: Rpc;
  readonly #stream: ReopeningStream;
  readonly #ended: () => void;
  readonly #watches = new Set<StreamedWatch>();
  // The following fields are about the present stream only.
  readonly #unsent = new Set<StreamedWatch>();
  /**
   * Watches that were requested and not yet answered, by id, in the order of the requests. The answers have the same
   * order.
   */
  readonly #creating = new Map<number, StreamedWatch>();
  readonly #active = new Map<number, StreamedWatch>();
  #lastId = 0;
  /**
   * Whether the server uses the ids that it is given; undefined before its first answer. A server that doesn't (etcd
   * before 3.4, etcd's grpc-proxy) is asked for one watch after another, so that its answers can't be mixed up.
   */
  #usesOurIds: boolean | undefined;
  /** The last response. The next one is read into it. */
  #read: WatchMessage | undefined;
  /** The header of the last response, encoded. */
  #header: Uint8Array | undefined;
  /** Whether the store at the other end is known not to have gone back. */
  #confirmed = false;
  readonly #stopping = new AbortController();
  #answerTimer: NodeJS.Timeout | undefined;
  #progressTimer: NodeJS.Timeout | undefined;
  /** How many streams in a row went to an endpoint without a leader. */
  #withoutLeader = 0;

  constructor(rpc: Rpc, init: { requireLeader: boolean; referenced: boolean; ended: () => void }) {
    this.#rpc = rpc;
    this.#ended = init.ended;
    const streamInit: ReopeningInit = {
      method: WatchService.watch,
      options: init.requireLeader ? { metadata: { hasleader: 'true' } } : {},
      backoff,
      endedMessage: 'the server ended the stream of watches',
      // Even where the connection works, as the server may be frozen or without a leader. A token that the server
      // refuses is not the server's fault.
      leavesEndpoint: isTransient,
      referenced: init.referenced,
    };
    this.#stream = new ReopeningStream(rpc, streamInit, this);
  }

  add(watch: StreamedWatch): void {
    const first = this.#watches.size === 0;
    this.#watches.add(watch);
    if (first) this.#stream.open();
    else this.#create(watch);
  }

  remove(watch: StreamedWatch): void {
    if (!this.#watches.delete(watch)) return;
    this.#unsent.delete(watch);
    this.#cancel(watch);
    if (this.#watches.size === 0) this.#stop();
  }

  resume(watch: StreamedWatch): void {
    if (this.#stream.current === undefined) watch.disconnected(undefined);
    else this.#create(watch);
  }

  /** Whether the current stream has reached an endpoint, so that requests on it leave the client. */
  get reached(): boolean {
    const { current } = this.#stream;
    return current !== undefined && this.#rpc.addressOf(current) !== undefined;
  }

  /** Makes the server report its revision. It does so once all watches of this stream have caught up. */
  requestProgress(): void {
    this.#stream.send(encodeProgress());
    // A server that is asked while a watch is catching up doesn't answer.
    this.#progressTimer ??= setInterval(() => {
      const wanted = [...this.#watches].filter((watch) => watch.progressWanted);
      if (wanted.length === 0) {
        this.#stopProgress();
        return;
      }
      this.#stream.send(encodeProgress());
      for (const watch of wanted) this.#progressOfRest(watch).catch(() => {});
    }, PROGRESS_RETRY_MS).unref();
  }

  /**
   * etcd reports no progress while a watch begins at a later revision than the store has, as one that follows a read does in a
   * store at rest. Nothing has happened up to the store's revision then.
   */
  async #progressOfRest(watch: StreamedWatch): Promise<void> {
    const { current } = this.#stream;
    const { id, key } = watch;
    if (current === undefined || id === undefined) return;
    const request = RangeRequest.fromPartial({ key, keysOnly: true, serializable: true });
    const control = { timeoutMs: REST_READ_MS, signal: this.#stopping.signal };
    const header = await this.#rpc.callBeside(current, serializableRead, request, control);
    if (header === undefined || current !== this.#stream.current || watch.id !== id) return;
    if (header.revision < watch.nextRevision && watch.progressWanted) watch.progress(header.revision);
  }

  /** Whether the wait for the next stream keeps the process alive. */
  setReferenced(referenced: boolean): void {
    this.#stream.setReferenced(referenced);
  }

  /** The store whose changes were wanted was replaced. Ends the watches that remember a revision of it. */
  storeReplaced(error: StoreReplacedError): void {
    for (const watch of [...this.#watches]) if (watch.nextRevision > 0n) watch.fail(error);
  }

  /** Ends all watches at once, with an error. */
  abort(reason: unknown): void {
    for (const watch of [...this.#watches]) watch.abort(reason);
  }

  /** The deadline of a call with these settings, in ms. */
  timeoutOf(control: CallControl): number {
    return this.#rpc.timeoutOf(control);
  }

  // StreamOwner.

  opened(): void {
    for (const watch of this.#watches) if (!watch.paused) this.#unsent.add(watch);
    this.#sendCreates();
  }

  received(message: Uint8Array): Promise<void> | undefined {
    this.#boundAnswer();
    const response = this.#read ?? new WatchMessage();
    // Not while a watch holds it up.
    this.#read = undefined;
    response.read(message);
    const waited = this.#receive(response);
    const rest =
      waited === undefined ? this.#receiveRest(response) : waited.then(() => this.#receiveRest(response));
    if (rest === undefined) {
      response.drop();
      this.#read = response;
    }
    return rest;
  }

  broke(failure: unknown, refused: boolean): void {
    this.#forgetStream();
    // Another member may have a leader. But when none has one, whoever requires a leader wants that to be reported.
    const noLeader = failure instanceof NoLeaderError;
    if (this.#stream.answered || !noLeader) this.#withoutLeader = 0;
    if (noLeader) this.#withoutLeader += 1;
    const leaderless = this.#withoutLeader >= this.#rpc.endpointCount;
    const final = !(refused || isTransient(failure) || gaveNoCredentials(failure));
    for (const watch of [...this.#watches]) {
      if (final || (leaderless && watch.endsWithoutLeader)) watch.fail(failure);
      else watch.disconnected(failure);
    }
  }

  #forgetStream(): void {
    this.#unsent.clear();
    this.#creating.clear();
    this.#active.clear();
    this.#usesOurIds = undefined;
    this.#boundAnswer();
    const last = this.#header && headerOf(this.#header);
    if (last !== undefined) this.#rpc.store?.sawLast(last);
    this.#header = undefined;
    this.#confirmed = false;
  }

  /** Receives the parts that follow. */
  #receiveRest(message: WatchMessage): Promise<void> | undefined {
    while (message.next()) {
      const waited = this.#receive(message);
      if (waited !== undefined) return waited.then(() => this.#receiveRest(message));
    }
    return undefined;
  }

  /** Returns a promise only when it has to wait. */
  #receive(message: WatchMessage): Promise<void> | undefined {
    const id = message.watchId;
    if (message.created) return this.#created(id, message);
    this.#header = message.copyHeader(this.#header);
    const { cancellation } = message;
    if (id === NO_ID) {
      if (!cancellation.canceled) {
        for (const watch of this.#active.values()) watch.progress(message.revision);
      }
      return undefined;
    }
    const watch = this.#active.get(id);
    // The response was already on its way when the watch was cancelled.
    if (watch === undefined) return undefined;
    if (cancellation.canceled) watch.fail(cancelledError(cancellation));
    else if (!message.hasEvents) watch.progress(message.revision);
    else if (watch.hasRoom) watch.receive(message);
    else return this.#takeOrPause(id, watch, message);
    return undefined;
  }

  async #takeOrPause(id: number, watch: StreamedWatch, message: WatchMessage): Promise<void> {
    // A consumer that only had no turn yet catches up in this time. A consumer that waits for something else doesn't.
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#active.get(id) !== watch) return;
    if (watch.hasRoom) {
      watch.receive(message);
      return;
    }
    this.#cancel(watch);
    watch.pause();
  }

  #created(id: number, message: WatchMessage): Promise<void> | undefined {
    const { cancellation } = message;
    const [first] = this.#creating.keys();
    if (!cancellation.canceled) this.#usesOurIds ??= id === first;
    const asked = this.#usesOurIds && !cancellation.canceled ? id : first;
    const watch = asked === undefined ? undefined : this.#creating.get(asked);
    if (asked === undefined || watch === undefined) {
      throw internal(`the server made a watch ${id} that wasn't requested`);
    }
    this.#creating.delete(asked);
    if (cancellation.canceled) {
      const error = cancelledError(cancellation);
      // The stream's own token has expired. All its watches move to another stream, with another token.
      if (this.#stream.takesAnotherToken(error)) throw error;
      watch.fail(error);
    } else if (this.#isBehind(watch, message)) {
      return this.#confirmStore(watch).then(() => this.#made(id, watch, message));
    } else {
      this.#made(id, watch, message);
      return undefined;
    }
    this.#boundAnswer();
    this.#sendCreates();
    return undefined;
  }

  #made(id: number, watch: StreamedWatch, message: WatchMessage): void {
    this.#header = message.copyHeader(this.#header);
    if (this.#watches.has(watch)) {
      this.#stream.tokenTaken();
      this.#active.set(id, watch);
      watch.created(id, message.revision);
    } else this.#stream.send(encodeCancel(id));
    this.#boundAnswer();
    this.#sendCreates();
  }

  #isBehind(watch: StreamedWatch, message: WatchMessage): boolean {
    const { store } = this.#rpc;
    const { nextRevision, madeBefore } = watch;
    if (store === undefined || this.#confirmed || nextRevision === 0n) return false;
    // A watch that was made before may have seen nothing for a long time, but the state of its keys follows all that
    // was seen since.
    return isBehind(store, message.header, madeBefore ? store.revision : nextRevision - 1n);
  }

  /** The stream isn't read until it is known whether the store has gone back. */
  async #confirmStore({ key }: StreamedWatch): Promise<void> {
    const { current } = this.#stream;
    const { store } = this.#rpc;
    if (current === undefined || store === undefined) return;
    // Until then the stream is no better than one that can't be opened.
    this.#stream.answered = false;
    await confirmStore(this.#rpc, store, current, key, this.#stopping.signal);
    this.#stream.answered = true;
    this.#confirmed = true;
  }

  #create(watch: StreamedWatch): void {
    if (this.#stream.current === undefined) return;
    this.#unsent.add(watch);
    this.#sendCreates();
  }

  #sendCreates(): void {
    for (const watch of this.#unsent) {
      if (this.#usesOurIds !== true && this.#creating.size > 0) return;
      this.#unsent.delete(watch);
      this.#lastId += 1;
      this.#creating.set(this.#lastId, watch);
      this.#stream.send(watch.encodeCreate(this.#lastId));
      this.#boundAnswer();
    }
  }

  /** Makes the server send no more events for this watch. */
  #cancel(watch: StreamedWatch): void {
    const { id } = watch;
    if (id === undefined || this.#active.get(id) !== watch) return;
    this.#active.delete(id);
    if (this.#watches.size > 0) this.#stream.send(encodeCancel(id));
  }

  /** A server that takes requests for watches and answers none is as useless as no server. */
  #boundAnswer(): void {
    if (this.#creating.size === 0) {
      clearTimeout(this.#answerTimer);
      this.#answerTimer = undefined;
    } else if (this.#answerTimer !== undefined) this.#answerTimer.refresh();
    else {
      const ms = this.#rpc.timeoutOf({});
      if (ms > LONGEST_TIMER_MS) return;
      this.#answerTimer = setTimeout(() => {
        this.#stream.breakOff(unavailable(`the server did not answer a request for a watch within ${ms} ms`));
      }, ms).unref();
    }
  }

  #stopProgress(): void {
    clearInterval(this.#progressTimer);
    this.#progressTimer = undefined;
  }

  #stop(): void {
    this.#ended();
    this.#stopProgress();
    this.#stopping.abort();
    this.#forgetStream();
    this.#stream.close();
  }
}

function isTransient(failure: unknown): boolean {
  if (failure instanceof ClusterMismatchError) return true;
  if (failure instanceof RequestTooLargeError) return false;
  return failure instanceof EtcdError && !(failure instanceof ClosedError) && transient.has(failure.code);
}

function unavailable(message: string): UnavailableError {
  return new UnavailableError(message, { code: StatusCode.UNAVAILABLE, method: watchMethod, sent: true });
}

function internal(message: string): EtcdError {
  return new EtcdError(message, { code: StatusCode.INTERNAL, method: watchMethod, sent: true });
}
