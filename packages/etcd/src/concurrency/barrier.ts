// concurrency/ has sessions and the recipes on top of them: locks, elections, barriers, queues, and the fences that
// make their late writes harmless. Single transactions are in kv/txn.ts, optimistic ones in kv/stm.ts.

import { EtcdError, StatusCode } from '../errors.js';
import { type Bytes, ownBytes, toKey } from '../kv/key-range.js';
import { compare, op } from '../kv/txn.js';
import type { CallControl } from '../rpc/rpc.js';
import { LinkedSignal } from '../util/abort/linked-signal.js';
import { checkArgument } from '../util/kinds.js';
import { guardMethods, refuseMore } from '../util/methods.js';
import { type Namespace, namespaceKind } from '../views/namespace.js';
import { type AcquireOptions, acquireOptions } from './owned-key.js';
import { persist } from './persist.js';
import { untilDeleted } from './until-deleted.js';

/**
 * A barrier: its waiters continue once its key is deleted. Corresponds to clientv3's `recipes.Barrier`. It needs no
 * session, and stays until somebody releases it.
 */
export class Barrier {
  readonly #space: Namespace;
  readonly #key: Uint8Array;

  static {
    guardMethods<Barrier>(Barrier, (it) => #space in it, {
      promised: { hold: 1, release: 1, wait: 1 },
      direct: {},
    });
  }

  /**
   * @param space a client, or a namespace of one.
   * @param key the barrier's key.
   */
  constructor(space: Namespace, key: Bytes);
  constructor(space: Namespace, key: Bytes, ...more: readonly unknown[]) {
    refuseMore('new Barrier()', [space, key], more);
    checkArgument('space', namespaceKind, space);
    this.#space = space;
    this.#key = ownBytes(toKey(key));
  }

  /**
   * Puts the barrier up. The request is sent again only if the attempt before was certainly not applied.
   *
   * @throws EtcdError with code `ALREADY_EXISTS` when it is already up. If `mayBeApplied` of an error is set, it may be
   * up.
   */
  async hold(options: CallControl = {}): Promise<void> {
    const { succeeded } = await this.#space.txn(
      { compare: [compare.missing<Bytes>(this.#key)], success: [op.put<Bytes, Bytes>(this.#key, '')] },
      options,
    );
    if (succeeded) return;
    const message = `the barrier ${JSON.stringify(Buffer.from(this.#key).toString())} is held already`;
    throw new EtcdError(message, { code: StatusCode.ALREADY_EXISTS, sent: true, mayBeApplied: false });
  }

  /** Takes the barrier down, so that all waiters continue. If `mayBeApplied` of an error is set, it may be down. */
  async release(options: CallControl = {}): Promise<void> {
    await this.#space.delete(this.#key, options);
  }

  /**
   * Waits until the barrier is down, and returns at once if it isn't up. Throws DeadlineExceededError after
   * `timeoutMs`.
   */
  async wait(options: AcquireOptions = {}): Promise<void> {
    acquireOptions.check(options);
    using linked = new LinkedSignal([options.signal], { timeoutMs: options.timeoutMs, mayBeApplied: false });
    const { signal } = linked;
    const { kvs, revision } = await persist(
      (bound) => this.#space.range(this.#key, { ...bound, requireLeader: 'wait', signal }),
      signal,
    );
    if (kvs.length > 0) await untilDeleted(this.#space, this.#key, revision, signal);
  }
}
