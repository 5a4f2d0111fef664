// Runtimes and versions as axes, and bisecting versions, with real packages from the registries.
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { byVersion, cacheFolder, isUnknown, whatWentWrong } from '../src/install/installation.js';
import { type CliResult, type RunningCli, runCli, startCli } from './support/cli.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('matrix');

const quiesce = (...args: string[]): Promise<CliResult> =>
  runCli(args, { cwd: dir, env: { QUIESCE_CACHE: join(dir, 'cache') }, timeoutMs: 240_000 });

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

  test('that is wrong is reported in one line', async () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the tester's own placeholder
    const RUNTIME = '${runtime}';
    for (const [matrix, code, line] of [
      [{}, 2, /expected axes/],
      [{ rubies: ['3'] }, 2, /npm:NAME or pypi:NAME/],
      [{ runtime: 'node@22' }, 2, /list of text/],
      [{ runtime: ['perl@5'] }, 2, /not a runtime/],
      [{ 'npm:a': ['1'], 'npm:b': ['1'] }, 2, /only one npm:NAME/],
      [{ 'npm:is-number': ['99.0.0'] }, 2, /is-number@99\.0\.0.*check the name and the version/],
    ] as const) {
      const { code: ended, stderr } = await quiesce(
        'run',
        '--plan',
        plan('wrong.json', {
          ...{ command: ['true'], matrix },
          env: { PLACE: 'runtime' in matrix ? RUNTIME : NPM },
        }),
      );
      assert.equal(ended, code, stderr);
      assert.match(stderr, /^quiesce: error: [^\n]+\n$/);
      assert.match(stderr, line);
    }
  });
});

/** An `npm` that records each installation, and then either does it or does something else. */
function npmThat(name: string, does: string): { path: string; calls(word: string): number } {
  const folder = join(dir, name);
  mkdirSync(folder);
  const log = join(folder, 'log');
  writeFileSync(log, '');
  writeFileSync(join(folder, 'npm'), `#!/bin/sh\necho "$1" >> '${log}'\n${does}\n`, { mode: 0o755 });
  return {
    path: `${folder}${delimiter}${process.env.PATH}`,
    calls: () =>
      readFileSync(log, 'utf8')
        .split('\n')
        .filter((word) => word === 'install').length,
  };
}

const realNpm = (process.env.PATH ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'npm'))
  .find((file) => existsSync(file)) as string;

const startWith = (path: string, cache: string, ...args: string[]): RunningCli =>
  startCli(args, { cwd: dir, env: { PATH: path, QUIESCE_CACHE: cache } });

describe('the cache of installations', () => {
  const command = [process.execPath, '-e', FAILS, NPM];
  const matrix = { 'npm:is-number': ['7.0.0'] };

  test('is filled once by testers that want the same at once', async () => {
    const npm = npmThat('counted', `exec '${realNpm}' "$@"`);
    const file = plan('at-once.json', { command, matrix });
    const cache = join(dir, 'shared');
    const testers = [1, 2, 3].map(() => startWith(npm.path, cache, 'run', '--plan', file));
    for (const { ended } of testers) {
      const { code, stderr } = await ended;
      assert.equal(code, 0, stderr);
    }
    assert.equal(npm.calls('install'), 1);
    assert.deepEqual(readdirSync(join(cache, 'npm')), ['is-number-7.0.0']);
  });

  test('has nothing half-made after an interrupt, which is exit code 130', async () => {
    // It begins, and then hangs.
    const npm = npmThat('stuck', 'mkdir -p node_modules/is-number; exec sleep 60');
    const file = plan('stuck.json', { command, matrix });
    const cache = join(dir, 'interrupted');
    for (const args of [
      ['run', '--plan', file],
      ['compare', '--plan', file, '--before', 'a', '--after', 'b'],
      ['bisect', '--from', '6.0.0', 'npm:is-number', '--', ...command],
    ]) {
      // bisect asks for the versions first.
      const word = args[0] === 'bisect' ? 'view' : 'install';
      const before = npm.calls(word);
      const tester = startWith(npm.path, cache, ...args);
      for (let i = 0; npm.calls(word) === before && i < 2_000; i++) await sleep(10);
      tester.kill('SIGINT');
      const { code, stderr } = await tester.ended;
      assert.equal(code, 130, stderr);
      assert.match(stderr, /^quiesce: interrupted by SIGINT\n$/m);
      assert.deepEqual(existsSync(join(cache, 'npm')) ? readdirSync(join(cache, 'npm')) : [], []);
    }
  });

  test('is taken over from a tester that was killed', async () => {
    const cache = join(dir, 'taken-over');
    const folder = join(cache, 'npm', 'is-number-7.0.0');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'half'), '');
    writeFileSync(`${folder}.lock`, '1\n');
    utimesSync(`${folder}.lock`, new Date(), new Date(Date.now() - 11_000));
    const file = plan('taken-over.json', { command, matrix });
    const { code, stderr } = await startWith(process.env.PATH ?? '', cache, 'run', '--plan', file).ended;
    assert.equal(code, 0, stderr);
    assert.deepEqual(readdirSync(join(cache, 'npm')), ['is-number-7.0.0']);
    assert.equal(existsSync(join(folder, 'half')), false);
  });

  test('has an absolute path, since installers run elsewhere', () => {
    const home = join(homedir(), '.cache', 'quiesce');
    assert.equal(cacheFolder({ QUIESCE_CACHE: 'relative' }), resolve('relative'));
    assert.equal(cacheFolder({ QUIESCE_CACHE: '', XDG_CACHE_HOME: 'relative' }), home);
    assert.equal(cacheFolder({ XDG_CACHE_HOME: '/of/the/user' }), '/of/the/user/quiesce');
  });

  test('that can not be written is reported in one line', async () => {
    const file = plan('no-cache.json', { command, matrix });
    writeFileSync(join(dir, 'a-file'), '');
    const { code, stderr } = await startWith(
      process.env.PATH ?? '',
      join(dir, 'a-file'),
      'run',
      '--plan',
      file,
    ).ended;
    assert.equal(code, 3, stderr);
    assert.match(stderr, /^quiesce: error: can't make [^\n]+QUIESCE_CACHE[^\n]+\n$/);
  });
});

