// @ts-check
// Every fenced block of the documents is run: here, by a test that setup/checks/blocks.mjs names, or not at all for a reason
// that stands there. Figures that would take minutes are made smaller: how often something is run is not what is tested.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { connect } from '@quiesce/etcd';
import { etcdBinary, startEtcd } from '@quiesce/test-services';
import { parse } from 'yaml';
import { allBlocks, LONG_COMMAND, problemsOfLists, runElsewhere } from '../checks/blocks.mjs';
import { outputOf } from '../lib/command.mjs';
import { inCache, inRoot, tester } from '../lib/paths.mjs';
import { crates, npmPackages, PYTHON_PACKAGE } from '../pack/published.mjs';

/** @typedef {import('../checks/blocks.mjs').Block} Block */

const blocks = allBlocks();
/** @type {Set<Block>} */
const taken = new Set();

/** The block that is run here. */
function take(/** @type {string} */ file, /** @type {string} */ part) {
  const found = blocks.filter((block) => block.file === file && block.code.includes(part));
  const [block] = found;
  assert.ok(block !== undefined && found.length === 1, `${file} has ${found.length} blocks with ${part}`);
  taken.add(block);
  return block.code;
}

const dir = inCache('blocks');
const write = (/** @type {string} */ name, /** @type {string} */ content) => {
  mkdirSync(dirname(join(dir, name)), { recursive: true });
  writeFileSync(join(dir, name), content);
};

const python = outputOf(['python3', '--version']) === undefined ? 'Python is missing' : false;

/** TypeScript blocks: what stands around them, and what runs in the document's stead. */
const etcdReadme = take('packages/etcd/README.md', 'await using etcd = await connect');
const etcdShort = take('README.md', 'await using etcd = await connect');
const SOURCES = /** @type {Record<string, string>} */ ({
  'etcd-readme.ts': etcdReadme,
  'readme.ts': etcdShort,
  'guide-connect.ts': `import { connect } from '@quiesce/etcd';
${take('docs/guide/README.md', '10.0.0.2:2379')}
console.log(etcd.constructor.name);`,
  'guide-shutdown.ts': `import { createServer } from 'node:http';
import { connect, Session } from '@quiesce/etcd';
const etcd = await connect('http://127.0.0.1:2379');
const session = await Session.create(etcd, { ttlSeconds: 600 });
await etcd.put('registered', 'yes', { lease: session.leaseId });
const server = createServer().listen(0, '127.0.0.1');
${take('docs/guide/README.md', "process.once('SIGTERM'")}
process.kill(process.pid, 'SIGTERM');`,
  'library.ts': take('packages/quiesce/README.md', "import { run } from 'quiesce'"),
  'done.ts': take('docs/tester.md', "import { workDone } from 'quiesce/work-done'"),
  'plan/shutdown.plan.ts': take('docs/tester.md', 'definePlan({'),
  'node.test.ts': take('docs/tester.md', "import { expectCleanExit } from 'quiesce'"),
  'vitest.test.ts': take('docs/tester.md', "import 'quiesce/vitest'"),
});
const doneInPython = take('docs/tester.md', '"QUIESCE_DONE_FD" in os.environ');
const doneInShell = take('docs/tester.md', '-z "$QUIESCE_DONE_FD"');
const matrix = take('docs/tester.md', 'matrix:');
const plan = take('README.md', 'shutdown.plan.yaml');
const cargo = take('crates/owned-runtime-napi/README.md', '[dependencies]');
const installations = [
  take('README.md', 'npm install @quiesce/etcd'),
  take('packages/etcd/README.md', 'npm install'),
  take('packages/quiesce/README.md', 'npm install'),
  take('packages/pytest-quiesce/README.md', 'pip install'),
  take('crates/owned-runtime/README.md', 'cargo add'),
  take('crates/owned-runtime-pyo3/README.md', 'cargo add'),
];
const testerCommands = [
  take('README.md', 'npx quiesce run -n 50'),
  take('packages/quiesce/README.md', 'npx quiesce run --until'),
  take('docs/statistics.md', 'quiesce runs-needed --rate 2%'),
  take('docs/statistics.md', '"python old.py"'),
  take('docs/measurements/sensitivity.md', 'python my_program.py'),
  take('docs/measurements/sensitivity.md', 'static-runtime'),
];
const contributors = blocks.filter(
  (block) =>
    block.language === 'sh' && LONG_COMMAND.test(block.code) && !runElsewhere(block) && !taken.has(block),
);
for (const block of contributors) taken.add(block);

