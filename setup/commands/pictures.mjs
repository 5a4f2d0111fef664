// @ts-check
// npm run pictures: the pictures of the READMEs (docs/pictures), from a run of the tester. Needs gdb and util-linux's script.
import { buildNativeLibraries } from '../build/native-libraries.mjs';
import { makePictures } from '../build/pictures.mjs';
import { compileTypeScript } from '../build/typescript.mjs';
import { main } from '../lib/main.mjs';
import { readProvided } from '../lib/provided.mjs';
import { provideChromium } from '../provide/chromium.mjs';
import { installNodeModules } from '../provide/node-modules.mjs';

await main(async () => {
  await installNodeModules();
  await buildNativeLibraries();
  await compileTypeScript();
  await provideChromium();
  await makePictures(readProvided().chromium);
  return 0;
});
