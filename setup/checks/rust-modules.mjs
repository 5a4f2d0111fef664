// @ts-check
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { inRoot } from '../lib/paths.mjs';
import { circlesIn } from './circles.mjs';

/**
 * The cycles among the modules of each crate in `crates/`, one text each: `crate: a → b → a`.
 * @returns {string[]}
 */
export function circlesOfCrates() {
  const crates = inRoot('crates');
  return readdirSync(crates)
    .filter((crate) => existsSync(join(crates, crate, 'src')))
    .flatMap((crate) => {
      const src = join(crates, crate, 'src');
      const modules = readdirSync(src).filter((file) => file.endsWith('.rs'));
      const sources = modules.map((file) => [basename(file, '.rs'), readFileSync(join(src, file), 'utf8')]);
      return circlesAmong(Object.fromEntries(sources)).map((circle) => `${crate}: ${circle.join(' → ')}`);
    });
}

/**
 * The cycles among modules: a shortest one for each set of modules that reach one another.
 * @param {Record<string, string>} sources each module's source by its name; `lib` is the crate's root, whose `pub use`
 * says which module a name of the root comes from
 * @returns {string[][]} the modules of each in order, with the first one again at the end
 */
export function circlesAmong(sources) {
  const homes = homesOfReexports(sources.lib ?? '');
  const names = Object.keys(sources).filter((name) => name !== 'lib');
  const uses = new Map(
    names.map((name) => [
      name,
      usedBy(sources[name] ?? '')
        .map((used) => homes.get(used) ?? used)
        .filter((used) => used !== name && names.includes(used)),
    ]),
  );
  return circlesIn(uses);
}

/** The module of each name that a crate's root re-exports. */
function homesOfReexports(/** @type {string} */ root) {
  /** @type {Map<string, string>} */
  const homes = new Map();
  for (const [, module, names] of root.matchAll(/\buse (?:crate::|self::)?(\w+)::(\{[^}]*\}|\w+)/g)) {
    for (const [name] of (names ?? '').matchAll(/\w+/g)) homes.set(name, module ?? '');
  }
  return homes;
}

/** The first names of all paths from the crate's root, except in unit tests: a test may use anything. */
function usedBy(/** @type {string} */ source) {
  const code = source
    .replace(/\/\/.*$/gm, '')
    .replace(/^#\[cfg\((?:all\()?test[\s\S]*?^mod [\s\S]*?^\}/gm, '');
  return [...code.matchAll(/\b(?:crate|super)::(\{[^;]*?\};|\w+)/g)].flatMap(([, path]) =>
    path?.startsWith('{') ? firstNames(path) : [path ?? ''],
  );
}

/** For `{a, b::{c, d}}`: `a` and `b`. */
function firstNames(/** @type {string} */ list) {
  let inner = list.slice(1, list.lastIndexOf('}'));
  for (let before = ''; before !== inner; ) {
    before = inner;
    inner = inner.replace(/::\{[^{}]*\}/g, '');
  }
  return inner.split(',').flatMap((part) => /\w+/.exec(part)?.[0] ?? []);
}
