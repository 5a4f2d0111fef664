// The tester called from other tests: node:test, vitest, and pytest in its own venv, each as a user has it.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { expectCleanExit, UsageError, witnessProblem } from '../src/index.js';
import { flagOf, optionNames } from '../src/plan/options.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const packageDir = path('../..');
const root = path('../../../..');
const dir = temporaryDirectory('matchers');

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

function runTool(
  command: string,
  args: string[],
  env: Record<string, string> = {},
  cwd = dir,
): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { cwd, env: { ...process.env, NO_COLOR: '1', ...env }, timeout: 240_000 };
    execFile(command, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : ((error.code as unknown as number) ?? null);
      resolve({ code, output: stdout + stderr });
    });
  });
}

describe('expectCleanExit', () => {
  test('returns what was shown', async () => {
    const result = await expectCleanExit(['true'], { below: '10%' });
    assert.equal(result.runs.length, 29);
    assert.equal((await expectCleanExit("sh -c 'exit 0'", { runs: 2 })).runs.length, 2);
  });

  test('throws an AssertionError that says what was seen', async () => {
    const failing = expectCleanExit(['sh', '-c', 'echo oh dear >&2; kill -ABRT $$'], { below: 0.1 });
    await assert.rejects(failing, (error: Error) => {
      assert.equal(error.name, 'AssertionError');
      assert.match(error.message, /1 of 1 run failed/);
      assert.match(error.message, /SIGABRT/);
      assert.match(error.message, /oh dear/);
      assert.ok(!error.message.includes('\u001b'));
      return true;
    });
  });

  test('allows what it is asked to', async () => {
    const once = ['sh', '-c', '[ "$QUIESCE_RUN" != 3 ]'];
    assert.equal((await expectCleanExit(once, { below: '20%', allowFailures: 1 })).failed, 1);
    await assert.rejects(expectCleanExit(once, { below: '20%' }), /1 of 3/);
    await expectCleanExit(['false'], { runs: 1, expect: { exitCode: 1 } });
  });

  test('rejects with the reason of an abort, and with a UsageError for wrong options', async () => {
    await assert.rejects(
      expectCleanExit(['sleep', '9'], { signal: AbortSignal.timeout(100) }),
      /TimeoutError/,
    );
    await assert.rejects(expectCleanExit(['true'], { below: '0%' }), UsageError);
    await assert.rejects(expectCleanExit('true | cat'), UsageError);
    await assert.rejects(expectCleanExit(['no-such-program']), UsageError);
  });
});

test('vitest has toExitCleanly', async () => {
  const modules = join(dir, 'node_modules');
  mkdirSync(modules);
  symlinkSync(packageDir, join(modules, 'quiesce'));
  symlinkSync(join(root, 'node_modules', 'vitest'), join(modules, 'vitest'));
  writeFileSync(join(dir, 'package.json'), '{"type":"module"}');
  writeFileSync(
    join(dir, 'exit.test.ts'),
    `import { expect, test } from 'vitest';
import 'quiesce/vitest';

test('clean', async () => {
  await expect(['true']).toExitCleanly({ below: 0.1 });
  await expect('false').not.toExitCleanly({ runs: 2 });
});
test('not clean', async () => {
  await expect("sh -c 'exit 5'").toExitCleanly({ below: 0.1 });
});
`,
  );
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const { code, output } = await runTool(process.execPath, [vitest, 'run', '--root', dir]);
  assert.equal(code, 1, output);
  assert.match(output, /1 failed \| 1 passed/);
  assert.match(output, /1 of 1 exit code 5/);
});

/** Where the witness was built. */
const STRICT = witnessProblem() === undefined ? 'True' : 'False';

