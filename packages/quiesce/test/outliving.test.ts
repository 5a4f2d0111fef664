// Nothing of a run outlives it, however it left its process group, and what still runs isn't taken for dead.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type PlanResult, run, runPlan } from '../src/index.js';
import { readProc } from '../src/process/proc.js';
import { endSpawner } from '../src/process/spawner.js';
import { cli, runCli, startCli } from './support/cli.js';
import { realPython } from './support/python.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('outliving');
const python = realPython();
const linuxOnly = process.platform !== 'linux' && 'processes are known by /proc';

// Two forks, a separate session, and nothing open: neither its group nor a pipe shows it.
writeFileSync(
  join(dir, 'daemon.py'),
  `import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 256)
        time.sleep(60)
    os._exit(0)
os.wait()
time.sleep(float(sys.argv[1]))
`,
);

/** Command lines of the processes that have the text in theirs, other than testers. */
const alive = (text: string): string[] =>
  readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((entry) => readProc(`/proc/${entry}/cmdline`))
    .filter((words) => words.includes(text) && !words.includes(cli));

async function assertGone(text: string): Promise<void> {
  for (let i = 0; alive(text).length > 0 && i < 2_000; i++) await sleep(10);
  assert.deepEqual(alive(text), []);
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; !holds(); i++) {
    assert.ok(i < 2_000, 'it did not come to that');
    await sleep(10);
  }
}

/** A daemon's command, and a text that no other process has in its command line. */
function daemon(name: string, seconds: number): { command: string[]; mark: string } {
  const mark = `${dir}/${name}`;
  return { command: [python, join(dir, 'daemon.py'), String(seconds), mark], mark };
}

describe('a daemon, which left its group and closed what it had open', { skip: linuxOnly }, () => {
  test('is ended with its run, and named', async () => {
    const { command, mark } = daemon('of-a-run', 0);
    const { ok, runs } = await run({ command, runs: 2 });
    assert.deepEqual(alive(mark), []);
    assert.equal(ok, true);
    for (const { leaked } of runs) {
      assert.equal(leaked.length, 1);
      assert.match(leaked[0] ?? '', /daemon\.py/);
    }
  });

  test('is ended with its run, and named, where it has no environment', async () => {
    const mark = join(dir, 'no-environment');
    const program = `import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 1024)
        os.execve(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)', sys.argv[1]], {})
    os._exit(0)
os.wait()
time.sleep(0.3)`;
    for (const jobs of [1, 2]) {
      const { runs } = await run({ command: [python, '-c', program, mark], runs: 4, jobs });
      const named = runs.filter(({ leaked }) => leaked.some((command) => command.includes(mark)));
      // Of two programs that run at the same time, either may have started it.
      if (jobs === 1) assert.equal(named.length, 4);
      await endSpawner();
      assert.deepEqual(alive(mark), []);
    }
  });

  test('is ended with a run that hangs', async () => {
    const { command, mark } = daemon('of-a-hang', 60);
    const { runs } = await run({ command, runs: 1, timeout: '1s', stacks: false });
    assert.deepEqual(alive(mark), []);
    assert.equal(runs[0]?.outcome.kind, 'hang');
  });

  for (const [signal, times] of [
    ['SIGINT', 1],
    ['SIGTERM', 1],
    ['SIGHUP', 2],
    ['SIGKILL', 1],
  ] as const) {
    test(`is ended when ${signal} stops the tester${times === 2 ? ' at once, the second time' : ''}`, async () => {
      const { command, mark } = daemon(`of-${signal}`, 60);
      const tester = startCli(['run', '-n', '1', '--', ...command], { cwd: dir });
      await until(() => alive(mark).length === 2);
      for (let i = 0; i < times; i++) tester.kill(signal);
      await tester.ended;
      await assertGone(mark);
    });
  }

  test('is ended with a tester inside a run, and what that started', async () => {
    const { command, mark } = daemon('of-a-tester', 60);
    const inner = [process.execPath, cli, 'run', '-n', '1', '--', ...command];
    const { runs } = await run({ command: inner, runs: 1, timeout: '3s', stacks: false });
    assert.equal(runs[0]?.outcome.kind, 'hang');
    await assertGone(mark);
  });
});

