import { ClusterMismatchError, EtcdError, StatusCode, UnavailableError } from '../errors.js';
import { reopenMs } from '../rpc/backoff.js';
import type { CallControl } from '../rpc/rpc.js';
import { type Progress, progressOf } from '../util/progress.js';
import { pause } from '../util/wait.js';

const backoff = { firstMs: 50, longestMs: 1_000 };

/**
 * How long the first attempt at a call may take, in ms, before another member is tried. A lower bound of the client
 * takes precedence.
 */
export const FIRST_ATTEMPT_MS = 2_000;
/** Later ones may take longer, up to this: the cluster may just be slow. */
const LONGEST_ATTEMPT_MS = 30_000;

/** The bound on one attempt, and what it is part of. */
export type AttemptBound = Required<Pick<CallControl, 'attemptAtMostMs' | 'progress'>>;

/** More about a call that is made again and again. */
export interface Persistence {
  /** Called with the error of each attempt. */
  readonly failed?: (error: unknown) => void;
  /** Of what it is part of, where another signal ends that. */
  readonly progress?: Progress | undefined;
}

const transient: ReadonlySet<StatusCode> = new Set([StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED]);

/** Whether the same call may succeed later. */
export function mayPass(error: unknown): boolean {
  return (
    // By its class, too: etcd gives a dropped proposal no code.
    error instanceof UnavailableError ||
    error instanceof ClusterMismatchError ||
    (error instanceof EtcdError && transient.has(error.code))
  );
}

/**
 * Makes a call again and again, with back-off, while no server answers it. Each attempt has a bound of its own, after
 * which a frozen member is left for another one.
 *
 * @param call does no harm when it is applied twice, or late.
 */
export async function persist<T>(
  call: (bound: AttemptBound) => Promise<T>,
  signal: AbortSignal,
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

/** Waits before the next attempt, after so many failures. */
export async function backOff(failures: number, signal: AbortSignal): Promise<void> {
  // Where a call waits for a server here, a keepalive runs, which keeps the process alive if it may.
  await pause(reopenMs(failures, backoff), signal, { ref: false });
}
