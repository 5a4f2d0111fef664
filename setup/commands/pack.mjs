// @ts-check
// npm run pack: the packages as they are published, as tarballs. `-- --native DIR` takes the native code of all
// platforms, as made by setup/pack/build-native.mjs, and builds none.
import { prepare, prepareTypeScript } from '../build/prepare.mjs';
import { parse } from '../lib/arguments.mjs';
import { main } from '../lib/main.mjs';
import { pack, packed } from '../pack/pack.mjs';

await main(async (args) => {
  const { values } = parse(
    { args, options: { native: { type: 'string' } } },
    'npm run pack -- [--native DIR]',
  );
  await (values.native === undefined ? prepare() : prepareTypeScript());
  for (const [name, tarball] of Object.entries(await pack(packed, values)))
    console.log(`${name}\t${tarball}`);
  return 0;
});
