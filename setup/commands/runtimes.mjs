// @ts-check
// npm run runtimes: the client's tests on Node 20 to 26, Bun and Deno. `-- --on bun,deno` chooses runtimes. Further
// arguments choose files of packages/etcd/test: `npm run runtimes -- --on deno kv watch`. `-- --install` only installs
// the runtimes.
import { buildEtcdPrograms } from '../build/etcd-programs.mjs';
import { prepare } from '../build/prepare.mjs';
import { testFilesOfClient } from '../hosts/test-files.mjs';
import { parse } from '../lib/arguments.mjs';
import { refuseUnknown } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { seconds } from '../lib/step.mjs';
import { provideRuntimes } from '../provide/runtimes.mjs';

/** @typedef {import('@quiesce/test-services').RuntimeName} RuntimeName */

/** Tests of packages and of another client, not of runtimes. */
const NOT_HERE = ['packaging', 'etcd3'];

const HINT = 'npm run runtimes -- [--install] [--on node20,node22,node24,node26,bun,deno] [test file …]';

await main(async (args) => {
  const { values, positionals } = parse(
    {
      args,
      options: { install: { type: 'boolean', default: false }, on: { type: 'string' } },
      allowPositionals: true,
    },
    HINT,
  );
  const binaries = await provideRuntimes();
  const runtimes = /** @type {RuntimeName[]} */ (values.on?.split(',') ?? Object.keys(binaries));
  refuseUnknown(runtimes, Object.keys(binaries), (name) => `there is no runtime named '${name}'`, HINT);
  if (values.install) {
    for (const [name, binary] of Object.entries(binaries)) console.log(`${name}\t${binary}`);
    return 0;
  }
  await prepare();
  await buildEtcdPrograms();
  // Loaded late, after the packages that it needs have been installed.
  const { checkFile } = await import('../hosts/check.mjs');
  const known = testFilesOfClient();
  refuseUnknown(NOT_HERE, known, (name) => `there is no file of tests named '${name}' to leave out`);
  refuseUnknown(
    positionals,
    known,
    (name) => `there is no file of tests named '${name}' for the client`,
    HINT,
  );
  const files = positionals.length > 0 ? positionals : known.filter((name) => !NOT_HERE.includes(name));
  const total = { passed: 0, failed: 0 };
  for (const runtime of runtimes) {
    const sum = { passed: 0, excepted: 0, failed: 0, skipped: 0 };
    const start = performance.now();
    for (const file of files) {
      const result = await checkFile(runtime, binaries[runtime], file);
      sum.passed += result.passed;
      sum.excepted += result.excepted;
      sum.skipped += result.skipped.length;
      sum.failed += result.problems.length;
      for (const name of result.skipped) console.log(`  ${runtime} ${file}: skipped: ${name}`);
      for (const problem of result.problems) console.log(`✖ ${runtime} ${file}: ${problem}`);
      if (result.output) console.log(result.output.split('\n').slice(-60).join('\n'));
    }
    const { passed, excepted, failed, skipped } = sum;
    console.log(
      `${failed > 0 ? '✖' : '✔'} ${runtime}: ${passed} passed, ${excepted} fail as documented, ${failed} failed, ` +
        `${skipped} skipped (${seconds(performance.now() - start)})`,
    );
    total.passed += passed;
    total.failed += failed;
  }
  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 ? 0 : 1;
});
