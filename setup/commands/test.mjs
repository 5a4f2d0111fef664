// @ts-check
// npm test: all checks and tests. `npm test -- --only node,rust` runs some groups. Further arguments are parts of paths
// of Node test files: `npm test -- --only node proxy`.
//
// If there are both patient checks and others, the patient ones run in a separate process at the lowest priority. The
// output of that process comes at the end.
import { prepare } from '../build/prepare.mjs';
import { checks } from '../checks/checks.mjs';
import { provideNodeTests } from '../checks/node-tests.mjs';
import { parse } from '../lib/arguments.mjs';
import { run } from '../lib/command.mjs';
import { refuseUnknown } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { inRoot } from '../lib/paths.mjs';
import { seconds, tail } from '../lib/step.mjs';

await main(async (args) => {
  const known = [...new Set(checks([]).map(({ group }) => group))];
  const hint = `npm test -- [--only ${known.join(',')}] [part of a test file's path …]`;
  const { values, positionals } = parse(
    {
      args,
      options: { only: { type: 'string' }, patient: { type: 'boolean', default: false } },
      allowPositionals: true,
    },
    hint,
  );
  const groups = values.only?.split(',') ?? known;
  refuseUnknown(groups, known, (group) => `there is no group of checks named '${group}'`, hint);
  await prepare();
  // Before the patient checks, which use the same cargo folders and would make the others wait.
  if (groups.includes('node') && !values.patient) await provideNodeTests(positionals);
  const chosen = checks(positionals).filter(({ group }) => groups.includes(group));
  const patient = chosen.filter((check) => check.patient);
  const others = chosen.filter((check) => !check.patient);
  if (values.patient) return sumUp([await reports(patient)]);
  if (patient.length === 0 || others.length === 0) return sumUp([await reports(chosen)]);
  const beside = runBeside(groups);
  return sumUp([await reports(others), await showBeside(beside)]);
});

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

/**
 * Runs the patient checks of these groups in a separate process.
 * @param {string[]} groups
 */
function runBeside(groups) {
  const nice = process.platform === 'win32' ? [] : ['nice', '-n', '19'];
  return run([
    ...nice,
    process.execPath,
    inRoot('setup', 'commands', 'test.mjs'),
    '--patient',
    '--only',
    groups.join(),
  ]);
}

/**
 * @param {ReturnType<typeof runBeside>} ending
 * @returns {Promise<Counts>}
 */
async function showBeside(ending) {
  const { output } = await ending;
  const [summary = '', skipped = 0, passed = 0, failed = 1] =
    /\n(?:\n(\d+) skipped\n)?\n(\d+) passed, (\d+) failed\n$/.exec(output) ?? [];
  console.log(
    `\n▶▶ ran beside these, with the processor time that they left\n${output.slice(0, -summary.length || undefined)}`,
  );
  return { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) };
}

/**
 * @param {readonly Counts[]} parts
 * @returns {number} the exit code
 */
function sumUp(parts) {
  const total = (/** @type {keyof Counts} */ name) => parts.reduce((sum, part) => sum + part[name], 0);
  if (total('skipped') > 0) console.log(`\n${total('skipped')} skipped`);
  console.log(`\n${total('passed')} passed, ${total('failed')} failed`);
  return total('failed') === 0 ? 0 : 1;
}

/**
 * @param {readonly import('../checks/checks.mjs').Check[]} checks
 * @returns {Promise<Counts>}
 */
async function reports(checks) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const check of checks) {
    const { passed = 0, failed = 0, skipped = 0 } = await report(check);
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  }
  return total;
}

/** @param {import('../checks/checks.mjs').Check} check */
async function report({ title, run }) {
  console.log(`\n▶ ${title}`);
  const start = performance.now();
  const result = await run();
  const { passed = 0, failed = 0, skipped = 0, output, skipReason } = result;
  if (failed > 0 && output) console.log(tail(output));
  const counts = Object.entries({ passed, failed, skipped }).filter(([, n]) => n > 0);
  const summary = skipReason ?? counts.map(([name, n]) => `${n} ${name}`).join(', ');
  console.log(`${failed > 0 ? '✖' : '✔'} ${title}: ${summary} (${seconds(performance.now() - start)})`);
  return result;
}
