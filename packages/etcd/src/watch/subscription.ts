import { DeadlineExceededError, EtcdError, StatusCode } from '../errors.js';
import type { EntryMaker } from '../rpc/messages/message-reader.js';
import { reason } from '../util/kinds.js';
import type { Waiter } from '../util/wait.js';
import { waitFor } from '../util/wait.js';
import { watchCancelled } from './cancelled.js';
import { Disconnection } from './disconnection.js';
import type { WatchBatch, WatchEvent } from './event.js';
import { encodeCreate, type WatchSpec, watchMethod } from './request.js';
import type { WatchMessage } from './watch-message.js';
import type { StreamedWatch, WatchStream } from './watch-stream.js';

/** The approximate memory that an event takes in addition to its key and value, in bytes. */
const EVENT_OVERHEAD_BYTES = 500;

/** Notified of what happens to a subscription, except for its events. */
export interface SubscriptionListener {
  /** @param revision of the store, by the server that has made the watch. */
  connected(revision: bigint): void;
  disconnected(reason: unknown): void;
  /**
   * The watch has ended, with an error or without one.
   *
   * @param dropped whether events that were not yet delivered are dropped.
   */
  ended(over: Over, dropped: boolean): void;
}

/** How a watch has ended. */
export interface Over {
  readonly failure?: unknown;
}

interface Queued<Entry> {
  batch: WatchBatch<Entry>;
  readonly bytes: number;
}

/**
 * One watch between the stream that serves it and its consumer. It knows which revision it needs next, wherever and
 * however often it is made at a server, and has the bounded queue of what the consumer has not yet taken.
 */
export class Subscription<Entry> implements StreamedWatch {
  /** Resolves when the server has made the watch, with the revision of the store at that time. */
  readonly ready: Promise<bigint>;
  /** Id at the server, on the current stream. */
  id: number | undefined;
  /** Whether a server has made the watch before. */
  madeBefore = false;
  /** Whether the watch was cancelled at the server because its consumer is behind. */
  paused = false;
  readonly #spec: WatchSpec;
  readonly #maker: EntryMaker<Entry>;
  readonly #stream: WatchStream;
  readonly #listener: SubscriptionListener;
  #ready: Waiter<bigint> | undefined;
  /** The first revision that was not received yet; 0 while the watch starts from now. */
  #nextRevision: bigint;
  /** Events of revisions before this one aren't wanted. */
  #floor: bigint;
  /** Events of the last revision of a fragment. Further events of that revision may be in the next fragment. */
  #held: WatchEvent<Entry>[] | undefined;
  readonly #queue: Queued<Entry>[] = [];
  #queuedBytes = 0;
  #startsAfter: bigint;
  /** Settle the wait of the consumer, while it waits. They are fields, as a consumer waits again after each batch. */
  #resolve: (() => void) | undefined;
  #reject: ((reason: unknown) => void) | undefined;
  /** What a waiting consumer was woken for. It is as good as taken, also when the watch has ended since. */
  #awaited: WatchBatch<Entry> | undefined;
  readonly #progressWaiters = new Set<Waiter<bigint>>();
  #over: { failure?: unknown } | undefined;
  readonly #disconnection: Disconnection;
  /** Whether a request may have left the client on an earlier stream. */
  #sent = false;
  /** Whether a request was made on the present stream. */
  #sentHere = false;

  constructor(
    spec: WatchSpec,
    maker: EntryMaker<Entry>,
    stream: WatchStream,
    listener: SubscriptionListener,
  ) {
    this.#spec = spec;
    this.#maker = maker;
    this.#stream = stream;
    this.#listener = listener;
    this.#nextRevision = spec.startRevision;
    this.#floor = spec.startRevision;
    this.#startsAfter = spec.startRevision > 0n ? spec.startRevision - 1n : 0n;
    this.ready = new Promise((resolve, reject) => {
      this.#ready = { resolve, reject };
    });
    // A consumer that only reads events gets the same error there.
    this.ready.catch(() => {});
    const expired = (error: EtcdError): void => this.fail(error);
    const isSent = (): boolean => this.sent;
    this.#disconnection = new Disconnection('the watch', spec.maxDisconnectedMs, expired, { isSent });
  }

