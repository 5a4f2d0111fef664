// @ts-check
// npm run build: everything that tests and programs need.

import { prepare } from '../build/prepare.mjs';
import { UsageError } from '../lib/errors.mjs';
import { main } from '../lib/main.mjs';

await main(async (args) => {
  if (args.length > 0) throw new UsageError(`build takes no arguments, and got ${args.join(' ')}`);
  await prepare();
  return 0;
});
