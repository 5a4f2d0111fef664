// npm run sensitivity: the table of docs/sensitivity.md. Arguments after `--` go to `quiesce run`.

import { prepare } from '../build/prepare.mjs';
import { run } from '../lib/command.mjs';
import { main } from '../lib/main.mjs';
import { inRoot } from '../lib/paths.mjs';
import { createPythonEnvironments } from '../provide/python.mjs';

await main(async (args) => {
  await prepare();
  await createPythonEnvironments();
  const tester = inRoot('packages', 'quiesce', 'dist', 'src', 'cli.js');
  const plan = inRoot('scenarios', 'sensitivity.plan.ts');
  const { code } = await run([process.execPath, tester, 'run', '--plan', plan, ...args], { show: true });
  return code;
});
