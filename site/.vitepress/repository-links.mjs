// @ts-check
import { posix } from 'node:path';

/** What the site shows itself. */
const PAGE = /^docs\/(?!upstream\/).*(\.md|\/)$/;

/** What setup/build/site.mjs puts beside the pages. */
const GENERATED = /^docs\/(reference\/(?:etcd|quiesce|rust)\/.*)$/;

/**
 * A markdown-it plugin: a link to what is not a page of the site becomes one into the repository. One to a generated reference
 * is followed by the browser and not by the site's router, which knows only pages.
 * @param {import('markdown-it').default} markdown
 * @param {{ repository: string }} options
 */
export function leadOutside(markdown, { repository }) {
  markdown.core.ruler.push('lead-outside', (state) => {
    const page = state.env.relativePath ?? '';
    const folder = posix.dirname(posix.join('docs', page));
    for (const token of state.tokens.flatMap((block) => block.children ?? [])) {
      const href = token.type === 'link_open' ? token.attrGet('href') : null;
      if (href === null || /^([a-z]+:|#|\/)/.test(href)) continue;
      const target = posix.normalize(posix.join(folder, href));
      const generated = GENERATED.exec(target)?.[1];
      if (generated !== undefined) {
        token.attrSet('href', `/${generated.replace(/index\.html$/, '')}`);
        token.attrSet('target', '_self');
        continue;
      }
      if (PAGE.test(target.replace(/[#?].*/, ''))) {
        // The site serves a folder's README as its index.
        token.attrSet(
          'href',
          href.replace(/(^|\/)README\.md(?=$|[#?])/, (_, before) => before || './'),
        );
        continue;
      }
      token.attrSet('href', `${repository}/blob/main/${target}`);
    }
  });
}
