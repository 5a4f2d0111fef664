/** An etcd could not be started for a test. */
export class EtcdStartError extends Error {
  override readonly name = 'EtcdStartError';
  /** The output of the etcd, at most the last 64 KiB; empty where it was not started. */
  readonly log: string;

  /** @internal */
  constructor(message: string, log = '') {
    super(
      log === ''
        ? message
        : `${message}; its last lines:\n${log.trimEnd().split('\n').slice(-15).join('\n')}`,
    );
    this.log = log;
  }
}
