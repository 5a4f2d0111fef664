// @ts-check
// npm run soak: thousands of exits on all runtimes; docs/measurements/soak.md. Arguments after `--` go to scenarios/soak.ts.

import { prepare } from '../build/prepare.mjs';
import { show } from '../lib/command.mjs';
import { main } from '../lib/main.mjs';
import { inRoot } from '../lib/paths.mjs';
import { provideRuntimes } from '../provide/runtimes.mjs';

await main(async (args) => {
  await prepare();
  if (!args.includes('--help')) await provideRuntimes();
  return show([process.execPath, inRoot('scenarios', 'dist', 'soak.js'), ...args]);
});
