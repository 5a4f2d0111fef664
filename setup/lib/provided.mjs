// @ts-check
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { inCache } from './paths.mjs';

/** @typedef {import('@quiesce/test-services').Provided} Provided */

/** Where set-up writes down what it has provided, for provided() of @quiesce/test-services. */
const MANIFEST = inCache('provided.json');

/** @returns {{ -readonly [Name in keyof Provided]: Provided[Name] }} */
export function readProvided() {
  return existsSync(MANIFEST) ? JSON.parse(readFileSync(MANIFEST, 'utf8')) : {};
}

/**
 * Writes down what is there now, or, by `undefined`, that it isn't.
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
 * Writes down built files beside those that are there, by the crate's name.
 * @param {'addons' | 'controls'} name
 * @param {Record<string, string>} files
 */
export function recordFiles(name, files) {
  recordProvided(name, { ...readProvided()[name], ...files });
}
