// `quiesce doctor`: what is available, found by trying it; and what is missing, with its cost and where to get it.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
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

const executable = (folder: string, name: string, text: string): string => {
  mkdirSync(join(dir, folder), { recursive: true });
  writeFileSync(join(dir, folder, name), text);
  chmodSync(join(dir, folder, name), 0o755);
  return `${join(dir, folder)}:${process.env.PATH}`;
};

test('a gdb that does not start is reported in its own words, by doctor and of a hang', async () => {
  const words =
    'gdb: error while loading shared libraries: libpython3.11.so.1.0: cannot open shared object file';
  for (const [folder, text, problem] of [
    ['broken', `#!/bin/sh\necho '${words}' >&2\nexit 127\n`, `gdb failed (exit code 127): ${words}`],
    ['dies', '#!/bin/sh\nkill -SEGV $$\n', 'gdb failed (SIGSEGV): it printed no stack'],
    ['foreign', '#!/nowhere/sh\n', `can't start "${join(dir, 'foreign', 'gdb')}": `],
  ] as const) {
    const env = { PATH: executable(folder, 'gdb', text) };
    const { stdout } = await runCli(['doctor'], { cwd: dir, env });
    assert.ok(stdout.includes(`missing  stacks: ${problem}`), stdout);
    const run = ['run', '--runs', '1', '--timeout', '500ms', '--', 'sleep', '60'];
    const hang = await runCli(run, { cwd: dir, env });
    assert.equal(hang.code, 1);
    assert.ok(hang.output.includes(`(no stacks: ${problem}`), hang.output);
  }
});

test("gdb's own Python does not begin with the home of the Python under test", {
  skip: findExecutable('gdb', dir).path === undefined,
}, async () => {
  const stacks = async (env: NodeJS.ProcessEnv): Promise<string | null | undefined> => {
    const { stdout } = await runCli(['doctor', '--json'], { cwd: dir, env, timeoutMs: 600_000 });
    return (JSON.parse(stdout) as Report).checks.find(({ name }) => name === 'stacks')?.problem;
  };
  assert.equal(await stacks({ PYTHONHOME: '/nonexistent' }), await stacks({}));
});

test('finds what is there', async () => {
  const { code, stdout } = await runCli(['doctor', '--json'], { cwd: dir, timeoutMs: 600_000 });
  const { checks } = JSON.parse(stdout) as Report;
  const problems = new Map(checks.map(({ name, problem }) => [name, problem]));
  for (const name of ['prlimit', 'valgrind', 'npm', 'python3', 'py-spy']) {
    assert.equal(problems.get(name) === null, findExecutable(name, dir).path !== undefined, name);
  }
  const missing = checks.some(({ problem, matters }) => problem !== null && matters);
  assert.equal(code, missing ? 1 : 0);
});
