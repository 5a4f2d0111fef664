import { constants } from 'node:os';

/** What a command knows about Ctrl-C and similar signals. */
export interface Interruption {
  /** Aborted at the first such signal; a second one ends the process at once. */
  readonly signal: AbortSignal;
  /** The exit code that the signal asks for; `undefined` if there was none. */
  readonly exitCode: number | undefined;
}

/** Listens to SIGINT, SIGTERM and SIGHUP from here on, for a command that ends properly. */
export function onInterruption(): Interruption {
  const stop = new AbortController();
  let exitCode: number | undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const code = 128 + constants.signals[signal];
    process.on(signal, () => {
      if (exitCode !== undefined) process.exit(code);
      exitCode = code;
      stop.abort(new Error(`interrupted by ${signal}`));
    });
  }
  return {
    signal: stop.signal,
    get exitCode() {
      return exitCode;
    },
  };
}