test('a program that stops its parent costs no run', { skip: linuxOnly }, async () => {
  const { ok, runs } = await run({ command: ['sh', '-c', 'kill -STOP $PPID'], runs: 2, timeout: '10s' });
  assert.equal(ok, true);
  assert.equal(runs.length, 2);
});

describe('a program that kills its parent, the spawner,', { skip: linuxOnly }, () => {
  const plan = (service: string, program: string): Promise<PlanResult> =>
    runPlan({
      services: { s: { command: ['sh', '-c', service], ready: { log: 'ready' } } },
      scenarios: [{ name: 'a', command: ['sh', '-c', program], runs: 3, uses: ['s'] }],
    });

  test('leaves nothing if it is a service that starts', async () => {
    const { serviceFailures } = await plan('kill -9 $PPID; echo ready; sh -c "sleep 60; :" lost-1', 'true');
    assert.match(serviceFailures[0]?.message ?? '', /the spawner \(process \d+\) ended with SIGKILL/);
    await assertGone('lost-1');
  });

  test('leaves no service if it is under test', async () => {
    const { serviceFailures, scenarios } = await plan(
      'echo ready; sh -c "sleep 60; :" lost-2',
      'kill -9 $PPID; sh -c "sleep 60; :" lost-3',
    );
    assert.match(
      serviceFailures[0]?.message ?? '',
      /"s" is lost: the spawner \(process \d+\) ended with SIGKILL/,
    );
    assert.notEqual(scenarios[0]?.state, 'completed');
    await assertGone('lost-2');
    await assertGone('lost-3');
  });
});

describe('a process whose first thread has ended', { skip: linuxOnly }, () => {
  const endsMain = (seconds: number): string[] => {
    const file = join(dir, 'ends-main.py');
    writeFileSync(
      file,
      `import ctypes, threading, time
threading.Thread(target=time.sleep, args=(${seconds},), daemon=True).start()
ctypes.CDLL(None).pthread_exit(0)
`,
    );
    return [python, file];
  };

  test('runs until its last thread has ended', async () => {
    const { runs, ok } = await run({ command: endsMain(1), runs: 1, timeout: '20s' });
    assert.equal(ok, true);
    assert.ok((runs[0]?.durationMs ?? 0) > 900);
  });

  test('is a hang whose other threads are shown', async () => {
    const { failures } = await run({ command: endsMain(60), runs: 1, timeout: '1s' });
    assert.equal(failures[0]?.outcome.kind, 'hang');
    assert.match(failures[0]?.evidence.stacks ?? '', /nanosleep/);
  });

  test('is found where it outlives its parent', async () => {
    // The same in the background.
    const [program = '', file = ''] = endsMain(60);
    const script = `"${program}" "${file}" in-background </dev/null >/dev/null 2>&1 & sleep 1`;
    const { runs } = await run({ command: ['sh', '-c', script], runs: 1 });
    await assertGone('in-background');
    assert.match(runs[0]?.leaked.join() ?? '', /ends-main\.py/);
  });
});

test('a helper of Python that ends by itself a little later is not left behind, and other processes are', {
  skip: linuxOnly,
}, async () => {
  const sleeps = (seconds: number, as: string): string => `import time; time.sleep(${seconds}) # ${as}`;
  for (const [behind, left] of [
    [sleeps(0.6, 'from multiprocessing.resource_tracker import main'), 0],
    [sleeps(60, 'another'), 1],
  ] as const) {
    const command = ['sh', '-c', '"$0" -c "$1" & exit 0', python, behind];
    const { runs } = await run({ command, runs: 1 });
    assert.equal(runs[0]?.leaked.length, left, behind);
  }
  // Python's own, which has hardly started when the program ends.
  const shares =
    'from multiprocessing import shared_memory as m; s = m.SharedMemory(create=True, size=10); s.close(); s.unlink()';
  const { runs } = await run({ command: [python, '-c', shares], runs: 8 });
  assert.deepEqual(
    runs.flatMap(({ leaked }) => leaked),
    [],
  );
});