  // For the stream.

  get key(): Uint8Array {
    return this.#spec.create.key;
  }

  get nextRevision(): bigint {
    return this.#nextRevision;
  }

  /** The request that makes the watch at a server, so that it continues where it was. */
  encodeCreate(id: number): Uint8Array {
    this.#floor = this.#nextRevision;
    this.#held = undefined;
    this.#sentHere = true;
    return encodeCreate(this.#spec.create, id, this.#nextRevision);
  }

  /** The server has made the watch. */
  created(id: number, revision: bigint): void {
    this.id = id;
    this.madeBefore = true;
    this.#disconnection.end();
    if (this.#nextRevision === 0n) {
      // From here on the watch behaves like one with a start revision, including after reconnects.
      this.#nextRevision = revision + 1n;
      this.#floor = this.#nextRevision;
      this.#startsAfter = revision;
    }
    if (this.#ready !== undefined) {
      this.#ready.resolve(revision);
      this.#ready = undefined;
    }
    this.#listener.connected(revision);
  }

  /** Whether a request for the watch may have left the client. */
  get sent(): boolean {
    return this.#sent || (this.#sentHere && this.#stream.reached);
  }

  get endsWithoutLeader(): boolean {
    return this.#spec.endsWithoutLeader;
  }

  /** Whether the watch has room for another response. */
  get hasRoom(): boolean {
    return this.#queuedBytes < this.#spec.bufferBytes;
  }

  /** Receives the events of the present part of a response. */
  receive(message: WatchMessage): void {
    const held = this.#held;
    this.#held = undefined;
    const events = message.events(this.#floor, this.#maker, held);
    const whole = message.isContinued ? this.#holdLastRevision(events) : events;
    const last = whole[whole.length - 1];
    if (last === undefined) return;
    this.#nextRevision = last.revision + 1n;
    this.#deliver({ events: whole, revision: last.revision }, message.bytes);
  }

  /** Nothing else has happened up to this revision. */
  progress(revision: bigint): void {
    if (revision >= this.#nextRevision) this.#nextRevision = revision + 1n;
    this.#deliver({ events: [], revision }, 0);
    for (const waiter of [...this.#progressWaiters]) waiter.resolve(revision);
  }

  /** The server no longer sends events for this watch. */
  pause(): void {
    this.id = undefined;
    this.paused = true;
    this.#held = undefined;
  }

  /** The watch has lost its stream, and should get another one. */
  disconnected(failure: unknown): void {
    this.id = undefined;
    this.#held = undefined;
    const stayed = failure instanceof EtcdError && !failure.sent;
    this.#sent ||= this.#sentHere && !stayed;
    this.#sentHere = false;
    if (this.paused) return;
    this.#disconnection.begin(failure);
    this.#listener.disconnected(failure);
  }

  /** Ends the watch with an error. Events that were received before are delivered first. */
  fail(error: unknown): void {
    this.#end({ failure: error }, false);
  }

  // For the consumer.

  /** No change up to this revision is wanted; 0 while it isn't known where the watch starts. */
  get startsAfter(): bigint {
    return this.#startsAfter;
  }

  get progressWanted(): boolean {
    return this.#progressWaiters.size > 0;
  }

  /**
   * Resolves when there is something to {@link take}; `undefined` where there is already. Rejects, once, with the reason for the
   * end. One call at a time.
   */
  arrival(): Promise<void> | undefined {
    if (this.#queue.length > 0) return undefined;
    if (this.#over !== undefined) {
      const over = this.#over;
      this.#over = {};
      return 'failure' in over ? Promise.reject(over.failure) : undefined;
    }
    return new Promise(this.#wait);
  }

  readonly #wait = (resolve: () => void, reject: (reason: unknown) => void): void => {
    this.#resolve = resolve;
    this.#reject = reject;
  };

  /** Takes the batch that has arrived; `undefined` at the end. */
  take(): WatchBatch<Entry> | undefined {
    const awaited = this.#awaited;
    if (awaited !== undefined) {
      this.#awaited = undefined;
      return awaited;
    }
    const queued = this.#queue.shift();
    if (queued === undefined) return undefined;
    this.#queuedBytes -= queued.bytes;
    if (this.paused && this.#queuedBytes <= this.#spec.bufferBytes / 2) {
      this.paused = false;
      this.#stream.resume(this);
    }
    return queued.batch;
  }

  /** The revision of the next progress notification. */
  nextProgress(timeoutMs: number, signal: AbortSignal | undefined): Promise<bigint> {
    const over = this.#over;
    if (over !== undefined) return Promise.reject('failure' in over ? over.failure : closed(false));
    return waitFor(
      (wait) => {
        this.#progressWaiters.add(wait);
        return () => this.#progressWaiters.delete(wait);
      },
      {
        signal,
        timeoutMs,
        expired: (wait) => wait.reject(noProgress(timeoutMs, this.sent, this.#disconnection.failure)),
      },
    );
  }

  /** Ends the watch at once, without an error. */
  close(): void {
    this.#end({}, true);
  }

  /** Ends the watch at once, with an error. */
  abort(reason: unknown): void {
    this.#end({ failure: reason }, true);
  }

  #deliver(batch: WatchBatch<Entry>, messageBytes: number): void {
    const resolve = this.#resolve;
    if (resolve !== undefined) {
      this.#resolve = undefined;
      this.#reject = undefined;
      this.#awaited = batch;
      resolve();
      return;
    }
    const last = this.#queue.at(-1);
    if (batch.events.length === 0 && last?.batch.events.length === 0) {
      last.batch = batch;
      return;
    }
    const bytes = messageBytes + batch.events.length * EVENT_OVERHEAD_BYTES;
    this.#queuedBytes += bytes;
    this.#queue.push({ batch, bytes });
  }

  /** Holds back the events whose revision may continue in the next fragment, and returns the events before them. */
  #holdLastRevision(events: WatchEvent<Entry>[]): WatchEvent<Entry>[] {
    const last = events.at(-1)?.revision;
    if (events[0]?.revision === last) {
      this.#held = events;
      return [];
    }
    let first = events.length - 1;
    while (events[first - 1]?.revision === last) first -= 1;
    this.#held = events.splice(first);
    return events;
  }

  #end(over: { failure?: unknown }, dropQueue: boolean): void {
    if (this.#over !== undefined) return;
    this.#over = over;
    this.#disconnection.end();
    this.#held = undefined;
    if (dropQueue) this.#queue.length = 0;
    // Mostly nobody asks for the error, which takes longer to make than the rest of this.
    if (this.#ready !== undefined || this.progressWanted) {
      const reason = 'failure' in over ? over.failure : closed(this.sent);
      this.#ready?.reject(reason);
      this.#ready = undefined;
      for (const waiter of [...this.#progressWaiters]) waiter.reject(reason);
    }
    this.#listener.ended(over, dropQueue);
    this.#stream.remove(this);
    const resolve = this.#resolve;
    const reject = this.#reject;
    if (resolve === undefined) return;
    this.#resolve = undefined;
    this.#reject = undefined;
    // The failure is reported only once, as in next().
    this.#over = {};
    if ('failure' in over) reject?.(over.failure);
    else resolve();
  }
}

function closed(sent: boolean): EtcdError {
  return watchCancelled('the watch was closed', { sent });
}

/** @param cause why the watch has no stream; `undefined` where it has one. */
function noProgress(timeoutMs: number, sent: boolean, cause: unknown): DeadlineExceededError {
  const why =
    cause === undefined
      ? 'it does once all watches of this client have caught up; a proxy such as etcd grpc-proxy never does'
      : `the watch has no connection: ${reason(cause)}`;
  return new DeadlineExceededError(
    `DEADLINE_EXCEEDED: the server did not report progress within ${timeoutMs} ms; ${why}`,
    { code: StatusCode.DEADLINE_EXCEEDED, method: watchMethod, sent, cause },
  );
}
