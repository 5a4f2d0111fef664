// The exit amplifier only delays: programs behave the same under it, and a race at exit is hit.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { AMPLIFIER_FILE, unavailablePerturbations } from '../src/perturb/perturb.js';
import { findExecutable } from '../src/process/executable.js';
import { type RunOptions, run } from '../src/session/session.js';
import { realPython } from './support/python.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const missing = unavailablePerturbations().find(({ name }) => name === 'amplify')?.reason;
const noCompiler = findExecutable('c++', '/').path === undefined ? 'c++ is missing' : undefined;
const skip = missing ?? false;
const skipCompiled = missing ?? noCompiler ?? false;

const dir = temporaryDirectory('exit-amplifier');

function compiled(name: string, source: string, ...flags: string[]): string {
  const [file, program] = [join(dir, `${name}.cc`), join(dir, name)];
  writeFileSync(file, source);
  execFileSync('c++', ['-std=c++17', '-O1', '-w', ...flags, '-o', program, file, '-pthread'], {
    timeout: 240_000,
  });
  return program;
}

const amplified = (command: string[], options: Partial<RunOptions> = {}) =>
  run({ command, runs: 10, jobs: 2, seed: 1, perturb: 'amplify', ...options });

// What could go wrong for a program behind a preload library: errno, cancellation, pthread_exit through it, handlers'
// order, thread-local destructors, fork, vfork, signals in the middle of a delay.
const busyWithLibc = `
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>
static void say(const char* text) { if (write(1, text, strlen(text)) < 0) abort(); }
struct Local { ~Local() { say("l"); } };
struct Global { ~Global() { say("global\\n"); } } global;
static void* until_cancelled(void*) { for (;;) { if (write(99, "x", 1) > 0) abort(); usleep(100); pthread_testcancel(); } }
static void* exits(void*) { thread_local Local local; (void)&local; pthread_exit((void*)5); }
static int status_of(pid_t pid) { int status; waitpid(pid, &status, 0); return WEXITSTATUS(status); }
int main() {
  atexit([] { say("handler 1\\n"); });
  atexit([] { say("handler 2\\n"); });
  signal(SIGALRM, [](int) {});
  ualarm(1000, 1000);
  errno = 77;
  say("start\\n");
  if (errno != 77) say("errno changed\\n");
  errno = 0;
  if (write(99, "x", 1) >= 0 || errno != EBADF) say("errno lost\\n");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) threads.emplace_back([] { thread_local Local local; (void)&local; usleep(500); });
  for (auto& thread : threads) thread.join();
  say("\\n");
  pthread_t thread;
  void* result;
  pthread_create(&thread, nullptr, until_cancelled, nullptr);
  usleep(2000);
  pthread_cancel(thread);
  pthread_join(thread, &result);
  if (result != PTHREAD_CANCELED) say("not cancelled\\n");
  pthread_create(&thread, nullptr, exits, nullptr);
  pthread_join(thread, &result);
  if (result != (void*)5) say("wrong result\\n");
  say("\\n");
  pid_t child = fork();
  if (child == 0) { say("child\\n"); _exit(7); }
  if (status_of(child) != 7) say("fork\\n");
  child = vfork();
  if (child == 0) _exit(8);
  if (status_of(child) != 8) say("vfork\\n");
  exit(3);
}`;

