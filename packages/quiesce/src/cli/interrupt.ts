import { QuiesceError } from '../errors.js';
import { runExitGuards } from '../process/exit-guard.js';

const HANDLED = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A signal that asks the tester to stop. */
export type StopSignal = (typeof HANDLED)[number];

/** A signal stopped work that has no result to return. The CLI exits with 128 + the signal's number. */
export class InterruptedError extends QuiesceError {
  override readonly name = 'InterruptedError';
  readonly signal: StopSignal;

  constructor(signal: StopSignal) {
    super(`interrupted by ${signal}`);
    this.signal = signal;
  }
}

/**
 * Does some work that an interrupt aborts through the `AbortSignal`. The work is still awaited, so that it can return
 * the result so far. A second interrupt, or SIGQUIT (Ctrl-\), ends this process at once, and leaves nothing behind
 * either.
 * @returns what the work returned, and the signal that stopped it, if one did.
 * @throws what the work throws: InterruptedError if it has no result to return.
 */
export async function interruptible<T>(
  work: (signal: AbortSignal) => Promise<T>,
): Promise<{ result: T; stoppedBy: StopSignal | undefined }> {
  const stop = new AbortController();
  let stoppedBy: StopSignal | undefined;
  const onSignal = (name: StopSignal): void => {
    if (stoppedBy !== undefined) endAtOnce(name);
    stoppedBy = name;
    stop.abort(new InterruptedError(name));
  };
  for (const name of HANDLED) process.on(name, onSignal);
  process.on('SIGQUIT', endAtOnce);
  try {
    const result = await work(stop.signal);
    return { result, stoppedBy };
  } finally {
    for (const name of HANDLED) process.off(name, onSignal);
    process.off('SIGQUIT', endAtOnce);
  }
}

/** Ends with the signal itself: `process.exit()` would wait for a write to a pipe without a reader. */
function endAtOnce(name: NodeJS.Signals): void {
  runExitGuards();
  process.removeAllListeners(name);
  process.kill(process.pid, name);
}
