import type { InspectOptionsStylized } from 'node:util';
import { inspect } from '../../built-in.js';
import { CodecError, StatusCode } from '../../errors.js';
import { type JsonBytes, jsonBytes, withoutMark } from '../../json.js';
import { reason } from '../../util/kinds.js';
import { guardMethods } from '../../util/methods.js';
import { textOf } from './utf8.js';

/**
 * A key with its value as JSON: bytes that are UTF-8 as text, others as `{ base64 }`, 64-bit numbers as decimal strings.
 */
export interface KeyValueJson {
  readonly key: JsonBytes;
  readonly value: JsonBytes;
  readonly createRevision: string;
  readonly modRevision: string;
  readonly version: string;
  readonly lease: string;
}

/** A key with its value and history: etcd's `mvccpb.KeyValue`. */
export class KeyValue {
  // `declare`: the constructor sets the fields, and V8 would define each before that, too.

  /**
   * Its `buffer` may hold other keys and values, like that of a `Buffer`: mind `byteOffset`, and give workers a
   * `slice()`.
   */
  declare readonly key: Uint8Array;
  /** Its `buffer` may be shared, like that of `key`. Empty if only keys were asked for, and for a deleted key. */
  declare readonly value: Uint8Array;
  /** Revision of the put that created the key; 0 for a deleted key. */
  declare readonly createRevision: bigint;
  /** Revision of the last change. */
  declare readonly modRevision: bigint;
  /** Number of puts since the key was created; 0 for a deleted key. */
  declare readonly version: bigint;
  /** The lease that the key is attached to; 0 for none. */
  declare readonly lease: bigint;

  static {
    guardMethods<KeyValue>(KeyValue, (it) => it instanceof KeyValue, {
      promised: {},
      direct: { keyText: 0, text: 0, json: 0, toJSON: 0 },
    });
  }

  /** @internal */
  constructor(
    key: Uint8Array,
    value: Uint8Array,
    createRevision: bigint,
    modRevision: bigint,
    version: bigint,
    lease: bigint,
  ) {
    this.key = key;
    this.value = value;
    this.createRevision = createRevision;
    this.modRevision = modRevision;
    this.version = version;
    this.lease = lease;
  }

  /** The key as UTF-8 text; bytes that aren't UTF-8 become U+FFFD. */
  keyText(): string {
    return textOf(this.key);
  }

  /** The value as UTF-8 text; bytes that aren't UTF-8 become U+FFFD. */
  text(): string {
    return textOf(this.value);
  }

  /**
   * The value parsed as JSON. Its type is not checked.
   *
   * @throws CodecError when the value isn't JSON.
   */
  json<T = unknown>(): T {
    try {
      return JSON.parse(withoutMark(this.text())) as T;
    } catch (cause) {
      const message = `the value of key ${inspect(textOrBytes(this.key))} is not valid JSON: ${reason(cause)}`;
      throw new CodecError(message, { code: StatusCode.INTERNAL, sent: false, cause });
    }
  }

  /** For `JSON.stringify`. */
  toJSON(): KeyValueJson {
    return {
      key: jsonBytes(this.key),
      value: jsonBytes(this.value),
      createRevision: this.createRevision.toString(),
      modRevision: this.modRevision.toString(),
      version: this.version.toString(),
      lease: this.lease.toString(),
    };
  }

  /** For `console.log`: text where the bytes are UTF-8. @internal */
  [inspect.custom](_depth: number, options: InspectOptionsStylized, show: typeof inspect): string {
    const { key, value, ...rest } = this;
    const shown = { key: textOrBytes(key), value: textOrBytes(value), ...rest };
    return `KeyValue ${show(shown, options)}`;
  }
}

function textOrBytes(bytes: Uint8Array): string | Uint8Array {
  const shown = jsonBytes(bytes);
  return typeof shown === 'string' ? shown : bytes;
}
