// @ts-check
import { posix } from 'node:path';

/**
 * A markdown-it plugin: a link that leads out of docs/ becomes one into the repository, and one to a document that the site
 * leaves out likewise.
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
      if (target.startsWith('docs/') && !target.startsWith('docs/upstream/')) continue;
      token.attrSet('href', `${repository}/blob/main/${target}`);
    }
  });
}
