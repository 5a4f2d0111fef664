// naming/ has service discovery in the format of clientv3's naming package, so that programs in Go and JavaScript find
// each other. Code that follows the keys of a range is in mirror/.

import { invalidArgument } from '../errors.js';
import { jsonText } from '../kv/codec.js';
import { type KeyRange, prefix } from '../kv/key-range.js';
import { putHints, type ReadOptions, readKinds } from '../kv/kv.js';
import { op } from '../kv/txn.js';
import { Mirror, type MirrorOptions, mirrorKinds } from '../mirror/mirror.js';
import type { KeyValue } from '../rpc/messages/key-value.js';
import { type CallControl, describeCall } from '../rpc/rpc.js';
import { type Int64, signedInt64 } from '../util/int64.js';
import { Leavable } from '../util/item-iterator.js';
import { anything, checkArgument, nonEmptyText, oneOf, wholeList } from '../util/kinds.js';
import { guardMethods, refuseMore } from '../util/methods.js';
import { Description } from '../util/options.js';
import { type Namespace, namespaceKind } from '../views/namespace.js';

/** How one instance of a service is reached. */
export interface Endpoint {
  /** Its address, such as `10.0.0.1:8080`: what grpc-go's resolver dials. */
  readonly addr: string;
  /** Further data about the endpoint: anything that JSON can hold. */
  readonly metadata?: unknown;
}

/** One change of a service's endpoints. */
export type EndpointUpdate =
  | {
      readonly type: 'add';
      /** The name of the endpoint within its service. An endpoint of the same name is replaced. */
      readonly id: string;
      readonly endpoint: Endpoint;
    }
  | { readonly type: 'delete'; readonly id: string };

/** One of the changes of {@link EndpointManager.update}. */
export type EndpointChange = EndpointUpdate & {
  /** For `add`: the endpoint is deleted with this lease, such as `leaseId` of a `Session`. Default: none. */
  readonly lease?: Int64 | undefined;
};

/** Options of {@link EndpointManager.add}. */
export interface AddEndpointOptions extends CallControl {
  /**
   * The endpoint is deleted with this lease, such as `leaseId` of a `Session`. Default: none, so the endpoint stays
   * until it is deleted.
   */
  readonly lease?: Int64 | undefined;
}

/** Options of {@link EndpointManager.watch}. */
export type WatchEndpointsOptions = Pick<MirrorOptions, 'signal' | 'maxDisconnectedMs' | 'requireLeader'>;

interface Change {
  readonly type: 'add' | 'delete';
  readonly id: unknown;
  readonly endpoint: unknown;
  readonly lease: Int64;
}

const changeFields = new Description<Change>(
  'a change',
  { type: oneOf('add', 'delete'), id: anything, endpoint: anything, lease: signedInt64 },
  { required: ['type', 'id'], example: "{ type: 'delete', id }" },
);

const endpointFields = new Description<{ readonly addr: string; readonly metadata: unknown }>(
  'an endpoint',
  { addr: nonEmptyText, metadata: anything },
  {
    required: ['addr'],
    hints: { address: 'did you mean addr?' },
    example: "{ addr: '10.0.0.1:80' }",
  },
);

const addOptions = describeCall<AddEndpointOptions>(
  'add()',
  { lease: signedInt64 },
  { hints: putHints, example: '{ lease: id }' },
);

const listOptions = describeCall<ReadOptions>('list()', readKinds);

const watchOptions = new Description<WatchEndpointsOptions>('watch()', {
  signal: mirrorKinds.signal,
  maxDisconnectedMs: mirrorKinds.maxDisconnectedMs,
  requireLeader: mirrorKinds.requireLeader,
});

/** A service's endpoints and their latest changes. */
export interface EndpointsState {
  /** All endpoints, by id. This map doesn't change later. */
  readonly endpoints: ReadonlyMap<string, Endpoint>;
  /** The changes since the state before; in the first state, all endpoints. */
  readonly updates: readonly EndpointUpdate[];
  /** The revision of this state. */
  readonly revision: bigint;
}

