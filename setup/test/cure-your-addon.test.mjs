// @ts-check
// docs/cure-your-addon: its code is that of the example addons and the crates, and its programs run.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { provided, pythonBinaries } from '@quiesce/test-services';
import { inRoot, tester } from '../lib/paths.mjs';

const FOLDER = inRoot('docs', 'cure-your-addon');
const read = (/** @type {string[]} */ ...path) => readFileSync(inRoot(...path), 'utf8');
const pages = readdirSync(FOLDER).filter((name) => name.endsWith('.md'));
/** Pages that link here, and the proposal that these pages support. */
const others = [
  'docs/upstream/pyo3-async-runtimes-40.md',
  ...['python-after-finalization', 'python-thread-unwound', 'napi-after-teardown', 'heap-corruption'].map(
    inDiagnosis,
  ),
  ...['thread-left-at-exit', 'thread-outlives-exit', 'join-at-exit', 'rust-panic'].map(inDiagnosis),
];
function inDiagnosis(/** @type {string} */ name) {
  return `docs/diagnosis/${name}.md`;
}

/**
 * Code blocks of a page, each with the mark before it: `source: FILE` or `diff: FILE FILE`.
 * @param {string} text
 */
function blocks(text) {
  const pattern = /(?:<!-- (source|diff): (.+?) -->\n\n)?^```(\w+)\n([\s\S]*?)^```$/gm;
  return [...text.matchAll(pattern)].map(([, mark, names = '', language, code = '']) => {
    const [before = '', after = ''] = names.split(' ');
    return { mark, files: { before, after }, language, code };
  });
}

/**
 * Whether lines of code occur together in a file, or in its documentation comments.
 * @param {string} code
 * @param {string} file
 */
function isPartOf(code, file) {
  const source = read(file);
  const documented = source.replace(/^[ \t]*\/\/[/!] ?/gm, '');
  // The formatter removes the indentation of a quoted block.
  const indented = ['', '  '].map((indent) => code.trimEnd().replace(/^(?=.)/gm, indent));
  return [source, documented].some((text) => indented.some((lines) => `\n${text}`.includes(`\n${lines}\n`)));
}

/**
 * One side of a diff: the lines that it removes or adds, with the unchanged ones.
 * @param {string} diff
 * @param {'-' | '+'} sign
 */
function sideOf(diff, sign) {
  const lines = diff.trimEnd().split('\n');
  return lines
    .filter((line) => line === '' || line[0] === ' ' || line[0] === sign)
    .map((line) => line.slice(1))
    .join('\n');
}

describe('docs/cure-your-addon', () => {
  for (const page of pages) {
    const found = blocks(readFileSync(join(FOLDER, page), 'utf8'));
    it(`${page}: code is quoted from its source`, () => {
      for (const { mark, files, language, code } of found) {
        if (language === 'sh') continue;
        assert.ok(mark, `a block has no source:\n${code}`);
        if (mark === 'source') {
          assert.ok(isPartOf(code, files.before), `not in ${files.before}:\n${code}`);
        } else {
          const { before, after } = files;
          assert.notEqual(sideOf(code, '-'), sideOf(code, '+'));
          assert.ok(isPartOf(sideOf(code, '-'), before), `not in ${before}:\n${sideOf(code, '-')}`);
          assert.ok(isPartOf(sideOf(code, '+'), after), `not in ${after}:\n${sideOf(code, '+')}`);
        }
      }
      if (page !== 'README.md') assert.ok(found.filter(({ mark }) => mark === 'diff').length >= 4);
    });
  }

  it('names functions that the crates have', () => {
    for (const [page, crate] of Object.entries({
      'pyo3.md': 'owned-runtime-pyo3',
      'napi-rs.md': 'owned-runtime-napi',
    })) {
      const api = read('crates', crate, 'src', 'lib.rs');
      const names =
        page === 'pyo3.md'
          ? ['stop_into_py', 'RuntimeClosed', 'Settings', 'running']
          : ['promise', 'EnvRuntime', 'block_on'];
      for (const name of names) assert.match(api, new RegExp(`\\b${name}\\b`), `${crate} has no ${name}`);
    }
  });

  it('is linked from the causes', () => {
    for (const page of others) assert.match(read(page), /cure-your-addon|owned-runtime-pyo3/, page);
    for (const readme of [
      'README.md',
      'crates/owned-runtime-pyo3/README.md',
      'crates/owned-runtime-napi/README.md',
    ]) {
      assert.match(read(readme), /cure-your-addon/, readme);
    }
  });

  const files = provided('addons') ?? {};
  const [forPython, forNode] = [files['addon-pyo3-owned'], files['addon-napi-owned']];
  const built = forPython !== undefined && forNode !== undefined;
  const python = pythonBinaries()['python3.11'];

  it('builds the example addons by one command', { skip: !built && 'the addons are not built' }, () => {
    const command = [inRoot('setup', 'commands', 'cure.mjs'), 'build'];
    const { status, stdout, stderr } = spawnSync(process.execPath, command, {
      encoding: 'utf8',
      timeout: 280_000,
    });
    assert.equal(status, 0, stdout + stderr);
    assert.doesNotMatch(stdout, /runs in \d+ cells/);
  });

  /** Runs a few times what the check at the end of a page does. */
  function check(/** @type {string[]} */ ...command) {
    const args = [
      'run',
      '--perturb',
      'amplify',
      '--strict',
      '--seed',
      '1',
      '-n',
      '3',
      '--timeout',
      '60s',
      '--',
    ];
    const { status, stdout, stderr } = spawnSync(process.execPath, [tester, ...args, ...command], {
      ...{ cwd: inRoot(), encoding: 'utf8', timeout: 300_000 },
      env: { ...process.env, PYTHONPATH: dirname(forPython ?? '') },
    });
    assert.equal(status, 0, stdout + stderr);
    assert.match(stdout, /All as expected/);
  }

  it(
    'the check of pyo3.md holds',
    { skip: !(built && python) && 'no addons or no Python 3.11', timeout: 320_000 },
    () => check(python ?? '', 'docs/cure-your-addon/leave.py', 'addon_pyo3_owned'),
  );

  it('the check of napi-rs.md holds', { skip: !built && 'the addons are not built', timeout: 320_000 }, () =>
    check(process.execPath, 'docs/cure-your-addon/leave.mjs', forNode ?? ''),
  );
});
