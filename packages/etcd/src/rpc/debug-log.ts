import { subscribe } from 'node:diagnostics_channel';
import { debuglog } from '../built-in.js';
import { EtcdError, StatusCode, statusName } from '../errors.js';
import type { ConnectionEvent } from './balancer.js';
import { type CallTrace, channelNames, type RetryTrace } from './channels.js';

const log = debuglog('quiesce-etcd');

/**
 * With `NODE_DEBUG=quiesce-etcd`, writes what the diagnostics channels report to stderr. It doesn't write keys, values
 * or tokens.
 */
export function logWhereAsked(): void {
  // The loggers of Bun and Deno write, but don't report that they are enabled.
  if (!log.enabled && !/(?:^|,)quiesce-etcd(?:,|$)/i.test(process.env.NODE_DEBUG ?? '')) return;
  subscribe(channelNames.callEnd, (message) => {
    const {
      method,
      kind,
      endpoint,
      attempts,
      durationMs,
      code = StatusCode.OK,
      error,
    } = message as CallTrace;
    const tries = attempts === 1 ? '' : `, ${attempts} attempts`;
    const end = error === undefined ? statusName(code) : describe(error);
    log('%s %s %s: %s, %s ms%s', kind, method, endpoint ?? '-', end, durationMs?.toFixed(1), tries);
  });
  subscribe(channelNames.retry, (message) => {
    const { method, endpoint, attempts, error, waitMs } = message as RetryTrace;
    log(
      'retry %s in %d ms: attempt %d on %s failed: %s',
      method,
      Math.round(waitMs),
      attempts,
      endpoint,
      describe(error),
    );
  });
  subscribe(channelNames.connection, (message) => {
    const { endpoint, state, error, retryInMs } = message as ConnectionEvent;
    const why = retryInMs === undefined ? '' : ` for ${Math.round(retryInMs)} ms: ${describe(error)}`;
    log('endpoint %s is %s%s', endpoint, state, why);
  });
}

function describe(error: unknown): string {
  return error instanceof EtcdError ? error.message : String(error);
}
