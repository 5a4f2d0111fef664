import { symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { makeTemporaryDirectory, temporaryRoot } from './temporary-directory.js';

/** The loader splits LD_PRELOAD at colons and blanks, and there is no way to quote them. */
const SPLITS = /[\s:]/;

const links = new Map<string, string>();

/**
 * A path of a library that `LD_PRELOAD` can hold: the library's own, or that of a link to it in a temporary directory,
 * which is removed when this process ends.
 * @throws EnvironmentError when that directory can't be made.
 */
export function preloadPath(library: string): string {
  if (!SPLITS.test(library)) return library;
  const known = links.get(library);
  if (known !== undefined) return known;
  const root = temporaryRoot();
  const parent = SPLITS.test(root) ? '/tmp' : root;
  const link = join(makeTemporaryDirectory('quiesce-preload', parent).path, basename(library));
  symlinkSync(library, link);
  links.set(library, link);
  return link;
}
