import { ClusterMismatchError, EtcdError, StatusCode, UnavailableError } from '../errors.js';
import { reopenMs } from '../rpc/backoff.js';
import type { CallControl } from '../rpc/rpc.js';
import type { AnySignal } from '../util/abort/lazy-signal.js';
import { type Progress, progressOf } from '../util/progress.js';
import { pause } from '../util/wait.js';

const backoff = { firstMs: 50, longestMs: 1_000 };

/**
 * How long the first attempt at a call may take, in ms, before another member is tried. A lower bound of the client
 * takes precedence.
 */
export const FIRST_ATTEMPT_MS = 2_000;
/** Later attempts may take longer, up to this: the cluster may just be slow. */
const LONGEST_ATTEMPT_MS = 30_000;

/** The bound on one attempt, and the progress of its operation. */
export type AttemptBound = Required<Pick<CallControl, 'attemptAtMostMs' | 'progress'>>;

/** More about a call that is repeated. */
export interface Persistence {
  /** Called with the error of each attempt. */
  readonly failed?: (error: unknown) => void;
  /** The progress of the operation, where a different signal ends it. */
  readonly progress?: Progress | undefined;
}

const transient: ReadonlySet<StatusCode> = new Set([StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED]);

/** Whether the same call may succeed later. */
export function mayPass(error: unknown): boolean {
  return (
    // Also by its class: etcd gives a dropped proposal no code.
    error instanceof UnavailableError ||
    error instanceof ClusterMismatchError ||
    (error instanceof EtcdError && transient.has(error.code))
  );
}

/**
 * Repeats a call, with back-off, while no server answers it. Each attempt has its own bound, after which a frozen
 * member is left for another one.
 *
 * @param call must do no harm when it is applied twice, or late.
 */
export async function persist<T>(
  call: (bound: AttemptBound) => Promise<T>,
  signal: AnySignal,
  { failed, progress = progressOf(signal) }: Persistence = {},
): Promise<T> {
  for (let failures = 0; ; failures++) {
    signal.throwIfAborted();
    const attemptAtMostMs = Math.min(FIRST_ATTEMPT_MS * 2 ** failures, LONGEST_ATTEMPT_MS);
    try {
      return await call({ attemptAtMostMs, progress });
    } catch (error) {
      failed?.(error);
      signal.throwIfAborted();
      if (!mayPass(error)) throw error;
    }
    await backOff(failures, signal);
  }
}

/** Waits before the next attempt, after this many failures. */
export async function backOff(failures: number, signal: AnySignal): Promise<void> {
  // Where a call waits for a server here, a keepalive is running. It keeps the process alive if it may.
  await pause(reopenMs(failures, backoff), signal, { ref: false });
}
