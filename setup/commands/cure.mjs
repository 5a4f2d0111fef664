// @ts-check
// npm run cure: exits of addons before and after their cure; docs/measurements/cure.md. Arguments after `--` go to
// scenarios/cure.ts, except for `build`, which only builds the addons, without optimization.
import { existsSync } from 'node:fs';
import { buildAddons } from '../build/addons.mjs';
import { prepare } from '../build/prepare.mjs';
import { show } from '../lib/command.mjs';
import { main } from '../lib/main.mjs';
import { inRoot } from '../lib/paths.mjs';
import { mustRun } from '../lib/step.mjs';
import { findPythons } from '../provide/pythons.mjs';
import { provideRuntimes } from '../provide/runtimes.mjs';

await main(async (args) => {
  await prepare();
  const program = [process.execPath, inRoot('scenarios', 'dist', 'cure.js'), ...args];
  if (args.includes('--help')) return show(program);
  await provideRuntimes();
  findPythons();
  const onlyBuild = args.length === 1 && args[0] === 'build';
  await buildAddons({ release: !onlyBuild });
  if (onlyBuild) return 0;
  const code = await show(program);
  const document = inRoot('docs', 'measurements', 'cure.md');
  if (existsSync(document)) {
    const biome = inRoot('node_modules', '.bin', 'biome');
    await mustRun([biome, 'format', '--write', document]);
  }
  return code;
});
