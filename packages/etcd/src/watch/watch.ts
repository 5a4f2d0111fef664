import { EventEmitter } from 'node:events';
import type { InspectOptionsStylized } from 'node:util';
import { inspect } from '../built-in.js';
import { ClosedError, EtcdError, StatusCode } from '../errors.js';
import { answer, jsonOf } from '../json.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import type { EntryMaker } from '../rpc/messages/message-reader.js';
import { type CallControl, callControl } from '../rpc/rpc.js';
import { onAbort } from '../util/abort/on-abort.js';
import { ItemIterator, OneLoop } from '../util/item-iterator.js';
import { guardListeners, guardMethods } from '../util/methods.js';
import { progressOf } from '../util/progress.js';
import { nextTick, runApart } from '../util/timers.js';
import { heldBy } from '../util/wait.js';
import type { WatchBatch, WatchEvent } from './event.js';
import { type WatchSpec, watchMethod } from './request.js';
import { type Over, Subscription } from './subscription.js';
import type { WatchStream } from './watch-stream.js';

/** What a {@link Watch} emits, with the arguments of the listeners. */
export interface WatchEvents<Entry = KeyValue> {
  /** A key was put. */
  put: [event: WatchEvent<Entry>];
  /** A key was deleted, also by the end of its lease. */
  delete: [event: WatchEvent<Entry>];
  /** All events of some revisions, after each was emitted by itself. Without events it is a progress notification. */
  batch: [batch: WatchBatch<Entry>];
  /**
   * A server has made the watch, and its store has this revision. Emitted at the beginning, and again after each
   * `disconnected`.
   */
  connected: [revision: bigint];
  /**
   * The connection was lost, or the first one couldn't be made, for this reason. A new one is being made, and no change
   * will be missed. Emitted once until the next `connected`, however many attempts fail.
   */
  disconnected: [reason: unknown];
  /**
   * The watch has ended with an error. Loops throw the error instead. If nobody takes events, it is emitted at once. If
   * there are listeners for events but none for `error`, it is thrown. If nobody takes events and there is no listener,
   * it is kept for a later reader. Closing the client isn't an error: only `close` reports it.
   */
  error: [error: unknown];
  /**
   * The watch has ended, with or without an error, and all its events were emitted or dropped. Not emitted if a loop
   * takes the events: the loop ends instead.
   */
  close: [];
}

/**
 * Emitted for each connection that was lost or couldn't be made, with the reason.
 * @internal
 */
export const attemptFailed = Symbol('attempt failed');

/** The events, with the names that other clients use. */
const events: Readonly<Record<keyof WatchEvents<unknown>, readonly string[]>> = {
  put: ['data', 'event', 'change'],
  delete: ['data', 'event', 'change'],
  batch: [],
  connected: ['connect'],
  disconnected: ['disconnect'],
  error: [],
  close: ['end'],
};

/** Whoever listens to one of these consumes the events. */
const takesEvents: readonly (string | symbol)[] = ['put', 'delete', 'batch'];

type Consumer = 'a loop over events' | 'a loop over batches' | 'listeners';

/**
 * The changes of some keys: each once, in order and without a gap, even if connections break or servers fail. A watch
 * has one consumer, which has one of three forms:
 *
 * ```ts
 * for await (const event of watch) …            // event by event
 * for await (const { events } of watch.batches()) …  // whole revisions together, and progress notifications
 * watch.on('put', (event) => …).on('error', …); // listeners, which get events as they come
 * ```
 *
 * Leaving a loop ends the watch, as `close()` does. A loop that waits beside another is refused. What a listener throws is
 * an uncaught exception, and the watch continues. While the consumer is behind by more than `bufferBytes`, the server
 * holds the changes, not this process. The same is true while there is no consumer: before the first listener, and after
 * the last one was removed. Listeners of only `error`, `close`, `connected` and `disconnected` take no events.
 *
 * A watch never ends silently. Loops throw, and `error` is emitted, after the events before were delivered:
 * `CompactedError` if the next revision was compacted (which can also happen when the watch was without a connection,
 * or its consumer was behind, for too long), `StoreReplacedError` if the store was restored from a backup or replaced
 * by a different cluster, `PermissionDeniedError` and `UnauthenticatedError`, `WatchCancelledError` with the server's
 * reason, and `UnavailableError` after `maxDisconnectedMs`. When `signal` aborts, or the client is closed, what was not yet
 * delivered is dropped: loops throw `signal.reason` or a `ClosedError`, and listeners get the reason, or only `close`.
 */
