// @ts-check
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { inCache } from './paths.mjs';

/** @typedef {import('@quiesce/test-services').Provided} Provided */

/** The file in which set-up records what it has provided, for provided() of @quiesce/test-services. */
const MANIFEST = inCache('provided.json');

/** @returns {{ -readonly [Name in keyof Provided]: Provided[Name] }} */
export function readProvided() {
  return existsSync(MANIFEST) ? JSON.parse(readFileSync(MANIFEST, 'utf8')) : {};
}

/**
 * Records what is available now. `undefined` records that it isn't available.
 * @template {keyof Provided} Name
 * @param {Name} name
 * @param {Provided[Name] | undefined} what
 */
export function recordProvided(name, what) {
  mkdirSync(inCache(), { recursive: true });
  const fresh = `${MANIFEST}.${process.pid}.tmp`;
  writeFileSync(fresh, `${JSON.stringify({ ...readProvided(), [name]: what }, null, 2)}\n`);
  renameSync(fresh, MANIFEST);
}

/**
 * Records built files in addition to those recorded before, by the crate's name.
 * @param {'addons' | 'controls'} name
 * @param {Record<string, string>} files
 */
export function recordFiles(name, files) {
  recordProvided(name, { ...readProvided()[name], ...files });
}
