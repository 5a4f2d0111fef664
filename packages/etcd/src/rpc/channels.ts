import { channel } from 'node:diagnostics_channel';
import type { StatusCode } from '../errors.js';

/**
 * A call as the diagnostics channels report it. The object is the same from start to end. Fields that are known only
 * later are filled in then.
 */
export interface CallTrace {
  /** Full name, such as `/etcdserverpb.KV/Range`. */
  readonly method: string;
  readonly kind: 'unary' | 'stream';
  /** Where it was sent last. */
  endpoint: string | undefined;
  /** How often it was sent. */
  attempts: number;
  /** From the start to the end, in ms. `undefined` before the end. */
  durationMs: number | undefined;
  /** gRPC status code; `undefined` before the end, and for a failure without one, such as an abort. */
  code: StatusCode | undefined;
  /** The failure; `undefined` for a call that succeeded, and for a stream that this client no longer wanted. */
  error: unknown;
}

/** A call that is about to be sent again. */
export interface RetryTrace {
  readonly call: CallTrace | undefined;
  readonly method: string;
  /** The endpoint that failed. */
  readonly endpoint: string;
  /** Attempts made so far. */
  readonly attempts: number;
  readonly error: unknown;
  /** The wait before the next attempt, in ms. */
  readonly waitMs: number;
}

/** Channels of `node:diagnostics_channel`, by name; messages are described beside each. */
export const channelNames = {
  /** {@link CallTrace}, when a call begins. */
  callStart: 'quiesce-etcd:call:start',
  /** The same {@link CallTrace}, when the call has ended, successfully or not. */
  callEnd: 'quiesce-etcd:call:end',
  /** {@link RetryTrace}. */
  retry: 'quiesce-etcd:call:retry',
  /** `ConnectionEvent`, when an endpoint's state changes. */
  connection: 'quiesce-etcd:connection',
} as const;

export const callStartChannel = channel(channelNames.callStart);
export const callEndChannel = channel(channelNames.callEnd);
export const retryChannel = channel(channelNames.retry);
export const connectionChannel = channel(channelNames.connection);
