import { BinaryReader } from '@bufbuild/protobuf/wire';
import { type ResponseHeader, WatchResponse } from '../rpc/generated/etcdserverpb/rpc.js';
import { noBytes } from '../rpc/messages/byte-slabs.js';
import { type EntryMaker, MessageReader } from '../rpc/messages/message-reader.js';
import { readable, unreadable } from '../rpc/messages/readable.js';
import { skipUnknown } from '../rpc/messages/unknown-field.js';
import { headerOf } from '../rpc/store.js';
import { readEvent, type WatchEvent } from './event.js';
import { watchMethod } from './request.js';

/** The approximate size of a part, in bytes. */
const PART_BYTES = 64 * 1024;

/** Tags of `WatchResponse`'s fields that most responses have. `events` is the last one. */
const HEADER_TAG = 0x0a;
const WATCH_ID_TAG = 0x10;
const CREATED_TAG = 0x18;
const CANCELED_TAG = 0x20;
const CANCEL_REASON_TAG = 0x32;
const FRAGMENT_TAG = 0x38;
const EVENTS_TAG = 0x5a;
/** Tags of `ResponseHeader`'s fields, all of them integers. */
const CLUSTER_ID_TAG = 0x08;
const MEMBER_ID_TAG = 0x10;
const REVISION_TAG = 0x18;
const RAFT_TERM_TAG = 0x20;

/** Integers of at most seven bytes are exact as a number. */
const LARGEST_SCALE = 0x80 ** 7;

/** Whether the server has cancelled the watch, and why. */
export type Cancellation = Pick<WatchResponse, 'canceled' | 'cancelReason' | 'compactRevision'>;

const notCanceled: Cancellation = { canceled: false, cancelReason: '', compactRevision: 0n };

const noMoreParts: readonly number[] = [];

/**
 * A response of the stream. Its events stay encoded until a watch takes them. A small response has one part. A large one
 * has parts like those that etcd makes with `fragment`, so that of the 1,000 revisions that it can have, only some are in
 * memory as events. The methods about events are about the present part.
 *
 * A response whose fields are in the order in which etcd writes them is read without the generated code.
 */
export class WatchMessage {
  watchId = 0;
  created = false;
  cancellation = notCanceled;
  #revision: number | bigint = 0;
  #fragment = false;
  #headerEnd = 0;
  #message: Uint8Array = noBytes;
  /** Reads the events, once they are wanted. */
  #reader: MessageReader | undefined;
  /** Where the present part starts and ends. */
  #start = 0;
  #end = 0;
  /** Where the parts end that follow. */
  #ends: readonly number[] = noMoreParts;
  #part = 0;

