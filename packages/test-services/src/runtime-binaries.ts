import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findUpwards } from './find-upwards.js';

/** Where setup/steps/runtimes.mjs writes down what it installed. */
const RECORD = join('.cache', 'runtimes', 'binaries.json');

/** A host of JavaScript that tests run on. */
export type RuntimeName = 'node20' | 'node22' | 'node24' | 'node26' | 'bun' | 'deno';

/**
 * The binary of each runtime, in the version that setup/runtimes/package.json pins.
 * @throws Error when they aren't installed; its message says what to run.
 */
export function runtimeBinaries(): Readonly<Record<RuntimeName, string>> {
  const record = findUpwards(RECORD);
  if (record === undefined) {
    throw new Error('the runtimes are not installed yet: run `npm run runtimes -- --install` once');
  }
  return JSON.parse(readFileSync(record, 'utf8'));
}
