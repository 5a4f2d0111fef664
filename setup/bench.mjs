// npm run bench: the client's benchmark. `-- tester` is that of the shutdown tester's overhead, `-- tester-soak` ten
// thousand of its runs. Further arguments go to the benchmark.
import { run } from './command.mjs';
import { main } from './main.mjs';
import { inRoot } from './paths.mjs';
import { prepare } from './prepare.mjs';
import { buildGoBenchmarks } from './steps/bench.mjs';

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
