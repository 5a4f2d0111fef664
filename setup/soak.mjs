// npm run soak: thousands of exits on all runtimes; docs/soak.md. Arguments after `--` go to scenarios/soak.ts.
import { run } from './command.mjs';
import { main } from './main.mjs';
import { inRoot } from './paths.mjs';
import { prepare } from './prepare.mjs';
import { provideRuntimes } from './steps/runtimes.mjs';

await main(async (args) => {
  await prepare();
  await provideRuntimes();
  const { code } = await run([process.execPath, inRoot('scenarios', 'dist', 'soak.js'), ...args], {
    show: true,
  });
  return code;
});
