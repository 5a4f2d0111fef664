/** A text without user names, passwords and queries of URLs. */
export function withoutSecrets(text: string): string {
  return text.replace(/^(\s*(?:[a-z][a-z\d+.-]*:\/\/)?).*@/is, '$1***@').replace(/\?.*$/s, '?***');
}
