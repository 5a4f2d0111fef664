// kv/ has the requests and results of calls on keys: ranges, transactions and STM, pages, codecs, prefixes. The classes
// through which programs make these calls are in views/.

import type { InspectOptionsStylized } from 'node:util';
import { inspect, types } from '../built-in.js';
import { CodecError, invalidArgument, StatusCode } from '../errors.js';
import { jsonOf, withoutMark } from '../json.js';
import { KeyValue } from '../rpc/messages/key-value.js';
import type { MessageReader } from '../rpc/messages/message-reader.js';
import { strictTextOf } from '../rpc/messages/utf8.js';
import { aFunction, checkArgument, kind, reason, shown, text, withMethods } from '../util/kinds.js';
import { guardMethods, refuseMore } from '../util/methods.js';
import { Description } from '../util/options.js';
import { type Bytes, KeyRange, type RangeBytes, toBytes } from './key-range.js';
import type { Mapping, PrefixMapping } from './mapping.js';

/**
 * How keys or values of a type are written as bytes. `In` is the type that is written, `Out` the type that is read
 * back. Both functions may throw. The call or the access then fails with a {@link CodecError}, whose `cause` is what
 * was thrown.
 */
export interface Codec<In, Out = In> {
  /** Returns the bytes, or a string that is sent as UTF-8. */
  encode(value: In): Bytes;
  /** Returns what the bytes stand for. The bytes belong to the codec, which may keep them. */
  decode(bytes: Uint8Array): Out;
}

/** A codec for keys and one for values. Default of each: `utf8`. */
export interface KeyValueCodec<KeyIn, ValueIn, KeyOut = KeyIn, ValueOut = ValueIn> {
  readonly key?: Codec<KeyIn, KeyOut> | undefined;
  readonly value?: Codec<ValueIn, ValueOut> | undefined;
}

const codec = withMethods<Codec<never, unknown>>(
  'a codec, with the functions encode and decode',
  'encode',
  'decode',
);

/** @internal */
export const codecs = new Description<KeyValueCodec<never, never, unknown, unknown>>(
  'withCodec()',
  { key: codec, value: codec },
  {
    hints: { encode: 'write { value: codec }', decode: 'write { value: codec }' },
    example: '{ value: json() }',
  },
);

/** Bytes, unchanged. A string is written as UTF-8. */
export const bytes: Codec<Bytes, Uint8Array> = {
  encode: (value) => value,
  decode: (value) => value,
};

/** What the client's own codecs make of a text. They call no function of the program. */
const textDecoders = new WeakMap<Codec<never, unknown>, (text: string) => unknown>();

/**
 * Text as UTF-8. Bytes that aren't UTF-8, and strings with a lone surrogate, are errors: nothing is replaced silently.
 */
export const utf8: Codec<string> = {
  encode(value) {
    checkArgument('the text', text, value);
    return value;
  },
  decode: (value) => decodedText(value),
};
textDecoders.set(utf8, (text) => text);

/** Throws CodecError for bytes that aren't UTF-8. */
function decodedText(encoded: Uint8Array): string {
  checkArgument('what is decoded', someBytes, encoded);
  try {
    return strictTextOf(encoded);
  } catch (cause) {
    throw undecodable('the bytes are not valid UTF-8', cause);
  }
}

const someBytes = kind<Uint8Array>(types.isUint8Array, 'a Uint8Array');

function undecodable(message: string, cause: unknown): CodecError {
  // Where one error wraps the other, both get the same cause.
  const first = cause instanceof CodecError && cause.cause !== undefined ? cause.cause : cause;
  return new CodecError(message, { code: StatusCode.INTERNAL, sent: false, cause: first });
}

/**
 * JSON, as UTF-8.
 *
 * @param parse turns the parsed JSON into a `T`, or throws: a schema's `parse`, for example. Without it the type isn't
 * checked.
 */
