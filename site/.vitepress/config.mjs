// @ts-check
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitepress';
import { navigation, sidebar } from './navigation.mjs';
import { leadOutside } from './repository-links.mjs';
import { markShortCode } from './short-code.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const REPOSITORY = 'https://github.com/quiesce/quiesce';

/** The pages are outside of this folder, and what they are compiled to imports Vue. */
const importsOfPages = {
  name: 'imports-of-pages',
  enforce: /** @type {const} */ ('pre'),
  /** @this {{ resolve: Function }} */
  async resolveId(
    /** @type {string} */ source,
    /** @type {string | undefined} */ importer,
    /** @type {{ ssr?: boolean }} */ { ssr },
  ) {
    if (!/^vue(\/|$)/.test(source) || importer?.startsWith(here)) return undefined;
    if (ssr) return { id: source, external: true };
    return await this.resolve(source, `${here}config.mjs`, { skipSelf: true });
  },
};

// The documents are read as they are in docs/, where a reader of the repository finds them too.
export default defineConfig({
  title: 'Quiesce',
  description: 'Why a program dies as it exits, found and cured',
  srcDir: '../docs',
  srcExclude: ['upstream/**'],
  outDir: 'dist',
  cacheDir: '../.cache/site',
  base: process.env.SITE_BASE ?? '/',
  cleanUrls: true,
  lastUpdated: false,
  rewrites: (id) => id.replace(/(^|\/)README\.md$/, '$1index.md'),
  markdown: {
    // On the grey of code blocks, the usual themes have less contrast than WCAG's 4.5.
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
    config: (markdown) => markdown.use(leadOutside, { repository: REPOSITORY }).use(markShortCode),
  },
  // setup/build/site.mjs puts them beside the pages.
  ignoreDeadLinks: [/^\/reference\/(etcd|quiesce|rust)\//],
  vite: { plugins: [importsOfPages] },
  themeConfig: {
    nav: navigation,
    sidebar,
    search: { provider: 'local' },
    outline: [2, 3],
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
    footer: { message: 'Apache-2.0' },
    notFound: {
      quote: 'There is no such page. The search knows all there are.',
      linkText: 'To the first page',
    },
  },
});
