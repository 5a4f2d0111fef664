// @ts-check
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustFetch } from '../lib/fetch.mjs';
import { inRoot } from '../lib/paths.mjs';
import { step } from '../lib/step.mjs';

/**
 * Installs npm dependencies if node_modules differs from package-lock.json.
 * @param {string} [folder] the folder with the lock file, from the repository's root
 * @param {string} [title]
 */
export async function installNodeModules(folder = '.', title = 'install npm dependencies') {
  const wanted = readPackages(inRoot(folder, 'package-lock.json'));
  // npm records here what it installed.
  const installed = readPackages(inRoot(folder, 'node_modules', '.package-lock.json'));
  if (isInstalled(wanted, installed)) return;
  await step(title, () =>
    mustFetch(['npm', 'ci', '--no-audit', '--no-fund', '--ignore-scripts'], {
      cwd: inRoot(folder),
      hint: `check that the npm registry can be reached, and ${join(folder, 'package-lock.json')}`,
    }),
  );
}

/**
 * Whether everything in a lock file was installed in that version.
 * @param {Record<string, any>} wanted `packages` of package-lock.json
 * @param {Record<string, any>} installed the same from node_modules/.package-lock.json
 */
export function isInstalled(wanted, installed) {
  return Object.entries(wanted)
    .filter(([path]) => path.startsWith('node_modules/') || path.includes('/node_modules/'))
    .every(([path, entry]) => {
      const found = installed[path];
      // Optional ones may be for another platform.
      if (found === undefined) return Boolean(entry.optional || entry.devOptional || entry.peer);
      return found.version === entry.version && found.integrity === entry.integrity;
    });
}

function readPackages(/** @type {string} */ path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).packages : {};
}
