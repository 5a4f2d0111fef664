// @ts-check
// Run by `npm version NUMBER --no-git-tag-version`, after that has written package.json: writes the version to all
// other places.
import { UsageError } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { mustRun } from '../lib/step.mjs';
import { version, writeVersion } from './published.mjs';

await main(async (args) => {
  if (args.length > 0) {
    throw new UsageError(
      'the version is in package.json',
      'npm version NUMBER --no-git-tag-version changes it',
    );
  }
  writeVersion(version());
  // The lock files contain it, too.
  await mustRun(['npm', 'install', '--package-lock-only', '--ignore-scripts', '--no-audit', '--no-fund']);
  await mustRun(['cargo', 'update', '--workspace', '--offline']);
  console.log(version());
  return 0;
});
