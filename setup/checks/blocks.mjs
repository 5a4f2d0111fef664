// @ts-check
// The fenced blocks of the documents, and by what each is run. setup/test/blocks.test.mjs runs those that nothing here names.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { inRoot } from '../lib/paths.mjs';

/** @typedef {{ file: string, line: number, language: string, code: string, mark: string }} Block */

const DOCUMENTS = [
  'README.md',
  'packages/*/README.md',
  'crates/*/README.md',
  'docs/**/*.md',
  'examples/**/README.md',
];

/**
 * Blocks that another test runs. Its source must hold `names`.
 * @type {readonly { page: RegExp, language?: RegExp, mark?: RegExp, code?: RegExp, test: string, names: string }[]}
 */
const RUN_BY = [
  {
    page: /^docs\/crash-at-exit\.md$/,
    language: /^(sh|js|text)$/,
    test: 'setup/test/documents.test.mjs',
    names: 'crash-at-exit.md',
  },
  { page: /^examples\/tester\//, language: /^sh$/, test: 'setup/test/examples.test.mjs', names: 'README.md' },
  {
    page: /^docs\/guide\//,
    mark: /^example: /,
    test: 'packages/etcd/test/examples.test.ts',
    names: '<!-- example:',
  },
  {
    page: /^docs\/guide\//,
    language: /^text$/,
    test: 'packages/etcd/test/examples.test.ts',
    names: '```text',
  },
  {
    page: /^docs\/cure-your-addon\//,
    language: /^(js|python|rust|diff|sh)$/,
    test: 'setup/test/cure-your-addon.test.mjs',
    names: 'leave.',
  },
  {
    page: /^crates\/owned-runtime\//,
    language: /^rust/,
    test: 'crates/owned-runtime/src/lib.rs',
    names: 'include_str!("../README.md")',
  },
  {
    page: /^crates\/owned-runtime-pyo3\//,
    language: /^rust/,
    test: 'crates/owned-runtime-pyo3/src/lib.rs',
    names: 'include_str!("../README.md")',
  },
  {
    page: /^crates\/owned-runtime-napi\//,
    language: /^rust/,
    test: 'crates/owned-runtime-napi/src/lib.rs',
    names: 'include_str!("../README.md")',
  },
  {
    page: /^packages\/pytest-quiesce\//,
    language: /^python$/,
    test: 'packages/quiesce/test/matchers.test.ts',
    names: 'README.md',
  },
  {
    page: /^docs\/ci\.md$/,
    mark: /\.ya?ml$/,
    test: 'packages/quiesce/test/shard.test.ts',
    names: 'docs/ci.md',
  },
  {
    page: /^docs\/ci\.md$/,
    code: /^- uses: quiesce\/quiesce@/,
    test: 'setup/test/action.test.mjs',
    names: 'ci.md',
  },
];

/**
 * Blocks that no test runs, and why. Each entry is used.
 * @type {readonly { page: RegExp, language?: RegExp, code: RegExp, why: string }[]}
 */
const NOT_RUN = [
  { page: /^docs\/architecture\.md$/, language: /^$/, code: /──/, why: 'a drawing' },
  {
    page: /^docs\/ci\.md$/,
    code: /^docker build/,
    why: 'needs a Docker daemon: docker.test.mjs checks the Dockerfile',
  },
  {
    page: /^docs\/crash-at-exit\.md$/,
    code: /^- run: npx quiesce run/,
    why: 'a step of a workflow, whose command the page has run before',
  },
  {
    page: /^docs\/diagnosis\/README\.md$/,
    code: /--valgrind/,
    why: 'needs valgrind and an instrumented addon: checker.test.ts runs both flags',
  },
  {
    page: /^docs\/tester\.md$/,
    code: /^quiesce bisect pypi:/,
    why: 'downloads for half a minute: documents.test.mjs runs a bisection',
  },
  {
    page: /^docs\/tester\.md$/,
    language: /^$/,
    code: /exit of run 1/,
    why: 'output for one crash at one time: timeline.test.ts reads the same lines from real ones',
  },
  {
    page: /^docs\/statistics\.md$/,
    language: /^$/,
    code: /^\$ quiesce compare/,
    why: 'output of 200 runs of the control: compare.test.ts reads such a table',
  },
  {
    page: /^README\.md$/,
    language: /^$/,
    code: /^scenario +runs/,
    why: 'output of npm start, which takes minutes',
  },
  { page: /^docs\/upstream\//, code: /./, why: "reports to other projects, with those projects' versions" },
];

/**
 * Commands of contributors that take minutes to hours. The test compares their names and flags with the sources.
 */
export const LONG_COMMAND = /^npm (start|test|run [\w-]+)/;

/** @returns {Block[]} all fenced blocks of the documents */
export function allBlocks() {
  const globs = DOCUMENTS.map((glob) => `:(glob)${glob}`);
  const names = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', ...globs], {
    cwd: inRoot(),
    encoding: 'utf8',
  });
  return names.trim().split('\n').flatMap(blocksOf);
}

/** @param {string} file */
function blocksOf(file) {
  const text = readFileSync(inRoot(file), 'utf8');
  const pattern = /(?:<!-- (.+?) -->\n\n?)?^ *```(\S*)[^\n]*\n([\s\S]*?)^ *```$/gm;
  return Array.from(text.matchAll(pattern), ({ index, 1: mark = '', 2: language = '', 3: code = '' }) => {
    const line = text.slice(0, index).split('\n').length;
    return { file, line, language, code, mark };
  });
}

/**
 * @param {Block} block
 * @returns {string | undefined} by what test, or why not at all
 */
export function runElsewhere({ file, language, code, mark }) {
  const by = RUN_BY.find(
    (rule) =>
      rule.page.test(file) &&
      (rule.language?.test(language) ?? true) &&
      (rule.mark?.test(mark) ?? true) &&
      (rule.code?.test(code) ?? true),
  );
  return by?.test ?? reasonOf({ file, language, code });
}

/** @param {Pick<Block, 'file' | 'language' | 'code'>} block */
const reasonOf = ({ file, language, code }) =>
  NOT_RUN.find(
    (rule) => rule.page.test(file) && (rule.language?.test(language) ?? true) && rule.code.test(code),
  )?.why;

/** What is wrong with the lists themselves: an entry for no block, or a test that doesn't read what it should. */
export function problemsOfLists(/** @type {readonly Block[]} */ blocks) {
  const unread = RUN_BY.filter(({ test, names }) => !readFileSync(inRoot(test), 'utf8').includes(names));
  const unused = NOT_RUN.filter(
    (rule) => !blocks.some((block) => rule.page.test(block.file) && reasonOf(block) === rule.why),
  );
  return [
    ...unread.map(({ test, names }) => `${test} doesn't hold ${names}`),
    ...unused.map(({ page, why }) => `no block of ${page} is left out because it is ${why}`),
  ];
}
