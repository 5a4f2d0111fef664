import { inRoot } from '../paths.mjs';
import { mustRun, step } from '../step.mjs';

/** Type-checks and compiles all packages; tsc does its own check of what is up to date. */
export async function compileTypeScript() {
  await step('compile TypeScript', () => mustRun([inRoot('node_modules', '.bin', 'tsc'), '-b']));
}
