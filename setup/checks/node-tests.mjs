// @ts-check
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run } from '../lib/command.mjs';
import { inCache, inRoot, root } from '../lib/paths.mjs';
import { FILES_AT_ONCE } from '../lib/turns.mjs';
import { checkNeeds, needsOf, provideNeeds } from './needs.mjs';

const PLACES = ['setup/test', 'crates/*/tests', 'packages/*/dist/test', 'scenarios/dist', 'bench/dist'];

/**
 * Provides what the chosen Node tests need.
 * @param {string[]} parts only files whose path contains one of these; all when empty
 * @returns {Promise<{ files: string[], env: Record<string, string> }>} the files, and the environment for them
 */
export async function provideNodeTests(parts) {
  const all = PLACES.flatMap(expand).flatMap(testFiles);
  checkNeeds(all.map(sourceOf));
  const files = all.filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)));
  return { files, env: await provideNeeds(needsOf(files.map(sourceOf))) };
}

/**
 * Runs the chosen Node tests, and shows their output as it comes.
 * @param {string[]} parts as for {@link provideNodeTests}, which must have run before
 * @returns {Promise<import('./checks.mjs').Result>}
 */
export async function runNodeTests(parts) {
  const { files, env } = await provideNodeTests(parts);
  if (files.length === 0) {
    return { failed: 1, output: `no test file's path holds ${parts.join(' or ')}` };
  }
  const counts = inCache('node-test-counts.json');
  mkdirSync(inCache(), { recursive: true });
  rmSync(counts, { force: true });
  const { code } = await run(
    [
      process.execPath,
      '--test',
      `--test-concurrency=${FILES_AT_ONCE}`,
      // A test that hangs fails, and the others continue. It also bounds each file, on a busy machine, too.
      '--test-timeout=900000',
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      `--test-reporter=${inRoot('setup', 'checks', 'count-reporter.mjs')}`,
      `--test-reporter-destination=${counts}`,
      ...files,
    ],
    { env, show: true },
  );
  const { pass, fail, cancelled, skipped, todo } = readCounts(counts);
  const failed = fail + cancelled;
  return { passed: pass, failed: code === 0 ? failed : Math.max(failed, 1), skipped: skipped + todo };
}

function readCounts(/** @type {string} */ file) {
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  // Empty when the runner itself died.
  return { pass: 0, fail: 0, cancelled: 0, skipped: 0, todo: 0, ...(text && JSON.parse(text)) };
}

function expand(/** @type {string} */ place) {
  const [before = '', after] = place.split('/*');
  if (after === undefined) return [inRoot(place)];
  return readdirSync(inRoot(before)).map((name) => inRoot(before, name, after));
}

/** @returns {string[]} */
function testFiles(/** @type {string} */ dir) {
  if (!existsSync(dir)) return [];
  return (
    readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.test\.m?js$/.test(entry.name))
      .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
      // tsc leaves the output of a source that is gone.
      .filter((file) => existsSync(inRoot(sourceOf(file))))
      .sort()
  );
}

/**
 * The source that a test file was compiled from; the file itself, if it wasn't compiled.
 * @param {string} file
 */
function sourceOf(file) {
  return /(^|\/)dist\//.test(file) ? file.replace(/(^|\/)dist\//, '$1').replace(/\.js$/, '.ts') : file;
}
