// What a hang shows of its threads: real programs that never end, seen by gdb and by what their languages have.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { run } from '../src/index.js';
import { waitedForCpuMs } from '../src/process/processes.js';
import { within } from '../src/process/timer.js';
import {
  compiled,
  gccless,
  node,
  pythonless,
  unseen,
  untraced,
  withoutDebugger,
} from './support/diagnosis.js';

const taskless = spawnSync('taskset', ['-c', '0', 'true']).status !== 0 && 'taskset is missing';

describe('a hang', () => {
  test('that dies by itself while it is looked at is a death, like one before the timeout', {
    skip: untraced,
  }, async () => {
    // The look takes longer than that.
    const program = 'import os, time; time.sleep(2.1); os.abort()';
    const { failures } = await run({ command: ['python3', '-c', program], runs: 1, timeout: '2s' });
    const [{ outcome, kind, evidence } = {}] = failures;
    assert.deepEqual(outcome, { kind: 'signal', signal: 'SIGABRT', exitCode: null });
    assert.equal(kind?.id, 'aborted', evidence?.stacks ?? '');
  });

  const hangs: readonly (readonly [id: string, what: string, program: string])[] = [
    [
      'blocked',
      'accept',
      "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); s.accept()",
    ],
    ['blocked', 'sleep', 'import time; time.sleep(60)'],
    ['blocked', 'read', 'import os; os.read(os.pipe()[0], 1)'],
    ['blocked', 'wait', "import subprocess; subprocess.run(['sleep', '60'])"],
    ['busy', 'a loop', 'while True: pass'],
    ['busy', 'output without an end', "import os\nwhile True: os.write(1, b'y' * 10_000)"],
    ['blocked', 'an exit handler that sleeps', 'import atexit, time; atexit.register(time.sleep, 60)'],
    [
      'join-at-exit',
      'a thread',
      'import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()',
    ],
  ];
  for (const [id, what, program] of hangs) {
    test(`names what keeps it: ${what}`, { skip: untraced || pythonless }, async () => {
      const result = await run({ command: ['python3', '-c', program], runs: 1, timeout: '3s' });
      const [group] = result.failures;
      assert.equal(group?.outcome.kind, 'hang');
      assert.equal(group?.kind?.id, id, group?.evidence.stacks ?? 'no stacks');
      if (id === 'busy') assert.match(group?.kind?.detail ?? '', /burns CPU in \w/);
      // From py-spy if it is installed, otherwise from Python itself.
      if (what === 'accept') {
        assert.match(group?.kind?.detail ?? '', /^at accept \(\S+\/socket\.py:\d+\), called in <module> /);
      }
    });
  }

  test('at a join of one of several threads names it, and who joins', {
    skip: untraced || gccless,
  }, async () => {
    const waits = `
      #include <pthread.h>
      #include <stdlib.h>
      #include <unistd.h>
      static pthread_t threads[3];
      static void *serve(void *a) { pause(); return a; }
      static void *middle(void *a) { pthread_join(threads[2], 0); return a; }
      void end_pool(void) { pthread_join(threads[1], 0); }
      int main(void) {
        pthread_create(&threads[0], 0, serve, 0);
        pthread_create(&threads[2], 0, serve, 0);
        pthread_create(&threads[1], 0, middle, 0);
        atexit(end_pool);
        return 0;
      }`;
    const { failures } = await run({ command: [compiled('pool', waits)], runs: 1, timeout: '1s' });
    const { kind, evidence } = failures[0] ?? {};
    assert.equal(kind?.id, 'join-at-exit', evidence?.stacks ?? 'no stacks');
    const last = evidence?.threads.find(({ main, joins }) => !main && joins !== undefined)?.joins;
    assert.equal(kind?.detail, `in end_pool [pool], waits for thread ${last} "pool" in pool`);
  });

  test('in a join outside the exit names both, too', { skip: untraced || gccless }, async () => {
    const waits = `
      #include <pthread.h>
      #include <unistd.h>
      static void *consume(void *a) { pause(); return a; }
      void finish(pthread_t t) { pthread_join(t, 0); }
      int main(void) { pthread_t t; pthread_create(&t, 0, consume, 0); finish(t); return 0; }`;
    const { failures } = await run({ command: [compiled('joins', waits)], runs: 1, timeout: '1s' });
    assert.equal(failures[0]?.kind?.id, 'blocked');
    assert.match(
      failures[0]?.kind?.detail ?? '',
      /^in finish \[joins\], waits for thread \d+ "joins" in joins$/,
    );
  });

  test('in a blocking open is blocked', { skip: untraced || gccless }, async () => {
    const source = `
      #include <fcntl.h>
      #include <stdlib.h>
      #include <sys/stat.h>
      static char path[4096];
      static void fifo(void) { open(path, O_RDONLY); }
      int main(void) {
        snprintf(path, sizeof path, "%s/fifo", getenv("TMPDIR"));
        mkfifo(path, 0600);
        atexit(fifo);
        return 0;
      }`;
    const { failures } = await run({ command: [compiled('opens', source)], runs: 1, timeout: '1s' });
    assert.equal(failures[0]?.kind?.id, 'blocked', failures[0]?.evidence.stacks ?? '');
    assert.match(failures[0].kind.detail ?? '', /^as it exits, .*in fifo \[opens\]$/);
  });

  test('of an exit in another thread is of that thread', { skip: untraced || gccless }, async () => {
    const exits = (waits: string): string => `
      #define _GNU_SOURCE
      #include <pthread.h>
      #include <stdlib.h>
      #include <unistd.h>
      static pthread_t pool;
      static void *work(void *a) { pause(); return a; }
      static void finish(void) { ${waits} }
      static void *control(void *a) { pthread_setname_np(pthread_self(), "control"); exit(0); }
      int main(void) {
        pthread_create(&pool, 0, work, 0);
        atexit(finish);
        pthread_t t;
        pthread_create(&t, 0, control, 0);
        for (;;) pause();
      }`;
    for (const [name, waits, kind, detail] of [
      [
        'joins',
        'pthread_join(pool, 0);',
        'join-at-exit',
        /^thread "control" exits, in finish \[joins\], waits for thread \d+ "joins" in joins$/,
      ],
      ['sleeps', 'sleep(60);', 'blocked', /^thread "control" exits, in a sleep, in finish \[sleeps\]$/],
    ] as const) {
      const { failures } = await run({ command: [compiled(name, exits(waits))], runs: 1, timeout: '1s' });
      assert.equal(failures[0]?.kind?.id, kind);
      assert.match(failures[0]?.kind?.detail ?? '', detail);
    }
  });

  test('of an exit in a signal handler, and its crash, are of what the handler interrupted', {
    skip: untraced || gccless,
  }, async () => {
    const exits = (rest: string): string => `
      #include <pthread.h>
      #include <signal.h>
      #include <stdlib.h>
      #include <sys/time.h>
      #include <unistd.h>
      static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
      static void handle(int signal) { exit(0); }
      ${rest}`;
    const hangs = exits(`
      static void leave(void) { pthread_mutex_lock(&lock); }
      void update(void) { pthread_mutex_lock(&lock); raise(SIGTERM); }
      int main(void) { atexit(leave); signal(SIGTERM, handle); update(); }`);
    const dies = exits(`
      static void leave(void) { abort(); }
      void update(void) { for (;;); }
      int main(void) {
        struct itimerval soon = { { 0, 0 }, { 0, 20000 } };
        atexit(leave); signal(SIGALRM, handle); setitimer(ITIMER_REAL, &soon, 0); update();
      }`);
    const sleeps = exits(`
      static void leave(void) { pthread_mutex_lock(&lock); }
      void update(void) { pthread_mutex_lock(&lock); usleep(10000000); pthread_mutex_unlock(&lock); }
      int main(void) { atexit(leave); signal(SIGALRM, handle); ualarm(20000, 0); update(); }`);
    for (const [name, source] of [
      ['hangs', hangs],
      ['dies', dies],
      ['sleeps', sleeps],
    ] as const) {
      const { failures } = await run({ command: [compiled(name, source)], runs: 1, timeout: '1s' });
      const { kind, evidence } = failures[0] ?? {};
      assert.equal(kind?.id, 'exit-in-signal-handler', `${name}: ${evidence?.stacks}`);
      assert.equal(kind?.detail, 'it had interrupted update');
    }
    // Code that waits can be interrupted anywhere.
    const waits = exits(`
      static void leave(void) { abort(); }
      int main(void) { atexit(leave); signal(SIGALRM, handle); alarm(1); pause(); }`);
    const { failures } = await run({ command: [compiled('waits', waits)], runs: 1 });
    assert.equal(failures[0]?.kind?.id, 'crash-in-destructor', failures[0]?.evidence.stacks ?? 'no stacks');
  });

  test('whose main thread has ended is of the thread that goes on', {
    skip: untraced || pythonless,
  }, async () => {
    const program =
      'import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); ctypes.CDLL(None).pthread_exit(0)';
    for (const group of [
      (await run({ command: ['python3', '-c', program], runs: 1, timeout: '1s' })).failures[0],
      withoutDebugger(['python3', '-c', program]),
    ]) {
      assert.equal(group?.kind?.id, 'join-at-exit', group?.evidence.stacks ?? 'no stacks');
      assert.match(group?.kind?.detail ?? '', /^the main thread has ended, thread "python\S*" continues$/);
      assert.equal(group?.evidence.threads.find(({ main }) => main)?.halted, 'ended');
    }
  });

  test('of what a signal stopped says so, also where a child was', { skip: untraced }, async () => {
    for (const [command, kind] of [
      [['sh', '-c', 'kill -STOP $$; :'], 'stopped: as it sent a signal itself'],
      [node("process.kill(process.pid, 'SIGSTOP')"), 'stopped: as it sent a signal itself'],
      [['sh', '-c', 'sleep 60 & sleep 0.3; kill -STOP $!; wait'], 'stopped: null'],
    ] as const) {
      const { failures } = await run({ command: [...command], runs: 1, timeout: '1s' });
      const [{ kind: seen, evidence } = {}] = failures;
      assert.equal(`${seen?.id}: ${seen?.detail}`, kind, evidence?.stacks ?? 'none');
    }
    const unseenOne = withoutDebugger(['sh', '-c', 'kill -STOP $$; :']);
    assert.equal(unseenOne.kind?.id, 'stopped', unseenOne.evidence.stacks ?? 'none');
  });

  test('of a program that is only slow says so', { skip: unseen }, async () => {
    const program = 'case $QUIESCE_RUN in 1|2) sleep 1.8 ;; *) sleep 60 ;; esac';
    const { failures } = await run({ command: ['sh', '-c', program], runs: 3, timeout: '3s' });
    assert.equal(failures[0]?.kind?.id, 'slow');
    assert.match(failures[0]?.kind?.detail ?? '', /^slowest clean run (?:1\.[89]|2\.\d) s; raise --timeout/);
  });

  test('is over though a Node never answers, and the garbage collector runs', async () => {
    // In Node 20 a timeout that is only part of AbortSignal.any is forgotten then.
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const aborted = within(300, undefined, async (limit) => {
      for (let i = 0; i < 200 && !limit.aborted; i++) {
        collect();
        await delay(10);
      }
      return limit.aborted;
    });
    assert.equal(await aborted, true);
  });

  test('is not taken for over while others have the CPUs', async () => {
    const lasted = async (kept: () => number): Promise<number> => {
      const start = performance.now();
      await within(50, undefined, (limit) => once(limit, 'abort'), kept);
      return performance.now() - start;
    };
    const start = performance.now();
    const most = 400;
    assert.ok((await lasted(() => Math.min(performance.now() - start, most))) >= 50 + most - 1);
    assert.ok((await lasted(() => performance.now() * 2)) >= 499, 'but not for ever');
  });

  test('of a process tells how long that has waited for a CPU', { skip: unseen || taskless }, async () => {
    const spin = ['-c', '0', 'sh', '-c', 'while :; do :; done'];
    const busy = [1, 2, 3].map(() => spawn('taskset', spin));
    try {
      const waits = (): boolean => busy.every(({ pid = 0 }) => waitedForCpuMs(pid) > 50);
      for (let i = 0; !waits() && i < 3_000; i++) await delay(10);
      assert.ok(waits());
    } finally {
      for (const one of busy) one.kill('SIGKILL');
    }
  });

  test('where no debugger may attach has what Node and the kernel say, and the reason', {
    skip: untraced || pythonless,
  }, async () => {
    const loop = withoutDebugger(node('setInterval(() => {}, 1e3)'));
    assert.equal(loop.kind?.id, 'event-loop-alive', loop.evidence.stacks ?? '');
    assert.equal(loop.kind?.detail, 'kept alive by timer');
    assert.match(
      loop.evidence.stacks ?? '',
      /\(no stacks: gdb may not attach.*\(ptrace: Operation not permitted\)\)/,
    );
    assert.match(loop.evidence.stacks ?? '', /thread \d+ "node": S \(sleeping\)/);
    const sleeping = withoutDebugger(['sleep', '60']);
    assert.deepEqual(
      [sleeping.kind?.id, sleeping.kind?.or, sleeping.kind?.detail],
      ['blocked', null, 'in a sleep'],
    );
    const busy = withoutDebugger(['sh', '-c', 'while :; do :; done']);
    assert.equal(busy.kind?.id, 'busy', busy.evidence.stacks ?? '');
    const writing = withoutDebugger(['yes']);
    assert.equal(writing.kind?.id, 'busy', writing.evidence.stacks ?? '');
  });

  test('of a process that another one traces, as strace does, names that one', {
    skip: untraced || pythonless,
  }, async () => {
    const tracer = `import ctypes, os, time
pid = os.fork()
if pid == 0: os.execvp("sleep", ["sleep", "60"])
assert ctypes.CDLL(None).ptrace(0x4206, pid, None, None) == 0  # PTRACE_SEIZE
os.waitpid(pid, 0)`;
    const { failures } = await run({ command: ['python3', '-c', tracer], runs: 1, timeout: '2s' });
    const { stacks = '', child } = failures[0]?.evidence ?? {};
    assert.equal(child?.command, 'sleep 60', stacks ?? '');
    assert.match(
      stacks ?? '',
      /\(no stacks: gdb may not attach: python3 \(process \d+\) traces it already; run the program without python3 /,
    );

    const alone = 'import ctypes, signal; ctypes.CDLL(None).ptrace(0, 0, 0, 0); signal.raise_signal(5)';
    const { failures: asked } = await run({ command: ['python3', '-c', alone], runs: 1, timeout: '1s' });
    assert.match(
      asked[0]?.evidence.stacks ?? '',
      /the program asked its parent to trace it \(PTRACE_TRACEME\)/,
    );
  });
});
