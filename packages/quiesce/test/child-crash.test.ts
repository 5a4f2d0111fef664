// A program under test is often a command that starts another, as `npm test` does. Then it is a child of it that dies.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { run } from '../src/index.js';
import { SPAWNER_FILE } from '../src/process/spawner.js';
import { WITNESS_FILE } from '../src/run/witness.js';
import { runCli } from './support/cli.js';
import { realPython } from './support/python.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('child-crash');
const python = realPython();
const skip =
  (!existsSync(WITNESS_FILE) || !existsSync(SPAWNER_FILE)) && 'the witness or the spawner was not built';
const hasStacks = spawnSync('gdb', ['--version']).status === 0;

const dies = join(dir, 'dies.py');
writeFileSync(dies, 'import os, sys\nif len(sys.argv) > 1: sys.exit(0)\nos.abort()\n');
const inC = `${python} ${dies}`;
writeFileSync(join(dir, 'package.json'), JSON.stringify({ scripts: { test: inC } }));
writeFileSync(
  join(dir, 'starts.py'),
  `import subprocess, sys\nsys.exit(3 if subprocess.run(${JSON.stringify([python, dies])}).returncode < 0 else 0)\n`,
);
writeFileSync(
  join(dir, 'forks.py'),
  'import os, sys\npid = os.fork()\nif pid == 0: os.abort()\nos.waitpid(pid, 0)\nsys.exit(1)\n',
);
const nodeStarts = `process.exitCode = require('node:child_process').spawnSync(...${JSON.stringify([python, [dies]])}).signal ? 1 : 0`;

const kills = `require('node:child_process').spawn(...${JSON.stringify([python, [dies]])}).on('exit', (code, signal) => process.kill(process.pid, signal))`;

