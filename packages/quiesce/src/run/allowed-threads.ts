// run/: one run of a program: how it ended, what was seen of it, and what it left. How often it is run, and what runs show
// together, is above.
import { globMatcher } from '../glob.js';
import type { LeftThread } from './witness.js';

/** Threads that their users can't end, by the file name of the library that started them, and why not. */
export const wellKnownThreads: readonly { readonly library: string; readonly reason: string }[] = [
  { library: 'libjemalloc*', reason: "jemalloc's purging threads run until the process has gone, by design" },
  {
    library: 'libgomp*',
    reason: "GCC's OpenMP keeps its pool for the next parallel region, and has no call that ends it",
  },
  { library: 'libomp*', reason: "LLVM's OpenMP does the same" },
  { library: 'libiomp5*', reason: "Intel's OpenMP, also under MKL, does the same" },
  { library: '*openblas*', reason: "OpenBLAS's pool waits for the next product, and no binding can end it" },
];

const isWellKnown = wellKnownThreads.map(({ library }) => globMatcher(library));

/**
 * Whether a left thread is not a failure under `strict`: its name, or the file name of the library that started it or of the
 * runtime that it was started with, equals or matches one of these patterns (`*` and `?`), or it is a well-known one.
 */
export function isAllowedThread(
  { name, library, runtime }: LeftThread,
  patterns: readonly string[],
): boolean {
  const files = [library, runtime].flatMap((path) => path?.replace(/^.*\//, '') ?? []);
  const allowed = patterns.map(globMatcher);
  if (allowed.some((matches) => matches(name))) return true;
  return files.some((file) => [...allowed, ...isWellKnown].some((matches) => matches(file)));
}
