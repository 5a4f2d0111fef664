// npm run soak: thousands of exits on all runtimes; docs/soak.md. Arguments after `--` go to scenarios/soak.ts.

import { prepare } from '../build/prepare.mjs';
import { run } from '../lib/command.mjs';
import { main } from '../lib/main.mjs';
import { inRoot } from '../lib/paths.mjs';
import { provideRuntimes } from '../provide/runtimes.mjs';

await main(async (args) => {
  await prepare();
  await provideRuntimes();
  const { code } = await run([process.execPath, inRoot('scenarios', 'dist', 'soak.js'), ...args], {
    show: true,
  });
  return code;
});
