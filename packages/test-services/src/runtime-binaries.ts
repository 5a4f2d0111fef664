import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findUpwards } from './find-upwards.js';

/** Where setup/provide/runtimes.mjs writes down what it installed. */
const RECORD = join('.cache', 'runtimes', 'binaries.json');

/** The hosts of JavaScript that tests run on. */
export const runtimeNames = ['node20', 'node22', 'node24', 'node26', 'bun', 'deno'] as const;

/** One of them. */
export type RuntimeName = (typeof runtimeNames)[number];

/**
 * The binary of each runtime, in the version that setup/hosts/package.json pins.
 * @throws Error when they aren't installed; its message says what to run.
 */
export function runtimeBinaries(): Readonly<Record<RuntimeName, string>> {
  const record = findUpwards(RECORD);
  if (record === undefined) {
    throw new Error('the runtimes are not installed yet: run `npm run runtimes -- --install` once');
  }
  return JSON.parse(readFileSync(record, 'utf8'));
}

/**
 * The command that runs a program on that runtime, without the program.
 * @throws as {@link runtimeBinaries}.
 */
export function runtimeCommand(runtime: RuntimeName): [string, ...string[]] {
  const binary = runtimeBinaries()[runtime];
  return runtime === 'deno' ? [binary, 'run', '--quiet', '--allow-all'] : [binary];
}
