// npm run nemesis: faults, a workload and a judge; docs/reliability.md. Arguments after `--` go to scenarios/nemesis/main.ts;
// `--plant` also plants violations in what was recorded, each of which the judge has to find.
import { run } from './command.mjs';
import { main } from './main.mjs';
import { inCache, inRoot } from './paths.mjs';
import { prepare } from './prepare.mjs';
import { buildJudge, judge } from './steps/nemesis.mjs';

await main(async (args) => {
  await prepare();
  if (!(await buildJudge())) return 1;
  const plant = args.includes('--plant');
  const dir = inCache('nemesis', 'planted');
  const rest = plant ? [...args.filter((word) => word !== '--plant'), '--keep', dir] : args;
  const program = inRoot('scenarios', 'dist', 'nemesis', 'main.js');
  const { code } = await run([process.execPath, program, '--judge', judge, ...rest], { show: true });
  if (!plant || code !== 0) return code;
  return (
    await run(['go', 'test', '-count=1', '.'], {
      cwd: inRoot('scenarios', 'nemesis', 'judge'),
      env: { NEMESIS_HISTORY: dir },
      show: true,
    })
  ).code;
});
