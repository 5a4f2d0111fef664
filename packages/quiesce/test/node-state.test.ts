// What a hung Node says through its inspector: where its main thread is, and what keeps it alive. Or why it doesn't answer.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { htmlReport, run, runPlan, terminalReport } from '../src/index.js';
import { findExecutable } from '../src/process/executable.js';
import { evaluateState } from '../src/run/languages/node-state.js';
import { WITNESS_FILE } from '../src/run/witness.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('node-state');
const untraced =
  existsSync(WITNESS_FILE) && findExecutable('gdb', process.cwd()).path !== undefined
    ? false
    : 'no witness was built here, or gdb is missing';
const node = (program: string): string[] => [process.execPath, '-e', program];
const skip = process.platform !== 'linux' && 'Node is asked on Linux';

async function keptAliveBy(program: string, wrapper: string[] = []): Promise<readonly string[]> {
  const file = join(dir, 'program.cjs');
  writeFileSync(file, program);
  const { failures } = await run({ command: [...wrapper, process.execPath, file], runs: 1, timeout: '3s' });
  const [failure] = failures;
  assert.equal(failure?.outcome.kind, 'hang');
  const main = failure?.evidence.threads.find((thread) => thread.main);
  return main?.keptAliveBy ?? [failure?.evidence.stacks ?? 'no stacks'];
}

test('workers are named with their files, and what they do or wait for', { skip }, async () => {
  const worker = join(dir, 'worker.cjs');
  writeFileSync(
    worker,
    `const { workerData } = require('node:worker_threads');
if (workerData === 'spin') (function spin() { for (;;); })();
else setInterval(() => {}, 1e3);
`,
  );
  const kept = await keptAliveBy(`const { Worker } = require('node:worker_threads');
for (let i = 0; i < 2; i++) new Worker(${JSON.stringify(worker)});
new Worker(${JSON.stringify(worker)}, { name: 'pool', workerData: 'spin' });
new Worker('setInterval(() => {}, 1e3)', { eval: true });
new Worker(${JSON.stringify(worker)}, { name: 'not waited for' }).unref();
`);
  assert.deepEqual([...kept].sort(), [
    `worker "pool" ${worker} (runs spin, ${worker}:2)`,
    `worker ${worker} (timer) x2`,
    'worker with code that is not a file (timer)',
  ]);
});

test('what it has printed keeps nothing alive', { skip }, async () => {
  assert.deepEqual(await keptAliveBy("console.log('a'); console.error('b'); setInterval(() => {}, 1e3);"), [
    'timer',
  ]);
});

test('a port that another process has for a while is waited for', { skip }, async () => {
  const other = createServer();
  const listens = (): Promise<boolean> =>
    new Promise((resolve) => {
      other.once('listening', () => resolve(true)).once('error', () => resolve(false));
      other.listen(9229, '127.0.0.1');
    });
  while (!(await listens())) await delay(20); // a test in another file asks a Node
  const kept = keptAliveBy('setInterval(() => {}, 1e3);');
  await delay(8_000);
  other.close();
  assert.deepEqual(await kept, ['timer']);
});

test('a port that is never free is the reason that there are no frames', { skip }, async () => {
  // In a network of its own it doesn't keep other tests waiting.
  const listens = "require('node:net').createServer().listen(9229, '0.0.0.0');";
  const [reason] = await keptAliveBy(listens, ['unshare', '--net']);
  assert.match(reason ?? '', /port 9229, which its inspector needs, is in use/);
});

