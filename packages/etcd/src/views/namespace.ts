import {
  type Codec,
  CodecMapping,
  codecs,
  type KeyValueCodec,
  type TypedKeyValue,
  utf8,
} from '../kv/codec.js';
import { type Bytes, toBytes } from '../kv/key-range.js';
import { PrefixMapping } from '../kv/mapping.js';
import { LeaseClient } from '../lease/lease-client.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import { type Kind, withMethods } from '../util/kinds.js';
import { guardMethods } from '../util/methods.js';
import { type ClientCore, Keyspace } from './keyspace.js';

/**
 * All keys that start with a prefix, addressed without it. Reads, writes, transactions, watches, leases, locks and
 * elections made through a namespace see nothing else. `EtcdClient` is the namespace of all keys, so a function that
 * takes a `Namespace` also takes a client. Corresponds to clientv3's `namespace` package.
 */
export class Namespace extends Keyspace<Bytes, Bytes, KeyValue> {
  /**
   * Leases: the keys attached to a lease are deleted when it is revoked or no longer renewed. All namespaces share
   * them.
   */
  readonly lease: LeaseClient;
  readonly #core: ClientCore;
  readonly #mapping: PrefixMapping;

  static {
    guardMethods<Omit<Namespace, keyof Keyspace>>(Namespace, (it) => #core in it, {
      promised: {},
      direct: { namespace: 1, withCodec: 1 },
    });
  }

  /** @internal */
  constructor(core: ClientCore, mapping: PrefixMapping) {
    super(core, mapping);
    this.#core = core;
    this.#mapping = mapping;
    this.lease = new LeaseClient(core.rpc, core.leaseKeeper, (key) => mapping.strip(key));
  }

  /** The prefix of its keys in etcd; empty for the client itself. */
  get prefix(): Uint8Array {
    return this.#mapping.prefix.slice();
  }

  /**
   * The keys below `prefix`: `etcd.namespace('app/').get('a')` reads `app/a`. Namespaces can be nested. No separator is
   * added.
   *
   * @throws InvalidArgumentError when it is neither text nor bytes.
   */
  namespace(prefix: Bytes): Namespace {
    return new Namespace(
      this.#core,
      new PrefixMapping(Buffer.concat([this.#mapping.prefix, toBytes(prefix)])),
    );
  }

  /**
   * The same keys, with keys and values written and read through codecs:
   *
   * ```ts
   * const users = etcd.namespace('users/').withCodec({ value: json<User>() });
   * await users.put('ada', { name: 'Ada' });
   * const user = (await users.get('ada'))?.value; // User | undefined
   * ```
   *
   * Ranges (`prefix()` and similar) still consist of bytes. Both codecs are `utf8` by default.
   */
  withCodec(codec: {
    readonly key?: undefined;
    readonly value?: undefined;
  }): Keyspace<string, string, TypedKeyValue<string, string>>;
  /** The same, with keys as text. */
  withCodec<ValueIn, ValueOut>(codec: {
    readonly key?: undefined;
    readonly value: Codec<ValueIn, ValueOut>;
  }): Keyspace<string, ValueIn, TypedKeyValue<string, ValueOut>>;
  /** The same, with values as text. */
  withCodec<KeyIn, KeyOut>(codec: {
    readonly key: Codec<KeyIn, KeyOut>;
    readonly value?: undefined;
  }): Keyspace<KeyIn, string, TypedKeyValue<KeyOut, string>>;
  /** The same, with any codecs. */
  withCodec<KeyIn = string, ValueIn = string, KeyOut = KeyIn, ValueOut = ValueIn>(
    codec: KeyValueCodec<KeyIn, ValueIn, KeyOut, ValueOut>,
  ): Keyspace<KeyIn, ValueIn, TypedKeyValue<KeyOut, ValueOut>>;
  // Overloads: an absent codec would leave the types of keys or values to what the result is assigned to.
  withCodec<KeyIn = string, ValueIn = string, KeyOut = KeyIn, ValueOut = ValueIn>(
    codec: KeyValueCodec<KeyIn, ValueIn, KeyOut, ValueOut>,
  ): Keyspace<KeyIn, ValueIn, TypedKeyValue<KeyOut, ValueOut>> {
    codecs.check(codec);
    // The default type parameters are the types of utf8.
    const { key, value } = { key: codec.key ?? utf8, value: codec.value ?? utf8 } as {
      readonly key: Codec<KeyIn, KeyOut>;
      readonly value: Codec<ValueIn, ValueOut>;
    };
    return new Keyspace(this.#core, new CodecMapping(this.#mapping, key, value));
  }
}

/**
 * The argument of functions that take a view of the keys: a client, a namespace, or a program's own object with the
 * same calls. A view with codecs has no namespaces.
 * @internal
 */
export const namespaceKind: Kind<Namespace> = withMethods(
  'a client from connect(), or one of its namespaces',
  'txn',
  'range',
  'watch',
  'namespace',
);
