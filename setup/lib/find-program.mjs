// @ts-check
import { existsSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { outputOf } from './command.mjs';

/**
 * Paths of programs with these names, in the order of PATH, those with the first name first.
 * @param {string[]} names
 */
export function onPath(...names) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return names
    .flatMap((name) => folders.map((dir) => resolve(join(dir, name))))
    .filter((file) => existsSync(file));
}

/**
 * Whether a program exists and can report its version.
 * @param {string} file
 */
export const works = (file) => existsSync(file) && outputOf([file, '--version']) !== undefined;
