// @ts-check
import { defineConfig } from 'vitepress';
import { leadOutside } from './repository-links.mjs';
import { navigation, sidebar } from './navigation.mjs';

const REPOSITORY = 'https://github.com/quiesce/quiesce';

// The documents are read as they lie in docs/, where a reader of the repository finds them too.
export default defineConfig({
  title: 'Quiesce',
  description: 'Why a program dies as it exits, found and cured',
  srcDir: '../docs',
  srcExclude: ['reference/**', 'upstream/**'],
  outDir: 'dist',
  cacheDir: '../.cache/site',
  base: process.env.SITE_BASE ?? '/',
  cleanUrls: true,
  lastUpdated: false,
  rewrites: (id) => id.replace(/(^|\/)README\.md$/, '$1index.md'),
  markdown: {
    config: (markdown) => markdown.use(leadOutside, { repository: REPOSITORY }),
    languageAlias: { text: 'txt' },
  },
  // Made by setup/commands/docs.mjs, not by VitePress.
  ignoreDeadLinks: [/^\/reference\/(etcd|quiesce|rust)\//],
  themeConfig: {
    nav: navigation,
    sidebar,
    search: { provider: 'local' },
    outline: [2, 3],
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
    footer: { message: 'Apache-2.0' },
  },
});
