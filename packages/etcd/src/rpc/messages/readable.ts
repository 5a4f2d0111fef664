import { EtcdError, StatusCode } from '../../errors.js';
import { reason } from '../../util/kinds.js';

/**
 * What `read` gets from a message of the server.
 *
 * @param method the call that it belongs to.
 * @throws EtcdError with code INTERNAL where the message isn't what the method answers with.
 */
export function readable<Message>(method: string, read: () => Message): Message {
  try {
    return read();
  } catch (cause) {
    throw unreadable(method, cause);
  }
}

/** The error for a message that isn't what the method answers with. */
export function unreadable(method: string, cause: unknown): EtcdError {
  const details = `the answer to ${method} can't be read: ${reason(cause)}; is the endpoint etcd, with nothing before it that changes messages?`;
  return new EtcdError(`INTERNAL: ${details}`, {
    code: StatusCode.INTERNAL,
    details,
    method,
    sent: true,
    cause,
  });
}
