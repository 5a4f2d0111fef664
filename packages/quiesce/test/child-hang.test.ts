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
    child: evidence.child?.command.split('\n')[0],
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

  const python3 = (source: string): string[] => [python, '-c', source];
  const takes = 'import threading, time\nlock = threading.Lock()\ndef work(i):\n    if i: lock.acquire()';
  const holds = 'threading.Thread(target=lambda: lock.acquire() and time.sleep(60), daemon=True).start()';
  const forks = `${takes}\n${holds}\ntime.sleep(0.2)\nimport multiprocessing as mp\nmp.set_start_method('fork')`;
  for (const [name, source, child, kind, detail] of [
    [
      'through the threads of a pool',
      `${forks}\nwith mp.Pool(2) as pool: pool.map(work, [0, 1], 1)`,
      /-c/,
      'threads-lost-in-fork',
      /work .*more threads/,
    ],
    [
      'through the threads of an executor',
      `${forks}\nfrom concurrent.futures import ProcessPoolExecutor\nwith ProcessPoolExecutor(1) as pool: list(pool.map(work, [1]))`,
      /-c/,
      'threads-lost-in-fork',
      /work .*more threads?/,
    ],
    [
      'whose number it has, though a newer one is there',
      'import subprocess\nfirst = subprocess.Popen(["sleep", "60"])\nsubprocess.Popen(["sleep", "61"])\nfirst.wait()',
      /^sleep 60$/,
      'blocked',
      /sleep/,
    ],
    [
      'whose output it reads',
      'import subprocess\nsubprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE).stdout.read()',
      /^sleep 60$/,
      'blocked',
      /sleep/,
    ],
    [
      'whose outputs it polls, and which another left behind',
      'import subprocess\nsubprocess.run(["sh", "-c", "sleep 60 &"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)',
      /^sleep 60$/,
      'blocked',
      /sleep/,
    ],
    [
      'which should set an event that they share',
      `import multiprocessing as mp, time\nmp.set_start_method('fork')\nevent = mp.Event()\nmp.Process(target=time.sleep, args=(60,)).start()\nevent.wait()`,
      /-c/,
      'blocked',
      /sleep/,
    ],
    [
      'in an event loop',
      'import asyncio\nasync def main(): await (await asyncio.create_subprocess_exec("sleep", "60")).wait()\nasyncio.run(main())',
      /^sleep 60$/,
      'blocked',
      /sleep/,
    ],
  ] as const) {
    test(`that a program of Python waits for ${name} is the child's`, async () => {
      const seen = await hang(python3(source));
      assert.match(seen.child ?? '', child);
      assert.equal(seen.first, seen.child);
      assert.equal(seen.kind?.id, kind);
      assert.match(seen.kind?.detail ?? '', detail);
    });
  }

  for (const [name, source] of [
    [
      'whose pool lost a worker, and whose others wait for work',
      'import multiprocessing as mp, os\nmp.set_start_method("fork")\nwith mp.Pool(3) as pool: pool.map(os._exit, [1], 1)',
    ],
    [
      'that waits for a lock of its own, while another thread reads what a child prints',
      `import subprocess, threading\nout = subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE).stdout\nthreading.Thread(target=out.read).start()\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()`,
    ],
    [
      'that serves in an event loop, and has a child beside',
      'import asyncio\nasync def main():\n  await asyncio.create_subprocess_exec("sleep", "60", stdout=asyncio.subprocess.PIPE)\n  await (await asyncio.start_server(print, "127.0.0.1", 0)).serve_forever()\nasyncio.run(main())',
    ],
  ] as const) {
    test(`of a program of Python ${name} is its own`, async () => {
      assert.equal((await hang(python3(source))).child, undefined);
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
