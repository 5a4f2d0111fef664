// @ts-check
import { rmSync } from 'node:fs';
import { install, stateOf } from './cases.mjs';

/**
 * @typedef {import('./cases.mjs').Case} Case
 * @typedef {import('./cases.mjs').Control} Control
 */

/**
 * The result of running under the tester, up to the number of failures that is enough to judge by.
 * @typedef {object} Tested
 * @property {number} runs
 * @property {number} failed
 * @property {number | null} first the first run that failed
 * @property {string[]} kinds
 */

/**
 * @typedef {object} CaseResult
 * @property {string} state hash of the case's state
 * @property {string} host
 * @property {{ runs: number, failed: number }} truth without the tester
 * @property {Tested} plain
 * @property {Tested} amplified
 * @property {{ plain: Tested, amplified: Tested } | null} good the good version, if one is known
 */

/** @typedef {Omit<CaseResult, 'good'> & { all: Tested }} ControlResult */

/** Number of failures of one way after which more add nothing. */
const ENOUGH = 2;
/**
 * In CI it matters whether a case is found and named, not how often it fails. It isn't a number of runs: even a case
 * that all but always fails passes now and then.
 */
const BRIEFLY_ENOUGH = 1;
/** Runs of a good version, for each way. */
const GOOD_RUNS = 5;

/**
 * @param {Case} one
 * @param {number} runs for each way
 * @param {{ keep: boolean, brief: boolean }} how `keep`: the installation; `brief`: each way ends at its first failure,
 *   and a good version runs once for each way
 * @returns {Promise<CaseResult>}
 */
export async function tryCase(one, runs, { keep, brief }) {
  const enough = brief ? BRIEFLY_ENOUGH : ENOUGH;
  const goodRuns = brief ? 1 : Math.min(runs, GOOD_RUNS);
  return inPlace(one, one.bad, keep, async (at) => {
    const truth = await withoutTester(one, at, runs, brief ? enough : runs);
    const plain = await test(one, at, { runs, enough });
    const amplified = await test(one, at, { runs, enough, perturb: 'amplify' });
    const good =
      one.good === null
        ? null
        : await inPlace(one, one.good, keep, async (there) => ({
            plain: await test(one, there, { runs: goodRuns, enough }),
            amplified: await test(one, there, { runs: goodRuns, enough, perturb: 'amplify' }),
          }));
    return { state: stateOf(one), host: await hostOf(at.command), truth, plain, amplified, good };
  });
}

/**
 * @param {Control} one
 * @param {number} runs
 * @param {boolean} keep
 * @returns {Promise<ControlResult>}
 */
export async function tryControl(one, runs, keep) {
  return inPlace(one, one.version, keep, async (at) => ({
    state: stateOf(one),
    host: await hostOf(at.command),
    truth: await withoutTester(one, at, runs, runs),
    plain: await test(one, at, { runs, enough: ENOUGH }),
    amplified: await test(one, at, { runs, enough: ENOUGH, perturb: 'amplify' }),
    all: await test(one, at, { runs, enough: ENOUGH, perturb: 'all' }),
  }));
}

/**
 * @template T
 * @param {import('./cases.mjs').Subject} subject
 * @param {string | null} version
 * @param {boolean} keep
 * @param {(at: Place) => Promise<T>} work
 */
async function inPlace(subject, version, keep, work) {
  const at = await install(subject, version);
  try {
    return await work(at);
  } finally {
    if (!keep) rmSync(at.folder, { recursive: true, force: true });
  }
}

/** @typedef {{ folder: string, command: string[] }} Place */

/** @param {string[]} command */
async function hostOf([interpreter = '']) {
  const { outputOf } = await import('../lib/command.mjs');
  const said = outputOf([interpreter, '--version']) ?? '';
  return said.startsWith('v') ? `Node ${said.slice(1)}` : said;
}

/**
 * How many of these runs fail without the tester. As under it, each run has its own directory for temporary files.
 * @param {Pick<import('./cases.mjs').Subject, 'timeout'>} subject
 * @param {Place} at
 * @param {number} most runs
 * @param {number} enough failures
 */
export async function withoutTester({ timeout = '20s' }, { folder, command }, most, enough) {
  const { spawnGroup } = await import('../../packages/quiesce/dist/src/process/process-group.js');
  const { parseDuration } = await import('../../packages/quiesce/dist/src/duration.js');
  const { makeTemporaryDirectory } = await import(
    '../../packages/quiesce/dist/src/files/temporary-directory.js'
  );
  let [runs, failed] = [0, 0];
  for (; runs < most && failed < enough; runs++) {
    const own = makeTemporaryDirectory('quiesce-field');
    const env = { ...process.env, TMPDIR: own.path };
    const group = await spawnGroup(command, { cwd: folder, env, outputs: 0 });
    const limit = setTimeout(() => group.kill('SIGKILL'), parseDuration(timeout));
    const { code } = await group.exited;
    clearTimeout(limit);
    group.kill('SIGKILL');
    group.release();
    own.remove();
    if (code !== 0) failed++;
  }
  return { runs, failed };
}

/**
 * @param {import('./cases.mjs').Subject} subject
 * @param {Place} at
 * @param {{ runs: number, enough: number, perturb?: 'amplify' | 'all' }} how
 * @returns {Promise<Tested>}
 */
async function test({ timeout = '20s' }, { folder, command }, { runs, enough, perturb }) {
  const { run } = await import('../../packages/quiesce/dist/src/index.js');
  const result = await run({
    ...{ command, cwd: folder, runs, timeout, bail: enough },
    ...(perturb && { perturb, seed: 1 }),
  });
  return {
    runs: result.runs.length,
    failed: result.failed,
    first: result.runs.find(({ failed }) => failed)?.run ?? null,
    kinds: [...new Set(result.failures.map(({ kind }) => kind?.id ?? 'none'))],
  };
}
