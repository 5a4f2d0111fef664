// @ts-check
// Bundles a package's compiled modules into a few files: a program that imports the package reads and links those, and
// not a hundred.
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { SetupError } from '../lib/errors.mjs';
import { inRoot } from '../lib/paths.mjs';

/**
 * Dependencies that are bundled into the package's own files, so that a program loads only what is used. The client
 * uses one of protobuf-es's twenty modules, and importing all takes longer than importing the client itself. `types`:
 * what declarations import, and the file that declares it.
 * @type {Record<string, { types?: { specifier: string, file: string } }>}
 */
const INLINED = {
  '@bufbuild/protobuf': {
    types: { specifier: '@bufbuild/protobuf/wire', file: 'dist/esm/wire/binary-encoding.d.ts' },
  },
  leven: {},
};

/**
 * The dependencies that are left when those are bundled.
 * @param {Record<string, string>} dependencies
 */
export function withoutInlined(dependencies) {
  return Object.fromEntries(Object.entries(dependencies).filter(([name]) => INLINED[name] === undefined));
}

/** A text with what their licences require. */
function notices() {
  const parts = Object.keys(INLINED).map((name) => {
    const { version, license, author, homepage, repository } = JSON.parse(
      readFileSync(inRoot('node_modules', name, 'package.json'), 'utf8'),
    );
    const from = homepage ?? repository?.url ?? repository;
    return `${name} ${version}\nLicense: ${license}\nSource: ${from}\n${author ? `Author: ${author.name ?? author}\n` : ''}${licenseText(name)}`;
  });
  return `Parts of these packages are in the files of this one.\n\n${parts.join('\n')}`;
}

/** @param {string} name */
function licenseText(name) {
  const dir = inRoot('node_modules', name);
  const file = readdirSync(dir).find((entry) => /^licen[cs]e/i.test(entry));
  return file === undefined ? '' : `\n${readFileSync(join(dir, file), 'utf8')}`;
}

/**
 * Puts the modules that the entries import into the entries' own files. Modules that several entries or a dynamic
 * import need go into `chunks/` beside them. The types stay where they are.
 * @param {string} dir where the compiled modules are; those that belong to no entry are removed
 * @param {readonly string[]} entries their paths there, without `.js`
 */
export async function bundle(dir, entries) {
  const { rolldown } = await import('rolldown');
  const out = mkdtempSync(`${dir}-bundled-`);
  const { neededCodecs } = await import('./needed-codecs.mjs');
  const messages = neededCodecs(dir);
  try {
    const build = await rolldown({
      input: Object.fromEntries(entries.map((entry) => [entry, join(dir, `${entry}.js`)])),
      external: (id) => /^[^./]/.test(id) && !isInlined(id),
      // What is packed may be outside the repository.
      resolve: { modules: [inRoot('node_modules')] },
      platform: 'node',
      plugins: [{ name: 'needed-codecs', load: (id) => (id === messages.file ? messages.code : null) }],
      // A source map would name the folders of the build.
      experimental: { attachDebugInfo: 'none' },
      onLog(level, { message }) {
        if (level === 'warn') throw new SetupError(message);
      },
    });
    await build.write({
      dir: out,
      format: 'esm',
      chunkFileNames: 'chunks/[name].js',
      // What several of the entries need is one file: loading each file takes Node a millisecond.
      codeSplitting: { groups: [{ name: 'shared', minShareCount: 2 }] },
      // The documentation is in the declarations, and a program reads these files each time it starts.
      comments: { legal: false, jsdoc: false, annotation: true },
    });
    await build.close();
    for (const module of scripts(dir)) rmSync(join(dir, module));
    for (const file of scripts(out)) {
      mkdirSync(dirname(join(dir, file)), { recursive: true });
      writeFileSync(join(dir, file), inAscii(readFileSync(join(out, file), 'utf8')));
    }
    declareInlined(dir);
    writeFileSync(join(dir, 'THIRD-PARTY-NOTICES.txt'), notices());
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

/**
 * A script in which all characters outside ASCII in literals are escaped. A single such character would make V8 store,
 * and scan, two bytes for each of a file's characters.
 * @param {string} script without such characters outside its literals
 */
function inAscii(script) {
  return script.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** @param {string} dir */
const scripts = (dir) => filesIn(dir, '.js');

/**
 * @param {string} dir
 * @param {string} ending
 */
function filesIn(dir, ending) {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith(ending));
}

/** @param {string} id what a module imports */
function isInlined(id) {
  return Object.keys(INLINED).some((name) => id === name || id.startsWith(`${name}/`));
}

/**
 * Gives declarations that refer to a bundled package a copy of that package's declarations.
 * @param {string} dir
 */
function declareInlined(dir) {
  for (const [name, { types }] of Object.entries(INLINED)) {
    if (types === undefined) continue;
    const copy = posix.join('chunks', `${name.replace(/^@/, '').replace('/', '-')}.d.ts`);
    copyFileSync(inRoot('node_modules', name, types.file), join(dir, copy));
    for (const file of filesIn(dir, '.d.ts')) {
      const text = readFileSync(join(dir, file), 'utf8');
      const path = posix.relative(posix.dirname(file), copy.replace(/\.d\.ts$/, '.js'));
      const relative = path.startsWith('.') ? path : `./${path}`;
      const changed = text.replaceAll(types.specifier, relative);
      if (changed !== text) writeFileSync(join(dir, file), changed);
    }
  }
}
