// @ts-check
// npm run docs: the documentation site, into site/dist. `-- --serve` shows it on loopback.
import { buildSite, siteFolder } from '../build/site.mjs';
import { parse } from '../lib/arguments.mjs';
import { show } from '../lib/command.mjs';
import { main } from '../lib/main.mjs';
import { inRoot } from '../lib/paths.mjs';
import { installNodeModules } from '../provide/node-modules.mjs';

await main(async (args) => {
  const { values } = parse({ args, options: { serve: { type: 'boolean' } } }, 'npm run docs -- [--serve]');
  await installNodeModules();
  await buildSite();
  if (!values.serve) {
    console.log(siteFolder);
    return 0;
  }
  return await show([inRoot('site', 'node_modules', '.bin', 'vitepress'), 'preview', inRoot('site')]);
});
