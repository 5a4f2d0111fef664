// Runtimes and versions as axes, and bisecting versions, with real packages from the registries.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { byVersion } from '../src/installation.js';

const cli = fileURLToPath(new URL('../src/cli.js', import.meta.url));
let dir: string;
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'quiesce-matrix-test-'));
});
after(() => rmSync(dir, { recursive: true }));

function quiesce(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, NO_COLOR: '1', QUIESCE_CACHE: join(dir, 'cache') };
    execFile(process.execPath, [cli, ...args], { cwd: dir, env, timeout: 240_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : (error.code as unknown as number), stdout, stderr }),
    );
  });
}

/** A program that fails with is-number versions from 4 up to 5. */
const FAILS =
  'process.exit(/^[45]/.test(require(process.argv[1] + "/node_modules/is-number/package.json").version) ? 1 : 0)';
// biome-ignore lint/suspicious/noTemplateCurlyInString: the tester's own placeholders
const [RUNTIME, NPM] = ['${runtime}', '${npm}'];

function plan(name: string, scenario: object): string {
  writeFileSync(join(dir, name), JSON.stringify({ scenarios: [{ name: 'a', runs: 1, ...scenario }] }));
  return name;
}

describe('a matrix', () => {
  test('runs each combination, with what it names, installed once', async () => {
    const file = plan('matrix.json', {
      command: [RUNTIME, '-e', `console.error(process.version);${FAILS}`, NPM],
      matrix: { runtime: ['node@22'], 'npm:is-number': ['5.0.0', '7.0.0'] },
      env: { PLACE: NPM },
    });
    const first = await quiesce('run', '--plan', file, '--json', 'matrix-report.json');
    assert.equal(first.code, 1, first.stderr);
    assert.match(first.stdout, /a \[node@22, is-number 5\.0\.0\]: 1 of 1 exit code/);
    assert.match(first.stdout, /v22\.\d+\.\d+/);
    const { scenarios } = JSON.parse(readFileSync(join(dir, 'matrix-report.json'), 'utf8'));
    assert.deepEqual(
      scenarios.map(({ name, failedRuns }: { name: string; failedRuns: number }) => [name, failedRuns]),
      [
        ['a [node@22, is-number 5.0.0]', 1],
        ['a [node@22, is-number 7.0.0]', 0],
      ],
    );
    const npm = join(dir, 'cache/npm');
    assert.deepEqual(
      readdirSync(npm)
        .filter((name) => name.startsWith('is-number'))
        .sort(),
      ['is-number-5.0.0', 'is-number-7.0.0'],
    );
    const installed = statSync(join(npm, 'is-number-7.0.0/.complete')).mtimeMs;
    await quiesce('run', '--plan', file, '--only', '*7.0.0*');
    assert.equal(statSync(join(npm, 'is-number-7.0.0/.complete')).mtimeMs, installed);
  });

  test('that is wrong is told in one line', async () => {
    const command = ['true'];
    for (const [matrix, code, line] of [
      [{}, 2, /expected axes/],
      [{ rubies: ['3'] }, 2, /npm:NAME or pypi:NAME/],
      [{ runtime: 'node@22' }, 2, /list of text/],
      [{ runtime: ['perl@5'] }, 2, /no runtime/],
      [{ 'npm:a': ['1'], 'npm:b': ['1'] }, 2, /only one npm:NAME/],
      [{ 'npm:is-number': ['99.0.0'] }, 3, /is-number@99\.0\.0/],
    ] as const) {
      const { code: ended, stderr } = await quiesce('run', '--plan', plan('wrong.json', { command, matrix }));
      assert.equal(ended, code, stderr);
      assert.match(stderr, /^quiesce: error: [^\n]+\n$/);
      assert.match(stderr, line);
    }
  });
});

describe('bisect', () => {
  const program = ['--', process.execPath, '-e', FAILS, NPM];

  test('finds the version that brought a failure, and the one that cured it', async () => {
    const brought = await quiesce(
      'bisect',
      '-n',
      '2',
      '--from',
      '2.0.0',
      '--to',
      '5.0.0',
      'npm:is-number',
      ...program,
    );
    assert.equal(brought.code, 0, brought.stderr);
    assert.match(brought.stdout, /is-number 4\.0\.0 brought it \(3\.0\.0 is the version before\)/);
    const cured = await quiesce('bisect', '-n', '2', '--from', '4.0.0', 'npm:is-number', ...program);
    assert.equal(cured.code, 0, cured.stderr);
    assert.match(cured.stdout, /is-number 6\.0\.0 cured it \(5\.0\.0 is the version before\)/);
  });

  test('says when neither end differs, and what is wrong', async () => {
    const alike = await quiesce('bisect', '-n', '1', '--from', '6.0.0', 'npm:is-number', ...program);
    assert.equal(alike.code, 1, alike.stderr);
    for (const args of [
      ['gem:is-number', ...program],
      ['npm:is-number'],
      ['--from', '0.0.99', 'npm:is-number', ...program],
      ['--from', '7.0.0', '--to', '6.0.0', 'npm:is-number', ...program],
    ]) {
      const { code, stderr } = await quiesce('bisect', ...args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /^quiesce: error: [^\n]+\n$/);
    }
  });
});

test('versions are ordered by their numbers', () => {
  assert.deepEqual(['0.10.0', '0.9.1', '1.0', '0.9'].sort(byVersion), ['0.9', '0.9.1', '0.10.0', '1.0']);
});
