// rpc/ takes a call or a stream to an endpoint that can serve it: balancer, retries, tokens, reopened streams, the
// store's identity, diagnostics. The messages and methods are in generated/. The folders above know what the services
// do.

import {
  ClosedError,
  closedInFlight,
  DeadlineExceededError,
  type EtcdError,
  type EtcdErrorInit,
  StatusCode,
} from '../errors.js';
import { reason } from '../util/kinds.js';

/** What is known about a request after some attempts, as in {@link EtcdError}. */
export interface Fate {
  readonly sent: boolean;
  readonly mayBeApplied: boolean;
}

/** Before the first attempt. */
export const notSent: Fate = { sent: false, mayBeApplied: false };

/** What is known after one more attempt that failed with this error. */
export function fateWith(before: Fate, { sent, mayBeApplied }: EtcdError): Fate {
  return { sent: before.sent || sent, mayBeApplied: before.mayBeApplied || mayBeApplied };
}

/** The error of a whole call: the error of its last attempt, with what is known after all attempts. */
export function ofAllAttempts(last: EtcdError, fate: Fate): EtcdError {
  const { code, details, trailers, method, sent, mayBeApplied } = last;
  if (sent === fate.sent && mayBeApplied === fate.mayBeApplied) return last;
  if (last instanceof ClosedError) return closedAfter(fate, method);
  const earlier = fate.mayBeApplied && !mayBeApplied ? '; an earlier attempt may have been applied' : '';
  // Every error that ends a call has a constructor with these two parameters.
  const type = last.constructor as new (message: string, init: EtcdErrorInit) => EtcdError;
  return new type(last.message + earlier, {
    code,
    details,
    trailers,
    ...(method !== undefined && { method }),
    ...fate,
    cause: last.cause ?? last,
  });
}

/** The error for a client that was closed after these attempts. */
export function closedAfter({ sent, mayBeApplied }: Fate, method?: string): ClosedError {
  return mayBeApplied ? closedInFlight(method, true) : new ClosedError(undefined, sent, false, method);
}

/** How this client words an unanswered call. A server words it differently. */
const ours = /^no answer within \d+ ms$/;

/**
 * The error for a call whose deadline has passed. It names the bound that the caller gave; the failure before it is the
 * cause.
 */
export function pastDeadline(
  error: DeadlineExceededError,
  timeoutMs: number,
  attempts: number,
  before: unknown,
  address: string,
): DeadlineExceededError {
  if (attempts > 1) {
    const why = `in ${attempts} attempts; the one before the last failed with ${reason(before)}`;
    return tooLate(error, `no answer within ${timeoutMs} ms, ${why}`, before);
  }
  return ours.test(error.details)
    ? tooLate(error, `no answer from ${address} within ${timeoutMs} ms`, undefined)
    : error;
}

/** The error for a stream whose deadline passed after it brought messages. */
export function pastStreamDeadline(
  error: DeadlineExceededError,
  timeoutMs: number,
  address: string,
): DeadlineExceededError {
  const details = `the stream from ${address} was not over within ${timeoutMs} ms`;
  return ours.test(error.details) ? tooLate(error, details, undefined) : error;
}

/** The error for an attempt whose bound has passed. */
export function pastBound(
  error: DeadlineExceededError,
  attemptMs: number,
  address: string,
): DeadlineExceededError {
  const details = `no answer from ${address} within ${attemptMs} ms, the bound on one attempt`;
  return ours.test(error.details) ? tooLate(error, details, undefined) : error;
}

function tooLate(
  { code, trailers, method, sent, mayBeApplied }: DeadlineExceededError,
  details: string,
  cause: unknown,
): DeadlineExceededError {
  const init = { code, details, trailers, method, sent, mayBeApplied, cause };
  return new DeadlineExceededError(`DEADLINE_EXCEEDED: ${details}`, init);
}

/** The error for a call whose deadline passed while a token was being fetched for it. */
export function noToken(
  method: string,
  timeoutMs: number,
  refusal: EtcdError | undefined,
  fate: Fate,
): DeadlineExceededError {
  const why =
    refusal === undefined
      ? 'neither the server nor an auth function gave a token'
      : 'the server refused the token, and neither it nor an auth function gave a new one in that time';
  const details = `no answer within ${timeoutMs} ms: ${why}`;
  return new DeadlineExceededError(`DEADLINE_EXCEEDED: ${details}`, {
    code: StatusCode.DEADLINE_EXCEEDED,
    details,
    method,
    ...fate,
    cause: refusal,
  });
}
