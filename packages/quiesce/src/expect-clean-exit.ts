import { AssertionError } from 'node:assert';
import { definedOnly } from './defined.js';
import { splitCommand } from './plan/command-line.js';
import { rate } from './plan/fields.js';
import type { ScenarioDefaults } from './plan/options.js';
import { scenarioText } from './report/terminal.js';
import type { ScenarioResult } from './results/result.js';
import { checkCall } from './session/options.js';
import { run, type SessionOptions } from './session/session.js';
import type { Rate } from './statistics/rate-goal.js';

/** How certain a clean exit has to be, and how the program is run. */
export interface CleanExitOptions
  extends Omit<ScenarioDefaults, 'until' | 'uses'>,
    Pick<SessionOptions, 'signal' | 'onProgress'> {
  /**
   * Shows that the failure rate is below this value, such as 0.01 or `"1%"`, at `confidence` (default 95 %). It makes
   * as many runs as that needs. Without it, `runs` (default 20) runs must end as expected.
   */
  readonly below?: Rate;
}

/**
 * Runs a program many times. Returns the result if it exits cleanly, and otherwise rejects. Use it in `node:test` or
 * any other test runner. With `below: 0.01` it makes 299 runs: raise the test runner's timeout if necessary.
 * @param command program and arguments, or one string that is split as a shell would split it, but without a shell.
 * @throws AssertionError, whose message has the counts, the bound and the first failure's output, when it doesn't
 * exit cleanly; the signal's reason when aborted; UsageError when the options are wrong or the command can't be run;
 * EnvironmentError when the system can't start a process.
 */
export async function expectCleanExit(
  command: string | readonly string[],
  options: CleanExitOptions = {},
): Promise<ScenarioResult> {
  const { ok, message, result } = await checkCleanExit(command, options);
  if (ok) return result;
  throw new AssertionError({
    message,
    actual: `${result.failed} of ${result.runs.length} runs failed`,
    expected: 'a clean exit',
    operator: 'expectCleanExit',
    stackStartFn: expectCleanExit,
  });
}

/** `expectCleanExit` for a matcher: returns the error instead of throwing it. */
export async function checkCleanExit(
  command: string | readonly string[],
  options: CleanExitOptions = {},
): Promise<{ ok: boolean; message: string; result: ScenarioResult }> {
  checkCall(options, "expectCleanExit's options", { below: rate }, 'elsewhere');
  const { below, ...spec } = options;
  const words = typeof command === 'string' ? splitCommand(command) : command;
  const result = await run({ ...spec, ...definedOnly({ until: below }), command: words });
  options.signal?.throwIfAborted();
  return { ok: result.ok, message: scenarioText(result), result };
}
