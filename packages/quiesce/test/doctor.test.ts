// `quiesce doctor`: what is there, by trying it; and what is missing, with its cost and where to get it.
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { findExecutable } from '../src/process/executable.js';
import { runCli } from './support/cli.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('doctor');

interface Report {
  readonly checks: readonly {
    readonly name: string;
    readonly problem: string | null;
    readonly matters: boolean;
  }[];
}

test('says what is missing, what that costs and how to get it', async () => {
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, 'node'));
  const { code, stdout } = await runCli(['doctor'], { cwd: dir, env: { PATH: bin } });
  assert.equal(code, 1, stdout);
  assert.match(stdout, /^quiesce \d+\.\d+\.\d+, Node /);
  assert.match(
    stdout,
    /missing {2}stacks: gdb is not installed\n +without it: .*stacks.*\n +to get it: install gdb/,
  );
  for (const name of [
    'prlimit',
    'py-spy',
    'valgrind',
    'AddressSanitizer',
    'python3',
    'npm',
    'perturbation nice',
  ]) {
    assert.match(stdout, new RegExp(`^missing {2}${name}: .*\\n +without it: .+\\n +to get it: .+$`, 'm'));
  }
});

test('finds what is there', async () => {
  const { code, stdout } = await runCli(['doctor', '--json'], { cwd: dir, timeoutMs: 120_000 });
  const { checks } = JSON.parse(stdout) as Report;
  const problems = new Map(checks.map(({ name, problem }) => [name, problem]));
  for (const name of ['prlimit', 'valgrind', 'npm', 'python3', 'py-spy']) {
    assert.equal(problems.get(name) === null, findExecutable(name, dir).path !== undefined, name);
  }
  const missing = checks.some(({ problem, matters }) => problem !== null && matters);
  assert.equal(code, missing ? 1 : 0);
});
