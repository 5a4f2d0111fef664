import { EtcdError, StatusCode } from '../errors.js';

/** How calls are sent again, on another endpoint where there is one. */
export interface RetryOptions {
  /** How often one call is sent at most. Default 10; 1 turns retries off. */
  readonly maxAttempts?: number;
  /** Wait before the first retry that has no other endpoint to go to, in ms; then doubled. Default 25. */
  readonly backoffMs?: number;
  /** Longest such wait, in ms. Default 1 000. */
  readonly maxBackoffMs?: number;
}

// What etcd says before it has proposed anything: its interceptor for calls that require a leader, and a learner.
const notProposed = new Set(['etcdserver: no leader', 'etcdserver: rpc not supported for learner']);

/**
 * Whether a failed call may be sent again. As in clientv3 (retry.go) reads may when the server is unavailable, and
 * writes only when it is known that the first one was never proposed: a write is not applied twice.
 */
export function isRetriable(error: EtcdError, idempotent: boolean, attemptTimedOut: boolean): boolean {
  const { code, details, sent } = error;
  if (notProposed.has(details)) return true;
  if (code === StatusCode.UNAVAILABLE) return idempotent || !sent;
  return attemptTimedOut && idempotent;
}

/** Whether the reason lies with the endpoint, so that others should be tried first. */
export function blamesEndpoint(error: unknown, attemptTimedOut: boolean): boolean {
  return (
    error instanceof EtcdError &&
    (error.code === StatusCode.UNAVAILABLE || notProposed.has(error.details) || attemptTimedOut)
  );
}

/** etcd's ways to say that the token won't do; it says so before it applies anything. */
const tokenRefused = new Set([
  'etcdserver: invalid auth token',
  'etcdserver: revision of auth store is old',
  'etcdserver: user name is empty',
]);

/** Whether a new token may help. */
export function isTokenRefused(error: unknown): error is EtcdError {
  return error instanceof EtcdError && tokenRefused.has(error.details);
}