export class Watch<Entry = KeyValue>
  extends EventEmitter<WatchEvents<Entry>>
  implements AsyncIterable<WatchEvent<Entry>>, AsyncDisposable
{
  /**
   * Resolves when the server has made the watch, with the revision of the store at that time: the watch sees all later
   * changes. Rejects when the watch can't be made.
   */
  readonly ready: Promise<bigint>;
  readonly #subscription: Subscription<Entry>;
  readonly #stream: WatchStream;
  #unlisten: (() => void) | undefined;
  #consumer: Consumer | undefined;
  #iterator: ItemIterator<WatchEvent<Entry>> | undefined;
  #loop: OneLoop<WatchEvent<Entry>> | undefined;
  #over: Over | undefined;
  /** Whether listeners were notified of the end. */
  #endReported = false;
  /** The revision of the last batch that the consumer got. */
  #batchRevision: bigint | undefined;
  /** The first event of that batch that listeners didn't get. */
  #nextEmitted: WatchEvent<Entry> | undefined;
  /** Continues with new listeners. Set while the last listener has gone. */
  #wake: (() => void) | undefined;
  /** Whether the watch was ended on this side, so that undelivered events are dropped. */
  #dropped = false;

  static {
    const isOurs = (it: object): boolean => #subscription in it;
    guardMethods<Omit<Watch, keyof EventEmitter>>(Watch, isOurs, {
      promised: { requestProgress: 1 },
      direct: { batches: 0, close: 0, toJSON: 0 },
    });
    guardListeners(Watch, isOurs, events);
  }

  /** @internal */
  constructor(
    stream: WatchStream,
    spec: WatchSpec,
    maker: EntryMaker<Entry>,
    signal: AbortSignal | undefined,
  ) {
    super();
    this.#stream = stream;
    const progress = progressOf(signal);
    let isDown = false;
    const subscription = new Subscription(spec, maker, stream, {
      connected: (revision) => {
        isDown = false;
        progress?.answered();
        this.#notify('connected', revision);
      },
      disconnected: (reason) => {
        progress?.failed(reason);
        (this as EventEmitter).emit(attemptFailed, reason);
        if (isDown) return;
        isDown = true;
        this.#notify('disconnected', reason);
      },
      ended: (over, dropped) => {
        this.#unlisten?.();
        this.#dropped = dropped;
        if (dropped) this.#iterator?.drop();
        this.#over = over;
        this.#reportEnd();
      },
    });
    this.#subscription = subscription;
    this.ready = heldBy(subscription.ready, signal);
    const abort = (): void => subscription.abort(signal?.reason);
    // The event is not in the types of a typed emitter.
    (this as EventEmitter).on('newListener', (name: string | symbol) => this.#startListeners(name));
    if (signal?.aborted) abort();
    else {
      if (signal !== undefined) this.#unlisten = onAbort(signal, abort);
      stream.add(subscription);
    }
  }

  /**
   * The consumer's position: all changes up to this revision were delivered, including the one that it is handling.
   * Within a transaction it is the previous revision, until the last event is delivered. To continue later where this
   * watch stopped, start another one from the next revision: no change is missed. Before the first change it is the
   * revision before `startRevision`, or else that of `ready`, and 0 until then.
   */
  get revision(): bigint {
    const { startsAfter } = this.#subscription;
    if (this.#batchRevision === undefined) return startsAfter;
    const next = this.#nextEmitted ?? this.#iterator?.upcoming;
    const revision = next === undefined ? this.#batchRevision : next.revision - 1n;
    return revision > startsAfter ? revision : startsAfter;
  }

  /** The remaining events. There can be one loop. */
  [Symbol.asyncIterator](): AsyncIterator<WatchEvent<Entry>, void, void> {
    this.#claim('a loop over events');
    this.#iterator ??= new ItemIterator({
      arrival: () => this.#subscription.arrival(),
      take: () => this.#take()?.events,
      close: () => this.close(),
    });
    this.#loop ??= new OneLoop(this.#iterator, 'watch');
    return this.#loop.iterator();
  }

  /**
   * The changes in batches of whole revisions, so that a transaction is seen as a whole: clientv3's `WatchResponse`. A
   * batch without events says that nothing has changed up to its revision: see `progressNotify` and {@link
   * requestProgress}.
   */
  batches(): AsyncIterableIterator<WatchBatch<Entry>, void, void> {
    this.#claim('a loop over batches');
    return new ItemIterator({
      arrival: () => this.#subscription.arrival(),
      take: () => {
        const batch = this.#take();
        return batch && [answer(batch)];
      },
      close: () => this.close(),
    });
  }

  /**
   * Asks the server for its revision, and resolves with it once all changes up to it were received here. The consumer
   * gets a batch without events. With etcd before 3.4.25 and 3.5.8 earlier events may still follow it. etcd:
   * `WatchProgressRequest`.
   *
   * The server answers when all watches of the stream have caught up, and none starts at a future revision. The watches
   * of a client share one stream, except for those with `ownStream`.
   *
   * @throws DeadlineExceededError, and the error with which the watch has ended.
   */
  async requestProgress(control: CallControl = {}): Promise<bigint> {
    callControl.check(control);
    const timeoutMs = this.#stream.timeoutOf(control);
    control.signal?.throwIfAborted();
    const revision = this.#subscription.nextProgress(timeoutMs, control.signal);
    this.#stream.requestProgress();
    return await revision;
  }

  /** Ends the watch, and the loop over it without an error. What was not yet delivered is dropped. Idempotent. */
  close(): void {
    this.#subscription.close();
  }

  /** For `JSON.stringify`: its position. */
  toJSON(): unknown {
    return jsonOf({ revision: this.revision });
  }

  /** For `console.log`. @internal */
  [inspect.custom](_depth: number, options: InspectOptionsStylized, show: typeof inspect): string {
    return `Watch ${show(this.toJSON(), options)}`;
  }

  /** The same as {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** Takes what has arrived for the consumer, and notes it. */
  #take(): WatchBatch<Entry> | undefined {
    const batch = this.#subscription.take();
    if (batch !== undefined) this.#batchRevision = batch.revision;
    return batch;
  }

  #claim(consumer: Consumer): void {
    if (this.#consumer === undefined) {
      this.#consumer = consumer;
      return;
    }
    if (this.#consumer === consumer && consumer === 'a loop over events') return;
    throw new EtcdError(
      `this watch is already consumed by ${this.#consumer}, and each event goes to only one consumer; make another watch`,
      { code: StatusCode.FAILED_PRECONDITION, method: watchMethod, sent: false },
    );
  }

  /**
   * Notifies listeners of the end where nobody takes events. Otherwise the end comes after the last event, or is
   * thrown. An end that nobody was notified of is kept for a later reader.
   */
  #reportEnd(): void {
    // Consumers and listeners that are added in the same turn miss nothing.
    nextTick(() => {
      const over = this.#over;
      const taken = this.#consumer !== undefined && this.#wake === undefined;
      if (over === undefined || taken || this.#endReported) return;
      if (this.listenerCount('error') + this.listenerCount('close') === 0) return;
      this.#endReported = true;
      const failed = 'failure' in over && !(over.failure instanceof ClosedError);
      if (failed && this.listenerCount('error') > 0) this.#notify('error', over.failure);
      this.#notify('close');
    });
  }

  #startListeners(name: string | symbol): void {
    if (name === 'error' || name === 'close') this.#reportEnd();
    if (!takesEvents.includes(name)) return;
    const first = this.#consumer === undefined;
    if (this.#consumer !== 'listeners') this.#claim('listeners');
    // Listeners that are added in the same turn miss nothing.
    if (first) nextTick(() => void this.#emitAll());
    else if (this.#wake !== undefined) nextTick(this.#wake);
  }

  get #hasListeners(): boolean {
    return this.listenerCount('put') + this.listenerCount('delete') + this.listenerCount('batch') > 0;
  }

  /** Holds events back until there is a listener for them, as before the first one. */
  async #untilListened(): Promise<void> {
    while (!this.#hasListeners) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#reportEnd();
      });
      this.#wake = undefined;
    }
  }

  async #emitAll(): Promise<void> {
    for (;;) {
      try {
        await this.#subscription.arrival();
      } catch (error) {
        if (!this.#hasListeners) await this.#untilListened();
        if (!(error instanceof ClosedError || this.#endReported)) this.#notify('error', error);
        break;
      }
      const goesOn = this.#emitNext();
      if (!(goesOn === true || (await goesOn))) break;
    }
    if (!this.#endReported) this.#notify('close');
  }

  /**
   * Emits the next batch; returns false at the end, and a promise only where there is no listener. Nothing holds the batch while
   * the watch waits for the one after it.
   */
  #emitNext(): boolean | Promise<boolean> {
    const batch = this.#take();
    if (batch === undefined) return this.#hasListeners ? false : this.#untilListened().then(() => false);
    this.#nextEmitted = batch.events[0];
    return this.#emitFrom(batch, 0);
  }

  /** Emits the rest of a batch, from this event on. */
  #emitFrom(batch: WatchBatch<Entry>, first: number): boolean | Promise<boolean> {
    const { events } = batch;
    for (let i = first; ; i++) {
      if (!this.#hasListeners) return this.#untilListened().then(() => this.#emitFrom(batch, i));
      if (this.#dropped) return true;
      const event = events[i];
      if (event === undefined) break;
      this.#nextEmitted = events[i + 1];
      this.#notify(event.type, event);
    }
    if (this.listenerCount('batch') > 0) this.#notify('batch', answer(batch));
    return true;
  }

  #notify<Name extends keyof WatchEvents>(name: Name, ...args: WatchEvents<unknown>[Name]): void {
    runApart(() => (this as EventEmitter).emit(name, ...args));
  }
}
