// @ts-check
// npm run pack: the packages as they are published, as tarballs. `-- --addons DIR` takes the addons of all platforms.
import { prepare } from '../build/prepare.mjs';
import { parse } from '../lib/arguments.mjs';
import { main } from '../lib/main.mjs';
import { pack, packed } from '../pack/pack.mjs';

await main(async (args) => {
  const { values } = parse(
    { args, options: { addons: { type: 'string' } } },
    'npm run pack -- [--addons DIR]',
  );
  await prepare();
  for (const [name, tarball] of Object.entries(await pack(packed, values)))
    console.log(`${name}\t${tarball}`);
  return 0;
});
