// node program.mjs ADDON: leaves in the middle of an addon's calls, as people's programs do.
import { createRequire } from 'node:module';
import { join } from 'node:path';

const folder = process.env.ADDONS ?? join(import.meta.dirname, '..', '..', '..', '.cache', 'addons');
const addon = createRequire(import.meta.url)(join(folder, process.argv[2]));

for (let ms = 0; ms < 200; ms++) addon.sleep(ms);
await addon.soon(1);
process.exit();
