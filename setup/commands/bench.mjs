// npm run bench: the client's benchmark. `-- tester` is that of the shutdown tester's overhead, `-- tester-soak` ten
// thousand of its runs. Further arguments go to the benchmark.

import { buildGoBenchmarks } from '../build/bench.mjs';
import { prepare } from '../build/prepare.mjs';
import { run } from '../lib/command.mjs';
import { main } from '../lib/main.mjs';
import { inRoot } from '../lib/paths.mjs';

const TESTER = { tester: 'overhead.js', 'tester-soak': 'soak.js' };

await main(async (args) => {
  await prepare();
  const program = TESTER[args[0]];
  if (program !== undefined) {
    const file = inRoot('packages', 'quiesce', 'dist', 'bench', program);
    return (await run([process.execPath, file, ...args.slice(1)], { show: true })).code;
  }
  await buildGoBenchmarks();
  const { code } = await run([process.execPath, inRoot('bench', 'dist', 'src', 'main.js'), ...args], {
    show: true,
  });
  return code;
});
