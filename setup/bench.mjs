// npm run bench: the benchmark. Arguments after `--` go to it.
import { run } from './command.mjs';
import { main } from './main.mjs';
import { inRoot } from './paths.mjs';
import { prepare } from './prepare.mjs';
import { buildGoBenchmark } from './steps/bench.mjs';

await main(async (args) => {
  await prepare();
  await buildGoBenchmark();
  const { code } = await run([process.execPath, inRoot('bench', 'dist', 'src', 'main.js'), ...args], {
    show: true,
  });
  return code;
});