  /**
   * Reads another response. A watch gets many, each with one event, so there isn't an object for each.
   *
   * @throws EtcdError where the message can't be read.
   */
  read(message: Uint8Array): void {
    this.#reader = undefined;
    this.#message = this.#readInOrder(message)
      ? message
      : readable(watchMethod, () => this.#readAny(message));
  }

  /** Releases the response, which is a part of a larger buffer. */
  drop(): void {
    this.#message = noBytes;
    this.#reader = undefined;
  }

  /**
   * A copy of the header, which {@link headerOf} decodes.
   *
   * @param before an earlier copy, which is used again if it has the same length.
   */
  copyHeader(before: Uint8Array | undefined): Uint8Array {
    const message = this.#message;
    const end = this.#headerEnd;
    // Not its own `slice()`, as that of a Buffer makes a view.
    if (before?.length !== end) return Uint8Array.prototype.slice.call(message, 0, end);
    for (let i = 0; i < end; i++) before[i] = message[i] as number;
    return before;
  }

  get header(): ResponseHeader | undefined {
    return headerOf(this.#message);
  }

  /** The revision in the header, or 0. */
  get revision(): bigint {
    return BigInt(this.#revision);
  }

  get hasEvents(): boolean {
    return this.#end > this.#start;
  }

  /** Whether there may be more events of the last revision in the next part, or in the next response. */
  get isContinued(): boolean {
    return this.#fragment || this.#part < this.#ends.length;
  }

  /** The size of the part. */
  get bytes(): number {
    return this.#ends.length === 0 ? this.#message.length : this.#end - this.#start;
  }

  /**
   * Decodes the events, except for those of revisions before this one.
   *
   * @param before those that are added to, if there are any.
   * @throws EtcdError where they can't be read.
   */
  events<Entry>(
    from: bigint,
    maker: EntryMaker<Entry>,
    before: WatchEvent<Entry>[] | undefined,
  ): WatchEvent<Entry>[] {
    this.#reader ??= new MessageReader(this.#message);
    const reader = this.#reader;
    const end = this.#end;
    reader.pos = this.#start;
    let events = before;
    try {
      while (reader.pos < end) {
        const event = readEvent(reader, maker);
        if (event === undefined || event.revision < from) continue;
        // Most responses have one event. An array that begins empty takes room for 17.
        if (events === undefined) events = [event];
        else events.push(event);
      }
    } catch (cause) {
      throw unreadable(watchMethod, cause);
    }
    return events ?? [];
  }

  /** Continues with the next part. Returns false at the end. */
  next(): boolean {
    const end = this.#ends[this.#part];
    if (end === undefined) return false;
    this.#part += 1;
    this.#start = this.#end;
    this.#end = end;
    return true;
  }

  /** Returns false, with nothing of use read, where the fields have another order, or there are others. */
  #readInOrder(message: Uint8Array): boolean {
    this.watchId = 0;
    this.created = false;
    this.cancellation = notCanceled;
    this.#revision = 0;
    this.#fragment = false;
    const length = message[1] ?? 0;
    let at = 2 + length;
    if (message[0] !== HEADER_TAG || length >= 0x80 || at > message.length) return false;
    if (!this.#readHeader(message, 2, at)) return false;
    this.#headerEnd = at;
    if (message[at] === WATCH_ID_TAG) {
      // Ids are given in sequence.
      let scale = 1;
      for (let byte = 0x80; byte >= 0x80; scale *= 0x80) {
        byte = message[++at] ?? 0;
        this.watchId += (byte & 0x7f) * scale;
      }
      if (scale > LARGEST_SCALE) return false;
      at += 1;
    }
    if (message[at] === CREATED_TAG) {
      if (message[at + 1] !== 1) return false;
      this.created = true;
      at += 2;
    }
    // A client that ends many watches gets as many of these.
    if (message[at] === CANCELED_TAG) {
      if (message[at + 1] !== 1) return false;
      at += 2;
      let cancelReason = '';
      if (message[at] === CANCEL_REASON_TAG) {
        const bytes = message[at + 1] ?? 0x80;
        const start = at + 2;
        at = start + bytes;
        if (bytes >= 0x80 || at > message.length) return false;
        cancelReason = Buffer.from(message.buffer, message.byteOffset + start, bytes).toString();
      }
      this.cancellation = { canceled: true, cancelReason, compactRevision: 0n };
    }
    if (message[at] === FRAGMENT_TAG) {
      if (message[at + 1] !== 1) return false;
      this.#fragment = true;
      at += 2;
    }
    return this.#findParts(message, at);
  }

  #readHeader(message: Uint8Array, start: number, end: number): boolean {
    let at = start;
    if (message[at] === CLUSTER_ID_TAG) at = afterInteger(message, at + 1);
    if (message[at] === MEMBER_ID_TAG) at = afterInteger(message, at + 1);
    if (message[at] === REVISION_TAG) {
      let revision = 0;
      let scale = 1;
      for (let byte = 0x80; byte >= 0x80; scale *= 0x80) {
        byte = message[++at] ?? 0;
        revision += (byte & 0x7f) * scale;
      }
      if (scale > LARGEST_SCALE) return false;
      this.#revision = revision;
      at += 1;
    }
    if (at < end && message[at] === RAFT_TERM_TAG) at = afterInteger(message, at + 1);
    return at === end;
  }

  /** Finds where the parts end. Returns false where not all that follows is events. */
  #findParts(message: Uint8Array, first: number): boolean {
    const { length } = message;
    let ends: number[] | undefined;
    let start = first;
    let at = first;
    while (at < length) {
      if (message[at] !== EVENTS_TAG) return false;
      if (at - start >= PART_BYTES && length > PART_BYTES) {
        if (ends === undefined) ends = [at];
        else ends.push(at);
        start = at;
      }
      let bytes = 0;
      let scale = 1;
      for (let byte = 0x80; byte >= 0x80; scale *= 0x80) {
        byte = message[++at] ?? 0;
        bytes += (byte & 0x7f) * scale;
      }
      at += 1 + bytes;
    }
    if (at > length) return false;
    ends?.push(length);
    this.#start = first;
    this.#end = ends?.shift() ?? length;
    this.#ends = ends ?? noMoreParts;
    this.#part = 0;
    return true;
  }

  /** Reads a response of any form. The returned message has the header at its beginning and the events at its end. */
  #readAny(given: Uint8Array): Uint8Array {
    const headers: Uint8Array[] = [];
    const others: Uint8Array[] = [];
    const events: Uint8Array[] = [];
    const reader = new BinaryReader(given);
    while (reader.pos < given.length) {
      const start = reader.pos;
      const tag = reader.uint32();
      skipUnknown(reader, tag);
      const fields = tag === EVENTS_TAG ? events : tag === HEADER_TAG ? headers : others;
      fields.push(given.subarray(start, reader.pos));
    }
    // Of several headers the last one counts.
    const envelope = Buffer.concat([...headers.reverse(), ...others]);
    const message = Buffer.concat([envelope, ...events]);
    const response = WatchResponse.decode(envelope);
    this.watchId = Number(response.watchId);
    this.created = response.created;
    this.cancellation = response;
    this.#revision = headerOf(envelope)?.revision ?? 0n;
    this.#fragment = response.fragment;
    this.#headerEnd = envelope.length;
    if (!this.#findParts(message, envelope.length)) throw new RangeError('premature EOF');
    return message;
  }
}

/** Where the integer that starts there ends. None is longer than ten bytes. */
function afterInteger(message: Uint8Array, start: number): number {
  for (let at = start; at < start + 10; at++) if ((message[at] ?? 0) < 0x80) return at + 1;
  return Number.POSITIVE_INFINITY;
}
