// @ts-check
import { inRoot } from '../lib/paths.mjs';
import { mustRun, step } from '../lib/step.mjs';

/** Type-checks and compiles all packages. tsc itself checks what is up to date. */
export async function compileTypeScript() {
  await step('compile TypeScript', () => mustRun([inRoot('node_modules', '.bin', 'tsc'), '-b']));
}
