// @ts-check
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { run } from '../lib/command.mjs';
import { SetupError } from '../lib/errors.mjs';
import { inCache, inRoot, root } from '../lib/paths.mjs';
import { mustRun, step } from '../lib/step.mjs';
import { problemsOfChangelog } from '../pack/changelog.mjs';
import { pack, withAbsoluteLinks } from '../pack/pack.mjs';
import { hostPlatform, platforms } from '../pack/platforms.mjs';
import { crates, npmPackages, otherVersions, PYTHON_PACKAGE, version } from '../pack/published.mjs';
import { createReleaseEnvironment } from '../provide/python.mjs';
import { crateSboms, npmSbom } from './sbom.mjs';

/** Where everything that is published is made. */
export const releaseFolder = inCache('release');

const inRelease = (/** @type {string[]} */ ...parts) => join(releaseFolder, ...parts);

/**
 * What was made.
 * @typedef {object} Made
 * @property {string[]} tarballs for npm, in the order of publishing
 * @property {string[]} crates
 * @property {string[]} python
 * @property {string[]} sboms
 */

/**
 * Refuses a release whose version isn't the same everywhere. A tag must have that version, and the changelog must have
 * a section for it.
 * @param {{ dryRun: boolean }} options
 */
export function checkRelease({ dryRun }) {
  const wanted = version();
  const problems = otherVersions(wanted).map((other) => `the version is ${wanted}, but ${other}`);
  const { GITHUB_REF_TYPE: refType, GITHUB_REF_NAME: tag } = process.env;
  const released = !dryRun && refType === 'tag';
  if (released && tag !== `v${wanted}`) problems.push(`the tag ${tag} isn't v${wanted}`);
  const changelog = readFileSync(inRoot('CHANGELOG.md'), 'utf8');
  problems.push(
    ...problemsOfChangelog(changelog, wanted, { released }).map((text) => `CHANGELOG.md: ${text}`),
  );
  if (problems.length > 0) throw new SetupError(`this is not a release yet: ${problems.join('; ')}`);
}

/**
 * Makes everything that is published.
 * @param {{ dryRun: boolean, native: string | undefined }} options
 * @returns {Promise<Made>}
 */
export async function makeRelease({ dryRun, native }) {
  rmSync(releaseFolder, { recursive: true, force: true });
  for (const folder of ['npm', 'crates', 'python', 'sbom']) mkdirSync(inRelease(folder), { recursive: true });
  const tarballs = Object.values(
    await step('pack the npm packages', () => pack(inRelease('npm'), { native })),
  );
  const staged = (/** @type {string} */ name) => inRelease('npm', 'staged', name);
  await step('bills of materials', async () => {
    for (const name of npmPackages) await npmSbom(staged(name), inRelease('sbom', `npm-${name}.cdx.json`));
  });
  await crateSboms(crates, inRelease('sbom'));
  rmSync(inRelease('npm', 'staged'), { recursive: true });
  // The publishing job has only these files.
  writeFileSync(inRelease('npm', 'ORDER'), `${tarballs.map((file) => basename(file)).join('\n')}\n`);
  await step('package the crates', () => packageCrates({ dryRun }));
  await step(`build ${PYTHON_PACKAGE}`, buildPython);
  writeChecksums();
  return {
    tarballs,
    crates: filesIn('crates'),
    python: filesIn('python'),
    sboms: filesIn('sbom'),
  };
}

/** Builds each crate from its package, together with the packages of those before it that are not published yet. */
async function packageCrates(/** @type {{ dryRun: boolean }} */ { dryRun }) {
  const chosen = crates.flatMap((name) => ['-p', name]);
  await mustRun(['cargo', 'package', '--locked', ...(dryRun ? ['--allow-dirty'] : []), ...chosen]);
  const { target_directory: target } = JSON.parse(
    await mustRun(['cargo', 'metadata', '--no-deps', '--format-version', '1']),
  );
  for (const name of crates) {
    const file = `${name}-${version()}.crate`;
    cpSync(join(target, 'package', file), inRelease('crates', file));
  }
}

async function buildPython() {
  const python = await createReleaseEnvironment();
  if (python === undefined)
    throw new SetupError(`${PYTHON_PACKAGE} can't be packaged without build and twine`);
  const source = inRelease('python-source');
  cpSync(inRoot('packages', PYTHON_PACKAGE), source, {
    recursive: true,
    dereference: true,
    filter: (file) => !/__pycache__|\.egg-info/.test(file),
  });
  const readme = join(source, 'README.md');
  writeFileSync(readme, withAbsoluteLinks(readFileSync(readme, 'utf8'), `packages/${PYTHON_PACKAGE}`));
  await mustRun([python, '-m', 'build', '--outdir', inRelease('python'), source]);
  rmSync(source, { recursive: true });
  await mustRun([python, '-m', 'twine', 'check', '--strict', ...filesIn('python')]);
}

/** @param {string} folder */
const filesIn = (folder) =>
  readdirSync(inRelease(folder))
    .sort()
    .map((name) => inRelease(folder, name));

/** Checksums for `sha256sum --check`, in a folder that has all files side by side, as the GitHub release has. */
function writeChecksums() {
  const files = ['npm', 'crates', 'python', 'sbom']
    .flatMap(filesIn)
    .filter((file) => basename(file) !== 'ORDER');
  const lines = files.map(
    (file) => `${createHash('sha256').update(readFileSync(file)).digest('hex')}  ${basename(file)}`,
  );
  writeFileSync(inRelease('SHA256SUMS'), `${lines.join('\n')}\n`);
}

/**
 * Tries every step of publishing except for publishing itself. Says what was made and what could not be tried.
 * @param {Made} made
 * @param {{ withoutSite: boolean, native: string | undefined }} options
 */
export async function tryPublishing(made, { withoutSite, native }) {
  await step('npm publish --dry-run', async () => {
    for (const tarball of made.tarballs) {
      await mustRun(['npm', 'publish', '--dry-run', '--access', 'public', tarball]);
    }
  });
  await step('cargo publish --dry-run', () =>
    mustRun([
      ...['cargo', 'publish', '--dry-run', '--no-verify', '--allow-dirty', '--locked'],
      ...crates.flatMap((name) => ['-p', name]),
    ]),
  );
  const host = hostPlatform();
  if (host !== undefined) {
    const { code, output } = await step('install and try the packages', () =>
      run([process.execPath, inRoot('setup', 'release', 'try.mjs'), inRelease('npm')]),
    );
    if (code !== 0) throw new SetupError("the packed packages don't work", { output });
  }
  console.log('\nMade:');
  const all = [...made.tarballs, ...made.crates, ...made.python, ...made.sboms, inRelease('SHA256SUMS')];
  for (const file of all) {
    console.log(`  ${(statSync(file).size / 1000).toFixed(0).padStart(6)} kB  ${relative(root, file)}`);
  }
  if (!withoutSite) console.log('             site/dist');
  console.log('\nNot tried here:');
  const missing = native === undefined ? platforms.filter((platform) => platform !== host) : [];
  const untried = [
    ...missing.map(({ name }) => `@quiesce/etcd-${name}: it is built by the workflow, for ${name}`),
    ...(missing.length > 0
      ? ["the tester's preload libraries for other processors: built by the workflow, too"]
      : []),
    "npm's provenance, and the trusted publishing to PyPI and crates.io: they need the identity of a workflow's run",
    'the GitHub release with its checksums, and GitHub Pages',
  ];
  for (const line of untried) console.log(`  ${line}`);
}
