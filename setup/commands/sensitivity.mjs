// @ts-check
// npm run sensitivity: makes the table of docs/measurements/sensitivity.md. Arguments after `--` go to `quiesce run`.

import { prepare } from '../build/prepare.mjs';
import { show } from '../lib/command.mjs';
import { main } from '../lib/main.mjs';
import { inRoot, tester } from '../lib/paths.mjs';
import { createPythonEnvironments } from '../provide/python.mjs';

await main(async (args) => {
  await prepare();
  await createPythonEnvironments();
  const plan = inRoot('scenarios', 'sensitivity.plan.ts');
  return show([process.execPath, tester, 'run', '--plan', plan, ...args]);
});
