/** A text without what stands where a URL has its name and password, or its query. */
export function withoutSecrets(text: string): string {
  return text.replace(/^(\s*(?:[a-z][a-z\d+.-]*:\/\/)?).*@/is, '$1***@').replace(/\?.*$/s, '?***');
}
