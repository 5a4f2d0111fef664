// @ts-check
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from '../lib/errors.mjs';
import { inCache, inRoot } from '../lib/paths.mjs';
import { mustRun, notice, step } from '../lib/step.mjs';
import { installNodeModules } from '../provide/node-modules.mjs';
import { hasCargo } from './cargo.mjs';

const SITE = inRoot('site');
const CRATES = ['owned-runtime', 'owned-runtime-pyo3', 'owned-runtime-napi'];

/** Where the site is once it is built. */
export const siteFolder = inRoot('site', 'dist');

/** Builds the documentation site: the pages of docs/, with the references of the packages and the crates beside them. */
export async function buildSite() {
  await installNodeModules('site', 'install what builds the site (npm)');
  await step('build the pages', () => mustRun([program('vitepress'), 'build'], { cwd: SITE }));
  for (const name of ['etcd', 'quiesce']) {
    const options = inRoot('site', 'typedoc', `${name}.json`);
    const out = inRoot('site', 'dist', 'reference', name);
    await step(`reference of ${name}, without a warning`, () =>
      mustRun([program('typedoc'), '--options', options, '--out', out], { cwd: SITE }),
    );
  }
  if (hasCargo()) await step('reference of the crates, without a warning', documentCrates);
  else notice('cargo is missing: the site has no reference of the crates');
  await step('links of the pages', async () => checkLinks(hasCargo()));
}

/**
 * Checks that each link of a page leads to a file of the site or of the repository.
 * @param {boolean} withCrates whether the crates' reference was made
 */
function checkLinks(withCrates) {
  const base = process.env.SITE_BASE ?? '/';
  const pages = readdirSync(siteFolder, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.html') && !/^reference\/(etcd|quiesce|rust)\//.test(name),
  );
  for (const page of pages) {
    for (const [, href = ''] of readFileSync(join(siteFolder, page), 'utf8').matchAll(/ href="([^"#]+)/g)) {
      const [, inRepository] = /^https:\/\/github\.com\/quiesce\/quiesce\/blob\/main\/(.+)$/.exec(href) ?? [];
      if (inRepository !== undefined) {
        if (!existsSync(inRoot(inRepository))) throw new SetupError(`${page}: ${href} leads nowhere`);
      } else if (!/^[a-z]+:/.test(href) && (withCrates || !href.includes('/reference/rust/'))) {
        const path = decodeURI(new URL(href, `http://site${base}${page}`).pathname).slice(base.length);
        const files = path === '' || path.endsWith('/') ? [`${path}index.html`] : [path, `${path}.html`];
        const found = files.some((name) =>
          statSync(join(siteFolder, name), { throwIfNoEntry: false })?.isFile(),
        );
        if (!found) throw new SetupError(`${page}: ${href} leads nowhere`);
      }
    }
  }
}

async function documentCrates() {
  const target = inCache('site', 'crates');
  rmSync(inCache('site', 'crates', 'doc'), { recursive: true, force: true });
  const packages = CRATES.flatMap((name) => ['--package', name]);
  await mustRun(['cargo', 'doc', '--no-deps', '--all-features', '--target-dir', target, ...packages], {
    env: { RUSTDOCFLAGS: '-D warnings' },
  });
  cpSync(inCache('site', 'crates', 'doc'), inRoot('site', 'dist', 'reference', 'rust'), { recursive: true });
}

const program = (/** @type {string} */ name) => inRoot('site', 'node_modules', '.bin', name);
