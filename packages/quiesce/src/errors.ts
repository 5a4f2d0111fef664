/**
 * Base class of all errors that this package throws on purpose. `message` is one sentence; `hint` says what to do about
 * it.
 */
export class QuiesceError extends Error {
  override readonly name: string = 'QuiesceError';
  /** What the reader can do about it, or `undefined` when the message already says so. */
  readonly hint: string | undefined;

  constructor(message: string, hint?: string, options?: ErrorOptions) {
    super(message, options);
    this.hint = hint;
  }
}

/** The caller asked for something impossible: a wrong option, plan or command. The CLI exits with 2. */
export class UsageError extends QuiesceError {
  override readonly name = 'UsageError';
}

/** The machine or a service failed, so the test says nothing about the program. The CLI exits with 3. */
export class EnvironmentError extends QuiesceError {
  override readonly name: string = 'EnvironmentError';
}

/** A service could not be started, or died while it was needed. */
export class ServiceError extends EnvironmentError {
  override readonly name = 'ServiceError';
  /** The service's name, as given to `startService` or in the plan. */
  readonly service: string;
  /** The end of the service's output; empty if it never ran. */
  readonly log: string;

  constructor(service: string, message: string, log = '', hint?: string, options?: ErrorOptions) {
    const tail = log.trimEnd().split('\n').slice(-15).join('\n').trim();
    const quoted = tail === '' ? '' : `; its last output:\n${tail.replace(/^/gm, '  | ')}`;
    super(`service ${JSON.stringify(service)} ${message}${quoted}`, hint, options);
    this.service = service;
    this.log = log;
  }
}

/** The message of anything thrown, on one line, with what to do about it. */
export function adviceOf(error: unknown): string {
  const hint = error instanceof QuiesceError ? error.hint : undefined;
  return messageOf(error) + (hint === undefined ? '' : ` (${hint})`);
}

/** The message of anything thrown, on one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\s*\n\s*/g, ' ').trim();
}

/**
 * For callers without types.
 * @param what the argument, such as "run's options".
 * @throws UsageError when it isn't an object.
 */
export function requireObject(value: unknown, what: string): void {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return;
  throw new UsageError(`${what} must be an object, not ${value === null ? 'null' : typeof value}`);
}
