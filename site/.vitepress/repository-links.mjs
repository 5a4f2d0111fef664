// @ts-check
import { posix } from 'node:path';

/** What the site shows itself. */
const PAGE = /^docs\/(?!upstream\/).*(\.md|\/)$/;

/**
 * A markdown-it plugin: a link to what is no page of the site becomes one into the repository.
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
      if (PAGE.test(target.replace(/[#?].*/, ''))) continue;
      token.attrSet('href', `${repository}/blob/main/${target}`);
    }
  });
}
