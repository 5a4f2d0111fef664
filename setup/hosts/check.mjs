// @ts-check
import { NATIVE_ONLY } from '../lib/native-only.mjs';
import { exceptions } from './exceptions.mjs';
import { hasBug, runFile } from './run-file.mjs';

/**
 * @typedef {import('@quiesce/test-services').RuntimeName} RuntimeName
 * @typedef {import('./exceptions.mjs').Exception} Exception
 */

/**
 * The result of a file's tests.
 * @typedef {object} Judged
 * @property {number} passed
 * @property {number} excepted tests that fail as exceptions.mjs says they do
 * @property {string[]} skipped
 * @property {string[]} problems everything else that isn't as it should be, one text each
 * @property {string} output of the file, if a test failed
 */

/**
 * Runs a file on a runtime and compares the result with what is known about that runtime.
 * @param {RuntimeName} runtime
 * @param {string} binary
 * @param {string} file
 * @param {{ nativeOnly?: boolean }} [options] `nativeOnly`: leaves out the tests over the fallback
 * @returns {Promise<Judged>}
 */
export async function checkFile(runtime, binary, file, { nativeOnly = false } = {}) {
  const known = exceptions.filter((exception) => exception.file === file && exception.on.includes(runtime));
  const mayCrash = !nativeOnly && known.some((exception) => exception.mayCrash);
  const first = await runFile(runtime, binary, file, nativeOnly ? NATIVE_ONLY : {});
  const problems = [];
  for (const { reproduction } of known) {
    if (reproduction !== undefined && !(await hasBug(runtime, binary, reproduction))) {
      problems.push(`scenarios/host-bugs/${reproduction.join(' ')} succeeds: is the row still true?`);
    }
  }
  // A crash is a race, so only the reproduction shows whether the row is still true.
  const crashed = mayCrash && first.crashed;
  const result = crashed ? await runFile(runtime, binary, file, NATIVE_ONLY) : first;
  if (result.crashed) problems.push(`its process failed: ${result.output.split('\n').slice(-15).join('\n')}`);
  const tests =
    nativeOnly || crashed ? result.tests.filter(({ name }) => !name.includes(', grpc-js')) : result.tests;
  return judge({ tests, output: result.output }, known, problems, crashed);
}

/**
 * Checks whether exactly the tests failed that are known to fail.
 * @param {{ tests: import('./run-file.mjs').TestOutcome[], output?: string }} result
 * @param {readonly Exception[]} known
 * @param {string[]} [problems]
 * @param {boolean} [crashed]
 * @returns {Judged}
 */
export function judge({ tests, output = '' }, known, problems = [], crashed = false) {
  const ends = known.flatMap((exception) => exception.tests ?? []);
  const excepted = (/** @type {string} */ name) => ends.some((end) => name.endsWith(end));
  /** @type {Judged} */
  const count = { passed: 0, excepted: crashed ? 1 : 0, skipped: [], problems, output: '' };
  for (const { name, outcome } of tests) {
    if (outcome === 'skipped') count.skipped.push(name);
    else if (outcome === 'failed' && excepted(name)) count.excepted++;
    else if (outcome === 'failed') count.problems.push(`${name}: failed`);
    else if (excepted(name)) {
      count.problems.push(`${name}: passes, so take it out of setup/hosts/exceptions.mjs`);
    } else count.passed++;
  }
  for (const end of ends) {
    if (!tests.some(({ name }) => name.endsWith(end))) count.problems.push(`there is no test '${end}'`);
  }
  if (count.problems.some((problem) => problem.endsWith(': failed'))) count.output = output;
  return count;
}
