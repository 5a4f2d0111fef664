// @ts-check
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';

/** Where a package's compiled modules are. */
export const COMPILED = 'dist/src';

/** Where the modules for `require()` are, among the compiled modules. */
const FOLDER = 'require';

/**
 * @typedef {{ types: string, default: string }} Entry
 */

/**
 * The exports of a package of ES modules, with separate entries for `require()`. Node loads the same modules with it.
 * But TypeScript's `node16`, and `nodenext` before 5.8, refuse to import an ES module's types into a CommonJS file.
 * @param {Record<string, Entry>} exports
 */
export function withRequire(exports) {
  const moved = (/** @type {string} */ file) =>
    `./${posix.join(COMPILED, FOLDER, posix.relative(COMPILED, file))}`;
  return Object.fromEntries(
    Object.entries(exports).map(([path, entry]) => {
      const require = { types: moved(entry.types), default: moved(entry.default) };
      return [path, { require, ...entry }];
    }),
  );
}

/**
 * Makes the files that {@link withRequire} names: CommonJS modules that load the ES modules, and copies of the
 * declarations.
 * @param {string} dir where the compiled modules are
 * @param {readonly string[]} entries their paths there, without `.js`
 */
export function addRequire(dir, entries) {
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' });
  for (const file of files.filter((each) => each.endsWith('.d.ts'))) {
    const copy = join(dir, FOLDER, file);
    mkdirSync(dirname(copy), { recursive: true });
    copyFileSync(join(dir, file), copy);
  }
  for (const entry of entries) {
    const module = `${posix.relative(posix.dirname(posix.join(FOLDER, entry)), entry)}.js`;
    writeFileSync(join(dir, FOLDER, `${entry}.js`), `module.exports = require('${module}');\n`);
  }
  writeFileSync(join(dir, FOLDER, 'package.json'), '{ "type": "commonjs" }\n');
}