test('of a failed installation, the sentence that says why is shown', () => {
  const missing = [
    'error code E404',
    'error 404',
    "error 404  'nope@*' is not in this registry.",
    'error 404',
  ];
  const advice = [
    'error 404 Note that you can also install from a',
    'error 404 tarball, folder, http url, or git url.',
  ];
  const npm = [...missing, ...advice, 'error A complete log of this run can be found in: x.log'];
  assert.match(
    whatWentWrong(npm.map((line) => `npm ${line}\n`).join('')),
    /'nope@\*' is not in this registry\.$/,
  );
  const pip =
    'WARNING: slow\nERROR: Could not find a version\nERROR: No matching distribution found for nope\n';
  assert.match(whatWentWrong(pip), /No matching distribution found for nope$/);
  const offline = `WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError'\n${pip}`;
  const npmOffline = 'npm error code ENOTFOUND\nnpm error syscall getaddrinfo\n';
  const unknown = [npm.map((line) => `npm ${line}\n`).join(''), pip, offline, npmOffline].map(isUnknown);
  assert.deepEqual(unknown, [true, true, false, false]);
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

  test('leaves out versions that the program can not do its work with', async () => {
    // It reports "work done" if it can do the work; at its exit it fails with version 3.
    const bisectWithout = (unusable: string, ...options: string[]) => {
      const works = `const { version } = require(process.argv[1] + "/node_modules/is-number/package.json");
        if (/^[${unusable}]/.test(version)) throw new TypeError("no such function");
        require("fs").writeSync(Number(process.env.QUIESCE_DONE_FD), "done\\n");
        process.exit(/^3/.test(version) ? 1 : 0);`;
      const words = ['-n', '1', 'npm:is-number', '--', process.execPath, '-e', works, NPM];
      return quiesce('bisect', ...options, ...words);
    };
    const oldest = await bisectWithout('12', '--from', '1.0.0');
    assert.equal(oldest.code, 0, oldest.stderr + oldest.stdout);
    assert.match(oldest.stdout, /is-number 4\.0\.0 cured it \(3\.0\.0 is the version before\)/);
    assert.match(oldest.stdout, /Left out, .*: 1\.0\.0, .*2\.1\.0\n/);
    const newest = await bisectWithout('7', '--from', '3.0.0');
    assert.match(newest.stdout, /is-number 4\.0\.0 cured it/, newest.stderr + newest.stdout);
    const middle = await bisectWithout('45', '--from', '3.0.0');
    assert.match(
      middle.stdout,
      /is-number 6\.0\.0, or one of 4\.0\.0, 5\.0\.0 cured it \(3\.0\.0 is the last earlier/,
    );
    const all = await bisectWithout('1234567', '--from', '6.0.0');
    assert.equal(all.code, 1);
    assert.match(all.stdout, /alike.*\n.*doesn't report when its work is done/);
  });

  test('with a service that fails is exit code 3', async () => {
    const file = join(dir, 'service.json');
    const services = { broken: { command: ['false'], ready: { log: 'never' } } };
    const scenarios = [{ name: 'a', command: ['true', NPM], uses: ['broken'] }];
    writeFileSync(file, JSON.stringify({ services, scenarios }));
    const { code, stderr } = await quiesce('bisect', '--from', '6.0.0', 'npm:is-number', '--plan', file);
    assert.equal(code, 3, stderr);
    assert.match(
      stderr,
      /^quiesce: error: with is-number 6\.0\.0: service "broken" exited with code 1[^\n]*$/m,
    );
  });

  test('says when neither end differs, and what is wrong', async () => {
    const alike = await quiesce('bisect', '-n', '1', '--from', '6.0.0', 'npm:is-number', ...program);
    assert.equal(alike.code, 1, alike.stderr);
    assert.match(alike.stdout, /A range of bad versions between them wouldn't show: give --from or --to/);
    for (const args of [
      ['gem:is-number', ...program],
      ['npm:is-number'],
      // It contains nothing from the package.
      ['npm:is-number', '--', 'true'],
      ['pypi:six', ...program],
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