describe('pytest', { skip: python() === undefined ? 'Python with venv is not installed' : false }, () => {
  const cached = join(root, '.cache', 'venv', 'pytest');
  const wheels = join(cached, 'wheels');
  const interpreter = join(dir, 'venv', 'bin', 'python');
  const pip = (...args: string[]): string =>
    execFileSync(join(cached, 'bin', 'python'), ['-m', 'pip', '--disable-pip-version-check', ...args], {
      encoding: 'utf8',
      timeout: 240_000,
    });

  before(() => {
    if (!existsSync(join(wheels, 'complete'))) {
      rmSync(cached, { recursive: true, force: true });
      execFileSync(python() as string, ['-m', 'venv', cached], { timeout: 240_000 });
      pip('install', '--quiet', 'setuptools==80.9.0', 'wheel==0.45.1');
      pip('download', '--quiet', '--dest', wheels, 'pytest==8.4.2');
      writeFileSync(join(wheels, 'complete'), '');
    }
    // As a user gets it: built, and installed with its metadata into an environment that has nothing else.
    const source = join(dir, 'pytest-quiesce');
    cpSync(join(packageDir, '..', 'pytest-quiesce'), source, {
      recursive: true,
      filter: (file) => !/\/(?:build|__pycache__|[^/]*\.egg-info)$/.test(file),
    });
    pip('wheel', '--quiet', '--no-deps', '--no-build-isolation', '--wheel-dir', dir, source);
    execFileSync(join(cached, 'bin', 'python'), ['-m', 'venv', '--without-pip', join(dir, 'venv')]);
    const found = ['--no-index', '--find-links', wheels, '--find-links', dir];
    pip('--python', interpreter, 'install', '--quiet', ...found, 'pytest-quiesce');
  });

  test('is a wheel with its types, licence and links that work on PyPI', () => {
    const program = `
import json
from importlib.metadata import distribution
it = distribution("pytest-quiesce")
print(json.dumps({
    "files": [str(file) for file in it.files],
    "requires": it.requires,
    "loads": [(point.group, point.value) for point in it.entry_points],
    "urls": it.metadata.get_all("Project-URL"),
    "licence": it.metadata["License-Expression"],
    "readme": it.metadata.get_payload(),
}))`;
    const it = JSON.parse(execFileSync(interpreter, ['-c', program], { encoding: 'utf8' }));
    assert.ok(it.files.includes('pytest_quiesce/py.typed'), it.files.join('\n'));
    assert.ok(it.files.some((file: string) => file.endsWith('/LICENSE')));
    assert.deepEqual(it.requires, ['pytest>=7']);
    assert.deepEqual(it.loads, [['pytest11', 'pytest_quiesce.plugin']]);
    assert.equal(it.licence, 'Apache-2.0');
    const links = [
      ...it.urls.map((url: string) => url.split(', ')[1]),
      ...[...it.readme.matchAll(/\]\(([^)]*)\)/g)].map(([, link]) => link),
    ];
    assert.ok(links.length > 6, links.join('\n'));
    for (const link of links) {
      assert.match(link, /^https:\/\//);
      const file = /^https:\/\/github\.com\/quiesce\/quiesce\/(?:blob|tree)\/main\/([^#]+)/.exec(link)?.[1];
      if (file !== undefined) assert.ok(existsSync(join(root, file)), link);
    }
  });

  test('takes every option that the command line has for runs', () => {
    const program =
      'import inspect, json, pytest_quiesce; print(json.dumps(list(inspect.signature(pytest_quiesce.expect_clean_exit).parameters)))';
    const taken: string[] = JSON.parse(execFileSync(interpreter, ['-c', program], { encoding: 'utf8' }));
    const known = optionNames.filter((name) => flagOf(name) !== undefined);
    assert.ok(known.length > 10);
    const missing = known
      .map((name) =>
        name === 'until' ? 'below' : name.replace(/[A-Z]/g, (capital) => `_${capital.toLowerCase()}`),
      )
      .filter((name) => !taken.includes(name));
    assert.deepEqual(missing, []);
  });

  test('runs the example of its README, with the tool of the project', async () => {
    const readme = readFileSync(join(packageDir, '..', 'pytest-quiesce', 'README.md'), 'utf8');
    const example = /```python\n(.*?)```/s.exec(readme)?.[1] ?? '';
    const project = join(dir, 'project');
    mkdirSync(join(project, 'node_modules', '.bin'), { recursive: true });
    symlinkSync(join(packageDir, 'bin', 'quiesce.js'), join(project, 'node_modules', '.bin', 'quiesce'));
    writeFileSync(join(project, 'test_example.py'), example);
    for (const [program, code, says] of [
      ['print("works")', 0, /1 passed/],
      ['import ctypes; ctypes.string_at(0)', 1, /SIGSEGV/],
    ] as const) {
      writeFileSync(join(project, 'my_program.py'), program);
      const ended = await runTool(interpreter, ['-m', 'pytest', '-q', '-p', 'no:cacheprovider'], {}, project);
      assert.equal(ended.code, code, ended.output);
      assert.match(ended.output, says);
    }
  });

  test('has the fixture expect_clean_exit', async () => {
    writeFileSync(
      join(dir, 'test_exit.py'),
      `import pytest
from pytest_quiesce import TesterError

def test_clean(expect_clean_exit):
    result = expect_clean_exit(["true"], below="10%")
    assert result["completedRuns"] == 29 and result["verdict"] == "below"
    assert expect_clean_exit("sh -c 'exit 3'", runs=2, expect="exit:3", env={"A": "b"})["failedRuns"] == 0

def test_options(expect_clean_exit):
    allowed = ["a*"] if ${STRICT} else []
    options = dict(strict=${STRICT}, allow_threads=allowed, ignore_output=["^x"], perturb="nice=1", name="all", timeout=0.5)
    result = expect_clean_exit([${JSON.stringify(process.execPath)}, "-e", "0"], runs=1, seed=3, jobs=1, bail=2, **{**options, "timeout": 60})
    assert result["name"] == "all" and result["timeoutMs"] == 60_000 and result["allowThreads"] == allowed
    assert result["strict"] is ${STRICT} and result["ignoreOutput"] == ["^x"]
    other = expect_clean_exit("true", runs=1, timeout=2.5, witness=False, signatures=False)
    assert other["timeoutMs"] == 2_500 and other["signatures"] is False

def test_no_tool_source(expect_clean_exit):
    expect_clean_exit(["no-such-program"])

def test_not_clean(expect_clean_exit):
    expect_clean_exit(["sh", "-c", "echo oh dear >&2; kill -SEGV $$"], below=0.1)

def test_wrong(expect_clean_exit):
    with pytest.raises(TesterError, match="no-such-program"):
        expect_clean_exit(["no-such-program"])
    with pytest.raises(TesterError, match="not installed"):
        import os
        os.environ.pop("QUIESCE_COMMAND")
        os.environ["PATH"] = "/nowhere"
        expect_clean_exit(["true"])
`,
    );
    const { code, output } = await runTool(
      interpreter,
      ['-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'test_exit.py'],
      {
        PYTHONDONTWRITEBYTECODE: '1',
        QUIESCE_COMMAND: `${process.execPath} ${join(packageDir, 'dist', 'src', 'cli.js')}`,
      },
    );
    assert.equal(code, 1, output);
    assert.match(output, /2 failed, 3 passed/);
    // A failure is shown with the test's own line, without the plugin's source.
    assert.match(output, /TesterError: quiesce: error: command "no-such-program"/);
    assert.doesNotMatch(output, /def _run|subprocess\.Popen|def expect_clean_exit/);
    assert.match(output, /1 of 1 SIGSEGV/);
    assert.match(output, /oh dear/);
  });
});

function python(): string | undefined {
  try {
    execFileSync('python3', ['-c', 'import venv, ensurepip'], { stdio: 'ignore', timeout: 240_000 });
    return 'python3';
  } catch {
    return undefined;
  }
}
