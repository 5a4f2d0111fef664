// @ts-check
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from './command.mjs';
import { notice, stdoutOf } from './step.mjs';

/** How long to wait before each further attempt, in ms. */
const PAUSES_MS = [2_000, 10_000];

/** @typedef {Parameters<typeof run>[1]} Options */

/**
 * Runs a program that asks a registry. If it fails, it is run again, at most twice. The registry may not have answered
 * for a moment, and not each program asks again by itself.
 * @param {readonly string[]} command may be run again whatever it did before
 * @param {Options} [options]
 * @param {readonly number[]} [pausesMs]
 * @returns {Promise<import('./command.mjs').Ended>} the last attempt's end
 */
export async function fetching(command, options, pausesMs = PAUSES_MS) {
  let ended = await run(command, options);
  for (const pauseMs of pausesMs) {
    if (ended.code === 0) break;
    notice(`${command.join(' ')} failed with exit code ${ended.code}; it is run again`);
    await sleep(pauseMs);
    ended = await run(command, options);
  }
  return ended;
}

/**
 * The same for what a step needs. The output is shown only if each attempt fails.
 * @param {readonly string[]} command
 * @param {Options & { hint?: string }} [options]
 * @returns {Promise<string>} its stdout
 */
export async function mustFetch(command, { hint, ...options } = {}) {
  return stdoutOf(command, await fetching(command, options), hint);
}
