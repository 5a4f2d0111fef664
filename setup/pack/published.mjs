// @ts-check
// What is published, and its single version: that of package.json at the repository's top.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { inRoot } from '../lib/paths.mjs';

/** Folders in packages/ that go to npm, dependencies first. */
export const npmPackages = ['etcd', 'quiesce'];

/** Crates that go to crates.io, dependencies first. */
export const crates = ['owned-runtime', 'owned-runtime-pyo3', 'owned-runtime-napi'];

/** The folder in packages/ that goes to PyPI. */
export const PYTHON_PACKAGE = 'pytest-quiesce';

/** Folders in examples/tester. Each has a workflow that uses the GitHub Action. */
export const testerExamples = () =>
  readdirSync(inRoot('examples', 'tester'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);

/** @param {string} file */
const read = (file) => readFileSync(inRoot(file), 'utf8');

/** The version of everything that is published. */
export const version = () => /** @type {string} */ (JSON.parse(read('package.json')).version);

const VERSION = String.raw`\d+\.\d+\.\d+(?:-[\w.]+)?`;

/** Where else the version is written, in each with what comes before it. @type {[file: string, before: RegExp][]} */
const places = [
  ...['etcd', 'quiesce', 'test-services'].map((name) => packageVersion(`packages/${name}`)),
  packageVersion('scenarios'),
  packageVersion('bench'),
  [`packages/${PYTHON_PACKAGE}/pyproject.toml`, /^version = "/m],
  ['docker/Dockerfile', /^ARG QUIESCE_VERSION=/m],
  actionVersion('docs/ci.md'),
  ...testerExamples().map((name) => actionVersion(`examples/tester/${name}/workflow.yml`)),
  ['Cargo.toml', /^\[workspace\.package\]\nversion = "/m],
  ['crates/owned-runtime-pyo3/Cargo.toml', /^owned-runtime = \{ version = "/m],
  ['crates/owned-runtime-napi/Cargo.toml', /^owned-runtime = \{ version = "/m],
];

/**
 * @param {string} folder
 * @returns {[string, RegExp]}
 */
function packageVersion(folder) {
  return [`${folder}/package.json`, /^ {2}"version": "/m];
}

/**
 * The version of the GitHub Action in a workflow.
 * @param {string} file
 * @returns {[string, RegExp]}
 */
function actionVersion(file) {
  return [file, /^ *- uses: quiesce\/quiesce@v/m];
}

const pattern = (/** @type {RegExp} */ before) => new RegExp(`(?<=${before.source})${VERSION}`, before.flags);

/**
 * Places where the version differs from `wanted`, or isn't found.
 * @param {string} wanted
 * @returns {string[]}
 */
export function otherVersions(wanted) {
  return places.flatMap(([file, before]) => {
    const found = pattern(before).exec(read(file))?.[0];
    return found === wanted ? [] : [`${file} has ${found ?? 'none'}`];
  });
}

/**
 * Writes the version everywhere.
 * @param {string} wanted
 */
export function writeVersion(wanted) {
  for (const [file, before] of places)
    writeFileSync(inRoot(file), read(file).replace(pattern(before), wanted));
}
