// @ts-check
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { countCargoTests } from '../checks/count-cargo-tests.mjs';
import { checkNeeds, needsOf, provideNeeds } from '../checks/needs.mjs';
import { circlesAmong } from '../checks/rust-modules.mjs';
import { judge } from '../hosts/check.mjs';
import { exceptions } from '../hosts/exceptions.mjs';
import { readReport } from '../hosts/run-file.mjs';
import { fetching } from '../lib/fetch.mjs';
import { inRoot } from '../lib/paths.mjs';
import { unlessUpToDate } from '../lib/stamp.mjs';
import { isNewEnough, parseVersion } from '../provide/etcd.mjs';
import { isInstalled } from '../provide/node-modules.mjs';

let dir = '';
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'quiesce-setup-test-'));
});
after(() => rmSync(dir, { recursive: true }));

/**
 * Arguments that make Node run code against the modules of setup/, as one of its commands would.
 * @param {string} code
 */
function setup(code) {
  const modules = `const { main } = await import('./setup/lib/main.mjs');
    const { provideEtcd } = await import('./setup/provide/etcd.mjs');
    const { mustRun, step } = await import('./setup/lib/step.mjs');`;
  return ['--input-type=module', '-e', `${modules}\n${code}`];
}

/**
 * Runs such code to its end.
 * @param {string} code
 * @param {Record<string, string>} [env]
 */
function runSetup(code, env = {}) {
  return spawnSync(process.execPath, setup(code), {
    ...{ cwd: inRoot(), encoding: 'utf8', env: { ...process.env, ...env } },
  });
}

/**
 * @param {string} name
 * @param {string} version
 */
function fakeEtcd(name, version) {
  const bin = join(dir, name);
  mkdirSync(bin);
  writeFileSync(join(bin, 'etcd'), `#!/bin/sh\necho "etcd Version: ${version}"\n`);
  chmodSync(join(bin, 'etcd'), 0o755);
  return join(bin, 'etcd');
}

describe('unlessUpToDate', () => {
  it('makes an output again only when an input changed or it is gone', async () => {
    const [input, output] = [join(dir, 'input'), join(dir, 'new', 'output')];
    writeFileSync(input, '1');
    let made = 0;
    const make = async (/** @type {string[]} */ ...also) => {
      await unlessUpToDate(output, { files: [input], also }, async () =>
        writeFileSync(output, String(++made)),
      );
      return made;
    };
    assert.equal(await make(), 1);
    assert.equal(await make(), 1);
    assert.equal(await make('flag'), 2);
    writeFileSync(input, '2');
    assert.equal(await make('flag'), 3);
    rmSync(output);
    assert.equal(await make('flag'), 4);
  });

  it('does not take a failed attempt for done', async () => {
    const output = join(dir, 'never');
    const fail = () => unlessUpToDate(output, { files: [] }, () => Promise.reject(new Error('no')));
    await assert.rejects(fail(), /no/);
    await assert.rejects(fail(), /no/);
  });
});

describe('isInstalled', () => {
  const entry = { version: '1.0.0', integrity: 'a' };
  it('compares versions, and lets optional packages be absent', () => {
    assert.equal(
      isInstalled({ '': {}, 'packages/a': {}, 'node_modules/x': entry }, { 'node_modules/x': entry }),
      true,
    );
    assert.equal(isInstalled({ 'node_modules/x': entry }, {}), false);
    assert.equal(
      isInstalled({ 'node_modules/x': { ...entry, version: '2.0.0' } }, { 'node_modules/x': entry }),
      false,
    );
    assert.equal(isInstalled({ 'node_modules/x': { ...entry, optional: true } }, {}), true);
    assert.equal(isInstalled({ 'packages/a/node_modules/x': entry }, {}), false);
  });
});

