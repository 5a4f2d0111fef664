import { Progress } from '../util/progress.js';
import { monotonicMs } from '../util/timers.js';
import type { CallControl } from './rpc.js';

/** More about several calls that are one operation. */
export interface RestOfTime {
  /** The progress of all calls. Default: a new one. */
  readonly progress?: Progress;
  /** Whether the operation may have been applied anyway. Default: every request was answered, and changed nothing. */
  readonly mayBeApplied?: () => boolean;
}

/**
 * Options for several calls that share one deadline: each gets the rest of the time. Throws DeadlineExceededError once
 * the time is over.
 *
 * @param undone what wasn't done in that time, for the message.
 */
export function restOfTime(
  { signal, timeoutMs, attemptTimeoutMs, requireLeader }: CallControl,
  undone: string,
  { progress = new Progress(), mayBeApplied = () => false }: RestOfTime = {},
): () => CallControl {
  const given: CallControl = {
    ...(signal !== undefined && { signal }),
    ...(attemptTimeoutMs !== undefined && { attemptTimeoutMs }),
    ...(requireLeader !== undefined && { requireLeader }),
  };
  if (timeoutMs === undefined) return () => given;
  const deadline = monotonicMs() + timeoutMs;
  progress.begins();
  return () => {
    const left = deadline - monotonicMs();
    if (left > 0) return { ...given, timeoutMs: left, wholeTimeoutMs: timeoutMs, progress };
    throw progress.tooLate(timeoutMs, mayBeApplied(), undone);
  };
}
