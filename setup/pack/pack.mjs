// @ts-check
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, posix, relative } from 'node:path';
import { refuseUnknown, SetupError } from '../lib/errors.mjs';
import { inCache, inRoot } from '../lib/paths.mjs';
import { mustRun } from '../lib/step.mjs';
import { bundle, withoutInlined } from './bundle.mjs';
import { hostPlatform, nativeFiles, platforms } from './platforms.mjs';
import { npmPackages } from './published.mjs';
import { addRequire, COMPILED, withRequire } from './require.mjs';

const ADDON = 'etcd-transport.node';
const REPOSITORY = 'https://github.com/quiesce/quiesce';

/** The tester's native parts, by crate, and the ends of their file names. */
const TESTER_PARTS = { 'exit-amplifier': '.so', 'exit-witness': '.so', spawner: '' };

/** Where the tester expects them, within its package. */
const NATIVE_FOLDER = 'native';

/**
 * Dependencies of the tester that publish far more than a program runs, and which files of theirs are needed. zod has
 * its sources, its older versions, and everything once more as CommonJS: 8 of the 16 MB of an installation.
 * @type {Record<string, { without: string[], files: RegExp }>}
 */
const LEAN = {
  zod: {
    without: ['src', 'v3', 'mini', 'v4-mini', 'locales', join('v4', 'mini')],
    files: /(?:\.js|\.d\.c?ts|^LICENSE|(?:^|\/)package\.json)$/,
  },
};

/**
 * The part of a package.json that matters for publishing.
 * @typedef {object} Manifest
 * @property {string} name
 * @property {string} version
 * @property {string[]} files
 * @property {string} license
 * @property {unknown} engines
 * @property {unknown} repository
 * @property {Record<string, import('./require.mjs').Entry>} [exports]
 * @property {string} [homepage]
 * @property {string} [bugs]
 * @property {string[]} [keywords]
 * @property {Record<string, string>} [dependencies]
 * @property {string[]} [bundleDependencies] dependencies that the package itself contains
 * @property {Record<string, string>} [optionalDependencies]
 */

/**
 * Native code that is available, by platform: each file's path, by its crate.
 * @typedef {{ platform: import('./platforms.mjs').Platform, files: Record<string, string> }[]} Native
 */

/**
 * Makes the packages as they are published, in `out`, and packs them: `quiesce`, and `@quiesce/etcd`, which names the
 * platforms' packages as optional dependencies. Only platforms whose addon is available are named.
 * @param {string} out
 * @param {{ native?: string | undefined }} [options] `native`: a folder with `<platform>/` for every platform, as made
 * by build-native.mjs. Only that is packed then; otherwise what was built here
 * @returns {Promise<Record<string, string>>} the tarball of each package, in the order of publishing
 */
export async function pack(out, { native: folder } = {}) {
  const native = folder === undefined ? builtHere() : builtElsewhere(folder);
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const [etcd, quiesce] = npmPackages.map(readPackage);
  if (etcd === undefined || quiesce === undefined) throw new SetupError('two packages are published');
  const names = platforms.map(({ name }) => `${etcd.name}-${name}`);
  const staged = [
    ...native.map(({ platform, files }) => stageAddon(out, etcd, platform, files['etcd-transport'])),
    stage(out, 'etcd', {
      ...etcd,
      exports: withRequire(etcd.exports ?? {}),
      files: ['dist/src', '!dist/**/*.map'],
      dependencies: withoutInlined(etcd.dependencies ?? {}),
      optionalDependencies: Object.fromEntries(names.map((name) => [name, etcd.version])),
    }),
    stage(out, 'quiesce', bundled(out, 'quiesce', quiesce), testerPartsOf(native)),
  ];
  /** @type {Record<string, string>} */
  const tarballs = {};
  await Promise.all(['etcd', 'quiesce'].map((folder) => compile(out, folder)));
  await bundle(join(out, 'staged', 'etcd', COMPILED), entriesOf(etcd));
  addRequire(join(out, 'staged', 'etcd', COMPILED), entriesOf(etcd));
  for (const { name, dir } of staged) {
    const listed = await mustRun(['npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', out], {
      cwd: dir,
    });
    const [{ filename }] = Object.values(JSON.parse(listed));
    tarballs[name] = join(out, filename);
  }
  return tarballs;
}

