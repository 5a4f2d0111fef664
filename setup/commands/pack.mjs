// npm run pack: the packages as they are published, as tarballs. `-- --addons DIR` takes the addons of all platforms.
import { parseArgs } from 'node:util';
import { prepare } from '../build/prepare.mjs';
import { UsageError } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { pack, packed } from '../pack/pack.mjs';

await main(async (args) => {
  let addons;
  try {
    ({ addons } = parseArgs({ args, options: { addons: { type: 'string' } } }).values);
  } catch (error) {
    throw new UsageError(error.message.split('. ')[0], 'npm run pack -- [--addons DIR]');
  }
  await prepare();
  for (const [name, tarball] of Object.entries(await pack(packed, { addons })))
    console.log(`${name}\t${tarball}`);
  return 0;
});
