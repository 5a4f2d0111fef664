// npm run cure: exits of addons before and after their cure; docs/cure.md. Arguments after `--` go to scenarios/cure.ts, but for
// `build`, which only builds the addons.
import { existsSync } from 'node:fs';
import { run } from './command.mjs';
import { main } from './main.mjs';
import { inRoot } from './paths.mjs';
import { prepare } from './prepare.mjs';
import { mustRun } from './step.mjs';
import { buildAddons } from './steps/addons.mjs';
import { findPythons } from './steps/pythons.mjs';
import { provideRuntimes } from './steps/runtimes.mjs';

await main(async (args) => {
  await prepare();
  await provideRuntimes();
  findPythons();
  await buildAddons();
  if (args.length === 1 && args[0] === 'build') return 0;
  const { code } = await run([process.execPath, inRoot('scenarios', 'dist', 'cure.js'), ...args], {
    show: true,
  });
  const document = inRoot('docs', 'cure.md');
  if (existsSync(document)) {
    const biome = inRoot('node_modules', '.bin', 'biome');
    await mustRun([biome, 'format', '--write', document]);
  }
  return code;
});
