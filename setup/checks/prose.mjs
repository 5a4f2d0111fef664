// @ts-check
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { run } from '../lib/command.mjs';
import { inRoot } from '../lib/paths.mjs';
import { installNodeModules } from '../provide/node-modules.mjs';

const FOLDER = inRoot('setup', 'prose');

const LINTED = ['*.md', '*.ts', '*.mjs', '*.rs', '*.py', '*.go'];

/** History, generated files, and tests, whose titles other files refer to. */
const LEFT_OUT =
  /^CHANGELOG\.md$|\/tests?\/|\/generated\/|\/api\/.+\.api\.md$|^docs\/measurements\/performance\//;

/**
 * Lints the prose of documents, doc comments and error texts.
 * @returns {Promise<import('./checks.mjs').Result>}
 */
export async function lintProse() {
  await installNodeModules('setup/prose', 'install the prose linter (npm)');
  const files = proseFiles();
  const textlint = inRoot('setup', 'prose', 'node_modules', '.bin', 'textlint');
  const { code, output } = await run([textlint, '--format', 'unix', ...files.map((name) => inRoot(name))], {
    cwd: FOLDER,
  });
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, output };
}

function proseFiles() {
  const names = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', ...LINTED], {
    cwd: inRoot(),
    encoding: 'utf8',
    maxBuffer: 2 ** 24,
  });
  return names
    .trim()
    .split('\n')
    .filter((name) => !LEFT_OUT.test(name) && existsSync(inRoot(name)));
}
