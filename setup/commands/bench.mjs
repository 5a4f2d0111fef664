// @ts-check
// npm run bench: the client's benchmark. `-- tester` is that of the shutdown tester's overhead, `-- tester-soak` ten
// thousand of its runs. Further arguments go to the benchmark.

import { buildGoBenchmarks, installPackedClient } from '../build/bench.mjs';
import { prepare } from '../build/prepare.mjs';
import { show } from '../lib/command.mjs';
import { main } from '../lib/main.mjs';
import { inRoot } from '../lib/paths.mjs';

/** @type {Record<string, string>} */
const OF_TESTER = { tester: 'overhead.js', 'tester-soak': 'soak.js' };

await main(async (args) => {
  await prepare();
  const program = OF_TESTER[args[0] ?? ''];
  if (program !== undefined) {
    const file = inRoot('packages', 'quiesce', 'dist', 'bench', program);
    return show([process.execPath, file, ...args.slice(1)]);
  }
  await buildGoBenchmarks();
  if (args[0] === 'cold-start') await installPackedClient();
  return show([process.execPath, inRoot('bench', 'dist', 'src', 'main.js'), ...args]);
});
