import { CompactedError, type EtcdError, StatusCode, statusError, UnavailableError } from './errors.js';
import { type Int64, toInt64 } from './int64.js';
import type { RangeBytes } from './key-range.js';
import type { KeyValue } from './key-value.js';
import {
  WatchCreateRequest_FilterType,
  WatchRequest,
  WatchResponse,
} from './rpc/generated/etcdserverpb/rpc.js';
import { type Event, Event_EventType, type KeyValue as KeyValueMessage } from './rpc/generated/mvccpb/kv.js';
import type { ByteStream } from './transport/transport.js';

/** One change of a key. */
export interface WatchEvent<Entry = KeyValue> {
  readonly type: 'put' | 'delete';
  /** The key after the change; for a delete it has the key and the revision alone. */
  readonly kv: Entry;
  /** The key before the change, where `prevKv` asked for it and it is not compacted. */
  readonly prevKv: Entry | undefined;
  /** Revision of the change. Changes of one transaction share it. */
  readonly revision: bigint;
}

/** Options of `watch`, as etcd's `WatchCreateRequest`. */
export interface WatchOptions {
  /** See changes from this revision on; default: those after the watch was made. */
  readonly startRevision?: Int64;
  /** Give the key before the change, too. */
  readonly prevKv?: boolean;
  /** Have the server report its revision now and then while nothing changes; see {@link Watch.revision}. */
  readonly progressNotify?: boolean;
  /** Leave changes of this type out. */
  readonly filters?: readonly ('put' | 'delete')[];
  /** Ends the watch; a loop over it throws `signal.reason`. */
  readonly signal?: AbortSignal;
}

/** Full name of etcd's streaming RPC for watches. */
export const watchMethod = '/etcdserverpb.Watch/Watch';

/**
 * The changes of some keys, in order and without a gap, as an async iterable for one loop. Events are taken from
 * the server as the loop asks for them. Leaving the loop ends the watch, as `close()` does.
 *
 * The loop throws when the watch can't go on: {@link CompactedError} where the wanted revision is gone, and
 * {@link UnavailableError} when the connection breaks.
 */
export class Watch<Entry = KeyValue> implements AsyncIterable<WatchEvent<Entry>>, AsyncDisposable {
  /**
   * Resolves, when the server has made the watch, with the revision of the store at that time: all later changes
   * will be seen. Rejects when the watch can't be made.
   */
  readonly ready: Promise<bigint>;
  readonly #stream: ByteStream;
  readonly #events: AsyncGenerator<WatchEvent<Entry>, void, void>;
  readonly #toEntry: (message: KeyValueMessage) => Entry;
  #revision = 0n;
  #closed = false;

  /** @internal */
  constructor(
    stream: ByteStream,
    range: RangeBytes,
    options: WatchOptions,
    toEntry: (message: KeyValueMessage) => Entry,
  ) {
    this.#stream = stream;
    this.#toEntry = toEntry;
    this.ready = this.#create(encodeCreate(range, options));
    // Whoever only loops gets the same error there.
    this.ready.catch(() => {});
    this.#events = this.#follow();
  }

  /**
   * The revision that this watch has come to: all changes up to it were delivered, or are about to be in the
   * events of one response. 0 before the watch is `ready`.
   */
  get revision(): bigint {
    return this.#revision;
  }

  /** The events from where they are; there is one loop. */
  [Symbol.asyncIterator](): AsyncIterator<WatchEvent<Entry>, void, void> {
    return this.#events;
  }

  /** Ends the watch, and the loop over it without an error. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream.cancel();
  }

  /** As {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async #create(request: Uint8Array): Promise<bigint> {
    // How it fails is told by the answer.
    this.#stream.send(request).catch(() => {});
    const created = await this.#receive();
    this.#revision = created.header?.revision ?? 0n;
    return this.#revision;
  }

  async *#follow(): AsyncGenerator<WatchEvent<Entry>, void, void> {
    try {
      await this.ready;
      for (;;) {
        const { events, header } = await this.#receive();
        this.#revision = header?.revision ?? this.#revision;
        for (const event of events) {
          if (event.kv !== undefined) yield toWatchEvent(event, event.kv, this.#toEntry);
        }
      }
    } catch (error) {
      if (!this.#closed) throw error;
    } finally {
      this.close();
    }
  }

  /** The next response; throws when it is the last. */
  async #receive(): Promise<WatchResponse> {
    const message = await this.#stream.receive();
    if (message === undefined) {
      const details = 'the server has ended the watch';
      throw new UnavailableError(details, { code: StatusCode.UNAVAILABLE, method: watchMethod });
    }
    const response = WatchResponse.decode(message);
    if (!response.canceled) return response;
    const error = cancelledError(response);
    this.#stream.cancel(error);
    throw error;
  }
}

function encodeCreate({ key, rangeEnd }: RangeBytes, options: WatchOptions): Uint8Array {
  const filter = { put: WatchCreateRequest_FilterType.NOPUT, delete: WatchCreateRequest_FilterType.NODELETE };
  const value = {
    key,
    rangeEnd,
    startRevision: toInt64('startRevision', options.startRevision),
    progressNotify: options.progressNotify ?? false,
    filters: (options.filters ?? []).map((type) => filter[type]),
    prevKv: options.prevKv ?? false,
    watchId: 0n,
    // Large transactions then come in parts; as each event is delivered by itself, there is nothing to rejoin.
    fragment: true,
  };
  return WatchRequest.encode({ requestUnion: { $case: 'createRequest', value } }).finish();
}

function toWatchEvent<Entry>(
  event: Event,
  kv: KeyValueMessage,
  toEntry: (message: KeyValueMessage) => Entry,
): WatchEvent<Entry> {
  return {
    type: event.type === Event_EventType.DELETE ? 'delete' : 'put',
    kv: toEntry(kv),
    prevKv: event.prevKv && toEntry(event.prevKv),
    revision: kv.modRevision,
  };
}

function cancelledError({ cancelReason, compactRevision }: WatchResponse): EtcdError {
  if (compactRevision !== 0n) {
    return new CompactedError(
      `OUT_OF_RANGE: the watch wants a revision that was compacted; the oldest one left is ${compactRevision}: read the keys anew and watch from there`,
      { code: StatusCode.OUT_OF_RANGE, details: cancelReason, method: watchMethod },
      compactRevision,
    );
  }
  const denied = cancelReason.includes('permission denied');
  return statusError({
    code: denied ? StatusCode.PERMISSION_DENIED : StatusCode.CANCELLED,
    details: cancelReason || 'the server has cancelled the watch and gave no reason',
    method: watchMethod,
  });
}