export function json<T>(parse?: (value: unknown) => T): Codec<T>;
export function json<T>(parse?: (value: unknown) => T, ...more: readonly unknown[]): Codec<T> {
  refuseMore('json()', [parse], more);
  if (parse !== undefined) checkArgument('parse', aFunction(), parse);
  const made: Codec<T> = {
    encode(value) {
      return jsonText('the value', value);
    },
    decode(encoded) {
      const value = parsed(decodedText(encoded));
      return parse === undefined ? (value as T) : parse(value);
    },
  };
  if (parse === undefined) {
    textDecoders.set(made, (text) => {
      // As for a read with `keysOnly`, where an error of JSON.parse() for each key would take long.
      if (text === '') throw noJson;
      return JSON.parse(withoutMark(text));
    });
  }
  return made;
}

const noJson = new SyntaxError('the text is empty');

function parsed(text: string): unknown {
  try {
    return JSON.parse(withoutMark(text));
  } catch (cause) {
    throw undecodable(`the text is not valid JSON: ${reason(cause)}`, cause);
  }
}

/**
 * A value as JSON. A value that JSON would leave out is an error.
 * @internal
 */
export function jsonText(what: string, value: unknown): string {
  if (types.isPromise(value)) throw invalidArgument(`${what} is a Promise: await it first`);
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw invalidArgument(`${what} (${shown(value)}) can't be written as JSON: ${reason(cause)}`, cause);
  }
  if (text === undefined) throw invalidArgument(`${what} (${shown(value)}) can't be written as JSON`);
  return text;
}

/**
 * A key with its value and history, seen through a codec. A value that can't be decoded fails only where it is read.
 *
 * With the codecs `utf8` and `json()` the key and the value are decoded together with the answer. They are fields, which
 * copies of the entry have, too. Where there is no value, as in the event of a delete, or it can't be decoded, copies have
 * `raw` instead of `value`. Any other codec, `bytes` too, and the function given to `json()`, is called when the key or the
 * value is first read. Copies of such an entry, and of one whose key can't be decoded, have only `raw`.
 */
export abstract class TypedKeyValue<Key, Value> {
  static {
    guardMethods<Pick<TypedKeyValue<unknown, unknown>, 'toJSON'>>(
      TypedKeyValue,
      (it) => it instanceof TypedKeyValue,
      { promised: {}, direct: { toJSON: 0 } },
    );
  }

  /** The same as bytes. `raw.value` is empty if only keys were requested, and for a deleted key. */
  abstract get raw(): KeyValue;

  /** @throws CodecError when the key can't be decoded. */
  abstract get key(): Key;

  /**
   * For a read with `keysOnly` it is the codec's result for zero bytes.
   *
   * @throws CodecError when the value can't be decoded, and for a deleted key, which has none.
   */
  abstract get value(): Value;

  /** Revision of the put that created the key; 0 for a deleted key. */
  abstract get createRevision(): bigint;

  /** Revision of the last change. */
  abstract get modRevision(): bigint;

  /** Number of puts since the key was created; 0 for a deleted key. */
  abstract get version(): bigint;

  /** Id of the lease that the key is attached to; 0 for none. */
  abstract get lease(): bigint;

  /** For `JSON.stringify`: key and value, decoded if possible, otherwise as bytes. 64-bit numbers are decimal strings. */
  toJSON(): Record<string, unknown> {
    return { ...this.raw.toJSON(), ...this.#readable() };
  }

  /** For `console.log`. @internal */
  [inspect.custom](_depth: number, options: InspectOptionsStylized, show: typeof inspect): string {
    return `TypedKeyValue ${show({ ...this.raw, ...this.#readable() }, options)}`;
  }

  /** Key and value, each decoded where that is possible. */
  #readable(): { key?: unknown; value?: unknown } {
    const readable: { key?: unknown; value?: unknown } = {};
    try {
      readable.key = jsonOf(this.key);
      readable.value = jsonOf(this.value);
    } catch {
      // The bytes are shown instead.
    }
    return readable;
  }
}

