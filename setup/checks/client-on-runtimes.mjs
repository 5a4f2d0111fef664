// @ts-check
import { checkFile } from '../hosts/check.mjs';
import { testFilesOfClient } from '../hosts/test-files.mjs';
import { refuseUnknown } from '../lib/errors.mjs';
import { FILES_AT_ONCE, inTurns } from '../lib/turns.mjs';
import { provideRuntimes } from '../provide/runtimes.mjs';

/** @typedef {import('@quiesce/test-services').RuntimeName} RuntimeName */

/**
 * Quick tests, over the native transport alone, on the runtimes other than the one that runs everything. `npm run
 * runtimes` runs all tests.
 * @type {Partial<Record<RuntimeName, string[]>>}
 */
const FILES = {
  node22: ['kv', 'watch', 'native-lifetime'],
  node24: ['kv', 'watch', 'native-lifetime'],
  node26: ['kv', 'watch', 'native-lifetime', 'hosts'],
  bun: ['kv', 'watch', 'native-lifetime', 'hosts', 'exit-race'],
  deno: ['kv', 'watch', 'native-lifetime', 'hosts', 'exit-race'],
};

/** @returns {Promise<import('./checks.mjs').Result>} */
export async function runClientOnRuntimes() {
  const binaries = await provideRuntimes();
  const pairs = /** @type {[RuntimeName, string[]][]} */ (Object.entries(FILES)).flatMap(([runtime, files]) =>
    files.map((file) => ({ runtime, file })),
  );
  const files = pairs.map(({ file }) => file);
  refuseUnknown(files, testFilesOfClient(), (file) => `the client has no file of tests named '${file}'`);
  const total = { passed: 0, failed: 0, skipped: 0, output: '' };
  await inTurns(FILES_AT_ONCE, pairs, async ({ runtime, file }) => {
    const result = await checkFile(runtime, binaries[runtime], file, { nativeOnly: true });
    total.passed += result.passed;
    total.skipped += result.skipped.length;
    total.failed += result.problems.length;
    for (const problem of result.problems) total.output += `✖ ${runtime} ${file}: ${problem}\n`;
    total.output += result.output;
  });
  return total;
}
