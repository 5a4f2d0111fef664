import { type Bytes, ownBytes, toKey } from '../kv/key-range.js';
import { compare, op } from '../kv/txn.js';
import type { CallControl } from '../rpc/rpc.js';
import { LinkedSignal } from '../util/abort/linked-signal.js';
import { type Int64, int64 } from '../util/int64.js';
import { checkArgument } from '../util/kinds.js';
import { refuseMore } from '../util/methods.js';
import { Description } from '../util/options.js';
import { unlessAborted } from '../util/wait.js';
import { type Namespace, namespaceKind } from '../views/namespace.js';
import { Fence } from './fence.js';
import { Lock } from './mutex.js';
import { type AcquireOptions, acquireKinds, handOver, type Ownership, soon } from './owned-key.js';
import { persist } from './persist.js';
import { Session } from './session.js';

/** Options of {@link tryLockKey}. */
export interface KeyLockOptions extends AcquireOptions {
  /** TTL of the lock's lease, in seconds: how long it outlives a holder that dies. Default 30, as in etcd3. */
  readonly ttlSeconds?: Int64 | undefined;
}

const keyLockOptions = new Description<KeyLockOptions>(
  'tryLockKey()',
  { ...acquireKinds, ttlSeconds: int64 },
  { hints: { ttl: 'did you mean ttlSeconds?' }, example: '{ ttlSeconds: 30 }' },
);

/**
 * A lock that is one key, on a lease of its own. Revoking the lease releases the lock, and makes late copies of its put
 * fail.
 */
class KeyLock extends Lock {
  /** @internal */
  constructor(ownership: Omit<Ownership, 'fence'>) {
    const { session, key } = ownership;
    // The fence has nothing to do: the lease guards against late attempts.
    super({ ...ownership, fence: new Fence(session, key, key, { unique: false }) });
    // Nobody else uses the session, and a late copy of the put would take the lock again.
    const end = (): void => void session.close().catch(() => {});
    if (this.over.aborted) end();
    else this.over.listen(end);
  }

  override async release(options: CallControl = {}): Promise<void> {
    this.markReleased();
    await this.session.close({ timeoutMs: 10_000, ...options });
  }

  override async abandon(): Promise<boolean> {
    return await endSession(this.session);
  }
}

/**
 * Takes a lock that is a single key. Resolves with `undefined` if somebody holds it. This is the lock of npm's `etcd3`,
 * `client.lock(key)`, so programs with either client exclude each other on the same key. It is not fair, and doesn't
 * wait for its turn. Programs that all use this client should use a {@link Mutex}. Its keys are different, so `etcd3`
 * ignores it.
 *
 * ```ts
 * await using lock = await tryLockKey(etcd, 'report');
 * if (lock === undefined) throw new Error('somebody else is at it');
 * ```
 *
 * The lock has a lease of its own, which it keeps alive, and revokes when it is unlocked or lost. So a failed
 * `unlock()` leaves it locked until the TTL has passed. While no server answers, the requests are sent again.
 *
 * @param space a client, or a namespace of one: the key is below its prefix, as in a namespace of etcd3.
 * @param options `timeoutMs` is 10 000 by default.
 * @throws InvalidArgumentError for an empty key, LeaseLostError when the lease is lost meanwhile, DeadlineExceededError
 * after `timeoutMs`. After an error no lock is left, at the latest once the TTL has passed.
 */
export async function tryLockKey(
  space: Namespace,
  key: Bytes,
  options?: KeyLockOptions,
): Promise<Lock | undefined>;
export async function tryLockKey(
  space: Namespace,
  key: Bytes,
  options: KeyLockOptions = {},
  ...more: readonly unknown[]
): Promise<Lock | undefined> {
  refuseMore('tryLockKey()', [space, key, options], more);
  checkArgument('space', namespaceKind, space);
  keyLockOptions.check(options);
  const { ttlSeconds = 30, signal: given, timeoutMs = 10_000 } = options;
  const bytes = ownBytes(toKey(key));
  using waiting = new LinkedSignal([given], { timeoutMs, mayBeApplied: true });
  const session = await Session.create(space, { ttlSeconds, signal: waiting.signal });
  let placed: Placed | undefined;
  try {
    using until = new LinkedSignal([waiting, session.over]);
    placed = await unlessAborted(place(session, bytes, until.signal), until);
  } finally {
    if (placed === undefined) await endSession(session);
  }
  return placed && (await handOver(new KeyLock({ session, key: bytes, ...placed })));
}

type Placed = Pick<Ownership, 'revision' | 'modRevision'>;

/** Puts the key if it doesn't exist. Otherwise resolves with `undefined`. */
async function place(session: Session, key: Uint8Array, signal: AbortSignal): Promise<Placed | undefined> {
  const { space, leaseId } = session;
  const txn = {
    compare: [compare.missing<Bytes>(key)],
    success: [op.put<Bytes, Bytes>(key, '', { lease: leaseId })],
    failure: [op.get<Bytes>(key)],
  } as const;
  const result = await persist((bound) => space.txn(txn, { ...bound, signal }), signal);
  if (result.succeeded) return { revision: result.revision, modRevision: result.revision };
  const [there] = result.responses;
  // An attempt whose answer was lost has put it.
  if (there?.lease === leaseId) return { revision: there.createRevision, modRevision: there.modRevision };
  return undefined;
}

/** Revokes the lease. A caller who gave up doesn't wait long for that. */
function endSession(session: Session): Promise<boolean> {
  return soon(session.close());
}
