import { Progress } from '../util/progress.js';
import type { CallControl } from './rpc.js';

/**
 * Options for several calls that share one deadline: each gets the rest of the time. Throws DeadlineExceededError once
 * it is over.
 *
 * @param undone what wasn't done in that time, for the message.
 * @param mayBeApplied whether it may be done anyway; default: what was sent was answered, and has changed nothing.
 */
export function restOfTime(
  { signal, timeoutMs, attemptTimeoutMs, requireLeader }: CallControl,
  undone: string,
  mayBeApplied: () => boolean = () => false,
): () => CallControl {
  const given: CallControl = {
    ...(signal !== undefined && { signal }),
    ...(attemptTimeoutMs !== undefined && { attemptTimeoutMs }),
    ...(requireLeader !== undefined && { requireLeader }),
  };
  if (timeoutMs === undefined) return () => given;
  const deadline = performance.now() + timeoutMs;
  const progress = new Progress();
  return () => {
    const left = deadline - performance.now();
    if (left > 0) return { ...given, timeoutMs: left, wholeTimeoutMs: timeoutMs, progress };
    throw progress.tooLate(timeoutMs, mayBeApplied(), undone);
  };
}
