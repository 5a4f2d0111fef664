// @ts-check
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { SetupError } from '../lib/errors.mjs';
import { inCache, inRoot } from '../lib/paths.mjs';
import { mustRun } from '../lib/step.mjs';
import { hostPlatform, platforms } from './platforms.mjs';

const ADDON = 'etcd-transport.node';

/**
 * A package.json, as far as publishing knows it.
 * @typedef {object} Manifest
 * @property {string} name
 * @property {string} version
 * @property {string[]} files
 * @property {string} license
 * @property {unknown} engines
 * @property {unknown} repository
 * @property {Record<string, string>} [optionalDependencies]
 */

/**
 * Makes the packages as they are published, in `out`, and packs them: `@quiesce/etcd`, which names the platforms'
 * packages as optional dependencies, those of them whose addon is at hand, and `quiesce`.
 * @param {string} out
 * @param {{ addons?: string | undefined }} [options] `addons`: a folder with `<platform>/etcd-transport.node` for each platform;
 * else the one that was built here
 * @returns {Promise<Record<string, string>>} the tarball of each package
 */
export async function pack(out, { addons } = {}) {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const etcd = readPackage('etcd');
  const names = platforms.map(({ name }) => `${etcd.name}-${name}`);
  const staged = [
    stage(out, 'etcd', {
      ...etcd,
      files: ['dist/src', '!dist/**/*.map'],
      optionalDependencies: Object.fromEntries(names.map((name) => [name, etcd.version])),
    }),
    stage(out, 'quiesce', readPackage('quiesce')),
    ...addonsAtHand(addons).map(({ platform, addon }) => stageAddon(out, etcd, platform, addon)),
  ];
  /** @type {Record<string, string>} */
  const tarballs = {};
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
 */
function stage(out, folder, manifest) {
  const dir = join(out, 'staged', folder);
  mkdirSync(dir, { recursive: true });
  // What `files` names; the addon goes into packages of its own.
  for (const part of [...manifest.files.filter((file) => !/[!*]/.test(file)), 'README.md']) {
    const from = inRoot('packages', folder, part);
    if (existsSync(from)) cpSync(from, join(dir, part), { recursive: true });
  }
  return finish(dir, manifest);
}

/**
 * @param {string} out
 * @param {Manifest} etcd
 * @param {import('./platforms.mjs').Platform} platform
 * @param {string} addon
 */
function stageAddon(out, { name, version, license, engines, repository }, platform, addon) {
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
    name: title,
    version,
    description: `Native transport of ${name} for ${platform.target}`,
    license,
    repository,
    engines,
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

function addonsAtHand(/** @type {string | undefined} */ folder) {
  if (folder !== undefined) {
    return readdirSync(folder).map((name) => {
      const platform = platforms.find((known) => known.name === name);
      const addon = join(folder, name, ADDON);
      if (platform === undefined) throw new SetupError(`no platform is named ${name}`);
      if (!existsSync(addon)) throw new SetupError(`${addon} is missing`);
      return { platform, addon };
    });
  }
  const built = inRoot(
    'packages',
    'etcd',
    'native',
    `etcd-transport.${process.platform}-${process.arch}.node`,
  );
  const platform = hostPlatform();
  return platform !== undefined && existsSync(built) ? [{ platform, addon: built }] : [];
}

/** Where `npm run pack` puts its packages. */
export const packed = inCache('pack');
