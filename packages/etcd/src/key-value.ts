import type { KeyValue as KeyValueMessage } from './rpc/generated/mvccpb/kv.js';

const utf8 = new TextDecoder();

/** A key with its value and history, as etcd's `mvccpb.KeyValue`. */
export class KeyValue {
  readonly key: Uint8Array;
  /** Empty where only keys were asked for, and for a deleted key. */
  readonly value: Uint8Array;
  /** Revision of the put that created the key; 0 for a deleted key. */
  readonly createRevision: bigint;
  /** Revision of the last change. */
  readonly modRevision: bigint;
  /** Number of puts since the key was created; 0 for a deleted key. */
  readonly version: bigint;
  /** Lease that the key is attached to; 0 for none. */
  readonly lease: bigint;

  /** @internal @param prefixLength so many bytes of the key belong to the namespace and are left out. */
  constructor(message: KeyValueMessage, prefixLength = 0) {
    // Copies: what was decoded are views of a buffer with many other answers, which they would keep alive.
    this.key = new Uint8Array(prefixLength === 0 ? message.key : message.key.subarray(prefixLength));
    this.value = new Uint8Array(message.value);
    this.createRevision = message.createRevision;
    this.modRevision = message.modRevision;
    this.version = message.version;
    this.lease = message.lease;
  }

  /** The key as UTF-8 text; bytes that aren't UTF-8 become U+FFFD. */
  keyText(): string {
    return utf8.decode(this.key);
  }

  /** The value as UTF-8 text; bytes that aren't UTF-8 become U+FFFD. */
  text(): string {
    return utf8.decode(this.value);
  }

  /**
   * The value parsed as JSON. Its type is the caller's word, not checked.
   *
   * @throws SyntaxError when the value isn't JSON.
   */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T;
  }
}