/**
 * @param {string[]} command
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, done?: boolean, onOutput?: (output: string, pid: number) => void }} [how]
 */
async function start([program = '', ...args], { cwd = dir, env = {}, done = false, onOutput } = {}) {
  const child = spawn(program, args, {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe', ...(done ? [/** @type {const} */ ('pipe')] : [])],
    timeout: 120_000,
    killSignal: 'SIGKILL',
    env: {
      ...process.env,
      NODE_TEST_CONTEXT: undefined,
      GITHUB_ACTIONS: '',
      QUIESCE_DONE_FD: done ? '3' : undefined,
      PATH: [dir, dirname(process.execPath), process.env.PATH].join(delimiter),
      ...env,
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk) => {
      output += chunk;
      onOutput?.(output, child.pid ?? 0);
    });
  }
  const reported = done ? text(/** @type {import('node:stream').Readable} */ (child.stdio[3])) : undefined;
  const [code] = await once(child, 'close');
  return { code, output, reported: await reported };
}

const TSCONFIG = {
  extends: inRoot('tsconfig.base.json'),
  compilerOptions: {
    composite: false,
    declaration: false,
    declarationMap: false,
    sourceMap: false,
    exactOptionalPropertyTypes: false,
    outDir: 'dist',
    rootDir: '.',
    typeRoots: [inRoot('node_modules', '@types')],
  },
  include: ['**/*.ts'],
};

const ENDPOINT = 'http://127.0.0.1:2379';

before(async () => {
  rmSync(dir, { recursive: true, force: true });
  for (const [name, source] of Object.entries(SOURCES)) write(name, source);
  const run = (/** @type {string} */ shift) =>
    `#!/bin/sh\n${shift}exec '${process.execPath}' '${tester}' "$@"\n`;
  write('npx', run('[ "$1" = quiesce ] || exit 127\nshift\n'));
  write('quiesce', run(''));
  write('python', '#!/bin/sh\nexec python3 "$@"\n');
  for (const name of ['npx', 'quiesce', 'python']) chmodSync(join(dir, name), 0o755);
  symlinkSync(etcdBinary(), join(dir, 'etcd'));
  write('package.json', '{ "private": true, "type": "module" }');
  write('tsconfig.json', JSON.stringify(TSCONFIG));
  for (const name of ['my-program.js', 'new.js', 'my_program.py', 'new.py']) write(name, '');
  write('old.js', 'process.abort();');
  write('old.py', 'import os\nos.abort()\n');
});
after(() => rmSync(dir, { recursive: true, force: true }));

describe('the blocks of the documents', () => {
  it('are all run, or left out for a reason', () => {
    assert.deepEqual(problemsOfLists(blocks), []);
    const open = blocks.filter((block) => !taken.has(block) && runElsewhere(block) === undefined);
    assert.deepEqual(
      open.map(({ file, line, language }) => `${file}:${line} (${language || 'no language'})`),
      [],
      'run them in this file, or name in setup/checks/blocks.mjs what runs them, or why nothing does',
    );
  });
});