describe('the etcd server', () => {
  it('is judged by its version', () => {
    assert.equal(parseVersion('etcd Version: 3.6.16\nGit SHA: 1'), '3.6.16');
    assert.equal(parseVersion('bash: etcd: nothing'), undefined);
    assert.deepEqual(['3.4.30', '3.5.0', '3.10.1', '4.0.0', '2.9.9'].map(isNewEnough), [
      false,
      true,
      true,
      true,
      false,
    ]);
  });

  for (const { title, binary, hint } of [
    { title: 'names nothing', binary: () => join(dir, 'absent'), hint: /doesn't run as an etcd server/ },
    {
      title: 'is too old',
      binary: () => fakeEtcd('old', '3.4.30'),
      hint: /is etcd 3\.4\.30, and 3\.5 or newer/,
    },
  ]) {
    it(`gives one clear line and exit code 3 when ETCD_BIN ${title}`, () => {
      const { status, stderr } = runSetup('await main(provideEtcd)', { ETCD_BIN: binary() });
      assert.equal(status, 3, stderr);
      assert.match(stderr, hint);
      assert.doesNotMatch(stderr, /^\s+at /m);
    });
  }

  it('says what to install when there is neither an etcd nor Go', () => {
    const old = join(fakeEtcd('old-on-path', '3.4.30'), '..');
    const { status, stdout, stderr } = runSetup('await main(provideEtcd)', { ETCD_BIN: '', PATH: old });
    assert.equal(status, 3);
    assert.match(stdout, /the etcd on PATH is 3\.4\.30, too old/);
    assert.match(stderr, /no etcd server, and no Go.*\n {2}Install Go/);
  });
});

describe('main', () => {
  it('shows the output of a step only when it fails', () => {
    const good = runSetup(`await main(() => step('good', () => mustRun(['echo', 'noise'])).then(() => 0))`);
    assert.match(good.stdout, /^· good … \d+\.\d s\n$/);
    const bad = runSetup(
      `await main(() => step('bad', () => mustRun(['sh', '-c', 'echo cause; exit 7'], { hint: 'do this' })))`,
    );
    assert.equal(bad.status, 3);
    assert.equal(bad.stderr, 'cause\n✖ sh -c echo cause; exit 7 failed with exit code 7\n  do this\n');
  });

  it('gives each of several steps at the same time its line when it ends', () => {
    const { stdout } = runSetup(`await main(async () => {
      const short = () => step('short', async () => {});
      const long = step('long', short);
      await long;
      await step('next', async () => {});
      return 0;
    })`);
    assert.match(stdout, /^· long … \n· short … \d\.\d s\n· long … \d\.\d s\n· next … \d\.\d s\n$/);
  });

  it('ends its children on an interrupt, after they have cleaned up', async () => {
    const script = 'trap "echo cleaned; exit" INT; echo ready; while :; do sleep 0.05; done';
    const code = `const { run } = await import('./setup/lib/command.mjs');
      await main(() => run(['sh', '-c', ${JSON.stringify(script)}], { show: true }).then(() => 0))`;
    const child = spawn(process.execPath, setup(code), { cwd: inRoot() });
    let output = '';
    child.stdout.on('data', (data) => {
      output += data;
      if (output === 'ready\n') child.kill('SIGINT');
    });
    const [status] = await once(child, 'close');
    assert.equal(output, 'ready\ncleaned\n');
    assert.equal(status, 130);
  });
});

describe('what asks a registry', () => {
  const attempt = (/** @type {number} */ good) => {
    const file = join(dir, `attempts-${good}`);
    const program = `echo >> '${file}'; echo said; [ $(wc -l < '${file}') -ge ${good} ]`;
    return { file, command: ['sh', '-c', program] };
  };

  it('is run again until it succeeds', async () => {
    const { command } = attempt(3);
    const { code, stdout } = await fetching(command, {}, [1, 1]);
    assert.deepEqual([code, stdout], [0, 'said\n']);
  });

  it('fails where it always does, and where it succeeds is run once', async () => {
    assert.equal((await fetching(attempt(4).command, {}, [1, 1])).code, 1);
    const { file, command } = attempt(1);
    assert.equal((await fetching(command, {}, [1, 1])).code, 0);
    assert.equal(readFileSync(file, 'utf8'), '\n');
  });
});

describe('niceness', { skip: !existsSync('/proc/self/autogroup') && 'this kernel has no autogroups' }, () => {
  it('is passed on to the sessions of children', () => {
    // The session gets its niceness a moment after the child has started.
    const shown = 'until grep -q "nice 19" /proc/self/autogroup; do sleep 0.01; done; nice';
    const code = `const { run } = await import('./setup/lib/command.mjs');
      console.log((await run(['timeout', '20', 'sh', '-c', ${JSON.stringify(shown)}])).output);`;
    const { stdout, stderr } = spawnSync('nice', ['-n', '19', process.execPath, ...setup(code)], {
      ...{ cwd: inRoot(), encoding: 'utf8' },
    });
    assert.equal(stdout.trim(), '19', stderr);
  });
});

describe('npm test', () => {
  it('refuses what it does not know in one line, with exit code 2', () => {
    for (const args of [['--nope'], ['--only', 'nope']]) {
      const { status, stderr } = spawnSync(
        process.execPath,
        [inRoot('setup', 'commands', 'test.mjs'), ...args],
        {
          encoding: 'utf8',
        },
      );
      assert.equal(status, 2);
      assert.match(stderr, /^✖ .*nope.*\n {2}npm test -- \[--only .*\n$/);
    }
  });

  it('says how it and the other commands are used', () => {
    for (const name of ['test', 'field', 'fuzz', 'sanitizers', 'soak', 'cure', 'nemesis']) {
      const command = inRoot('setup', 'commands', `${name}.mjs`);
      const { status, stdout, stderr } = spawnSync(process.execPath, [command, '--help'], {
        encoding: 'utf8',
      });
      assert.equal(status, 0, stderr);
      assert.match(stdout, new RegExp(`^npm (?:run )?${name} -- \\[`, 'm'));
    }
  });

  it('counts what cargo test says', () => {
    const output =
      'test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured\n' +
      'test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured\n';
    assert.deepEqual(countCargoTests(output, 101), { passed: 7, failed: 3, skipped: 1 });
    assert.deepEqual(countCargoTests('', 0), { passed: 1, failed: 0, skipped: 0 });
    assert.deepEqual(countCargoTests('error: no', 1), { passed: 0, failed: 1, skipped: 0 });
  });
});

describe('what a file of Node tests needs', () => {
  it('is provided for that file and no more, in the order of set-up', () => {
    assert.deepEqual(needsOf(['packages/etcd/test/kv.test.ts']), []);
    assert.deepEqual(needsOf(['scenarios/cure.test.ts', 'packages/quiesce/test/reports.test.ts']), [
      'runtimes',
      'pythons',
      'chromium',
      'addons',
    ]);
  });

  it('fails in one line where it names what set-up does not know, or a file that is gone', () => {
    const files = ['a.test.ts'];
    assert.throws(() => checkNeeds(files, { 'a.test.ts': ['rocket'] }), {
      exitCode: 2,
      message:
        /^set-up can't provide 'rocket'; it knows runtimes, .* correct NEEDED_BY in setup\/checks\/needs\.mjs$/,
    });
    assert.throws(() => checkNeeds(files, { 'gone.test.ts': ['runtimes'] }), {
      exitCode: 2,
      message: /^there is no test file gone\.test\.ts: /,
    });
  });

  it('fails in the test that uses what nobody said it needs', async () => {
    const { SETUP_NOT_PROVIDED = '' } = await provideNeeds([]);
    const code = `import { provided, runtimeBinaries } from '@quiesce/test-services';
      provided('etcd');
      runtimeBinaries();`;
    const { status, stderr } = runSetup(code, { SETUP_NOT_PROVIDED });
    assert.equal(status, 1);
    assert.match(stderr, /set-up was not asked for 'runtimes'.* add the need to setup\/checks\/needs\.mjs/);
  });
});

describe('a list of names', () => {
  it('fails where the sanitizers, the runtimes or the fuzzer are asked for what is not there', () => {
    for (const [command, args, hint] of /** @type {const} */ ([
      ['sanitizers', ['nope'], 'npm run sanitizers -- '],
      ['runtimes', ['--on', 'nope'], 'npm run runtimes -- '],
      ['fuzz', ['nope'], 'npm run fuzz -- '],
      ['pack', ['--nope'], 'npm run pack -- '],
    ])) {
      const file = inRoot('setup', 'commands', `${command}.mjs`);
      const { status, stderr } = spawnSync(process.execPath, [file, ...args], { encoding: 'utf8' });
      assert.equal(status, 2, stderr);
      assert.match(stderr, /^✖ .*nope/);
      assert.ok(stderr.includes(hint), stderr);
    }
  });
});

describe('what a runtime can not do', () => {
  it('is in docs/measurements/runtimes.md, each cause', () => {
    const page = readFileSync(inRoot('docs', 'measurements', 'runtimes.md'), 'utf8');
    for (const { cause } of exceptions)
      assert.ok(page.includes(cause), `docs/measurements/runtimes.md lacks: ${cause}`);
  });

  it('fails the check when it becomes untrue, and so does any other failure', () => {
    /** @type {import('../hosts/exceptions.mjs').Exception[]} */
    const known = [{ on: ['bun'], file: 'kv', tests: ['b'], cause: '' }];
    /** @typedef {import('../hosts/run-file.mjs').TestOutcome} TestOutcome */
    const judged = (/** @type {TestOutcome[]} */ ...tests) => judge({ tests }, known).problems;
    /** @type {TestOutcome} */
    const a = { name: 'suite > a', outcome: 'passed' };
    /** @type {TestOutcome} */
    const b = { name: 'suite > b', outcome: 'failed' };
    assert.deepEqual(judged(a, b), []);
    assert.match(judged({ ...a, outcome: 'failed' }, b)[0] ?? '', /suite > a: failed/);
    assert.match(judged(a, { ...b, outcome: 'passed' })[0] ?? '', /suite > b: passes/);
    assert.match(judged(a)[0] ?? '', /there is no test 'b'/);
  });

  it('is read from each reporter, without suites', () => {
    const node = `<testsuites><testsuite name="s"><testcase name="t"/><testcase name="u"><failure/></testcase></testsuite></testsuites>`;
    const bun = `<testsuites><testsuite name="x.test.js"><testsuite name="s"><testcase name="t"/><testcase name="u"><failure/></testcase></testsuite></testsuite></testsuites>`;
    const deno = `<testsuites><testsuite name="./x.test.ts"><testcase name="s"><failure/></testcase></testsuite><testsuite name="ext:a.ts"><testcase name="s &gt; t"/><testcase name="s &gt; u"><failure/></testcase></testsuite></testsuites>`;
    for (const xml of [node, bun, deno]) {
      assert.deepEqual(readReport(xml), [
        { name: 's > t', outcome: 'passed' },
        { name: 's > u', outcome: 'failed' },
      ]);
    }
  });
});

describe('a file of tests on a runtime', () => {
  it('leaves no server and no folder behind when it is interrupted', async () => {
    const own = join(dir, 'interrupted');
    mkdirSync(own);
    const args = setup(
      `const { runFile } = await import('./setup/hosts/run-file.mjs');
       await main(async () => { await runFile('node', process.execPath, 'kv'); return 0; });`,
    );
    // Node's test runner doesn't run within itself.
    const env = { ...process.env, TMPDIR: own, NODE_TEST_CONTEXT: undefined };
    const child = spawn(process.execPath, args, { cwd: inRoot(), env, stdio: 'ignore' });
    const exited = once(child, 'exit');
    await eventually('a server runs', () => processesOf(own).some((name) => name.startsWith('etcd')));
    child.kill('SIGINT');
    assert.deepEqual(await exited, [130, null]);
    assert.deepEqual(readdirSync(own), []);
    await eventually('the processes are gone', () => processesOf(own).length === 0);
  });
});

/**
 * Names of processes whose temporary directory is in this folder.
 * @param {string} folder
 */
function processesOf(folder) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
        return environment.includes(`TMPDIR=${folder}/`) ? [readFileSync(`/proc/${pid}/comm`, 'utf8')] : [];
      } catch {
        return [];
      }
    });
}

