import { constants } from 'node:os';
import { messageOf, QuiesceError } from '../errors.js';
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
 * Lets the signals that were ignored when the command began stay ignored, as `nohup` asks. Node has given them their
 * default action. bin/quiesce.js says which ones they were, in a variable that no program under test gets.
 */
export function keepIgnored(): void {
  const { QUIESCE_IGNORED_SIGNALS: mask = '' } = process.env;
  delete process.env.QUIESCE_IGNORED_SIGNALS;
  if (!/^[\da-f]{1,16}$/.test(mask)) return;
  for (const name of [...HANDLED, 'SIGQUIT'] as const) {
    // Bit 0 is signal 1.
    if ((BigInt(`0x${mask}`) >> BigInt(constants.signals[name] - 1)) % 2n === 0n) continue;
    ignored.add(name);
    process.on(name, () => {});
  }
}

const ignored = new Set<NodeJS.Signals>();

/** The end of work because of an exception that nothing caught, its `cause`. */
export class UncaughtError extends Error {
  override readonly name = 'UncaughtError';

  constructor(cause: unknown) {
    super(`an error that nothing caught: ${messageOf(cause)}`, { cause });
  }
}

type Taker = (error: unknown) => void;
let taker: Taker | undefined;

/**
 * Gives an exception that nothing caught to the code that can end its work in order. Only the first: another one means
 * that this doesn't work.
 * @returns whether there is such code.
 */
export function passUncaught(error: unknown): boolean {
  const take = taker;
  taker = undefined;
  take?.(error);
  return take !== undefined;
}

/** Takes such an exception. @returns the function that ends this. */
export function takeUncaught(take: Taker): () => void {
  taker = take;
  return () => {
    if (taker === take) taker = undefined;
  };
}

/**
 * Does some work that an interrupt aborts through the `AbortSignal`. The work is still awaited, so that it can return
 * the result so far. A second interrupt, or SIGQUIT (Ctrl-\), ends this process at once, and leaves nothing behind
 * either. An exception that nothing caught, as in a timer of a plan, aborts it as well, and is thrown in the end.
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
  const handled = HANDLED.filter((name) => !ignored.has(name));
  for (const name of handled) process.on(name, onSignal);
  if (!ignored.has('SIGQUIT')) process.on('SIGQUIT', endAtOnce);
  let uncaught: UncaughtError | undefined;
  const release = takeUncaught((error) => {
    uncaught = new UncaughtError(error);
    stop.abort(uncaught);
  });
  try {
    const result = await work(stop.signal);
    if (uncaught !== undefined) throw uncaught;
    return { result, stoppedBy };
  } catch (error) {
    throw uncaught ?? error;
  } finally {
    release();
    for (const name of handled) process.off(name, onSignal);
    process.off('SIGQUIT', endAtOnce);
  }
}

/** Ends with the signal itself: `process.exit()` would wait for a write to a pipe without a reader. */
function endAtOnce(name: NodeJS.Signals): void {
  runExitGuards();
  process.removeAllListeners(name);
  process.kill(process.pid, name);
}
