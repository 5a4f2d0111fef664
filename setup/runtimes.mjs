// npm run runtimes -- --install: Node 20 to 26, Bun and Deno, in the pinned versions.
import { main } from './main.mjs';
import { provideRuntimes } from './steps/runtimes.mjs';

await main(async () => {
  for (const [name, binary] of Object.entries(await provideRuntimes())) console.log(`${name}\t${binary}`);
  return 0;
});
