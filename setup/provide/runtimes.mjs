// @ts-check
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { outputOf } from '../lib/command.mjs';
import { SetupError } from '../lib/errors.mjs';
import { mustFetch } from '../lib/fetch.mjs';
import { inCache, inRoot } from '../lib/paths.mjs';
import { recordProvided } from '../lib/provided.mjs';
import { unlessUpToDate } from '../lib/stamp.mjs';
import { step } from '../lib/step.mjs';

/** @typedef {import('@quiesce/test-services').RuntimeName} RuntimeName */

const FILES = ['package.json', 'package-lock.json'].map((name) => inRoot('setup', 'hosts', name));

/**
 * Where each runtime's binary is in its npm package.
 * @type {Record<RuntimeName, string>}
 */
const IN_PACKAGE = {
  node20: 'bin/node',
  node22: 'bin/node',
  node24: 'bin/node',
  node26: 'bin/node',
  bun: 'bin/bun',
  deno: 'deno',
};

/**
 * Installs the runtimes that setup/hosts/package.json pins into .cache/runtimes, and records their binaries, for
 * runtimeBinaries() of @quiesce/test-services.
 * @returns {Promise<Record<RuntimeName, string>>} the path of each
 * runtime's binary
 */
export async function provideRuntimes() {
  const dir = inCache('runtimes');
  const modules = join(dir, 'node_modules');
  const paths = Object.entries(IN_PACKAGE).map(([name, file]) => [
    name,
    join(modules, `${name}-${process.arch}`, file),
  ]);
  const binaries = /** @type {Record<RuntimeName, string>} */ (Object.fromEntries(paths));
  const mark = join(dir, 'installed');
  const inputs = { files: FILES, also: [process.arch, JSON.stringify(binaries)] };
  await unlessUpToDate(mark, inputs, async () => {
    await step('install Node 20 to 26, Bun and Deno (npm, about 30 s the first time)', () => install(dir));
    for (const [name, binary] of Object.entries(binaries)) check(name, binary);
    writeFileSync(mark, '');
  });
  recordProvided('runtimes', binaries);
  return binaries;
}

async function install(/** @type {string} */ dir) {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
    throw new SetupError(
      `setup/hosts pins runtimes for Linux on x64 and arm64, and this is ${process.platform} on ${process.arch}`,
    );
  }
  mkdirSync(dir, { recursive: true });
  for (const file of FILES) copyFileSync(file, join(dir, basename(file)));
  await mustFetch(['npm', 'ci', '--no-audit', '--no-fund', '--ignore-scripts'], {
    cwd: dir,
    hint: 'is the npm registry in order?',
  });
}

/**
 * npm silently leaves out optional packages, and some published packages contain no binary.
 * @param {string} name
 * @param {string} binary
 */
function check(name, binary) {
  if (existsSync(binary) && outputOf([binary, '--version']) !== undefined) return;
  throw new SetupError(`${name} was installed, but ${binary} doesn't run`, {
    hint: `does the version that setup/hosts/package.json pins hold a binary for ${process.arch}?`,
  });
}