describe('a child that dies', { skip }, () => {
  for (const [name, command, outcome] of [
    ['of a shell', ['sh', '-c', `${inC}; exit $?`], { kind: 'signal', signal: 'SIGABRT', exitCode: 134 }],
    ['of a shell that hides it', ['sh', '-c', `${inC}; exit 1`], { kind: 'exit-code', code: 1 }],
    ['of Node', [process.execPath, '-e', nodeStarts], { kind: 'exit-code', code: 1 }],
    ['of Python', [python, join(dir, 'starts.py')], { kind: 'exit-code', code: 3 }],
    ['without exec', [python, join(dir, 'forks.py')], { kind: 'exit-code', code: 1 }],
    [
      'of timeout, which raises its signal again',
      ['timeout', '60', python, dies],
      { kind: 'signal', signal: 'SIGABRT', exitCode: null },
    ],
    [
      'of Node that kills itself likewise',
      [process.execPath, '-e', kills],
      { kind: 'signal', signal: 'SIGABRT', exitCode: null },
    ],
    ['of npm test', ['npm', 'test'], { kind: 'signal', signal: 'SIGABRT', exitCode: 134 }],
  ] as const) {
    test(`${name} explains how the run failed`, async () => {
      const { failures, runs } = await run({ command: [...command], cwd: dir, runs: 1 });
      const [failure] = failures;
      assert.deepEqual(failure?.outcome, outcome);
      assert.deepEqual(
        runs[0]?.childCrashes.map(({ signal }) => signal),
        ['SIGABRT'],
      );
      const { child } = failure?.evidence ?? {};
      assert.deepEqual({ ...child }, runs[0]?.childCrashes[0]);
      assert.match(child?.command ?? '', /(dies|forks)\.py/);
      assert.equal(failure?.evidence.crash?.main, true);
      if (!hasStacks) return;
      assert.match(failure?.evidence.stacks ?? '', /abort/);
      assert.equal(failure?.kind?.id, 'aborted');
    });
  }

  test('is seen although its killer continues it at once, as timeout does', async () => {
    const command = ['timeout', '-s', 'ABRT', '1.5', 'sleep', '30'];
    const { runs } = await run({ command, runs: 40, jobs: 4 });
    assert.deepEqual(
      runs.map(({ outcome, childCrashes }) => [outcome.kind, childCrashes.length]),
      Array(40).fill(['exit-code', 1]),
    );
  });

  test('is seen although a second signal ends it before it has stopped', async () => {
    const twice = join(dir, 'twice');
    const source = `#include <signal.h>
      #include <sys/wait.h>
      #include <unistd.h>
      int main(void) {
        pid_t child = fork();
        if (child == 0) for (;;) pause();
        usleep(10000);
        kill(child, SIGABRT);
        for (volatile int i = 0; i < getpid() % 100 * 2000; i++);
        kill(child, SIGABRT);
        kill(child, SIGCONT);
        waitpid(child, 0, 0);
        return 1;
      }`;
    execFileSync('gcc', ['-w', '-x', 'c', '-', '-o', twice], { input: source });
    const { runs } = await run({ command: [twice], runs: 150, stacks: false });
    assert.deepEqual([...new Set(runs.map(({ childCrashes }) => childCrashes[0]?.signal))], ['SIGABRT']);
  });

  const ownNumbers = ['unshare', '--user', '--map-root-user', '--pid', '--fork'];
  const noNamespaces = spawnSync(ownNumbers[0] ?? '', [...ownNumbers.slice(1), 'true']).status !== 0;
  test('in a PID namespace is found, though it has other numbers there', {
    skip: noNamespaces && 'no namespaces may be made here',
  }, async () => {
    const { failures } = await run({ command: [...ownNumbers, 'sh', '-c', `${inC}; exit $?`], runs: 1 });
    assert.match(failures[0]?.evidence.child?.command ?? '', /dies\.py/);
    if (hasStacks) assert.equal(failures[0]?.kind?.id, 'aborted');
  });

  test('is counted where /proc is of another PID namespace, or is missing', {
    skip: noNamespaces && 'no namespaces may be made here',
  }, async () => {
    const withoutProc = [
      'unshare',
      '--user',
      '--map-root-user',
      '--mount',
      'sh',
      '-c',
      'mount -t tmpfs none /proc && exec "$@"',
      'sh',
    ];
    for (const [wrapper, reason] of [
      [ownNumbers, /another PID namespace: mount one/],
      [withoutProc, /\/proc is not mounted/],
    ] as const) {
      const options = { cwd: dir, wrapper };
      const { code, output } = await runCli(
        ['run', '-n', '2', '--timeout', '5s', '--', 'sh', '-c', 'kill -SEGV $$'],
        options,
      );
      assert.equal(code, 1, output);
      assert.match(output, /2 of 2 SIGSEGV/);
      assert.match((await runCli(['doctor'], options)).output, reason);
    }
  });

  test('as process 1 of a PID namespace is seen, too, and dies as it would alone', {
    skip: noNamespaces && 'no namespaces may be made here',
  }, async () => {
    const source = 'int main(void) { *(volatile int *)0 = 1; }';
    const faults = join(dir, 'faults');
    execFileSync('gcc', ['-w', '-x', 'c', '-', '-o', faults], { input: source });
    for (const [command, kind] of [
      [[faults], 'native-crash'],
      // Its signal is ignored, and abort() ends it by an illegal instruction.
      [[python, dies], 'aborted'],
    ] as const) {
      const { failures, runs } = await run({ command: [...ownNumbers, ...command], runs: 2 });
      const { status, signal } = spawnSync(ownNumbers[0] ?? '', [...ownNumbers.slice(1), ...command]);
      const [failure] = failures;
      assert.equal(failure?.outcome.kind, 'signal');
      assert.deepEqual([failure.outcome.exitCode, failure.outcome.signal], [status, signal]);
      assert.equal(runs[1]?.childCrashes.length, 1);
      assert.equal(failure.evidence.child?.command, command.join(' '));
      if (hasStacks) assert.equal(failure.kind?.id, kind);
    }
  });

  test('of a program that ends well is a note', async () => {
    const { code, output } = await runCli(['run', '-n', '2', '--', 'sh', '-c', `${inC}; exit 0`], {
      cwd: dir,
    });
    assert.equal(code, 0);
    assert.match(output, /a child process died from a signal in 2 of 2 runs: .*dies\.py \(SIGABRT\)/);
  });

  // Runs differ only by their number; `died` is a death that the program expects.
  const died = `${inC}; echo after`;
  for (const [name, script, blamed] of [
    ['as often in runs that end well', `${died}; exit $((QUIESCE_RUN % 3 == 0))`, false],
    [
      'once more than in runs that end well',
      `${died}; [ $((QUIESCE_RUN % 3)) != 0 ] || { ${died}; exit 1; }`,
      true,
    ],
    ['in runs that fail only', `[ $((QUIESCE_RUN % 3)) != 0 ] || { ${died}; exit 1; }`, true],
    ['and whose signal is passed on', `${inC}; code=$?; exit $((QUIESCE_RUN % 3 ? 0 : code))`, true],
  ] as const) {
    test(`${name} is ${blamed ? '' : 'not '}why a run failed`, async () => {
      const result = await run({ command: ['sh', '-c', script], cwd: dir, runs: 4 });
      const [failure] = result.failures;
      assert.deepEqual(failure?.runs, [3]);
      const { child, stacks } = failure.evidence;
      assert.equal(child?.signal, blamed ? 'SIGABRT' : undefined);
      assert.equal(failure.diedIn !== null, blamed);
      if (!blamed) assert.equal(failure.kind, null);
      // The stacks of the first two deaths were taken, in whichever runs they were.
      if (hasStacks) assert.equal(stacks !== null && /abort/.test(stacks), blamed);
    });
  }

  test('again and again in one run is shown with the stacks that were taken', async () => {
    const command = ['sh', '-c', `${`${inC}; `.repeat(4)}exit 1`];
    const { failures } = await run({ command, runs: 2, timeout: '60s' });
    assert.equal(failures[0]?.evidence.child?.signal, 'SIGABRT');
    if (hasStacks) assert.match(failures[0]?.evidence.stacks ?? '', /abort/);
    assert.equal(failures[0]?.kind?.id, hasStacks ? 'aborted' : undefined);
  });

  test('one after another takes none of the time of the run, however long the debugger needs', {
    skip: !hasStacks && 'gdb is missing',
  }, async () => {
    const bin = join(dir, 'slow-debugger');
    mkdirSync(bin);
    const path = process.env.PATH ?? '';
    const slow = `#!/bin/sh\n[ "$1" = --version ] || sleep 3\nPATH=$REAL_PATH exec gdb "$@"\n`;
    writeFileSync(join(bin, 'gdb'), slow, { mode: 0o755 });
    const program = `for signal in ABRT SEGV BUS; do sh -c "kill -$signal \\$\\$"; done; exit 1`;
    const command = ['run', '-n', '1', '--timeout', '4s', '--', 'sh', '-c', program];
    const env = { PATH: `${bin}:${path}`, REAL_PATH: path };
    const { output } = await runCli(command, { cwd: dir, env });
    assert.match(output, /1 of 1 .*exit code 1/, output);
  });

  test('is not confused with that of the main process', async () => {
    const command = ['sh', '-c', `${inC}; kill -SEGV $$`];
    const { failures } = await run({ command, runs: 1 });
    assert.equal(failures[0]?.outcome.kind, 'signal');
    assert.equal(failures[0]?.evidence.child, null);
  });

  test('in the JSON report is read back as it was', async () => {
    const file = join(dir, 'report.json');
    const command = ['sh', '-c', `${inC}; exit 1`];
    await runCli(['run', '-n', '1', '--json', file, '--', ...command], { cwd: dir });
    const merged = join(dir, 'merged.json');
    const { output } = await runCli(['merge', file, '--json', merged], { cwd: dir });
    assert.match(
      output,
      /a child process died from SIGABRT in thread "\w+", which may be why: .*dies\.py\n {2}if so, likely: /,
    );
  });

  test('is not why a thread of the main process is left', async () => {
    const source = `import os, threading
if os.fork() == 0: os.abort()
os.wait()
threading.Thread(target=threading.Event().wait, daemon=True).start()`;
    const { failures } = await run({ command: [python, '-c', source], runs: 1, strict: true });
    const [failure] = failures;
    assert.deepEqual(
      [failure?.outcome.kind, failure?.kind?.id, failure?.evidence.child, failure?.evidence.stacks],
      ['threads-left', 'thread-left-at-exit', null, null],
    );
  });

  // The witness stops a process that dies, so that it can be examined. A sleep of the main thread is over when the
  // process continues, and the tester must not turn a crash into an exit code.
  for (const [how, end] of [
    ['_exit', '_exit(0);'],
    ['the end of exit', ''],
    // The witness can't see this one. The tester only has to be quick enough once the process has stopped, which a busy machine
    // may delay.
    ['a system call of its own', 'usleep(100000); syscall(SYS_exit_group, 0);'],
  ] as const) {
    test(`in the background dies though the main thread is about to leave by ${how}`, {
      skip: spawnSync('gcc', ['--version']).status !== 0 && 'gcc is missing',
    }, async () => {
      const program = join(dir, `leaves${end.length}`);
      const source = `
        #include <pthread.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        static volatile int thread;
        static int *volatile nowhere;
        static void *background(void *a) { thread = syscall(SYS_gettid); *nowhere = 1; return a; }
        // In a signal's handler the signal is blocked.
        static int dies(void) {
          char path[64], line[256];
          unsigned long long blocked = 0;
          sprintf(path, "/proc/self/task/%d/status", thread);
          FILE *file = fopen(path, "r");
          while (file && fgets(line, sizeof line, file)) sscanf(line, "SigBlk: %llx", &blocked);
          if (file) fclose(file);
          return blocked >> (11 - 1) & 1;
        }
        static void leave(void) {
          pthread_t t;
          pthread_create(&t, 0, background, 0);
          while (!thread || !dies());
          usleep(100);
          ${end}
        }
        int main(void) { atexit(leave); return 0; }`;
      const flags = ['-w', '-pthread', '-x', 'c', '-', '-o', program];
      assert.equal(spawnSync('gcc', flags, { input: source }).status, 0);
      const starts = `import subprocess; print([subprocess.run([${JSON.stringify(program)}]).returncode for _ in range(20)])`;
      // All end as expected, so only the output of the first failure is kept.
      const command = [python, '-c', `${starts}; raise SystemExit(7)`];
      const { failures, runs } = await run({ command, runs: 1 });
      assert.equal(runs[0]?.childCrashes.length, 20);
      assert.equal(failures[0]?.evidence.stdout.trim(), `[${Array(20).fill(-11).join(', ')}]`);
      // Stacks are taken only for the first of many similar deaths, and these explain the run.
      if (hasStacks) assert.equal(failures[0]?.kind?.id, 'thread-outlives-exit');
    });
  }

  test('may have a parent without the witness that stops itself where its child does', async () => {
    const waits = `import os, signal, sys
pid = os.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status): sys.exit(128 + os.WTERMSIG(status))
    os.kill(os.getpid(), signal.SIGSTOP)
    os.kill(pid, signal.SIGCONT)`;
    const source = 'L=$LD_PRELOAD; unset LD_PRELOAD; exec "$0" -c "$1" /usr/bin/env LD_PRELOAD=$L "$0" "$2"';
    const command = ['sh', '-c', source, python, waits, dies];
    const { runs } = await run({ command, runs: 3, timeout: '20s' });
    for (const { outcome } of runs)
      assert.deepEqual(outcome, { kind: 'signal', signal: 'SIGABRT', exitCode: 134 });
  });

  for (const [how, command] of [
    ['job control of a shell', ['bash', '-c', `set -m; ${inC} &\nwait $!; exit $(($? != 134))`]],
    ...[
      'os.waitpid(pid, os.WUNTRACED | os.WCONTINUED)[1]',
      'os.wait3(os.WUNTRACED)[1]',
      'os.wait4(pid, os.WUNTRACED)[1]',
      'os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED).si_status',
      'os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT).si_status',
      'next(filter(None, (os.waitpid(pid, os.WUNTRACED | os.WNOHANG)[1] for _ in iter(int, 1))))',
    ].map((wait): [string, string[]] => {
      const source = `import os, sys\npid = os.fork()\nif pid == 0: os.abort()\nsys.exit(${wait} != 6)`;
      return [wait, [python, '-c', source]];
    }),
  ] as [string, string[]][]) {
    test(`is not seen to be stopped by ${how}`, async () => {
      const { runs } = await run({ command, cwd: dir, runs: 3 });
      assert.deepEqual(
        runs.map(({ outcome, childCrashes }) => [outcome.kind, childCrashes.length]),
        Array(3).fill(['clean', 1]),
      );
    });
  }

  test('is seen to be stopped where it stops itself', async () => {
    const source = `import os, signal, sys
pid = os.fork()
if pid == 0: os.kill(os.getpid(), signal.SIGSTOP); os._exit(7)
stopped = os.waitpid(pid, os.WUNTRACED)[1]
os.kill(pid, signal.SIGCONT)
continued = os.waitpid(pid, os.WCONTINUED)[1]
assert os.WIFSTOPPED(stopped) and os.WIFCONTINUED(continued), (stopped, continued)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 7)`;
    const { runs } = await run({ command: [python, '-c', source], cwd: dir, runs: 1 });
    assert.equal(runs[0]?.outcome.kind, 'clean');
  });

  test('is shown with the hang of whoever waits for it', {
    skip: !hasStacks && 'gdb is missing',
  }, async () => {
    const waits = `import subprocess, sys, time\nsubprocess.run(${JSON.stringify([python, dies])})\ntime.sleep(60)`;
    const { failures } = await run({ command: [python, '-c', waits], runs: 1, timeout: '6s' });
    assert.equal(failures[0]?.outcome.kind, 'hang');
    assert.match(
      failures[0]?.evidence.stacks ?? '',
      /nanosleep[\s\S]*\n\ndied from SIGABRT before: process \d+: [\s\S]*abort/,
    );
  });

  test('may be started with the descriptor closed, and its number taken', async () => {
    const { runs } = await run({ command: ['sh', '-c', `exec 3</dev/null; ${inC}; exit 1`], runs: 1 });
    assert.equal(runs[0]?.childCrashes.length, 1);
  });
});