/**
 * The package.json of a workspace package, without what only this workspace needs.
 * @param {string} folder
 * @returns {Manifest}
 */
function readPackage(folder) {
  const {
    devDependencies: _dev,
    scripts: _scripts,
    ...published
  } = JSON.parse(readFileSync(inRoot('packages', folder, 'package.json'), 'utf8'));
  return published;
}

/**
 * @param {string} out
 * @param {string} folder
 * @param {Manifest} manifest
 * @param {Record<string, string>} [native] what goes into the folder for native parts, by its name there
 */
function stage(out, folder, manifest, native = {}) {
  const dir = join(out, 'staged', folder);
  mkdirSync(dir, { recursive: true });
  // What `files` names, except for compiled code, and what was built for this machine.
  const parts = manifest.files.filter(
    (file) => !/[!*]/.test(file) && ![COMPILED, NATIVE_FOLDER].includes(file),
  );
  for (const part of parts) cpSync(inRoot('packages', folder, part), join(dir, part), { recursive: true });
  for (const [name, file] of Object.entries(native)) {
    mkdirSync(join(dir, NATIVE_FOLDER), { recursive: true });
    copyFileSync(file, join(dir, NATIVE_FOLDER, name));
    // An artifact from another machine has lost its executable bit.
    chmodSync(join(dir, NATIVE_FOLDER, name), 0o755);
  }
  const readme = inRoot('packages', folder, 'README.md');
  writeFileSync(
    join(dir, 'README.md'),
    withAbsoluteLinks(readFileSync(readme, 'utf8'), `packages/${folder}`),
  );
  return finish(dir, manifest);
}

/**
 * Puts the packages of `LEAN` into a staged package, as bundled dependencies of exactly that version.
 * @param {string} out
 * @param {string} folder
 * @param {Manifest} manifest
 * @returns {Manifest}
 */
function bundled(out, folder, manifest) {
  const versions = Object.entries(LEAN).map(([name, needed]) => {
    const from = inRoot('node_modules', name);
    const isNeeded = (/** @type {string} */ path) => {
      const file = relative(from, path);
      return statSync(path).isDirectory() ? !needed.without.includes(file) : needed.files.test(file);
    };
    cpSync(from, join(out, 'staged', folder, 'node_modules', name), { recursive: true, filter: isNeeded });
    return [name, JSON.parse(readFileSync(join(from, 'package.json'), 'utf8')).version];
  });
  return {
    ...manifest,
    dependencies: { ...manifest.dependencies, ...Object.fromEntries(versions) },
    bundleDependencies: Object.keys(LEAN),
  };
}

/**
 * Compiles a staged package, without modules that are gone, and without the types of anything `@internal`, which the
 * workspace's own tests use.
 * @param {string} out
 * @param {string} folder
 */
async function compile(out, folder) {
  await mustRun([
    ...[inRoot('node_modules', '.bin', 'tsc'), '-p', inRoot('packages', folder)],
    ...['--stripInternal', '--composite', 'false', '--incremental', 'false', '--tsBuildInfoFile', 'null'],
    ...['--outDir', join(out, 'staged', folder, 'dist')],
  ]);
}

/**
 * The modules that programs import, by path among the compiled modules.
 * @param {Manifest} manifest
 */
function entriesOf({ exports = {} }) {
  return Object.values(exports).map((entry) => posix.relative(COMPILED, entry.default).replace(/\.js$/, ''));
}

/**
 * @param {string} out
 * @param {Manifest} etcd
 * @param {import('./platforms.mjs').Platform} platform
 * @param {string | undefined} addon
 */