/** A key whose text was decoded straight from an answer, and keeps no bytes. */
class DecodedKeyValue<Key, Value> extends TypedKeyValue<Key, Value> {
  // As in `KeyValue`: these are what copies and comparisons see.
  declare readonly key: Key;
  declare readonly value: Value;
  declare readonly createRevision: bigint;
  declare readonly modRevision: bigint;
  declare readonly version: bigint;
  declare readonly lease: bigint;
  /** The text of the value, until somebody wants bytes. */
  #source: string | KeyValue;

  constructor(
    key: Key,
    value: Value,
    createRevision: bigint,
    modRevision: bigint,
    version: bigint,
    lease: bigint,
    valueText: string,
  ) {
    super();
    this.#source = valueText;
    this.key = key;
    this.value = value;
    this.createRevision = createRevision;
    this.modRevision = modRevision;
    this.version = version;
    this.lease = lease;
  }

  override get raw(): KeyValue {
    let source = this.#source;
    if (typeof source === 'string') {
      // The text was valid UTF-8, so these are the bytes that it came from.
      source = new KeyValue(
        encoder.encode(this.key as string),
        encoder.encode(source),
        this.createRevision,
        this.modRevision,
        this.version,
        this.lease,
      );
      this.#source = source;
    }
    return source;
  }
}

const encoder = new TextEncoder();

/** A key whose text was decoded, but which has no value, or one that can't be decoded. */
class ValuelessKeyValue<Key, Value> extends TypedKeyValue<Key, Value> {
  declare readonly key: Key;
  declare readonly createRevision: bigint;
  declare readonly modRevision: bigint;
  declare readonly version: bigint;
  declare readonly lease: bigint;
  declare readonly raw: KeyValue;
  readonly #codec: Decoders<Key, Value>;

  constructor(key: Key, raw: KeyValue, codec: Decoders<Key, Value>) {
    super();
    this.#codec = codec;
    this.key = key;
    this.createRevision = raw.createRevision;
    this.modRevision = raw.modRevision;
    this.version = raw.version;
    this.lease = raw.lease;
    this.raw = raw;
  }

  override get value(): Value {
    return valueIn(this.raw, this.#codec);
  }
}

/** A key that isn't decoded until it is read, or can't be decoded. */
class UnreadKeyValue<Key, Value> extends TypedKeyValue<Key, Value> {
  declare readonly raw: KeyValue;
  readonly #codec: Decoders<Key, Value>;
  #key: Key | typeof unread = unread;
  #value: Value | typeof unread = unread;

  constructor(raw: KeyValue, codec: Decoders<Key, Value>) {
    super();
    this.raw = raw;
    this.#codec = codec;
  }

