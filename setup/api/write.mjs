// @ts-check
// npm run api: rewrites the reports of the public API (packages/*/api), from the compiled types.

import { prepare } from '../build/prepare.mjs';
import { UsageError } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';
import { writeReports } from './reports.mjs';

await main(async (args) => {
  if (args.length > 0) throw new UsageError(`api takes no arguments, and got ${args.join(' ')}`);
  await prepare();
  for (const path of writeReports()) console.log(path);
  return 0;
});
