// @ts-check
import { outputOf, run } from '../lib/command.mjs';
import { NATIVE_ONLY } from '../lib/native-only.mjs';
import { inRoot } from '../lib/paths.mjs';

const ERRORS_FOUND = 99;

export const hasValgrind = () => outputOf(['valgrind', '--version']) !== undefined;

/** What counts as an error: wrong reads and writes, uses of memory that was never set, and memory that is definitely lost. */
const OPTIONS = [
  '--leak-check=full',
  '--show-leak-kinds=definite',
  '--errors-for-leak-kinds=definite',
  '--num-callers=30',
  // Suppressions for the host, with their reasons.
  `--suppressions=${inRoot('setup', 'sanitizers', 'memcheck.supp')}`,
];

const environment = (/** @type {string[]} */ ...more) => ({ VALGRIND_OPTS: [...OPTIONS, ...more].join(' ') });

/**
 * For a program that starts valgrind itself, on programs that end with process.exit(). That frees none of the memory
 * that JavaScript objects hold, so lost memory is not reported.
 */
export const memcheckExitEnvironment = environment('--leak-check=no');

/**
 * Runs a Node program under valgrind's memcheck. Processes that it starts run without valgrind: their time limits don't
 * account for it.
 * @param {string[]} words module or script, and its arguments
 * @returns {Promise<import('./address.mjs').Checked>}
 */
export async function memcheck(words) {
  const { code, output } = await run(
    ['valgrind', '-q', `--error-exitcode=${ERRORS_FOUND}`, process.execPath, ...words],
    // The fallback's tests run only JavaScript of ours, and run about twenty times slower.
    { env: { ...environment(), ...NATIVE_ONLY } },
  );
  const lines = output.split('\n').filter((line) => /^==\d+==/.test(line));
  return { code, reports: lines.length > 0 || code === ERRORS_FOUND ? [lines.join('\n')] : [], output };
}