/**
 * @param {string} what
 * @param {() => boolean} condition
 */
async function eventually(what, condition) {
  for (const end = Date.now() + 30_000; !condition(); ) {
    if (Date.now() > end) throw new Error(`${what}: not within 30 s`);
    await sleep(20);
  }
}

describe('circles among Rust modules', () => {
  const circles = (/** @type {Record<string, string>} */ sources) =>
    circlesAmong(sources).map((circle) => circle.join(' '));

  it('are found through each way to name a module', () => {
    assert.deepEqual(
      circles({ a: 'use crate::b::B;', b: 'fn f() { crate::c::g() }', c: 'use crate::{a, d};' }),
      ['a b c a'],
    );
    const lib = 'mod a;\npub use a::{A, Other};';
    assert.deepEqual(circles({ lib, a: 'use super::b;', b: 'use crate::{b::X, Other};' }), ['a b a']);
  });

  it('are no one-way uses, no comments and no unit tests', () => {
    const tested = 'use crate::b;\n#[cfg(test)]\nmod tests {\n    use super::*;\n}\n';
    const tests = '// crate::a\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n';
    assert.deepEqual(circles({ a: tested, b: tests }), []);
  });
});

describe('names of constants', () => {
  it('are judged by the linter where a literal stands at the top of a module', () => {
    const own = join(dir, 'constants');
    mkdirSync(own);
    const rule = inRoot('setup', 'checks', 'constants.grit');
    writeFileSync(join(own, 'biome.json'), JSON.stringify({ plugins: [rule], linter: { enabled: true } }));
    const good = [
      "export const GOOD = 'x', ALSO_GOOD = -1;",
      'export let count = 3;',
      'export const table = { a: 1 }, pattern = /a/, sum = Math.max(1, 2);',
      'export const f = () => { const inner = 3; return inner; };',
      'export class A { static n = 1; static { const inner = 2; A.n = inner; } }',
    ];
    const bad = [
      "export const word = 'x';",
      'export const sizeBytes: number = 4 * 1024;',
      'export const big = 1n;',
    ];
    writeFileSync(join(own, 'a.ts'), [...good, ...bad].join('\n'));
    const biome = inRoot('node_modules', '.bin', 'biome');
    const { status, stdout, stderr } = spawnSync(biome, ['lint', '.'], { cwd: own, encoding: 'utf8' });
    const lines = [...`${stdout}${stderr}`.matchAll(/a\.ts:(\d+):\d+ plugin/g)].map(([, line]) =>
      Number(line),
    );
    assert.deepEqual(lines, [6, 7, 8], stdout + stderr);
    assert.equal(status, 1);
  });
});
