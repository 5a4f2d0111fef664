import { fileURLToPath } from 'node:url';

// Plans are run from source, but the programs from dist.
const TOP = new URL(import.meta.url.includes('/dist/') ? '../../' : '../', import.meta.url);

/** A path in the repository. */
export const inRoot = (path: string): string => fileURLToPath(new URL(path, TOP));

/** Where a Python scenario's program is. */
export const pythonProgram = (program: string): string => inRoot(`scenarios/python/${program}.py`);

/** Where a TypeScript scenario's program is, once compiled. */
export const typescriptProgram = (program: string): string =>
  inRoot(`scenarios/dist/typescript/${program}.js`);
