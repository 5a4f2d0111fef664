// run/: one run of a program: how it ended, what was seen of it, and what it left. The layers above decide how often it
// is run, and what runs show together.
import { globMatcher } from '../glob.js';
import { libraryName } from './stack-trace.js';
import type { LeftThread } from './witness.js';

// Threads that their users can't end, by the file name of the library that started them, each with the reason.
const LIBRARIES: readonly (readonly [library: string, reason: string])[] = [
  ['libjemalloc*', "jemalloc's purging threads run until the process has gone, by design"],
  ['libgomp*', "GCC's OpenMP keeps its pool for the next parallel region, and has no call that ends it"],
  ['libomp*', "LLVM's OpenMP does the same"],
  ['libiomp5*', "Intel's OpenMP, also under MKL, does the same"],
  ['*openblas*', "OpenBLAS's pool waits for the next product, and no binding can end it"],
  ['_polars_runtime*', 'Polars keeps its pools for the next query, and no call ends them'],
  ['polars.abi3*', 'the same, in older versions'],
  ['tokenizers.*', "tokenizers works in rayon's global pool, which nothing can end"],
];

// The same by thread name, as their library is often linked into others.
const NAMES: readonly (readonly [thread: string, reason: string])[] = [
  ['jemalloc_bg_thd', 'jemalloc, within a library such as Arrow or Polars'],
  ['ForkJoinPool.co', "Java's common pool, which ignores shutdown()"],
];

const matchers = (table: readonly (readonly [string, string])[]): ((text: string) => boolean)[] =>
  table.map(([pattern]) => globMatcher(pattern));
const isOfWellKnown = matchers(LIBRARIES);
const isWellKnown = matchers(NAMES);

/**
 * Whether a left thread is not a failure under `strict`. Either it is a well-known one, or one of these patterns (`*`
 * and `?`) matches its name, or the file name of the library that started it or of the runtime that started it.
 */
export function isAllowedThread(
  { name, library, runtime }: LeftThread,
  patterns: readonly string[],
): boolean {
  const files = [library, runtime].flatMap((path) =>
    path ? [path.replace(/^.*\//, ''), libraryName(path)] : [],
  );
  const allowed = patterns.map(globMatcher);
  if ([...allowed, ...isWellKnown].some((matches) => matches(name))) return true;
  return files.some((file) => [...allowed, ...isOfWellKnown].some((matches) => matches(file)));
}
