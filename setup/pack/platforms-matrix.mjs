// @ts-check
// Prints the release workflow's matrix, as a step's output.
import { platforms } from './platforms.mjs';

const include = platforms.map(({ name, target, builds, tries, image = '' }) => {
  return { platform: name, target, builds, tries, image };
});
console.log(`platforms=${JSON.stringify({ include })}`);
