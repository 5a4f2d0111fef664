import { ClosedError } from '../errors.js';
import type { RangeBytes } from '../kv/key-range.js';
import type { EntryMaker } from '../rpc/messages/message-reader.js';
import type { Rpc } from '../rpc/rpc.js';
import { toWatchSpec, type WatchOptions, type WatchSpec } from './request.js';
import { Watch } from './watch.js';
import { WatchStream } from './watch-stream.js';

/**
 * Makes the watches of one client and of its views. They share two streams: one for those that require a leader, one
 * for the others. Some have a stream of their own.
 * @internal
 */
export class WatchClient {
  readonly #rpc: Rpc;
  /** The shared streams, by whether they require a leader. */
  readonly #shared = new Map<boolean, WatchStream>();
  readonly #streams = new Set<WatchStream>();
  #referenced = true;
  #closed = false;

  constructor(rpc: Rpc) {
    this.#rpc = rpc;
    rpc.store?.onReplaced((error) => {
      for (const stream of [...this.#streams]) stream.storeReplaced(error);
    });
  }

  /** @throws InvalidArgumentError and ClosedError, at once. */
  watch<Entry>(range: RangeBytes, options: WatchOptions, maker: EntryMaker<Entry>): Watch<Entry> {
    if (this.#closed) throw new ClosedError();
    const spec = toWatchSpec(range, options);
    return new Watch(this.#stream(spec), spec, maker, options.signal);
  }

  /** Whether watches keep the process alive while they wait for a connection. */
  setReferenced(referenced: boolean): void {
    this.#referenced = referenced;
    for (const stream of this.#streams) stream.setReferenced(referenced);
  }

  /** Ends all watches with a ClosedError. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const stream of [...this.#streams]) stream.abort(new ClosedError());
  }

  #stream({ requireLeader, ownStream }: WatchSpec): WatchStream {
    const shared = ownStream ? undefined : this.#shared.get(requireLeader);
    if (shared !== undefined) return shared;
    const ended = (): void => {
      this.#streams.delete(stream);
      if (this.#shared.get(requireLeader) === stream) this.#shared.delete(requireLeader);
    };
    const stream = new WatchStream(this.#rpc, { requireLeader, referenced: this.#referenced, ended });
    this.#streams.add(stream);
    if (!ownStream) this.#shared.set(requireLeader, stream);
    return stream;
  }
}
