import { EtcdError, StatusCode } from '../errors.js';

// What both transports say of streams.

/** `send()` after `closeSend()`. */
export function sentAfterClose(method: string): EtcdError {
  return new EtcdError('send after closeSend', { code: StatusCode.FAILED_PRECONDITION, method });
}

/** `receive()` while another one waits. */
export function alreadyWaiting(method: string): EtcdError {
  const message = 'receive() is already waiting; wait for it before the next';
  return new EtcdError(message, { code: StatusCode.FAILED_PRECONDITION, method });
}

/** `cancel()` without a reason. */
export function wasCancelled(method: string): EtcdError {
  return new EtcdError('the call was cancelled', { code: StatusCode.CANCELLED, method });
}

/** For what is still wanted of a stream that ended in order. */
export function hasEnded(method: string): EtcdError {
  return new EtcdError('the server has ended the stream', { code: StatusCode.CANCELLED, method });
}
