// @ts-check
import { run } from './command.mjs';
import { SetupError } from './errors.mjs';

const TAIL_LINES = 40;

/**
 * Prints one line about something that the reader should know and that doesn't stop the work.
 * @param {string} text
 */
export function notice(text) {
  console.log(`! ${text}`);
}

/** The title of the step whose line is not finished: the cursor is after it. */
let open = /** @type {string | undefined} */ (undefined);

/**
 * Does a piece of work with one line of progress: its title, then how long it took.
 * If several run at the same time, each gets its line when it ends.
 * @template T
 * @param {string} title
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function step(title, work) {
  if (open !== undefined) process.stdout.write('\n');
  process.stdout.write(`· ${title} … `);
  open = title;
  const start = performance.now();
  let end = 'failed';
  try {
    const result = await work();
    end = seconds(performance.now() - start);
    return result;
  } finally {
    if (open !== title) process.stdout.write(`${open === undefined ? '' : '\n'}· ${title} … `);
    process.stdout.write(`${end}\n`);
    open = undefined;
  }
}

/**
 * Milliseconds in a readable form.
 * @param {number} ms
 */
export const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/**
 * Runs a program that a step needs. Its output is shown only when it fails.
 * @param {readonly string[]} command
 * @param {{ cwd?: string, env?: Record<string, string | undefined>, hint?: string }} [options]
 * @returns {Promise<string>} its stdout
 */
export async function mustRun(command, { hint, ...options } = {}) {
  return stdoutOf(command, await run(command, options), hint);
}

/**
 * What a program printed, if it succeeded.
 * @param {readonly string[]} command
 * @param {import('./command.mjs').Ended} ended
 * @param {string} [hint]
 */
export function stdoutOf(command, { code, stdout, output }, hint) {
  if (code === 0) return stdout;
  throw new SetupError(`${command.join(' ')} failed with exit code ${code}`, { hint, output: tail(output) });
}

/**
 * The last lines of a text.
 * @param {string} text
 */
export function tail(text) {
  return text.trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
}
