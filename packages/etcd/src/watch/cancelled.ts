// watch/ follows changes: a watch with the forms of its consumer, the bounded queue in between, and the stream that
// many watches share. Copies that are kept up to date are in mirror/.

import { CompactedError, EtcdError, type EtcdErrorInit, StatusCode } from '../errors.js';
import { goStatusError } from '../server-errors.js';
import { watchMethod } from './request.js';
import type { Cancellation } from './watch-message.js';

/** The watch was cancelled by the server, for the reason in `details`, or before it was made. Code `CANCELLED`. */
export class WatchCancelledError extends EtcdError {}

/**
 * Why the server has cancelled a watch.
 * @internal
 */
export function cancelledError({ cancelReason, compactRevision }: Cancellation): EtcdError {
  if (compactRevision !== 0n) {
    return new CompactedError(
      `OUT_OF_RANGE: the watch needs a revision that was compacted; the oldest one left is ${compactRevision}: read the keys again and watch from there`,
      { code: StatusCode.OUT_OF_RANGE, details: cancelReason, method: watchMethod, sent: true },
      compactRevision,
    );
  }
  const refused = goStatusError(cancelReason, watchMethod);
  if (refused !== undefined) return refused;
  const reason = cancelReason || 'it gave no reason';
  return watchCancelled(`the server cancelled the watch: ${reason}`, { details: cancelReason, sent: true });
}

/** @internal */
export function watchCancelled(
  message: string,
  init: Pick<EtcdErrorInit, 'details' | 'sent'>,
): WatchCancelledError {
  return new WatchCancelledError(message, { code: StatusCode.CANCELLED, method: watchMethod, ...init });
}
