// @ts-check
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Top of the repository. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/**
 * A path in the repository.
 * @param {string[]} parts
 */
export const inRoot = (...parts) => join(root, ...parts);

/**
 * A path below .cache/, which holds everything that set-up makes for itself.
 * @param {string[]} parts
 */
export const inCache = (...parts) => inRoot('.cache', ...parts);

/** The shutdown tester's program, once it is compiled. */
export const tester = inRoot('packages', 'quiesce', 'dist', 'src', 'cli.js');
