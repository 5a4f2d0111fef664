// rpc/ brings a call or a stream to an endpoint that serves it: balancer, retries, tokens, reopening, the store's
// identity, diagnostics; in generated/ the messages and methods. What the services do is known above.

import { ClosedError, closedInFlight, type EtcdError, type EtcdErrorInit } from '../errors.js';

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
  if (last instanceof ClosedError) return closedAfter(fate);
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
export function closedAfter({ sent, mayBeApplied }: Fate): ClosedError {
  return mayBeApplied ? closedInFlight() : new ClosedError(undefined, sent, false);
}