const nodeHangs: readonly (readonly [id: string, what: string, program: string, detail: RegExp])[] = [
  [
    'event-loop-alive',
    'the event loop',
    "setInterval(() => {}, 1e3); require('net').createServer().listen(0, '127.0.0.1')",
    /^kept alive by (?:timer, TCP server|TCP server, timer)$/,
  ],
  [
    'event-loop-alive',
    'child processes',
    "for (const time of ['100', '101']) require('child_process').spawn('sleep', [time], { stdio: 'ignore' })",
    /^kept alive by child process x2 \d+ \(sleep 100\) and \d+ \(sleep 101\)$/,
  ],
  [
    'event-loop-alive',
    'a child process whose output it reads',
    "require('child_process').spawn('sleep', ['100'])",
    /^kept alive by pipe or Unix socket x3, child process \d+ \(sleep 100\)$/,
  ],
  ['busy', 'a loop in JavaScript', 'setTimeout(function spin() { for (;;); })', /at spin \(\[eval\]:1\)$/],
  [
    'blocked',
    'a lock in JavaScript',
    'function wait() { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); }\nwait()',
    /^at wait \(\[eval\]:1\)$/,
  ],
];
for (const [id, what, program, detail] of nodeHangs) {
  test(`names what keeps it: ${what}`, { skip: untraced }, async () => {
    const result = await run({ command: node(program), runs: 1, timeout: '2s' });
    const [group] = result.failures;
    assert.equal(group?.outcome.kind, 'hang');
    assert.equal(group?.kind?.id, id, group?.evidence.stacks ?? 'no stacks');
    assert.match(group?.kind?.detail ?? '', detail);
    // The inspector's output isn't the program's.
    assert.doesNotMatch(group?.evidence.stderr ?? '', /Debugger/);
  });
}

test('of a Node that is in native code says why there are no JavaScript frames, in every report', {
  skip: untraced,
}, async () => {
  const reason =
    'no JavaScript frames: its main thread did not answer its inspector, as in native code that does not return';
  const busy = { name: 'busy', command: node("require('crypto').pbkdf2Sync('a', 'b', 2e9, 64, 'sha512')") };
  const child = { name: 'child', command: node("require('child_process').execFileSync('sleep', ['60'])") };
  const plan = { defaults: { runs: 1, timeout: '2s' }, scenarios: [busy, child] };
  const result = await runPlan(plan);
  const [hang, waits] = result.scenarios.map(({ failures }) => failures[0]);
  assert.equal(hang?.kind?.id, 'busy', hang?.evidence.stacks ?? 'no stacks');
  assert.ok(hang.kind.detail?.includes(reason), hang.kind.detail ?? 'no detail');
  const main = hang.evidence.threads.find((thread) => thread.main);
  assert.ok(main?.notInterpreted?.startsWith(reason), main?.notInterpreted ?? 'no reason');
  for (const report of [terminalReport(result, false), htmlReport(result)]) {
    assert.ok(report.includes(`  (${reason}`), report);
  }
  // Its child says what it waits for.
  assert.equal(waits?.kind?.id, 'blocked', waits?.evidence.stacks ?? 'no stacks');
  assert.doesNotMatch(waits.kind.detail ?? '', /no JavaScript frames/);
  assert.match(
    waits.evidence.stacks ?? '',
    /no JavaScript frames: its main thread did not answer its inspector, as in native code/,
  );
});

test('a busy Node is asked until it runs JavaScript, which it does not between two microtasks', async () => {
  const frames = [['drain', '/app/main.js', 7]];
  let asked = 0;
  const inspected = {
    ask: async () => {
      const value = JSON.stringify({ frames: ++asked < 4 ? [] : frames, active: ['Timeout'] });
      return { result: { value } };
    },
    receive: () => {},
  };
  assert.deepEqual((await evaluateState(inspected, 1)).frames, []);
  const seen = await evaluateState(inspected, 8);
  assert.deepEqual(seen.frames, [{ name: 'drain', file: '/app/main.js', line: 7 }]);
  assert.equal(asked, 4);
});

test('a listener of its own for SIGUSR1 may be why it does not answer', { skip }, async () => {
  const [reason] = await keptAliveBy("process.on('SIGUSR1', () => {}); setInterval(() => {}, 1e3);");
  assert.match(reason ?? '', /no JavaScript frames: .*its own listener for SIGUSR1/);
});
