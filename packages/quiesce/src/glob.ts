/** Says whether a name equals or matches a pattern with `*` and `?`. */
export function globMatcher(glob: string): (name: string) => boolean {
  const source = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
  const pattern = new RegExp(`^${source}$`, 's');
  return (name) => name === glob || pattern.test(name);
}

/** Says whether one of some names is meant: by its own name, or if none has that, by a pattern. */
export function nameMatcher(wanted: string, names: readonly string[]): (name: string) => boolean {
  return names.includes(wanted) ? (name) => name === wanted : globMatcher(wanted);
}