/**
 * The endpoints of a service in etcd. Its instances register them, and its clients find them. Corresponds to clientv3's
 * `naming/endpoints`, with the same keys and the same JSON. So Go programs see what is registered here, and the other
 * way round. grpc-go finds the endpoints through clientv3's resolver (`etcd:///target`).
 *
 * The endpoint `id` of the service `target` is the key `target/id`. Values there that aren't endpoints are skipped, as
 * in clientv3.
 *
 * ```ts
 * const endpoints = new EndpointManager(etcd, 'services/api');
 * await endpoints.add('10.0.0.1:80', { addr: '10.0.0.1:80' }, { lease: session.leaseId });
 * for await (const { endpoints: now } of endpoints.watch()) connectTo([...now.values()]);
 * ```
 */
export class EndpointManager {
  readonly #space: Namespace;
  readonly #start: string;
  readonly #keys: KeyRange;

  static {
    guardMethods<EndpointManager>(EndpointManager, (it) => #space in it, {
      promised: { update: 2, add: 3, delete: 2, list: 1 },
      direct: { watch: 1 },
    });
  }

  /**
   * @param space a client, or a namespace of one.
   * @param target the service's name.
   * @throws InvalidArgumentError for an empty target.
   */
  constructor(space: Namespace, target: string);
  constructor(space: Namespace, target: string, ...more: readonly unknown[]) {
    refuseMore('new EndpointManager()', [space, target], more);
    checkArgument('space', namespaceKind, space);
    if (typeof target !== 'string' || target === '') {
      throw invalidArgument('the target must be the name of a service, such as "services/api"');
    }
    this.#space = space;
    this.#start = `${target}/`;
    this.#keys = prefix(this.#start);
  }

  /**
   * Adds and deletes several endpoints in one transaction. It is sent again only if the attempt before was certainly
   * not applied.
   *
   * @throws InvalidArgumentError for an empty id, an id that occurs twice, an `addr` that isn't a string, or metadata
   * that JSON can't hold; and the errors of the client's `txn`.
   */
  async update(updates: readonly EndpointChange[], options: CallControl = {}): Promise<void> {
    checkArgument('updates', wholeList, updates);
    const success = updates.map((update) => {
      changeFields.check(update);
      const key = this.#keyOf(update.id);
      if (update.type === 'delete') return op.delete(key);
      const { lease } = update;
      return op.put(key, toJson(update.endpoint), lease === undefined ? {} : { lease });
    });
    await this.#space.txn({ success }, options);
  }

  /** Registers an endpoint, or replaces the endpoint with that id. Retries and errors are those of {@link update}. */
  async add(id: string, endpoint: Endpoint, options: AddEndpointOptions = {}): Promise<void> {
    addOptions.check(options);
    const { lease, ...control } = options;
    await this.update([{ type: 'add', id, endpoint, ...(lease !== undefined && { lease }) }], control);
  }

  /** Deletes an endpoint. A missing endpoint is not an error. Retries and errors are those of {@link update}. */
  delete(id: string, options: CallControl = {}): Promise<void> {
    return this.update([{ type: 'delete', id }], options);
  }

  /** Reads the present endpoints, by id. Retries and errors are those of the client's `range`. */
  async list(options: ReadOptions = {}): Promise<Map<string, Endpoint>> {
    listOptions.check(options);
    const { kvs } = await this.#space.range(this.#keys, options);
    return new Map(kvs.flatMap((kv) => this.#entryOf(kv)));
  }

  /**
   * Yields the present endpoints, and again after each change. It continues after broken connections, compactions and
   * the replacement of the store. It never ends by itself: leave the loop, or abort the signal, which makes it throw
   * the reason.
   *
   * @throws the errors of a {@link Mirror}.
   */
  watch(options: WatchEndpointsOptions = {}): AsyncGenerator<EndpointsState, void, void> {
    watchOptions.check(options);
    const mirror = new Mirror(this.#space, this.#keys, options);
    return new Leavable(this.#watch(mirror), () => mirror.close());
  }

  async *#watch(mirror: Mirror): AsyncGenerator<EndpointsState, void, void> {
    let before: ReadonlyMap<string, Endpoint> = new Map();
    let base = new Map<string, Endpoint>();
    for await (const change of mirror) {
      switch (change.type) {
        case 'reset':
          base = new Map();
          break;
        case 'base':
          for (const [id, endpoint] of change.kvs.flatMap((kv) => this.#entryOf(kv))) base.set(id, endpoint);
          break;
        case 'synced':
          yield { endpoints: base, updates: difference(before, base), revision: change.revision };
          before = base;
          break;
        case 'update': {
          const updates = change.events.flatMap(({ type, kv }): EndpointUpdate[] => {
            if (type === 'delete') return [{ type, id: this.#idOf(kv) }];
            return this.#entryOf(kv).map(([id, endpoint]) => ({ type: 'add', id, endpoint }));
          });
          if (updates.length === 0) break;
          const endpoints = new Map(before);
          for (const update of updates) {
            if (update.type === 'add') endpoints.set(update.id, update.endpoint);
            else endpoints.delete(update.id);
          }
          yield { endpoints, updates, revision: change.revision };
          before = endpoints;
        }
      }
    }
  }

  #keyOf(id: string): string {
    if (typeof id === 'string' && id !== '') return this.#start + id;
    throw invalidArgument('an endpoint needs an id: a non-empty string, such as its address');
  }

  #idOf(kv: KeyValue): string {
    return kv.keyText().slice(this.#start.length);
  }

  /** One endpoint, or none where the value is not an endpoint. */
  #entryOf(kv: KeyValue): [id: string, endpoint: Endpoint][] {
    const endpoint = fromJson(kv);
    return endpoint === undefined ? [] : [[this.#idOf(kv), endpoint]];
  }
}

/** In the JSON of Go's `internal.Update`. Its `Op` is 0 for an existing endpoint. */
function toJson(endpoint: Endpoint): string {
  endpointFields.check(endpoint);
  const { addr, metadata = null } = endpoint;
  return `{"Op":0,"Addr":${JSON.stringify(addr)},"Metadata":${jsonText('metadata', metadata)}}`;
}

/** Reads JSON like Go does: `null` stands for an empty field, or for a whole empty endpoint. */
function fromJson(kv: KeyValue): Endpoint | undefined {
  let value: unknown;
  try {
    // Keeps a byte-order mark, so that JSON.parse() refuses it, as Go does.
    value = JSON.parse(Buffer.from(kv.value).toString()) ?? {};
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  // Go accepts field names in upper or lower case.
  const fields = Object.fromEntries(Object.entries(value).map(([name, of]) => [name.toLowerCase(), of]));
  const { op: operation, addr, metadata } = fields as Readonly<Record<string, unknown>>;
  if (!isByte(operation ?? 0) || typeof (addr ?? '') !== 'string') return undefined;
  return { addr: (addr ?? '') as string, ...(metadata !== undefined && metadata !== null && { metadata }) };
}

function isByte(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < 256;
}

function difference(
  before: ReadonlyMap<string, Endpoint>,
  now: ReadonlyMap<string, Endpoint>,
): EndpointUpdate[] {
  const gone = [...before.keys()].filter((id) => !now.has(id));
  const changed = [...now].filter(([id, endpoint]) => !isSame(before.get(id), endpoint));
  return [
    ...gone.map((id): EndpointUpdate => ({ type: 'delete', id })),
    ...changed.map(([id, endpoint]): EndpointUpdate => ({ type: 'add', id, endpoint })),
  ];
}

function isSame(a: Endpoint | undefined, b: Endpoint): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
