import { KVService } from '../generated/etcdserverpb/methods.js';
import type { RangeResponse } from '../generated/etcdserverpb/rpc.js';
import { RangeInOrder } from './in-order.js';
import type { KeyValue as EtcdKeyValue } from './key-value.js';
import { type EntryMaker, MessageReader } from './message-reader.js';
import { inBytes, KeyValue } from './mvccpb.js';
import { unreadable } from './readable.js';

/** Shorter responses are decoded at once. Most are in a buffer with others, which they would keep alive. */
const SHORTEST_ENCODED = 16 * 1024;

/** Field 2, `kvs`, length-delimited. */
const KVS_TAG = 18;

const LENGTH_DELIMITED = 2;

/** A `RangeResponse`, whose keys may still be encoded. */
export interface RangeMessage extends Omit<RangeResponse, 'kvs'> {
  readonly kvs: EtcdKeyValue[] | EncodedKeyValues;
}

/** Decodes the response to a range. The keys of a long one stay encoded. */
export const RangeMessage = {
  decode(reader: MessageReader): RangeMessage {
    return decoded(reader, KVService.range.path);
  },
  /** The same for one that is a part of another message, the answer to `method`. It must be long. */
  decodePart(part: Uint8Array, method: string): RangeMessage {
    return decoded(new MessageReader(hasMostOfBuffer(part) ? part : new Uint8Array(part)), method);
  },
};

function decoded(reader: MessageReader, method: string): RangeMessage {
  const { message } = reader;
  const kvs = isLong(message.length) && hasMostOfBuffer(message) ? findKeys(message) : undefined;
  if (kvs === undefined) return RangeInOrder.decode(reader);
  const rest = Buffer.concat([message.subarray(0, kvs.first), message.subarray(kvs.end)]);
  return {
    ...RangeInOrder.decode(new MessageReader(rest)),
    kvs: new EncodedKeyValues(message, kvs, method),
  };
}

/** The keys of a response, in order. Each is decoded when it is taken. */
export class EncodedKeyValues {
  readonly #reader: MessageReader;
  readonly #place: Place;
  /** How many were not taken yet. */
  #left: number;
  readonly #method: string;

  /** @param method the call that the message belongs to. */
  constructor(message: Uint8Array, place: Place, method: string) {
    this.#reader = new MessageReader(message);
    this.#reader.pos = place.first;
    this.#place = place;
    this.#method = method;
    this.#left = place.length;
  }

  /** How many keys there are in all, taken or not. */
  get length(): number {
    return this.#place.length;
  }

  /** The last key, whether it was taken or not. */
  get last(): EtcdKeyValue {
    return this.#at(this.#place.last);
  }

  /** Some keys at equal distances from the first one on, fewer than twice as many as wanted, whether they were taken or not. */
  samples(wanted: number): EtcdKeyValue[] {
    const { sampled } = this.#place;
    const every = Math.max(1, Math.floor(sampled.length / wanted));
    return sampled.filter((_, i) => i % every === 0).map((position) => this.#at(position));
  }

  /**
   * The same keys, from the first one on.
   *
   * @param isReadAgain whether others read them, too, who must not see what is written into these.
   */
  fromStart(isReadAgain: boolean): EncodedKeyValues {
    const again = new EncodedKeyValues(this.#reader.message, this.#place, this.#method);
    again.#reader.copiesAll = isReadAgain;
    return again;
  }

  /** Whether each key was taken. */
  get isTaken(): boolean {
    return this.#left === 0;
  }

  /** The next key that was not taken yet, as `maker` makes it. There must be one. */
  next<Entry>(maker: EntryMaker<Entry>): Entry {
    this.#left -= 1;
    return nextOf(this.#reader, maker, this.#method);
  }

  /** The next keys that were not taken yet, at most this many, each as `maker` makes it. */
  take<Entry>(most: number, maker: EntryMaker<Entry>): Entry[] {
    const reader = this.#reader;
    const count = Math.min(most, this.#left);
    // A list that grows leaves its smaller tables to the garbage collector: for a whole range a tenth of what it takes.
    const taken = new Array<Entry>(count);
    for (let i = 0; i < count; i++) taken[i] = nextOf(reader, maker, this.#method);
    this.#left -= count;
    return taken;
  }

  #at(position: number): EtcdKeyValue {
    const reader = new MessageReader(this.#reader.message);
    reader.pos = position;
    return nextOf(reader, inBytes, this.#method);
  }
}

/** One key of so many is found without decoding those before it: a power of two. */
export const SAMPLED = 64;

function nextOf<Entry>(reader: MessageReader, maker: EntryMaker<Entry>, method: string): Entry {
  try {
    // After the tag, which findKeys() has checked.
    reader.pos += 1;
    const length = reader.uint32();
    return reader.keyValue(reader.pos + length, maker) ?? maker.entry(KeyValue.decode(reader, length));
  } catch (cause) {
    throw unreadable(method, cause);
  }
}

/** Where the keys are in a message: where the first, the last and the sampled ones start, and where all end. */
interface Place {
  readonly first: number;
  readonly last: number;
  readonly sampled: readonly number[];
  readonly end: number;
  /** How many keys there are. */
  readonly length: number;
}

/** Whether the keys of a response of this length may stay encoded. */
export function isLong(length: number): boolean {
  return length >= SHORTEST_ENCODED;
}

/** A message that stays encoded must not keep other messages alive. */
function hasMostOfBuffer({ length, buffer }: Uint8Array): boolean {
  return 2 * length > buffer.byteLength;
}

/** `undefined` where there are no keys, or they aren't all in one place as etcd writes them. */
function findKeys(message: Uint8Array): Place | undefined {
  const reader = new MessageReader(message);
  let place: Place | undefined;
  while (reader.pos < message.length) {
    if (message[reader.pos] === KVS_TAG) {
      if (place !== undefined) return undefined;
      place = placeOf(reader);
      reader.pos = place.end;
      continue;
    }
    const tag = reader.uint32();
    if ((tag & 7) === LENGTH_DELIMITED) {
      const bytes = reader.uint32();
      reader.pos += bytes;
    } else reader.skip(tag & 7);
  }
  // A message that is cut off, or has no keys, is decoded whole.
  return reader.pos > message.length ? undefined : place;
}

/** Where the keys are that begin here. */
function placeOf(reader: MessageReader): Place {
  const { message, pos: first } = reader;
  const sampled: number[] = [];
  let last = first;
  let length = 0;
  let end = first;
  while (message[end] === KVS_TAG) {
    last = end;
    if ((length++ & (SAMPLED - 1)) === 0) sampled.push(end);
    const size = message[end + 1] as number;
    const more = message[end + 2] as number;
    if (size < 0x80) end += 2 + size;
    else if (more < 0x80) end += 3 + size + (more - 1) * 0x80;
    else {
      reader.pos = end + 1;
      const bytes = reader.uint32();
      end = reader.pos + bytes;
    }
  }
  return { first, last, sampled, end, length };
}