function stageAddon(out, etcd, platform, addon) {
  if (addon === undefined) throw new SetupError(`there is no addon for ${platform.name}`);
  const { name, version, license, engines, repository, homepage, bugs, keywords } = etcd;
  const dir = join(out, 'staged', platform.name);
  mkdirSync(dir, { recursive: true });
  copyFileSync(addon, join(dir, ADDON));
  const title = `${name}-${platform.name}`;
  writeFileSync(
    join(dir, 'README.md'),
    `# ${title}\n\nThe native transport of [${name}](https://www.npmjs.com/package/${name}) for ${platform.target}. ` +
      `Don't depend on it directly: ${name} does.\n`,
  );
  return finish(dir, {
    ...{ name: title, version, description: `Native transport of ${name} for ${platform.target}` },
    ...{ keywords, homepage, bugs, license, repository, engines },
    main: ADDON,
    files: [ADDON],
    os: [platform.os],
    cpu: [platform.cpu],
    ...(platform.libc && { libc: [platform.libc] }),
  });
}

/**
 * @param {string} dir
 * @param {Manifest & Record<string, unknown>} manifest
 */
function finish(dir, manifest) {
  writeFileSync(join(dir, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
  copyFileSync(inRoot('LICENSE'), join(dir, 'LICENSE'));
  return { name: manifest.name, dir };
}

/**
 * What the release's builders made. If a part is missing, nothing is packed.
 * @param {string} folder
 * @returns {Native}
 */
function builtElsewhere(folder) {
  refuseUnknown(
    readdirSync(folder),
    platforms.map(({ name }) => name),
    (name) => `no platform is named ${name}`,
  );
  return platforms.map((platform) => {
    const files = Object.entries(nativeFiles(platform)).map(([crate, name]) => {
      const file = join(folder, platform.name, name);
      if (!existsSync(file)) throw new SetupError(`${file} is missing`);
      return [crate, file];
    });
    return { platform, files: Object.fromEntries(files) };
  });
}

/**
 * What `npm run build` made, for this machine.
 * @returns {Native}
 */
function builtHere() {
  const platform = hostPlatform();
  if (platform === undefined) return [];
  const host = hostName(platform);
  const built = {
    'etcd-transport': inRoot('packages', 'etcd', 'native', `etcd-transport.${host}.node`),
    ...Object.fromEntries(
      Object.entries(TESTER_PARTS).map(([crate, ending]) => [
        crate,
        inRoot('packages', 'quiesce', NATIVE_FOLDER, `${crate}.${host}${ending}`),
      ]),
    ),
  };
  const files = Object.fromEntries(Object.entries(built).filter(([, file]) => existsSync(file)));
  return files['etcd-transport'] === undefined ? [] : [{ platform, files }];
}

/** @param {Native} native */
function testerPartsOf(native) {
  return Object.fromEntries(
    native.flatMap(({ platform, files }) =>
      Object.entries(TESTER_PARTS).flatMap(([crate, ending]) => {
        const file = files[crate];
        return file === undefined ? [] : [[`${crate}.${hostName(platform)}${ending}`, file]];
      }),
    ),
  );
}

/** In Node's terms. The packages for other C libraries have no such files. */
const hostName = (/** @type {import('./platforms.mjs').Platform} */ { os, cpu }) => `${os}-${cpu}`;

/**
 * A README whose links work outside the repository.
 * @param {string} text
 * @param {string} folder where it is in the repository
 */
export function withAbsoluteLinks(text, folder) {
  return text.replace(/(?<=\]\()(?!https?:|mailto:|#)([^)\s]+)/g, (link) => {
    const path = posix.join(folder, link);
    return `${REPOSITORY}/${/\.(svg|png)$/.test(path) ? 'raw' : 'blob'}/main/${path}`;
  });
}

/** Where `npm run pack` puts its packages. */
export const packed = inCache('pack');
