// npm run build: all that tests and programs need.

import { UsageError } from './errors.mjs';
import { main } from './main.mjs';
import { prepare } from './prepare.mjs';

await main(async (args) => {
  if (args.length > 0) throw new UsageError(`build takes no arguments, and got ${args.join(' ')}`);
  await prepare();
  return 0;
});
