// rpc/ brings a call or a stream to an endpoint that serves it: balancer, retries, tokens, reopening, the store's
// identity, diagnostics; in generated/ the messages and methods. What the services do is known above.

import {
  ClosedError,
  closedInFlight,
  DeadlineExceededError,
  type EtcdError,
  type EtcdErrorInit,
  StatusCode,
} from '../errors.js';
import { reason } from '../util/kinds.js';

/** What is known of a request after some attempts at it, as in {@link EtcdError}. */
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

/** The error of a whole call: that of its last attempt, with what is known after all of them. */
export function ofAllAttempts(last: EtcdError, fate: Fate): EtcdError {
  const { code, details, trailers, method, sent, mayBeApplied } = last;
  if (sent === fate.sent && mayBeApplied === fate.mayBeApplied) return last;
  if (last instanceof ClosedError) return closedAfter(fate, method);
  const earlier = fate.mayBeApplied && !mayBeApplied ? '; an earlier attempt may have been applied' : '';
  // All errors that a call ends with are made from these two.
  const type = last.constructor as new (message: string, init: EtcdErrorInit) => EtcdError;
  return new type(last.message + earlier, {
    code,
    details,
    trailers,
    ...(method !== undefined && { method }),
    ...fate,
    cause: last,
  });
}

/** The client was closed after these attempts. */
export function closedAfter({ sent, mayBeApplied }: Fate, method?: string): ClosedError {
  return mayBeApplied ? closedInFlight(method, true) : new ClosedError(undefined, sent, false, method);
}

/** What this side says of a call that was not answered; a server has other words. */
const ours = /^no answer within \d+ ms$/;

/** The deadline of a call has passed: in the words of the bound that its caller gave. What failed before is the cause. */
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

/** The deadline of a stream has passed after messages came. */
export function pastStreamDeadline(
  error: DeadlineExceededError,
  timeoutMs: number,
  address: string,
): DeadlineExceededError {
  const details = `the stream from ${address} was not over within ${timeoutMs} ms`;
  return ours.test(error.details) ? tooLate(error, details, undefined) : error;
}

/** The bound on one attempt has passed. */
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

/** The deadline of a call has passed while another token was fetched for it. */
export function noToken(
  method: string,
  timeoutMs: number,
  refusal: EtcdError | undefined,
  fate: Fate,
): DeadlineExceededError {
  const why =
    refusal === undefined
      ? 'neither the server nor a function auth gave a token'
      : 'the server refused the token, and neither it nor a function auth gave a new one in that time';
  const details = `no answer within ${timeoutMs} ms: ${why}`;
  return new DeadlineExceededError(`DEADLINE_EXCEEDED: ${details}`, {
    code: StatusCode.DEADLINE_EXCEEDED,
    details,
    method,
    ...fate,
    cause: refusal,
  });
}
