// npm run runtimes: the client's tests on Node 20 to 26, Bun and Deno. `-- --on bun,deno` chooses runtimes, further arguments
// files of packages/etcd/test: `npm run runtimes -- --on deno kv watch`. `-- --install` only installs the runtimes.
import { readdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { buildEtcdPrograms } from '../build/etcd-programs.mjs';
import { prepare } from '../build/prepare.mjs';
import { UsageError } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { inRoot } from '../lib/paths.mjs';
import { seconds } from '../lib/step.mjs';
import { provideRuntimes } from '../provide/runtimes.mjs';

/** Is about packages, not about hosts. */
const NOT_HERE = ['packaging'];

const HINT = 'npm run runtimes -- [--install] [--on node20,node22,node24,node26,bun,deno] [test file …]';

await main(async (args) => {
  const { install, on, files } = parse(args);
  const binaries = await provideRuntimes();
  const unknown = on?.find((name) => !(name in binaries));
  if (unknown !== undefined) throw new UsageError(`there is no runtime named '${unknown}'`, HINT);
  if (install) {
    for (const [name, binary] of Object.entries(binaries)) console.log(`${name}\t${binary}`);
    return 0;
  }
  await prepare();
  await buildEtcdPrograms();
  // Later than what installs the packages that it needs.
  const { checkFile } = await import('../hosts/check.mjs');
  const total = { passed: 0, excepted: 0, failed: 0, skipped: 0 };
  for (const runtime of on ?? Object.keys(binaries)) {
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
    for (const count of Object.keys(total)) total[count] += sum[count];
  }
  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 ? 0 : 1;
});

function parse(args) {
  let parsed;
  try {
    parsed = parseArgs({
      args,
      options: { install: { type: 'boolean', default: false }, on: { type: 'string' } },
      allowPositionals: true,
    });
  } catch (error) {
    throw new UsageError(error.message.split('. ')[0], HINT);
  }
  const all = readdirSync(inRoot('packages', 'etcd', 'test'))
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => name.replace('.test.ts', ''))
    .filter((name) => !NOT_HERE.includes(name));
  const named = parsed.positionals;
  const unknown = named.find((name) => !all.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`there is no file of tests named '${unknown}' for the client`, HINT);
  }
  return {
    install: parsed.values.install,
    on: parsed.values.on?.split(','),
    files: named.length > 0 ? named : all,
  };
}
