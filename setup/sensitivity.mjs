// npm run sensitivity: the table of docs/sensitivity.md. Arguments after `--` go to `quiesce run`.
import { run } from './command.mjs';
import { main } from './main.mjs';
import { inRoot } from './paths.mjs';
import { prepare } from './prepare.mjs';
import { createPythonEnvironments } from './steps/python.mjs';

await main(async (args) => {
  await prepare();
  await createPythonEnvironments();
  const tester = inRoot('packages', 'quiesce', 'dist', 'src', 'cli.js');
  const plan = inRoot('scenarios', 'sensitivity.plan.ts');
  const { code } = await run([process.execPath, tester, 'run', '--plan', plan, ...args], { show: true });
  return code;
});