describe('without a usable /proc', {
  skip: spawnSync('unshare', ['--map-root-user', '--mount', 'true']).status !== 0 && 'unshare may not mount',
}, () => {
  const inNamespace = ['unshare', '--map-root-user', '--mount'];
  for (const [name, wrapper, reason] of [
    [
      'no /proc',
      [...inNamespace, 'sh', '-c', 'mount -t tmpfs none /proc; exec "$@"', 'sh'],
      '/proc is not mounted',
    ],
    [
      'a /proc without a list',
      [...inNamespace, 'sh', '-c', 'mount -t tmpfs none /proc; ln -s $$ /proc/self; exec "$@"', 'sh'],
      '/proc may not be listed',
    ],
    [
      "another namespace's /proc",
      [...inNamespace, '--pid', '--fork', '--kill-child'],
      '/proc belongs to another PID namespace: mount one for this namespace, as unshare --mount-proc does',
    ],
  ] as const) {
    test(`every report says that daemons were not looked for (${name})`, async () => {
      const mark = `${64 + reason.length / 1_000}`;
      const files = ['json', 'tap', 'junit', 'html'].map(
        (kind) => [kind, join(dir, `blind.${kind}`)] as const,
      );
      const summary = join(dir, `blind.${reason.length}.md`);
      const script = `setsid sleep ${mark} </dev/null >/dev/null 2>&1 3>&- &`;
      const flags = files.flatMap(([kind, file]) => [`--${kind}`, file]);
      const { output, code } = await runCli(
        ['run', '-n', '2', ...flags, '--github', '--', 'sh', '-c', script],
        {
          cwd: dir,
          env: { GITHUB_STEP_SUMMARY: summary },
          wrapper,
        },
      );
      for (const entry of readdirSync('/proc').filter((one) => /^\d+$/.test(one)))
        if (readProc(`/proc/${entry}/cmdline`).includes(mark)) process.kill(Number(entry), 'SIGKILL');
      assert.equal(code, 0, output);
      const said = `it is unknown which processes 2 of 2 runs left behind: ${reason}`;
      const texts = new Map(files.map(([kind, file]) => [kind, readFileSync(file, 'utf8')]));
      assert.ok(output.includes(said), output);
      for (const kind of ['tap', 'junit', 'html'] as const) assert.ok(texts.get(kind)?.includes(said), kind);
      assert.ok(readFileSync(summary, 'utf8').includes(said), 'summary');
      const [{ runs }] = JSON.parse(texts.get('json') ?? '').scenarios;
      assert.deepEqual([runs[0].left.unseenProcesses, runs[0].left.unwitnessed], [reason, reason]);
    });
  }

  const blind = [...inNamespace, 'sh', '-c', 'mount -t tmpfs none /proc; exec "$@"', 'sh'];

  test('what stays in the group of a run is killed all the same', async () => {
    const script = 'sleep 63.25 </dev/null >/dev/null 2>&1 3>&- &';
    const command = ['run', '-n', '1', '--', 'sh', '-c', script];
    const { output } = await runCli(command, { cwd: dir, wrapper: blind });
    await assertGone('63.25');
    assert.match(
      output,
      /1 of 1 run left processes behind \(killed\): unknown, since there is no usable \/proc/,
    );
  });

  test('that is why a crash has no stacks and an exit no timeline', async () => {
    const command = ['run', '-n', '1', '--timeline', '--', 'sh', '-c', 'kill -SEGV $$'];
    const { output } = await runCli(command, { cwd: dir, wrapper: blind });
    assert.match(output, /no stacks: there is no witness here: \/proc is not mounted/);
    assert.match(output, /there is no timeline: \/proc is not mounted/);
  });
});
