// @ts-check
// npm run release: makes everything that a release publishes, into .cache/release. `-- --native DIR` takes the native
// code of all platforms, as made by setup/pack/build-native.mjs. `-- --dry-run` uses only this machine's native code,
// and tries every step up to publishing.
import { prepare, prepareTypeScript } from '../build/prepare.mjs';
import { buildSite } from '../build/site.mjs';
import { parse } from '../lib/arguments.mjs';
import { UsageError } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { checkRelease, makeRelease, tryPublishing } from '../release/release.mjs';

const HINT =
  'npm run release -- --dry-run [--native DIR] [--without-site], or npm run release -- --native DIR';

await main(async (args) => {
  const { values } = parse(
    {
      args,
      options: {
        'dry-run': { type: 'boolean', default: false },
        'without-site': { type: 'boolean', default: false },
        native: { type: 'string' },
      },
    },
    HINT,
  );
  const { 'dry-run': dryRun, 'without-site': withoutSite, native } = values;
  if (!dryRun && native === undefined) {
    throw new UsageError('a release has the native code of all platforms', HINT);
  }
  checkRelease({ dryRun });
  await (native === undefined ? prepare() : prepareTypeScript());
  const made = await makeRelease({ dryRun, native });
  if (!dryRun) return 0;
  if (!withoutSite) await buildSite();
  await tryPublishing(made, { withoutSite, native });
  return 0;
});