describe('a program under the amplifier', () => {
  test('prints and returns what it does without', { skip: skipCompiled }, async () => {
    const program = compiled('busy', busyWithLibc);
    const options = { expect: { exitCode: 4 }, runs: 5 }; // so that the output of its exit code 3 is kept
    const [plain, delayed] = [
      await amplified([program], { ...options, perturb: 'none' }),
      await amplified([program], options),
    ];
    for (const { failures } of [plain, delayed]) {
      assert.equal(failures.length, 1);
      assert.deepEqual(failures[0]?.outcome, { kind: 'exit-code', code: 3 });
      assert.equal(failures[0]?.evidence.stderr, '');
      assert.equal(failures[0]?.evidence.stdout, 'start\nllll\nl\nchild\nhandler 2\nhandler 1\nglobal\n');
    }
    for (const { amplifier } of delayed.runs) {
      // The program and its forked child; the vforked one shares its memory and must not count.
      assert.equal(amplifier?.processes, 2);
      assert.ok((amplifier?.lingers ?? 0) > 3, JSON.stringify(amplifier));
    }
  });

  test('is delayed no longer than its budgets', { skip: skipCompiled }, async () => {
    // A thread that wakes others endlessly, beside a main thread that is always busy.
    const program = compiled(
      'chatty',
      `#include <atomic>
      #include <chrono>
      #include <thread>
      #include <unistd.h>
      int main() {
        int ends[2];
        char byte = 0;
        if (pipe(ends)) return 1;
        std::atomic<int> sent{0};
        std::thread([&] { for (;;) if (write(ends[1], &byte, 1) == 1) sent++; }).detach();
        auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(3000);
        while (std::chrono::steady_clock::now() < end) { if (sent > 100) if (read(ends[0], &byte, 1) < 0) return 2; }
        return 0;
      }`,
    );
    const { runs, failed } = await amplified([program], { runs: 2 });
    assert.equal(failed, 0);
    for (const { amplifier } of runs) {
      assert.ok((amplifier?.holds ?? 0) > 5, JSON.stringify(amplifier));
      // 2,000 ms of holds and the last one's 150 ms; 200 ms of delays at exit. A busy machine adds to each.
      assert.ok((amplifier?.heldMs ?? 0) < 4_000, JSON.stringify(amplifier));
      assert.ok((amplifier?.lingeredMs ?? 0) < 1_500, JSON.stringify(amplifier));
    }
  });

  test('may be built with AddressSanitizer', { skip: skipCompiled }, async () => {
    const source =
      'int main(int n, char**) { int* p = new int[n]; int v = p[n - 1] = 0; delete[] p; return v; }';
    let program: string;
    try {
      program = compiled('sanitized', source, '-fsanitize=address');
    } catch {
      return; // this compiler has no AddressSanitizer
    }
    const { failures, runs } = await amplified([program], { runs: 2 });
    assert.deepEqual(failures, []);
    assert.equal(runs[0]?.amplifier?.processes, 1);
  });

  test('keeps its own preload libraries', { skip }, async () => {
    const command = [process.execPath, '-p', 'process.env.LD_PRELOAD'];
    const env = { LD_PRELOAD: AMPLIFIER_FILE };
    const { failures } = await amplified(command, { env, runs: 1, expect: { exitCode: 1 } });
    const preloaded = failures[0]?.evidence.stdout.trim().split(':');
    // Other libraries of the tester may be between them.
    assert.deepEqual([preloaded?.at(0), preloaded?.at(-1)], [AMPLIFIER_FILE, AMPLIFIER_FILE]);
    assert.ok((preloaded?.length ?? 0) >= 2);
  });

  test('passes it on to its children, or not', { skip }, async () => {
    const command = ['/bin/sh', '-c', '/bin/true; /bin/true; exit 0'];
    assert.equal((await amplified(command, { runs: 1 })).runs[0]?.amplifier?.processes, 3);
    const env = { QUIESCE_AMPLIFY_CHILDREN: '0' };
    assert.equal((await amplified(command, { runs: 1, env })).runs[0]?.amplifier?.processes, 1);
  });
});

const plainPrograms: [string, string[]][] = [
  ['node', [process.execPath, '-e', '0']],
  [
    'node with workers',
    [process.execPath, '-e', 'new (require("worker_threads").Worker)("0", { eval: true })'],
  ],
  ['python', [realPython(), '-c', 'pass']],
  ['/bin/true', ['/bin/true']],
];
for (const [name, command] of plainPrograms) {
  const absent = findExecutable(command[0] as string, '/').path === undefined ? `${name} is missing` : false;
  test(`${name} has no race at exit, and is amplified without a failure`, {
    skip: skip || absent,
  }, async () => {
    const { failed, runs } = await amplified(command, { expect: { stderr: 'empty' } });
    assert.equal(failed, 0);
    assert.ok(runs.every(({ amplifier }) => (amplifier?.processes ?? 0) > 0));
  });
}

test('a race that is hardly ever hit is hit in nearly every run', { skip: skipCompiled }, async () => {
  // Every 5 ms the thread writes to what an exit handler has freed.
  const program = compiled(
    'race',
    `#include <cstdlib>
    #include <thread>
    #include <unistd.h>
    #include <sys/mman.h>
    static volatile char* table;
    int main() {
      table = (char*)mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      atexit([] { munmap((void*)table, 4096); });
      std::thread([] { for (;;) { usleep(5000); *table = 1; } }).detach();
      usleep(12000);
    }`,
  );
  const { failed, failures, runs } = await amplified([program], { runs: 20, expect: 'any' });
  assert.ok(failed >= 18, `${failed} of ${runs.length} failed`);
  assert.deepEqual(failures[0]?.outcome, { kind: 'signal', signal: 'SIGSEGV', exitCode: null });
  const plain = await amplified([program], { runs: 20, expect: 'any', perturb: 'none' });
  assert.ok(plain.failed < failed, `${plain.failed} of 20 failed without it`);
});

test('a run says when the amplifier was not loaded', { skip: skipCompiled }, async () => {
  let program: string;
  try {
    program = compiled('static', 'int main() { return 0; }', '-static');
  } catch {
    return; // no static libc here
  }
  assert.ok(existsSync(program));
  const { runs, failed } = await amplified([program], { runs: 1 });
  assert.equal(failed, 0);
  assert.equal(runs[0]?.amplifier?.processes, 0);
});