  override get key(): Key {
    if (this.#key === unread) this.#key = decode(this.#codec.key, 'key', this.raw.key, this.raw);
    return this.#key;
  }

  override get value(): Value {
    if (this.#value === unread) this.#value = valueIn(this.raw, this.#codec);
    return this.#value;
  }

  override get createRevision(): bigint {
    return this.raw.createRevision;
  }

  override get modRevision(): bigint {
    return this.raw.modRevision;
  }

  override get version(): bigint {
    return this.raw.version;
  }

  override get lease(): bigint {
    return this.raw.lease;
  }
}

const unread = Symbol('unread');

/** A transaction's own write has no version either. Unlike a delete, it also has no revision. */
function isDeleted(version: bigint, modRevision: bigint): boolean {
  return version === 0n && modRevision !== 0n;
}

/** @internal */
export interface Decoders<Key, Value> {
  readonly key: Codec<never, Key>;
  readonly value: Codec<never, Value>;
}

/** Throws CodecError for a deleted key, and where the value can't be decoded. */
function valueIn<Value>(raw: KeyValue, { value }: Decoders<unknown, Value>): Value {
  if (isDeleted(raw.version, raw.modRevision))
    throw undecodable(`${JSON.stringify(raw.keyText())} was deleted, and has no value`, undefined);
  return decode(value, 'value', raw.value, raw);
}

function decode<T>(codec: Codec<never, T>, what: 'key' | 'value', encoded: Uint8Array, raw: KeyValue): T {
  try {
    return codec.decode(encoded);
  } catch (cause) {
    const whose = `the ${what} of ${JSON.stringify(raw.keyText())}`;
    throw undecodable(`${whose} can't be decoded: ${reason(cause)}; its bytes are in raw.${what}`, cause);
  }
}

function encode<T>(codec: Codec<T, unknown>, what: 'key' | 'value', value: T): Uint8Array {
  try {
    return toBytes(codec.encode(value));
  } catch (cause) {
    throw new CodecError(`the ${what} can't be encoded: ${reason(cause)}`, {
      code: StatusCode.INVALID_ARGUMENT,
      sent: false,
      cause,
    });
  }
}

/**
 * Codecs on top of a namespace.
 * @internal
 */
export class CodecMapping<KeyIn, ValueIn, KeyOut, ValueOut>
  implements Mapping<KeyIn, ValueIn, TypedKeyValue<KeyOut, ValueOut>>
{
  readonly #bytes: PrefixMapping;
  readonly #key: Codec<KeyIn, KeyOut>;
  readonly #value: Codec<ValueIn, ValueOut>;
  readonly #decoders: Decoders<KeyOut, ValueOut>;
  /** Of values, where keys are text and the client can decode values at once. */
  readonly #textDecoder: ((text: string) => ValueOut) | undefined;

  constructor(mapping: PrefixMapping, key: Codec<KeyIn, KeyOut>, value: Codec<ValueIn, ValueOut>) {
    this.#bytes = mapping;
    this.#key = key;
    this.#value = value;
    this.#decoders = { key, value };
    this.#textDecoder =
      key === (utf8 as unknown)
        ? (textDecoders.get(value) as ((text: string) => ValueOut) | undefined)
        : undefined;
  }

  key(key: KeyIn): Uint8Array {
    return this.#bytes.key(encode(this.#key, 'key', key));
  }

  range(keys: KeyIn | KeyRange): RangeBytes {
    return this.#bytes.range(keys instanceof KeyRange ? keys : encode(this.#key, 'key', keys));
  }

  value(value: ValueIn): Uint8Array {
    return encode(this.#value, 'value', value);
  }

  entry(kv: KeyValue): TypedKeyValue<KeyOut, ValueOut> {
    const { createRevision, modRevision, version, lease } = kv;
    const decoder = this.#textDecoder;
    let key: KeyOut | undefined;
    if (decoder !== undefined) {
      try {
        key = strictTextOf(kv.key, this.#bytes.prefix.length) as KeyOut;
        if (!isDeleted(version, modRevision)) {
          const text = strictTextOf(kv.value);
          const value = decoder(text);
          return new DecodedKeyValue(key, value, createRevision, modRevision, version, lease, text);
        }
      } catch {
        // It fails again where it is read.
      }
    }
    return this.#undecoded(key, this.#bytes.entry(kv));
  }

  entryAt(
    reader: MessageReader,
    key: number,
    keyEnd: number,
    value: number,
    valueEnd: number,
    createRevision: bigint,
    modRevision: bigint,
    version: bigint,
    lease: bigint,
  ): TypedKeyValue<KeyOut, ValueOut> {
    const decoder = this.#textDecoder;
    let keyText: KeyOut | undefined;
    if (decoder !== undefined) {
      const { message } = reader;
      try {
        keyText = strictTextOf(message, key + this.#bytes.prefix.length, keyEnd) as KeyOut;
        if (!isDeleted(version, modRevision)) {
          const text = strictTextOf(message, value, valueEnd);
          const decoded = decoder(text);
          return new DecodedKeyValue(keyText, decoded, createRevision, modRevision, version, lease, text);
        }
      } catch {
        // It fails again where it is read.
      }
    }
    return this.#undecoded(
      keyText,
      this.#bytes.entryAt(reader, key, keyEnd, value, valueEnd, createRevision, modRevision, version, lease),
    );
  }

  /** @param key the key, if it was decoded. */
  #undecoded(key: KeyOut | undefined, raw: KeyValue): TypedKeyValue<KeyOut, ValueOut> {
    return key === undefined
      ? new UnreadKeyValue(raw, this.#decoders)
      : new ValuelessKeyValue(key, raw, this.#decoders);
  }
}
