import { Answer } from '../json.js';
import type { ToEntry } from '../kv/kv.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import { type Event, Event_EventType } from '../rpc/messages/mvccpb.js';

/** One change of a key. */
export interface WatchEvent<Entry = KeyValue> {
  readonly type: 'put' | 'delete';
  /** The key after the change. For a delete, it has only the key and the revision. */
  readonly kv: Entry;
  /** The key before the change, if `prevKv` was given and that revision is not compacted. */
  readonly prevKv: Entry | undefined;
  /** Revision of the change. Changes of one transaction share it. */
  readonly revision: bigint;
}

/**
 * Changes that came together: clientv3's `WatchResponse`. A revision, and so a transaction, is never split over two
 * batches, but one batch can hold several revisions.
 */
export interface WatchBatch<Entry = KeyValue> {
  /** In the order in which they were made; empty in a progress notification. */
  readonly events: readonly WatchEvent<Entry>[];
  /** All changes up to this revision were in this batch or an earlier one. */
  readonly revision: bigint;
}

/** @internal */
export function toWatchEvent<Entry>(event: Event, kv: KeyValue, toEntry: ToEntry<Entry>): WatchEvent<Entry> {
  const type = event.type === Event_EventType.DELETE ? 'delete' : 'put';
  return new Change(type, toEntry(kv), event.prevKv && toEntry(event.prevKv), kv.modRevision);
}

class Change<Entry> extends Answer implements WatchEvent<Entry> {
  constructor(
    readonly type: 'put' | 'delete',
    readonly kv: Entry,
    readonly prevKv: Entry | undefined,
    readonly revision: bigint,
  ) {
    super();
  }
}
