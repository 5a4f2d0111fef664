// @ts-check
// npm run bench: the client's benchmark. `-- tester` measures the shutdown tester's overhead, and `-- tester-soak` ten
// thousand of its runs. `-- beside REF` compares the working tree with a commit. Further arguments go to the benchmark.

import { buildClientOf, buildGoBenchmarks, installPackedClient } from '../build/bench.mjs';
import { prepare } from '../build/prepare.mjs';
import { show } from '../lib/command.mjs';
import { main } from '../lib/main.mjs';
import { inRoot } from '../lib/paths.mjs';

const MAIN = inRoot('bench', 'dist', 'src', 'main.js');
/** @type {Record<string, string>} */
const OF_TESTER = { tester: 'overhead.js', 'tester-soak': 'soak.js' };

await main(async (args) => {
  await prepare();
  const program = OF_TESTER[args[0] ?? ''];
  if (program !== undefined) {
    const file = inRoot('packages', 'quiesce', 'dist', 'bench', program);
    return show([process.execPath, file, ...args.slice(1)]);
  }
  if (args[0] === 'beside') {
    const given = args.slice(1);
    const ref = given[0]?.startsWith('-') === false ? given[0] : 'origin/main';
    const others = given[0] === ref ? given.slice(1) : given;
    if (others.includes('--help')) return show([process.execPath, MAIN, 'beside', '--help']);
    const other = await buildClientOf(ref);
    return show([process.execPath, MAIN, 'beside', '--other', other, ...others]);
  }
  if (args[0] !== 'checks') await buildGoBenchmarks();
  if (args[0] === 'cold-start' || args[0] === 'gate') await installPackedClient();
  return show([process.execPath, MAIN, ...args]);
});
