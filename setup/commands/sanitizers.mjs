// @ts-check
// npm run sanitizers: the client's native core under AddressSanitizer, LeakSanitizer, ThreadSanitizer and valgrind. `--
// valgrind` runs only that part. docs/measurements/sanitizers.md says what each can see.
import { availableParallelism } from 'node:os';
import { buildControls } from '../build/controls.mjs';
import { prepare } from '../build/prepare.mjs';
import { countCargoTests } from '../checks/count-cargo-tests.mjs';
import { testFilesOfClient } from '../hosts/test-files.mjs';
import { run } from '../lib/command.mjs';
import { Help, refuseUnknown, SetupError } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { inRoot, tester } from '../lib/paths.mjs';
import { mustRun, step, tail } from '../lib/step.mjs';
import {
  asanLibrary,
  buildWithAsan,
  cargoEnvironment,
  cargoFlags,
  underAsan,
} from '../sanitizers/address.mjs';
import { hasValgrind, memcheck, memcheckExitEnvironment } from '../sanitizers/memcheck.mjs';
import * as thread from '../sanitizers/thread.mjs';

const test = (/** @type {string} */ name) => inRoot('packages', 'etcd', 'dist', 'test', `${name}.test.js`);
const control = (/** @type {string} */ mode) => [inRoot('controls', 'control.cjs'), mode];

/** The client's test files that don't run the addon, or run it in processes without AddressSanitizer. */
const WITHOUT_ADDON = ['packaging', 'parity', 'framing'];

/** Files that run one by one under checks that slow a program down. Together they cover all of the addon. */
const COVERING = ['native-lifetime', 'transport', 'kv', 'watch', 'connect'];

/** The same without TLS: memcheck takes what ring's assembly has encrypted for bytes that were never set. */
const COVERING_WITHOUT_TLS = ['native-lifetime', 'kv', 'watch'];

/** @type {Record<string, () => Promise<void>>} */
const PARTS = {
  async asan() {
    needAsan();
    await step('build the addon with AddressSanitizer (minutes the first time)', buildWithAsan);
    await step('control: a use after free is found', async () => {
      const { reports } = await underAsan(control('use-after-free'));
      if (!reports.some((report) => report.includes('heap-use-after-free'))) throw blind('AddressSanitizer');
    });
    const files = testFilesOfClient().filter((name) => !WITHOUT_ADDON.includes(name));
    await sound(`${files.length} files of the client's tests with AddressSanitizer`, () =>
      underAsan([
        '--test',
        `--test-concurrency=${availableParallelism()}`,
        '--test-timeout=300000',
        ...files.map(test),
      ]),
    );
  },

  async leaks() {
    needAsan();
    await step('build the addon with AddressSanitizer (minutes the first time)', buildWithAsan);
    await step('control: lost memory is found', async () => {
      const { reports } = await underAsan(control('lose-memory'), { leaks: true });
      if (!reports.some((report) => /leak of 16000 byte/.test(report))) throw blind('LeakSanitizer');
    });
    for (const name of COVERING) {
      await sound(`${name}.test.js with LeakSanitizer`, () => underAsan([test(name)], { leaks: true }));
    }
  },

  rust: () => cratesTests('both', cargoFlags, cargoEnvironment),

  async tsan() {
    const source = await step("the standard library's source", thread.standardLibrarySource);
    const env = thread.cargoEnvironment(source);
    await step('control: a data race is found', async () => {
      const { output } = await run(['cargo', 'run', ...thread.cargoFlags, '-p', 'control-race'], { env });
      if (!output.includes('ThreadSanitizer: data race')) throw blind('ThreadSanitizer', output);
    });
    await cratesTests('ThreadSanitizer', thread.cargoFlags, env);
  },

  async valgrind() {
    needValgrind();
    await buildControls();
    for (const [mode, error] of Object.entries({
      'use-after-free': 'Invalid read',
      'lose-memory': 'definitely lost',
    })) {
      await step(`control: ${mode} is found`, async () => {
        const { reports } = await memcheck(control(mode));
        if (!reports.some((report) => report.includes(error))) throw blind('valgrind');
      });
    }
    for (const name of COVERING_WITHOUT_TLS) {
      await sound(`${name}.test.js under valgrind`, () => memcheck([test(name)]));
    }
    await exitsUnderValgrind(['0 *', '1 active watch', '2 *', '3 *', '4 *', '5 *', '7 *']);
  },

  /** A part for which CI has time. */
  async slice() {
    needValgrind();
    await exitsUnderValgrind(['7 mixed']);
  },
};

