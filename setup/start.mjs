// npm start: the main job. Arguments after `--` go to `quiesce run`.
import { run } from './command.mjs';
import { main } from './main.mjs';
import { inRoot } from './paths.mjs';
import { prepare } from './prepare.mjs';
import { buildEtcdPython } from './steps/etcd-python.mjs';
import { createPythonEnvironments } from './steps/python.mjs';
import { findPythons } from './steps/pythons.mjs';
import { provideValkey } from './steps/valkey.mjs';

await main(async (args) => {
  await prepare();
  findPythons();
  await createPythonEnvironments();
  await buildEtcdPython();
  await provideValkey();
  const tester = inRoot('packages', 'quiesce', 'dist', 'src', 'cli.js');
  const plan = inRoot('scenarios', 'main.plan.ts');
  const { code } = await run([process.execPath, tester, 'run', '--plan', plan, ...args], { show: true });
  return code;
});
