import { checkFile } from '../hosts/check.mjs';
import { provideRuntimes } from '../provide/runtimes.mjs';

/** Quick ones, over the native transport alone, on those beside the one that runs everything. All is `npm run runtimes`. */
const FILES = {
  node22: ['kv', 'watch', 'native-lifetime'],
  node24: ['kv', 'watch', 'native-lifetime'],
  node26: ['kv', 'watch', 'native-lifetime', 'hosts'],
  bun: ['kv', 'watch', 'native-lifetime', 'hosts', 'exit-race'],
  deno: ['kv', 'watch', 'native-lifetime', 'hosts', 'exit-race'],
};

/** @returns {Promise<import('./checks.mjs').Result>} */
export async function runOnRuntimes() {
  const binaries = await provideRuntimes();
  const total = { passed: 0, failed: 0, skipped: 0, output: '' };
  const queue = Object.entries(FILES).flatMap(([runtime, files]) => files.map((file) => ({ runtime, file })));
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
