import { type Bytes, prefix, toKey } from '../../kv/key-range.js';
import type { KeyValue } from '../../rpc/messages/key-value.js';
import type { CallControl } from '../../rpc/rpc.js';
import { checkArgument } from '../../util/kinds.js';
import { guardMethods, refuseMore } from '../../util/methods.js';
import { type Namespace, namespaceKind } from '../../views/namespace.js';
import type { AcquireOptions } from '../owned-key.js';
import { dequeue } from './dequeue.js';

/**
 * A first-in, first-out queue for many producers and consumers. Corresponds to clientv3's `recipes.Queue`, and works
 * together with it on the same names.
 *
 * Each item goes to one consumer, at most once: it is gone from etcd when {@link dequeue} resolves, and nobody else
 * gets it. An error of `dequeue` that isn't the signal's may hide an item that was taken.
 */
export class Queue {
  readonly #space: Namespace;
  readonly #prefix: Uint8Array;

  static {
    guardMethods<Queue>(Queue, (it) => #space in it, {
      promised: { enqueue: 2, dequeue: 1 },
      direct: {},
    });
  }

  /**
   * @param space a client, or a namespace of one.
   * @param name the queue's name. Its keys start with the name and a slash. Don't use a name that begins with another
   * name and a slash: a queue `a` takes the keys of `a/b` for its own.
   */
  constructor(space: Namespace, name: Bytes);
  constructor(space: Namespace, name: Bytes, ...more: readonly unknown[]) {
    refuseMore('new Queue()', [space, name], more);
    checkArgument('space', namespaceKind, space);
    this.#space = space;
    this.#prefix = Buffer.concat([toKey(name), Buffer.from('/')]);
  }

  /**
   * Adds an item at the end. The request is sent again only if the attempt before was certainly not applied. If
   * `mayBeApplied` of an error is set, the item may be in the queue.
   */
  async enqueue(value: Bytes, options: CallControl = {}): Promise<void> {
    await this.#space.put(
      Buffer.concat([this.#prefix, Buffer.from(globalThis.crypto.randomUUID())]),
      value,
      options,
    );
  }

  /**
   * Takes the first item; waits for one while the queue is empty. Items are in the order of their `modRevision`.
   *
   * @throws DeadlineExceededError after `timeoutMs`.
   */
  dequeue(options: AcquireOptions = {}): Promise<KeyValue> {
    return dequeue(this.#space, prefix(this.#prefix), 'modRevision', options);
  }
}