/**
 * Runs the main job's programs, which leave without closing anything, once each.
 * @param {string[]} patterns
 */
async function exitsUnderValgrind(patterns) {
  const plan = [
    '--plan',
    inRoot('scenarios', 'main.plan.ts'),
    ...patterns.flatMap((name) => ['--only', name]),
  ];
  await step(`scenarios ${patterns.join(', ')} under valgrind`, () =>
    mustRun([process.execPath, tester, 'run', ...plan, '--valgrind', '-n', '1'], {
      env: memcheckExitEnvironment,
    }),
  );
}

/**
 * @param {string} sanitizers
 * @param {string[]} flags
 * @param {Record<string, string>} env
 */
async function cratesTests(sanitizers, flags, env) {
  const title = `the crates' own tests with ${sanitizers} (minutes the first time)`;
  const { code, output } = await step(title, () =>
    run(['cargo', 'test', ...flags, '-p', 'etcd-transport', '-p', 'owned-runtime', '--tests'], { env }),
  );
  const { passed, failed } = countCargoTests(output, code);
  if (failed > 0) throw new SetupError(`${failed} of cargo's tests failed`, { output: tail(output) });
  console.log(`  ${passed} passed`);
}

/**
 * Fails when a program fails, or when there is a report.
 * @param {string} title
 * @param {() => Promise<import('../sanitizers/address.mjs').Checked>} check
 */
async function sound(title, check) {
  const { code, reports, output } = await step(title, check);
  if (reports.length > 0) {
    throw new SetupError(`${title}: ${reports.length} reports`, { output: reports.join('\n\n') });
  }
  if (code !== 0) throw new SetupError(`${title}: failed`, { output: failuresIn(output) ?? tail(output) });
}

/**
 * The tests that failed, with node:test's description of each.
 * @param {string} output
 */
function failuresIn(output) {
  const lines = output.split('\n');
  const failures = lines.flatMap((line, at) => (/^\s*not ok /.test(line) ? lines.slice(at, at + 14) : []));
  return failures.length > 0 ? failures.join('\n') : undefined;
}

function needAsan() {
  if (asanLibrary() !== undefined) return;
  throw new SetupError("AddressSanitizer's library is missing", {
    hint: 'install gcc, which brings it, on Linux',
  });
}

function needValgrind() {
  if (hasValgrind()) return;
  throw new SetupError('valgrind is missing', {
    hint: 'install it, for example by apt-get install valgrind',
  });
}

/**
 * @param {string} tool
 * @param {string} [output]
 */
const blind = (tool, output) =>
  new SetupError(
    `${tool} finds nothing in a program that is known to be bad`,
    output === undefined ? {} : { output: tail(output) },
  );

await main(async (args) => {
  const hint = `npm run sanitizers -- [${Object.keys(PARTS).join(' ')}]`;
  if (args.includes('--help')) throw new Help(hint);
  refuseUnknown(args, Object.keys(PARTS), (part) => `there is no part named '${part}'`, hint);
  const listed = [...WITHOUT_ADDON, ...COVERING, ...COVERING_WITHOUT_TLS];
  refuseUnknown(
    listed,
    testFilesOfClient(),
    (name) => `setup/commands/sanitizers.mjs lists ${name}.test.ts, which isn't there`,
  );
  await prepare();
  for (const part of args.length > 0 ? args : ['asan', 'leaks', 'rust', 'valgrind']) await PARTS[part]?.();
  return 0;
});
