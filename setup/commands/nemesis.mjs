// @ts-check
// npm run nemesis: faults, a workload and a judge; docs/measurements/reliability.md. Arguments after `--` go to
// scenarios/nemesis/main.ts. `--plant` also plants violations in the recorded history, and the judge must find each.
// `--without CURE` first takes a cure out of a copy of the client, and succeeds if the judge finds the resulting fault;
// `--without each` does that for every cure.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildJudge, judge } from '../build/nemesis.mjs';
import { prepare } from '../build/prepare.mjs';
import { buildWithout, cures } from '../build/without.mjs';
import { run, show } from '../lib/command.mjs';
import { UsageError } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { inCache, inRoot } from '../lib/paths.mjs';

await main(async (args) => {
  await prepare();
  if (!(await buildJudge())) return 1;
  const at = args.indexOf('--without');
  if (at >= 0) return without(args[at + 1], args.toSpliced(at, 2));
  const plant = args.includes('--plant');
  const dir = inCache('nemesis', 'planted');
  const rest = plant ? [...args.filter((word) => word !== '--plant'), '--keep', dir] : args;
  const program = inRoot('scenarios', 'dist', 'nemesis', 'main.js');
  const code = await show([process.execPath, program, '--judge', judge, ...rest]);
  if (!plant || code !== 0) return code;
  return (
    await run(['go', 'test', '-count=1', '.'], {
      cwd: inRoot('scenarios', 'nemesis', 'judge'),
      env: { NEMESIS_HISTORY: dir },
      show: true,
    })
  ).code;
});

/**
 * Runs the nemesis without one cure, or without each in turn, with the cure's own arguments and these.
 * @param {string | undefined} name
 * @param {string[]} args
 */
async function without(name, args) {
  const all = cures();
  const chosen = name === 'each' ? all : all.filter((cure) => cure.name === name);
  if (chosen.length === 0) {
    const names = ['each', ...all.map((cure) => cure.name)].join(', ');
    throw new UsageError(
      `there is no cure named '${name ?? ''}'`,
      `npm run nemesis -- --without CURE: ${names}`,
    );
  }
  let missed = 0;
  for (const cure of chosen) {
    const { dir, program } = await buildWithout(cure);
    const words = [...cure.args, ...args];
    const { output } = await run([
      process.execPath,
      program,
      '--judge',
      judge,
      '--keep',
      join(dir, 'history'),
      ...words,
    ]);
    const violations = output.split('\n').filter((line) => line.startsWith('VIOLATION '));
    const of = violations.filter((line) => line.startsWith(`VIOLATION ${cure.check}: `));
    rmSync(dir, { recursive: true, force: true });
    if (of.length === 0) missed += 1;
    console.log(`${of.length > 0 ? 'found' : 'MISSED'} ${cure.name} (${words.join(' ')})`);
    for (const line of (of.length > 0 ? of : violations).slice(0, 8)) console.log(`  ${line}`);
    if (!/^\d+ violations$/m.test(output)) console.log(output);
  }
  return missed === 0 ? 0 : 1;
}
