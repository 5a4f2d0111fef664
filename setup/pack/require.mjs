// @ts-check
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';

/** Where the types for `require()` are, among the compiled modules. */
const FOLDER = 'require';

/**
 * @typedef {{ types: string, default: string }} Entry
 */

/**
 * The exports of a package of ES modules, with types of their own for `require()`. Node loads the same modules with it, but
 * TypeScript's `node16`, and `nodenext` before 5.8, refuse to import an ES module's types into a file of CommonJS.
 * @param {Record<string, Entry>} exports
 */
export function withRequire(exports) {
  return Object.fromEntries(
    Object.entries(exports).map(([path, entry]) => {
      const { dir, base } = posix.parse(posix.relative('dist/src', entry.types));
      const types = `./${posix.join('dist/src', FOLDER, dir, base)}`;
      return [path, { require: { types, default: entry.default }, ...entry }];
    }),
  );
}

/**
 * Copies declarations to where they are those of CommonJS.
 * @param {string} dir where the compiled modules are
 */
export function typesForRequire(dir) {
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' });
  for (const file of files.filter((each) => each.endsWith('.d.ts'))) {
    const copy = join(dir, FOLDER, file);
    mkdirSync(dirname(copy), { recursive: true });
    copyFileSync(join(dir, file), copy);
  }
  writeFileSync(join(dir, FOLDER, 'package.json'), '{ "type": "commonjs" }\n');
}
