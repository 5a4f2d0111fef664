import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Top of the repository. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** A path in the repository. */
export const inRoot = (...parts) => join(root, ...parts);

/** A path below .cache/, where all that set-up makes for itself lies. */
export const inCache = (...parts) => inRoot('.cache', ...parts);
