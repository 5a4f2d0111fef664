// @ts-check

/** Longer code may break: a phone's line has room for about this many characters. */
const SHORT = 26;

/**
 * A markdown-it plugin: marks short code in a line of text, which style.css keeps in one piece. Browsers break it at hyphens,
 * so that `--strict` would be `--` and `strict`.
 * @param {import('markdown-it').default} markdown
 */
export function markShortCode(markdown) {
  markdown.core.ruler.push('short-code', (state) => {
    for (const token of state.tokens.flatMap((block) => block.children ?? [])) {
      if (token.type === 'code_inline' && token.content.length <= SHORT) token.attrJoin('class', 'short');
    }
  });
}
