// `quiesce init`: what it writes runs unchanged, and nothing is overwritten.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findExecutable } from '../src/process/executable.js';
import { type CliResult, runCli } from './support/cli.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('init');

const quiesce = (...args: string[]): Promise<CliResult> => runCli(args, { cwd: dir, timeoutMs: 240_000 });

const pythonless = findExecutable('python3', process.cwd()).path === undefined ? 'python3 is missing' : false;

test('the plan it writes for Node holds, and is not overwritten', async () => {
  const written = await quiesce('init', 'node:zlib', '-n', '1');
  assert.equal(written.code, 0, written.stderr);
  assert.match(written.stdout, /shutdown\.plan\.yaml\nshutdown-program\.mjs\n/);
  const { code, stdout } = await quiesce('run', '--plan', 'shutdown.plan.yaml');
  assert.equal(code, 0, stdout);
  assert.match(stdout, /10 scenarios/);
  writeFileSync(join(dir, 'shutdown-program.mjs'), 'mine');
  const again = await quiesce('init', 'node:zlib');
  assert.equal(again.code, 2);
  assert.match(again.stderr, /already exists/);
  assert.equal(readFileSync(join(dir, 'shutdown-program.mjs'), 'utf8'), 'mine');
  rmSync(join(dir, 'shutdown.plan.yaml'));
  // Neither file is written if one of them exists.
  assert.equal((await quiesce('init', 'node:zlib')).code, 2);
  assert.deepEqual(readdirSync(dir), ['shutdown-program.mjs']);
  rmSync(join(dir, 'shutdown-program.mjs'));
});

test('the plan it writes for Python holds', { skip: pythonless }, async () => {
  assert.equal(
    (await quiesce('init', 'json', '--host', 'python', '-n', '2', '--plan', 'py.plan.yaml')).code,
    0,
  );
  const { code, stdout } = await quiesce('run', '--plan', 'py.plan.yaml');
  assert.equal(code, 0, stdout);
});

test('paths are right from another folder, which is made', async () => {
  writeFileSync(join(dir, 'mine.mjs'), 'export const loaded = true;');
  const written = await quiesce('init', './mine.mjs', '-n', '1', '--plan', 'checks/exit/mine.yaml');
  assert.equal(written.code, 0, written.stderr);
  assert.match(
    readFileSync(join(dir, 'checks/exit/mine-program.mjs'), 'utf8'),
    /import\('\.\.\/\.\.\/mine\.mjs'\)/,
  );
  const { code, stdout } = await quiesce('run', '--plan', 'checks/exit/mine.yaml', '--only', 'natural');
  assert.equal(code, 0, stdout);
});

test('what to type next is for a shell', async () => {
  const { stdout } = await quiesce('init', 'node:zlib', '--plan', "we'ird name.yaml");
  assert.match(stdout, /then: quiesce run --plan 'we'\\''ird name\.yaml'\n$/);
});

test('an addon by itself is required, not imported', async () => {
  // Not a loadable addon: the error that is reported comes from the loader.
  writeFileSync(join(dir, 'mine.node'), 'no addon');
  for (const host of ['node', 'bun']) {
    const plan = `${host}-addon.yaml`;
    const written = await quiesce('init', './mine.node', '--host', host, '-n', '1', '--plan', plan);
    assert.equal(written.code, 0, written.stderr);
    const { status, stderr } = spawnSync(
      process.execPath,
      [join(dir, `${host}-addon-program.mjs`), 'natural'],
      {
        encoding: 'utf8',
      },
    );
    assert.equal(status, 1);
    assert.match(stderr, /mine\.node: (?:file too short|invalid ELF header)/);
  }
});

test('modules that are not there are refused, and nothing is written', async () => {
  const before = readdirSync(dir);
  for (const args of [
    ['./not-there.js'],
    ['not-installed-anywhere'],
    ['@scope/not-installed/sub'],
    ...(pythonless ? [] : [['not_installed_anywhere.sub', '--host', 'python']]),
  ]) {
    const { code, stderr } = await quiesce('init', ...args);
    assert.equal(code, 2, args.join(' '));
    assert.match(stderr, /^quiesce: error: [^\n]*not[-_](?:there|installed)[^\n]+\n$/);
  }
  assert.deepEqual(readdirSync(dir), before);
});

test('bad input is reported in one line', async () => {
  for (const args of [
    [],
    ["x'); evil("],
    ['a', '--host', 'ruby'],
    ['a-b', '--host', 'python'],
    ['a', '--plan', 'a.ts'],
  ]) {
    const { code, stderr } = await quiesce('init', ...args);
    assert.equal(code, 2, args.join(' '));
    assert.match(stderr, /^quiesce: error: [^\n]+\n$/);
  }
});
