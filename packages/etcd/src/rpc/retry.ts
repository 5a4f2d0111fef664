import { ClusterMismatchError, EtcdError, StatusCode } from '../errors.js';
import { knownServerError } from '../server-errors.js';

/** How calls are sent again, to another endpoint if there is one. */
export interface RetryOptions {
  /**
   * How often one call is sent at most. 1 turns retries off. Default `Infinity`: until its deadline. A call without a
   * deadline then continues until it succeeds, fails for another reason, or its `signal` aborts.
   */
  readonly maxAttempts?: number | undefined;
  /** Wait before the first retry at the same endpoint, in ms. It doubles with each further retry. Default 25. */
  readonly backoffMs?: number | undefined;
  /** Longest such wait, in ms. Default 1 000. */
  readonly maxBackoffMs?: number | undefined;
}

/**
 * Whether a failed call may be sent again. As in clientv3 (retry.go), a read may be sent again when the server is
 * unavailable. A write may be sent again only when it is known that the first attempt was never proposed, so that it
 * isn't applied twice.
 */
export function isRetriable(error: EtcdError, idempotent: boolean, attemptTimedOut: boolean): boolean {
  const { code, details, sent } = error;
  if (knownServerError(details)?.again !== undefined) return true;
  if (error instanceof ClusterMismatchError) return idempotent;
  if (code === StatusCode.UNAVAILABLE) return idempotent || !sent;
  return attemptTimedOut && idempotent;
}

/** Whether the endpoint is the cause, so that other endpoints should be tried first. */
export function blamesEndpoint(error: unknown, attemptTimedOut: boolean): boolean {
  if (!(error instanceof EtcdError)) return false;
  if (error instanceof ClusterMismatchError) return !error.adopted;
  const again = knownServerError(error.details)?.again;
  if (again !== undefined) return again === 'elsewhere';
  return error.code === StatusCode.UNAVAILABLE || attemptTimedOut;
}

/** Whether the same endpoint is the one to ask again, after a wait. */
export function staysAtEndpoint(error: EtcdError): boolean {
  return knownServerError(error.details)?.again === 'here';
}

/** Whether a new token may help. etcd refuses a token before it applies anything. */
export function isTokenRefused(error: unknown): error is EtcdError {
  return error instanceof EtcdError && knownServerError(error.details)?.tokenRefused === true;
}
