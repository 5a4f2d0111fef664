import { type Bytes, keyRange, ownBytes, prefix, toKey } from '../../kv/key-range.js';
import { compare, op } from '../../kv/txn.js';
import type { KeyValue } from '../../rpc/messages/key-value.js';
import { restOfTime } from '../../rpc/rest-of-time.js';
import { type CallControl, callControl } from '../../rpc/rpc.js';
import { checkArgument, kind } from '../../util/kinds.js';
import { guardMethods, refuseMore } from '../../util/methods.js';
import { type Namespace, namespaceKind } from '../../views/namespace.js';
import type { AcquireOptions } from '../owned-key.js';
import { dequeue } from './dequeue.js';

const HIGHEST_PRIORITY = 0xffff;

const priorityKind = kind<number>(
  (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= HIGHEST_PRIORITY,
  `a whole number from 0 to ${HIGHEST_PRIORITY}`,
);

/**
 * A queue whose items are taken in the order of their priority, 0 first, and of equal priority in the order in which
 * they came. Corresponds to clientv3's `recipes.PriorityQueue`, and works together with it on the same names. Each item
 * goes to one consumer, as with {@link Queue}.
 */
export class PriorityQueue {
  readonly #space: Namespace;
  readonly #name: Buffer;
  /** The number of the last item of each priority that was added here. */
  readonly #added = new Map<number, number>();

  static {
    guardMethods<PriorityQueue>(PriorityQueue, (it) => #space in it, {
      promised: { enqueue: 3, dequeue: 1 },
      direct: {},
    });
  }

  /**
   * @param space a client, or a namespace of one.
   * @param name the queue's name. Its keys start with the name and a slash, or with `__`, the name and a slash. Don't
   * use a name that begins with another name and a slash: a queue `a` takes the keys of `a/b` for its own.
   */
  constructor(space: Namespace, name: Bytes);
  constructor(space: Namespace, name: Bytes, ...more: readonly unknown[]) {
    refuseMore('new PriorityQueue()', [space, name], more);
    checkArgument('space', namespaceKind, space);
    this.#space = space;
    this.#name = Buffer.concat([toKey(name), Buffer.from('/')]);
  }

  /**
   * Adds an item behind the items of the same priority.
   *
   * @param priority a whole number from 0, the first to be taken, to 65,535.
   * @param options `timeoutMs` bounds the whole operation. By default each request has its own deadline.
   */
  async enqueue(value: Bytes, priority: number, options: CallControl = {}): Promise<void> {
    checkArgument('priority', priorityKind, priority);
    callControl.check(options);
    const item = ownBytes(value);
    const level = Buffer.concat([this.#name, Buffer.from(String(priority).padStart(5, '0'))]);
    // The key changes with each item of this priority, so nobody else can have taken the same number meanwhile.
    const base = Buffer.concat([Buffer.from('__'), level]);
    const start = Buffer.concat([level, Buffer.from('/')]);
    const keyOf = (number: number): Buffer =>
      Buffer.concat([start, Buffer.from(String(number).padStart(16, '0'))]);
    // To find the last item, etcd reads all items of the range.
    const before = this.#added.get(priority);
    const all = prefix(start);
    const items = before === undefined ? all : keyRange(keyOf(before), all.rangeEnd);
    const lastItem = { sortBy: 'key', sortOrder: 'descend', limit: 1, keysOnly: true } as const;
    const control = restOfTime(options, 'the item was not added');
    for (let added = false; !added; ) {
      const { kvs, revision } = await this.#space.range(items, { ...control(), ...lastItem });
      const last = kvs[0]?.keyText().split('/').at(-1);
      const number = (last === undefined ? (before ?? -1) : Number(last)) + 1;
      const key = keyOf(number);
      const result = await this.#space.txn(
        {
          compare: [compare.modRevision<Bytes>(base, '<', revision + 1n)],
          success: [op.put<Bytes, Bytes>(base, ''), op.put<Bytes, Bytes>(key, item)],
        },
        control(),
      );
      added = result.succeeded;
      if (added) this.#added.set(priority, number);
    }
  }

  /**
   * Takes the item that comes first; waits for one while the queue is empty.
   *
   * @throws DeadlineExceededError after `timeoutMs`.
   */
  dequeue(options: AcquireOptions = {}): Promise<KeyValue> {
    return dequeue(this.#space, prefix(this.#name), 'key', options);
  }
}
