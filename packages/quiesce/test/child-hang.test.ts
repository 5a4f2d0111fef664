// A command that waits for a program that hangs, as a shell or `npm test` does, isn't what hangs.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type FailureKind, run } from '../src/index.js';
import { realPython } from './support/python.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('child-hang');
const python = realPython();
const skip = spawnSync('gdb', ['--version']).status !== 0 && 'gdb is missing';

const server = join(dir, 'server.js');
writeFileSync(server, "require('node:net').createServer().listen(0, '127.0.0.1');\n");
const served = join(dir, 'served.test.js');
writeFileSync(
  served,
  "require('node:test')('serves', () => void require('node:net').createServer().listen(0, '127.0.0.1'));\n",
);
const joins = join(dir, 'joins.py');
writeFileSync(
  joins,
  'import threading\nlock = threading.Lock()\nlock.acquire()\nthreading.Thread(target=lock.acquire).start()\n',
);
writeFileSync(join(dir, 'package.json'), JSON.stringify({ scripts: { test: `node ${server}` } }));
const node = process.execPath;

/** What the tester reports about a command that hangs. */
async function hang(command: readonly string[]): Promise<{
  readonly child: string | undefined;
  /** The command whose stacks come first. */
  readonly first: string | undefined;
  readonly kind: FailureKind | null;
}> {
  const { failures } = await run({ command: [...command], cwd: dir, runs: 1, timeout: '5s' });
  const [failure] = failures;
  assert.ok(failure?.outcome.kind === 'hang');
  const { evidence, kind } = failure;
  return {
    child: evidence.child?.command,
    first: /^process .*: (.*)/.exec(evidence.stacks ?? '')?.[1],
    kind,
  };
}

describe('a hang', { skip }, () => {
  for (const [name, command, child, kind, detail] of [
    [
      'of a child of a shell',
      ['sh', '-c', `${node} ${server}; exit $?`],
      /server\.js$/,
      'event-loop-alive',
      /TCP server/,
    ],
    [
      'of a grandchild',
      ['timeout', '60', 'sh', '-c', `${python} ${joins}; exit $?`],
      /joins\.py$/,
      'join-at-exit',
      /joins|threading/,
    ],
    [
      'of a pipeline',
      ['sh', '-c', `${node} ${server} | cat; exit $?`],
      /server\.js$/,
      'event-loop-alive',
      /TCP server/,
    ],
    [
      "of Node's test runner",
      // It would take itself for a test file of the runner that runs this one.
      ['env', '-u', 'NODE_TEST_CONTEXT', node, '--test', served],
      /served\.test\.js$/,
      'event-loop-alive',
      /TCP server/,
    ],
    ['of npm test', ['npm', 'test'], /server\.js$/, 'event-loop-alive', /TCP server/],
    [
      'of a child that Node waits for',
      [node, '-e', `require('node:child_process').spawnSync('sleep', ['60'])`],
      /^sleep 60$/,
      'blocked',
      /sleep/,
    ],
  ] as const) {
    test(`${name} is the child's`, async () => {
      const seen = await hang(command);
      assert.match(seen.child ?? '', child);
      assert.equal(seen.first, seen.child);
      assert.equal(seen.kind?.id, kind);
      assert.match(seen.kind?.detail ?? '', detail);
    });
  }

  test('of a program that has children beside is its own', async () => {
    const source = `require('node:child_process').spawn('sleep', ['60'], { stdio: 'ignore' }).unref(); setInterval(() => {}, 1000)`;
    const seen = await hang([node, '-e', source]);
    assert.equal(seen.child, undefined);
    assert.match(seen.kind?.detail ?? '', /kept alive by timer/);
  });

  test('of a program whose exit waits for a child is its own', async () => {
    const source = `import atexit, subprocess\natexit.register(subprocess.run, ['sleep', '60'])`;
    const seen = await hang([python, '-c', source]);
    assert.equal(seen.child, undefined);
    assert.match(seen.kind?.detail ?? '', /^as it exits, for its child process \d+ \(sleep 60\)/);
  });
});
