import { checkFile } from '../runtimes/check.mjs';
import { provideRuntimes } from '../steps/runtimes.mjs';

/** Calls, streams, lifetimes, workers: quick ones. All is `npm run runtimes`. */
const FILES = ['kv', 'watch', 'native-lifetime', 'hosts'];

/** Those beside the one that runs everything else. */
const RUNTIMES = ['node22', 'node24', 'node26', 'bun', 'deno'];

/** @returns {Promise<import('./checks.mjs').Result>} */
export async function runOnRuntimes() {
  const binaries = await provideRuntimes();
  const total = { passed: 0, failed: 0, skipped: 0, output: '' };
  const queue = RUNTIMES.flatMap((runtime) => FILES.map((file) => ({ runtime, file })));
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { runtime, file } = next;
      const result = await checkFile(runtime, binaries[runtime], file, { nativeOnly: true });
      total.passed += result.passed;
      total.skipped += result.skipped.length;
      total.failed += result.problems.length;
      for (const problem of result.problems) total.output += `✖ ${runtime} ${file}: ${problem}\n`;
      if (result.output) total.output += result.output;
    }
  };
  // Two: most of a file's time is spent waiting.
  await Promise.all([work(), work()]);
  return total;
}
