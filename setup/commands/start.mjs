// @ts-check
// npm start: the main job. Arguments after `--` go to `quiesce run`.

import { buildEtcdPython } from '../build/etcd-python.mjs';
import { prepare } from '../build/prepare.mjs';
import { show } from '../lib/command.mjs';
import { main } from '../lib/main.mjs';
import { inRoot, tester } from '../lib/paths.mjs';
import { createPythonEnvironments } from '../provide/python.mjs';
import { findPythons } from '../provide/pythons.mjs';
import { provideValkey } from '../provide/valkey.mjs';

await main(async (args) => {
  await prepare();
  findPythons();
  await createPythonEnvironments();
  await buildEtcdPython();
  await provideValkey();
  const plan = inRoot('scenarios', 'main.plan.ts');
  return show([process.execPath, tester, 'run', '--plan', plan, ...args]);
});
