// npm run nemesis: faults, a workload and a judge; docs/reliability.md. Arguments after `--` go to scenarios/nemesis/main.ts.
import { run } from './command.mjs';
import { main } from './main.mjs';
import { inRoot } from './paths.mjs';
import { prepare } from './prepare.mjs';
import { buildJudge, judge } from './steps/nemesis.mjs';

await main(async (args) => {
  await prepare();
  if (!(await buildJudge())) return 1;
  const program = inRoot('scenarios', 'dist', 'nemesis', 'main.js');
  const { code } = await run([process.execPath, program, '--judge', judge, ...args], { show: true });
  return code;
});
