import { expect } from 'vitest';
import { type CleanExitOptions, checkCleanExit } from './expect-clean-exit.js';

declare module 'vitest' {
  // The name and the default of the parameter are vitest's.
  // biome-ignore lint/suspicious/noExplicitAny: declarations that are merged have the same parameters
  interface Matchers<T = any> {
    /**
     * The command (program and arguments, or one text) exits cleanly: see `expectCleanExit`. Await the assertion. With
     * `below: 0.01` it makes 299 runs, so give the test a timeout.
     */
    toExitCleanly(options?: CleanExitOptions): Promise<T>;
  }
}

expect.extend({
  async toExitCleanly(command: string | readonly string[], options?: CleanExitOptions) {
    const { ok, message } = await checkCleanExit(command, options);
    return { pass: ok, message: () => message };
  },
});