describe('TypeScript blocks', { timeout: 240_000 }, () => {
  it('are compiled', async () => {
    const { code, output } = await start([inRoot('node_modules', '.bin', 'tsc'), '-p', dir]);
    assert.equal(code, 0, output);
  });

  /**
   * Runs a compiled block on an etcd of its own.
   * @param {string} name
   * @param {(endpoint: string) => Parameters<typeof start>[1]} [how]
   */
  async function onEtcd(name, how = () => ({})) {
    const etcd = await startEtcd();
    try {
      const file = join(dir, 'dist', name);
      const code = readFileSync(file, 'utf8').replaceAll(ENDPOINT, etcd.endpoint);
      writeFileSync(file, code.replace(/'https:\/\/10\.[^']*'/, `'${etcd.endpoint}'`));
      return await start([process.execPath, file], how(etcd.endpoint));
    } finally {
      await etcd.stop();
    }
  }

  const watching = {
    'readme.js': 'blue 2n\nput config/size large\n',
    'etcd-readme.js': 'put config/size large\n',
  };
  for (const [name, expected] of Object.entries(watching)) {
    it(`${name} prints what it says, and what it watches`, async () => {
      const stop = new AbortController();
      /** @type {Promise<void> | undefined} */
      let putting;
      const { output } = await onEtcd(name, (endpoint) => {
        putting = putUntil(stop.signal, endpoint);
        return {
          onOutput(printed, pid) {
            if (stop.signal.aborted || !printed.includes('put config/size')) return;
            stop.abort();
            process.kill(pid, 'SIGTERM');
          },
        };
      });
      stop.abort();
      await putting;
      assert.ok(output.startsWith(expected), output);
    });
  }

  /** Puts a key again and again: when the program's watch begins is not seen from outside. */
  async function putUntil(/** @type {AbortSignal} */ signal, /** @type {string} */ endpoint) {
    const client = await connect(endpoint);
    while (!signal.aborted) {
      if ((await client.get('config/colour')) !== undefined) await client.put('config/size', 'large');
      await setTimeout(200);
    }
    await client.close();
  }

  it('connect as the guide does', async () => {
    const { code, output } = await onEtcd('guide-connect.js');
    assert.equal(code, 0, output);
    assert.match(output, /^\w*Client\n$/);
  });

  it('shut down as the guide does', async () => {
    const { code, output } = await onEtcd('guide-shutdown.js');
    assert.deepEqual([code, output], [0, '']);
  });

  it('use the tester as a library', async () => {
    const file = join(dir, 'dist', 'library.js');
    writeFileSync(file, readFileSync(file, 'utf8').replace('runs: 300', 'runs: 3'));
    const { code, output } = await start([process.execPath, file]);
    assert.equal(code, 0, output);
    assert.match(output, /^true 0 0\.\d+\n$/);
  });

  for (const [name, ...args] of /** @type {[string, ...string[]][]} */ ([
    ['node.test.js', '--test'],
    ['vitest.test.js'],
  ])) {
    it(`${name} passes`, async () => {
      const file = join(dir, 'tests', name);
      write(
        `tests/${name}`,
        readFileSync(join(dir, 'dist', name), 'utf8').replace('below: 0.01', 'below: 0.5'),
      );
      const vitest = [inRoot('node_modules', 'vitest', 'vitest.mjs'), 'run', '--root', join(dir, 'tests')];
      const { code, output } = await start([process.execPath, ...(args.length === 0 ? vitest : args), file]);
      assert.equal(code, 0, output);
    });
  }

  it('make a plan that can be run', async () => {
    const folder = join(dir, 'plan');
    write(
      'plan/valkey-server',
      `#!/usr/bin/env node\nimport('node:net').then(({ createServer }) => createServer().listen(Number(process.argv[3]), '127.0.0.1'));\n`,
    );
    chmodSync(join(folder, 'valkey-server'), 0o755);
    write('plan/exit-in-callback.js', 'setTimeout(() => process.exit(), 1);');
    write(
      'plan/wait-for-signal.js',
      "process.on('SIGTERM', () => process.exit(143));\nprocess.kill(process.pid, 'SIGTERM');\nsetTimeout(() => {}, 5000);",
    );
    const env = { PATH: [folder, dirname(process.execPath), process.env.PATH].join(delimiter) };
    const { code, output } = await start([process.execPath, tester, 'run', '-n', '2'], { cwd: folder, env });
    assert.equal(code, 0, output);
    assert.match(output, /SIGTERM +2 +2/);
  });
});

describe('what a program reports', () => {
  it('is done, in TypeScript', async () => {
    const { code, reported } = await start([process.execPath, 'dist/done.js'], { done: true });
    assert.deepEqual([code, reported], [0, 'done\n']);
  });

  it('is done, in Python', { skip: python }, async () => {
    const { code, reported } = await start(['python3', '-c', doneInPython], { done: true });
    assert.deepEqual([code, reported], [0, 'done\n']);
  });

  it('is done, in a shell', async () => {
    const { code, reported } = await start(['sh', '-c', doneInShell], { done: true });
    assert.deepEqual([code, reported], [0, 'done\n']);
    assert.equal((await start(['sh', '-c', doneInShell])).code, 0);
  });
});

describe('plans', () => {
  it("the README's runs with a real etcd", async () => {
    write('readme/shutdown.plan.yaml', plan);
    write('readme/my-program.js', 'if (!process.env.ETCD_ENDPOINTS) process.exit(1);');
    const command = /^# shutdown\.plan\.yaml: (npx .*)$/m.exec(plan)?.[1];
    const { code, output } = await start(['sh', '-c', `${command} -n 2`], { cwd: join(dir, 'readme') });
    assert.equal(code, 0, output);
    assert.ok(existsSync(join(dir, 'readme', 'report.json')));
  });

  it('with a matrix is one that the schema takes', async () => {
    const { checkPlan } = await import('../../packages/quiesce/dist/src/plan/check/schema.js');
    const [scenario] = checkPlan(parse(matrix), 'docs/tester.md', 'written').scenarios;
    assert.deepEqual(Object.keys(scenario?.matrix ?? {}), ['runtime', 'npm:my-addon']);
  });
});

describe('commands of the tester', { timeout: 240_000, concurrency: 2 }, () => {
  const bare = (/** @type {string} */ line) => line.replace(/^npx | +# .*$/g, '');
  const lines = testerCommands
    .flatMap((block) => block.split('\n'))
    .filter((line) => /quiesce /.test(line) && !/npm install|npx quiesce bisect/.test(line))
    .filter((line, i, all) => all.findIndex((other) => bare(other) === bare(line)) === i);

  for (const line of lines) {
    it(line, { skip: /python/.test(line) && python }, async () => {
      const [, command = '', promise] = /^(.*?)(?: +# (.*))?$/.exec(line) ?? [];
      const smaller = command
        .replace(/-n \d+/, '-n 4')
        .replace(/--until \S+/, '--until 50%')
        .replace(/(quiesce run)( --history)/, '$1 -n 4$2')
        .replace(/(compare(?!.* -n ).*)/, '$1 -n 4')
        .replace(/-- \.\.\.$/, '-- node my-program.js');
      const control = command.includes('controls/');
      const { code, output } = await start(['sh', '-c', smaller], control ? { cwd: inRoot() } : {});
      assert.equal(code, control ? 1 : 0, `${smaller}\n${output}`);
      if (command.includes('runs-needed'))
        assert.ok(promise !== undefined && output.includes(promise), output);
    });
  }
});

describe('commands of contributors', () => {
  const { scripts } = JSON.parse(readFileSync(inRoot('package.json'), 'utf8'));
  const commands = contributors.flatMap(({ file, code }) =>
    code.split('\n').flatMap((line) => {
      const [, name, rest = ''] = /^npm (?:run )?([\w-]+)(.*?)(?: +#|$)/.exec(line) ?? [];
      return name === undefined ? [] : [{ file, name, flags: rest.match(/ --[a-z][\w-]*/g) ?? [] }];
    }),
  );
  /** Where commands read their flags: options of `parseArgs`, and of commander in the benchmark. */
  const sources =
    outputOf([
      'git',
      'grep',
      '-hE',
      "'?[a-z-]+'?: \\{ type: '|option\\('",
      '--',
      'setup',
      'bench',
      'scenarios',
    ]) ?? '';

  it('are scripts, with flags that a script takes', () => {
    assert.ok(commands.length > 15);
    for (const { file, name, flags } of commands) {
      assert.ok(name in scripts, `${file}: npm run ${name}`);
      for (const flag of flags) {
        const word = flag.trim().slice(2);
        const read = new RegExp(`\\b${word}'?: \\{ type:|option\\('(-\\w, )?--${word}\\b`);
        assert.ok(read.test(sources), `${file}: ${name}${flag}`);
      }
    }
  });
});

describe('installations', () => {
  it('name what is published', () => {
    const published = new Set([
      ...npmPackages.map(
        (name) => JSON.parse(readFileSync(inRoot('packages', name, 'package.json'), 'utf8')).name,
      ),
      ...crates,
      'pytest-quiesce',
    ]);
    assert.equal(PYTHON_PACKAGE, 'pytest-quiesce');
    for (const line of installations.join('').trim().split('\n')) {
      const [, name = ''] = /^(?:npm install(?: --save-dev)?|pip install|cargo add) (\S+)$/.exec(line) ?? [];
      assert.ok(published.has(name), line);
    }
  });

  it("the README's dependencies of an addon are those of a tested one", () => {
    const manifest = readFileSync(inRoot('examples', 'addons', 'napi-owned', 'Cargo.toml'), 'utf8');
    for (const [, name = '', version = ''] of cargo.matchAll(/^([\w-]+) = (?:\{ version = )?"([^"]+)"/gm)) {
      const used = new RegExp(`^${name} = (?:\\{ version = )?"([^"]+)"|^${name} = \\{ path`, 'm').exec(
        manifest,
      );
      assert.ok(used, name);
      if (used[1] !== undefined) assert.equal(used[1], version, name);
    }
  });
});
