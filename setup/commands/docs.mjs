// @ts-check
// npm run docs: the documentation site, into site/dist. `-- --serve` serves it on loopback. `-- --pictures` makes the
// pictures of the READMEs instead (docs/pictures), from a run of the tester; that needs gdb and util-linux's script.
import { buildNativeLibraries } from '../build/native-libraries.mjs';
import { makePictures } from '../build/pictures.mjs';
import { buildSite, siteFolder } from '../build/site.mjs';
import { compileTypeScript } from '../build/typescript.mjs';
import { parse } from '../lib/arguments.mjs';
import { show } from '../lib/command.mjs';
import { main } from '../lib/main.mjs';
import { inRoot } from '../lib/paths.mjs';
import { readProvided } from '../lib/provided.mjs';
import { provideChromium } from '../provide/chromium.mjs';
import { installNodeModules } from '../provide/node-modules.mjs';

await main(async (args) => {
  const options = /** @type {const} */ ({ serve: { type: 'boolean' }, pictures: { type: 'boolean' } });
  const { values } = parse({ args, options }, 'npm run docs -- [--serve | --pictures]');
  await installNodeModules();
  if (values.pictures) {
    await buildNativeLibraries();
    await compileTypeScript();
    await provideChromium();
    await makePictures(readProvided().chromium);
    return 0;
  }
  await buildSite();
  if (values.serve)
    return await show([inRoot('site', 'node_modules', '.bin', 'vitepress'), 'preview', inRoot('site')]);
  console.log(siteFolder);
  return 0;
});
