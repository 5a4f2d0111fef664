// @ts-check
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { outputOf } from '../lib/command.mjs';
import { SetupError } from '../lib/errors.mjs';
import { onPath } from '../lib/find-program.mjs';
import { inCache, inRoot } from '../lib/paths.mjs';
import { recordProvided } from '../lib/provided.mjs';
import { notice } from '../lib/step.mjs';
import { buildGoProgram, hasGo } from './go.mjs';

const MIN_VERSION = /** @type {const} */ ([3, 5]);
const MODULE = inRoot('packages', 'test-services', 'etcd-server');
const WAYS_TO_GET_ONE =
  'Install Go 1.21 or newer (https://go.dev/dl), put etcd 3.5 or newer on PATH, or set ETCD_BIN to one.';

/**
 * Chooses the etcd server that all tests and benchmarks start: `ETCD_BIN`, or else a new enough one on PATH, or else
 * one built with Go. Programs find it through `ETCD_BIN` in their environment. Programs that are started by hand find
 * it through the manifest that etcdBinary() of @quiesce/test-services reads.
 */
export async function provideEtcd() {
  const binary = named() ?? installed() ?? (await built());
  recordProvided('etcd', binary);
  process.env.ETCD_BIN = binary;
}

function named() {
  const { ETCD_BIN } = process.env;
  if (!ETCD_BIN) return undefined;
  const binary = resolve(ETCD_BIN);
  const version = versionOf(binary);
  if (version === undefined) {
    throw new SetupError(`ETCD_BIN is ${ETCD_BIN}, which doesn't run as an etcd server`, {
      hint: WAYS_TO_GET_ONE,
    });
  }
  if (!isNewEnough(version)) {
    throw new SetupError(`ETCD_BIN is etcd ${version}, and 3.5 or newer is needed`, {
      hint: WAYS_TO_GET_ONE,
    });
  }
  return binary;
}

function installed() {
  for (const binary of onPath('etcd')) {
    const version = versionOf(binary);
    if (version === undefined) continue;
    if (isNewEnough(version)) return binary;
    notice(`the etcd on PATH is ${version}, too old (3.5 or newer is needed), so it is not used`);
  }
  return undefined;
}

async function built() {
  if (!hasGo()) {
    throw new SetupError('there is no etcd server, and no Go to build one', { hint: WAYS_TO_GET_ONE });
  }
  const version = /go\.etcd\.io\/etcd\/server\/v3 v(\S+)/.exec(
    readFileSync(join(MODULE, 'go.mod'), 'utf8'),
  )?.[1];
  const binary = inCache('etcd', `etcd-${version}`);
  const title = `build the etcd server ${version} (Go, about 70 s the first time)`;
  await buildGoProgram(title, MODULE, binary, WAYS_TO_GET_ONE);
  return binary;
}

function versionOf(/** @type {string} */ binary) {
  return parseVersion(outputOf([binary, '--version']));
}

/**
 * The version in what `etcd --version` prints.
 * @param {string | undefined} text
 */
export function parseVersion(text) {
  return /^etcd Version: (\S+)/m.exec(text ?? '')?.[1];
}

/**
 * Whether an etcd of that version can serve the tests.
 * @param {string} version
 */
export function isNewEnough(version) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > MIN_VERSION[0] || (major === MIN_VERSION[0] && minor >= MIN_VERSION[1]);
}
