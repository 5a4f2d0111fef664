// kv/ has the requests and results of calls on keys: ranges, transactions and STM, pages, codecs, prefixes. The classes
// through which programs make these calls are in views/.

import type { InspectOptionsStylized } from 'node:util';
import { inspect, types } from '../built-in.js';
import { CodecError, invalidArgument, StatusCode } from '../errors.js';
import { jsonOf, withoutMark } from '../json.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
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

// With `ignoreBOM`, a text is read back exactly as it was written.
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Text as UTF-8. Bytes that aren't UTF-8, and strings with a lone surrogate, are errors: nothing is replaced silently.
 */
export const utf8: Codec<string> = {
  encode(value) {
    checkArgument('the text', text, value);
    return value;
  },
  decode: (value) => textOf(value),
};

/** Throws CodecError for bytes that aren't UTF-8. */
function textOf(encoded: Uint8Array): string {
  checkArgument('what is decoded', someBytes, encoded);
  try {
    return strictUtf8.decode(encoded);
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
  return {
    encode(value) {
      return jsonText('the value', value);
    },
    decode(encoded) {
      const value = parsed(textOf(encoded));
      return parse === undefined ? (value as T) : parse(value);
    },
  };
}

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
 * A key with its value and history, seen through a codec. Key and value are decoded when they are first read, so a
 * value that can't be decoded fails only where it is read.
 */
export class TypedKeyValue<Key, Value> {
  /** The same as bytes. `raw.value` is empty if only keys were requested, and for a deleted key. */
  readonly raw: KeyValue;
  readonly #codec: Decoders<Key, Value>;
  #key: { readonly decoded: Key } | undefined;
  #value: { readonly decoded: Value } | undefined;

  static {
    guardMethods<Pick<TypedKeyValue<unknown, unknown>, 'toJSON'>>(TypedKeyValue, (it) => #codec in it, {
      promised: {},
      direct: { toJSON: 0 },
    });
  }

  /** @internal */
  constructor(raw: KeyValue, codec: Decoders<Key, Value>) {
    this.raw = raw;
    this.#codec = codec;
  }

  /** @throws CodecError when the key can't be decoded. */
  get key(): Key {
    this.#key ??= { decoded: decode(this.#codec.key, 'key', this.raw.key, this.raw) };
    return this.#key.decoded;
  }

  /**
   * For a read with `keysOnly` it is the codec's result for zero bytes.
   *
   * @throws CodecError when the value can't be decoded, and for a deleted key, which has none.
   */
  get value(): Value {
    // A transaction's own write has no version either. Unlike a delete, it also has no revision.
    if (this.raw.version === 0n && this.raw.modRevision !== 0n)
      throw undecodable(`${JSON.stringify(this.raw.keyText())} was deleted, and has no value`, undefined);
    this.#value ??= { decoded: decode(this.#codec.value, 'value', this.raw.value, this.raw) };
    return this.#value.decoded;
  }

  /** Revision of the put that created the key; 0 for a deleted key. */
  get createRevision(): bigint {
    return this.raw.createRevision;
  }

  /** Revision of the last change. */
  get modRevision(): bigint {
    return this.raw.modRevision;
  }

  /** Number of puts since the key was created; 0 for a deleted key. */
  get version(): bigint {
    return this.raw.version;
  }

  /** Id of the lease that the key is attached to; 0 for none. */
  get lease(): bigint {
    return this.raw.lease;
  }

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

/** @internal */
export interface Decoders<Key, Value> {
  readonly key: Codec<never, Key>;
  readonly value: Codec<never, Value>;
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

  constructor(mapping: PrefixMapping, key: Codec<KeyIn, KeyOut>, value: Codec<ValueIn, ValueOut>) {
    this.#bytes = mapping;
    this.#key = key;
    this.#value = value;
    this.#decoders = { key, value };
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
    return new TypedKeyValue(this.#bytes.entry(kv), this.#decoders);
  }
}
