// What a crash, a hang and a clean exit show of their threads: real programs that end in these ways, seen by the
// witness and gdb.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type FailureGroup, type FailureKind, run, type ThreadStack, UsageError } from '../src/index.js';
import { findExecutable } from '../src/process/executable.js';
import { SPAWNER_FILE } from '../src/process/spawner.js';
import { within } from '../src/process/timer.js';
import { scenarioText } from '../src/report/terminal.js';
import { failureKind, failureKinds } from '../src/results/failure-kinds.js';
import { isAllowedThread } from '../src/run/allowed-threads.js';
import type { SignatureMatch } from '../src/run/signatures.js';
import {
  formatStacks,
  parseFrames,
  parseMappings,
  parseStacks,
  type StackFrame,
} from '../src/run/stack-trace.js';
import { parseWitnessLine, WITNESS_FILE } from '../src/run/witness.js';
import { hostOf, isHostThread } from '../src/timeline/hosts.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const node = (program: string): string[] => [process.execPath, '-e', program];
const has = (program: string): boolean => findExecutable(program, process.cwd()).path !== undefined;
const spawned = existsSync(SPAWNER_FILE);
const unseen = existsSync(WITNESS_FILE)
  ? false
  : 'no witness was built here (cargo is missing, or not Linux)';
const untraced = unseen || (has('gdb') ? false : 'gdb is missing');
const gccless = has('gcc') && has('g++') ? false : 'gcc is missing';
const pythonless = unseen || (has('python3') ? false : 'python3 is missing');

// As if Yama forbade it (kernel.yama.ptrace_scope 2 or 3): seccomp makes ptrace fail with EPERM in what is run this
// way.
const withoutPtrace = `
import ctypes, os, struct, sys
number = {"x86_64": 101, "aarch64": 117}[os.uname().machine]
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
filters = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filters, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])`;
/** What the tester reports about a program's first failure if no debugger may attach. */
function withoutDebugger(program: string[]): FailureGroup {
  const cli = fileURLToPath(new URL('../src/cli.js', import.meta.url));
  const words = ['run', '-n', '1', '--timeout', '1500ms', '--json', '-', '--', ...program];
  const { stdout } = spawnSync('python3', ['-c', withoutPtrace, process.execPath, cli, ...words], {
    ...{ encoding: 'utf8', timeout: 120_000 },
  });
  return JSON.parse(stdout).scenarios[0].failures[0];
}

/** A program in C. */
function compiled(name: string, source: string): string {
  const program = join(temporaryDirectory('diagnosis'), name);
  execFileSync('gcc', ['-w', '-g', '-pthread', '-x', 'c', '-', '-o', program], { input: source });
  return program;
}

describe('a crash', () => {
  test('is seen alive: its threads, the one that died first', { skip: untraced }, async () => {
    const result = await run({ command: node('process.abort()'), runs: 3 });
    const [group] = result.failures;
    assert.equal(result.failures.length, 1);
    assert.deepEqual(group?.outcome, { kind: 'signal', signal: 'SIGABRT', exitCode: null });
    assert.deepEqual(group?.runs, [1, 2, 3]);
    assert.equal(group?.diedIn, 'node');
    const [died, ...others] = group?.evidence.threads ?? [];
    assert.ok(died?.faulting && died.main, group?.evidence.stacks ?? 'no stacks');
    assert.ok(others.length > 0);
    const names = died.frames.map(({ name }) => name);
    assert.ok(names.includes('abort') || names.some((name) => name?.includes('Abort')), names.join('\n'));
    assert.ok(died.frames.some(({ library }) => library === 'node'));
    // The witness itself is in no stack.
    assert.doesNotMatch(group?.evidence.stacks ?? '', /exit.witness/);
  });

  test('ends by its own signal though the program had handlers', { skip: pythonless }, async () => {
    for (const flags of [[], ['-X', 'faulthandler']]) {
      const command = ['python3', ...flags, '-c', 'import ctypes; ctypes.string_at(0)'];
      const result = await run({ command, runs: 1 });
      assert.deepEqual(result.runs[0]?.outcome, { kind: 'signal', signal: 'SIGSEGV', exitCode: null });
    }
  });

  test('has the same kind where faulthandler reports it, as under pytest', {
    skip: untraced || pythonless || gccless,
  }, async () => {
    const library = join(temporaryDirectory('faulthandler'), 'libharm.so');
    const source = `
      #include <assert.h>
      #include <stdlib.h>
      #include <thread>
      #include <unistd.h>
      extern "C" void joinable() { std::thread thread([] { pause(); }); }
      extern "C" void twice() { void *volatile block = malloc(5000); free(block); free(block); }
      extern "C" void asserts() { assert(!"bad state"); }`;
    const flags = ['-w', '-g', '-shared', '-fPIC', '-pthread', '-x', 'c++', '-', '-o', library];
    execFileSync('g++', flags, { input: source });
    const call = (name: string): string => `import ctypes; ctypes.CDLL('${library}').${name}()`;
    for (const [id, program] of [
      ['joinable-thread-destroyed', call('joinable')],
      ['heap-corruption', call('twice')],
      ['aborted', call('asserts')],
      ['aborted', 'import os; os.abort()'],
    ] as const) {
      const { failures } = await run({ command: ['python3', '-X', 'faulthandler', '-c', program], runs: 1 });
      const [{ kind, evidence } = {}] = failures;
      assert.equal(kind?.id, id, `${program}: ${evidence?.stderr}\n${evidence?.stacks}`);
    }
  });

  test('after a handler that the kernel removes at its first call is seen, and the program notices nothing', {
    skip: untraced || gccless,
  }, async () => {
    const source = `
      #include <signal.h>
      #include <stdlib.h>
      #include <string.h>
      #include <unistd.h>
      static int again;
      static void handle(int s, siginfo_t *i, void *c) {
        struct sigaction now;
        sigaction(s, 0, &now);
        if (now.sa_handler != SIG_DFL || (s == SIGSEGV && i->si_addr != (void *)16)) _exit(9);
        if (again) raise(s);
      }
      static void simple(int s) { write(2, "x", s == SIGFPE); }
      static void crash(void) { *(volatile int *)16 = 1; }
      int main(int n, char **words) {
        struct sigaction a = { 0 }, seen;
        again = *words[1] == 'r';
        a.sa_sigaction = handle;
        a.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESETHAND;
        sigaction(SIGSEGV, &a, 0);
        sigaction(SIGSEGV, 0, &seen);
        if (seen.sa_sigaction != handle || (seen.sa_flags & ~0x04000000) != a.sa_flags) return 8;
        a.sa_handler = simple;
        a.sa_flags = SA_RESETHAND;
        sigaction(SIGFPE, &a, 0);
        raise(SIGFPE);
        sigaction(SIGFPE, &a, &seen);
        if (seen.sa_handler != SIG_DFL) return 7;
        sigaction(SIGFPE, 0, &seen);
        if (seen.sa_handler != simple || (seen.sa_flags & SA_SIGINFO)) return 6;
        atexit(crash);
        return 0;
      }`;
    const program = compiled('removed', source);
    for (const how of ['returns', 'raises']) {
      const { failures } = await run({ command: [program, how], runs: 1 });
      const [failure] = failures;
      assert.deepEqual(failure?.outcome, { kind: 'signal', signal: 'SIGSEGV', exitCode: null });
      assert.equal(failure.kind?.id, 'crash-in-destructor', failure.evidence.stacks ?? 'no stacks');
      assert.equal(failure.evidence.stderr, 'x');
    }
  });

  test('without stacks says why', { skip: pythonless }, async () => {
    const pipe = 'import signal, os; signal.signal(13, signal.SIG_DFL); os.kill(os.getpid(), 13)';
    const blocked = 'import signal, os, ctypes; signal.pthread_sigmask(0, [11]); ctypes.string_at(0)';
    for (const [source, options, why] of [
      [pipe, {}, /no stacks: the witness takes none for SIGPIPE$/m],
      [blocked, {}, /no stacks: the witness saw no crash: .*, the signal was blocked, or a handler/],
      ['import os; os.abort()', { witness: false }, /no stacks: --no-witness is set$/m],
    ] as const) {
      const result = await run({ command: ['python3', '-c', source], runs: 1, ...options });
      assert.match(scenarioText(result), why);
    }
  });

  test('that the program handles is none', { skip: pythonless }, async () => {
    const program =
      'import os,signal; signal.signal(signal.SIGABRT, lambda *_: os._exit(0)); os.kill(os.getpid(), signal.SIGABRT); signal.pause()';
    const result = await run({ command: ['python3', '-c', program], runs: 1 });
    assert.equal(result.runs[0]?.outcome.kind, 'clean');
  });

  test('in a background thread is reported by its name, also when the main thread exits meanwhile', {
    skip: pythonless,
  }, async () => {
    // gdb needs longer than that, so the main thread would end the process with code 0 if the crash didn't stop all of
    // it.
    const program = [
      'import ctypes, os, threading, time',
      'libc = ctypes.CDLL(None)',
      'def die():',
      '    libc.prctl(15, b"dying", 0, 0, 0)',
      '    libc.abort()',
      'threading.Thread(target=die, daemon=True).start()',
      'time.sleep(0.3)',
      'os._exit(0)',
    ].join('\n');
    const result = await run({ command: ['python3', '-c', program], runs: 2 });
    assert.deepEqual(
      result.runs.map(({ diedIn }) => diedIn),
      ['dying', 'dying'],
    );
    assert.equal(result.failures.length, 1);
  });

  test('of a child is not the end of the program, and is shown beside it', { skip: unseen }, async () => {
    const program =
      "const { signal } = require('child_process').spawnSync(process.execPath, ['-e', 'process.abort()'], { stdio: [0, 1, 2, 3] }); process.exit(signal === 'SIGABRT' ? 0 : 9)";
    const result = await run({ command: node(program), runs: 1 });
    // What the child printed counts; the way it ended doesn't.
    assert.notEqual(result.runs[0]?.outcome.kind, 'signal');
    assert.notEqual(result.runs[0]?.outcome.kind, 'exit-code');
    assert.deepEqual(
      result.runs[0]?.childCrashes.map(({ signal }) => signal),
      ['SIGABRT'],
    );
  });
});

describe('who died where', () => {
  const kindOf = async (command: string[], env = {}): Promise<string | undefined> => {
    const result = await run({ command, runs: 1, env });
    const { kind, evidence } = result.failures[0] ?? {};
    assert.notEqual(evidence, undefined, `${command.join(' ')} did not fail`);
    return kind?.or ? `${kind.id} or ${kind.or.id}` : kind?.id;
  };
  const libc = 'import ctypes; libc = ctypes.CDLL(None); api = ctypes.pythonapi.PyThreadState_Get';

  test('an exit handler of the main thread, though it is Python that complains', {
    skip: untraced || pythonless,
  }, async () => {
    const program = `${libc}; libc.__cxa_atexit(api, None, None); libc.exit(0)`;
    assert.equal(await kindOf(['python3', '-c', program]), 'crash-in-destructor');
  });

  test('a call without the GIL while Python runs is none after finalization', {
    skip: untraced || pythonless,
  }, async () => {
    const program = `${libc}; ctypes.CDLL(None).PyThreadState_Get()`;
    assert.equal(await kindOf(['python3', '-c', program]), 'python-without-gil');
    assert.equal(await kindOf(['python3', '-c', `${libc}; libc.PyList_New(3)`]), 'python-without-gil');
  });

  test('a thread with a destructor in a library that was unloaded', {
    skip: untraced || gccless,
  }, async () => {
    const dir = temporaryDirectory('unloaded');
    const library = join(dir, 'gone.so');
    const program = join(dir, 'program');
    const compile = (source: string, ...options: string[]): void => {
      writeFileSync(join(dir, 'a.c'), source);
      execFileSync('gcc', [join(dir, 'a.c'), ...options]);
    };
    compile(
      `#include <pthread.h>
      static void at_thread_end(void* value) { (void)value; }
      void use(void) { pthread_key_t key; pthread_key_create(&key, at_thread_end); pthread_setspecific(key, &use); }`,
      ...['-shared', '-fPIC', '-o', library],
    );
    compile(
      `#include <dlfcn.h>
      #include <pthread.h>
      static void* work(void* path) {
        void* library = dlopen(path, RTLD_NOW);
        ((void (*)(void))dlsym(library, "use"))();
        dlclose(library);
        return 0;
      }
      int main(int n, char** words) {
        (void)n;
        pthread_t thread;
        pthread_create(&thread, 0, work, words[1]);
        return pthread_join(thread, 0);
      }`,
      ...['-o', program, '-ldl', '-lpthread'],
    );
    const { failures } = await run({ command: [program, library], runs: 1 });
    assert.equal(failures[0]?.kind?.id, 'library-unloaded', failures[0]?.evidence.stacks ?? '');
    assert.equal(failures[0]?.kind?.detail, 'gone.so');
  });

  test('a thread in a library that an exit handler is unloading, while the amplifier delays the end of that', {
    skip: untraced || gccless,
  }, async () => {
    const dir = temporaryDirectory('closing');
    const [library, program] = [join(dir, 'closing.so'), join(dir, 'program')];
    const compile = (input: string, ...options: string[]): void => {
      execFileSync('gcc', ['-w', '-x', 'c', '-', '-pthread', ...options], { input });
    };
    compile(
      `#include <pthread.h>
      #include <unistd.h>
      static void *work(void *a) { for (;;) usleep(500); return a; }
      void start(void) { pthread_t thread; pthread_create(&thread, 0, work, 0); }`,
      ...['-shared', '-fPIC', '-o', library],
    );
    compile(
      `#include <dlfcn.h>
      #include <stdlib.h>
      #include <unistd.h>
      static void *library;
      static void closes(void) { dlclose(library); usleep(20000); }
      int main(int n, char **words) {
        library = dlopen(words[1], RTLD_NOW);
        ((void (*)(void))dlsym(library, "start"))();
        atexit(closes);
        usleep(10000);
        return 0;
      }`,
      ...['-o', program, '-ldl'],
    );
    const { failures } = await run({ command: [program, library], runs: 4, perturb: 'amplify' });
    assert.equal(failures.length, 1);
    const [{ kind, evidence } = {}] = failures;
    assert.deepEqual([kind?.id, kind?.detail], ['library-unloaded', 'closing.so'], evidence?.stacks ?? '');
  });

  test('a thread whose own library was unloaded, whatever it called, and where it is left', {
    skip: untraced || gccless,
  }, async () => {
    const dir = temporaryDirectory('started');
    const library = join(dir, 'gone.so');
    const program = join(dir, 'program');
    const compile = (language: string, source: string, ...options: string[]): void => {
      execFileSync('g++', ['-w', '-x', language, '-', '-pthread', ...options], { input: source });
    };
    // The thread begins in the C++ runtime, which calls the library's code.
    compile(
      'c++',
      `#include <thread>
      extern "C" void start(void (*callback)()) { std::thread([callback] { callback(); }).detach(); }`,
      ...['-shared', '-fPIC', '-o', library],
    );
    compile(
      'c',
      `#include <dlfcn.h>
      #include <stdlib.h>
      #include <unistd.h>
      static int dies;
      static volatile int called, closed;
      static void callback(void) {
        for (called = 1; !closed; ) usleep(1000);
        if (dies) abort();
        pause();
      }
      int main(int n, char** words) {
        dies = n > 2;
        void* library = dlopen(words[1], RTLD_NOW);
        ((void (*)(void (*)(void)))dlsym(library, "start"))(callback);
        while (!called) usleep(1000);
        dlclose(library);
        closed = 1;
        sleep(dies ? 60 : 0);
        return 0;
      }`,
      ...['-o', program, '-ldl'],
    );
    const { failures } = await run({ command: [program, library, 'dies'], runs: 1 });
    const [{ kind, evidence } = {}] = failures;
    assert.deepEqual([kind?.id, kind?.detail], ['library-unloaded', 'gone.so'], evidence?.stacks ?? '');
    const result = await run({ command: [program, library], runs: 1, strict: true });
    const [left] = result.runs[0]?.left.threads ?? [];
    assert.deepEqual([left?.library, left?.unloaded], [library, true]);
    assert.match(
      scenarioText(result),
      /program \(gone\.so by libstdc\+\+\.so\.6[.\d]*; gone\.so has been unloaded\)/,
    );
    // Under --strict it is why the run failed.
    assert.match(
      result.failures[0]?.kind?.detail ?? '',
      /^program \(gone\.so by .*; gone\.so has been unloaded\); without its code a thread dies as soon as it runs on$/,
    );
  });

  test('a thread of Python whose main thread only waits for it is none at exit', {
    skip: untraced || pythonless,
  }, async () => {
    const program = `${libc}\nimport threading, time\nthreading.Thread(target=lambda: (time.sleep(0.2), libc.abort())).start()`;
    assert.equal(await kindOf(['python3', '-c', program]), 'aborted');
  });

  test('an unwound thread, by what is printed', { skip: untraced }, async () => {
    const program = `echo "terminate called after throwing an instance of ''" >&2; echo "FATAL: exception not rethrown" >&2; kill -ABRT $$`;
    assert.equal(await kindOf(['sh', '-c', program]), 'python-thread-unwound or thread-unwound');
  });
});

// Programs that die like C, C++ and Rust programs, each with and without a debugger.
describe('what a program did', () => {
  const build = (name: string, source: string, compiler: string, ...options: string[]): string => {
    const folder = temporaryDirectory('kinds');
    const file = join(folder, compiler === 'g++' ? 'a.cc' : 'a.c');
    writeFileSync(file, source);
    execFileSync(compiler, ['-O0', file, '-o', join(folder, name), ...options, '-lpthread']);
    return join(folder, name);
  };
  const endings = (): string =>
    build(
      'endings',
      `#include <cstdlib>
      #include <cstring>
      #include <stdexcept>
      #include <thread>
      #include <unistd.h>
      struct Base { virtual ~Base(); virtual void work() = 0; };
      static Base* shared;
      static void call() { for (;;) shared->work(); }
      Base::~Base() { if (shared) sleep(3); }
      struct Derived : Base { void work() override { usleep(10); } };
      static int recurse(volatile int n) { volatile char frame[200]; frame[0] = n; return recurse(n + 1) + frame[0]; }
      int main(int n, char** words) {
        const char* how = words[n - 1];
        if (!strcmp(how, "abort")) atexit([] { abort(); });
        if (!strcmp(how, "throw")) atexit([] { throw std::runtime_error("x"); });
        if (!strcmp(how, "terminate")) atexit([] { std::terminate(); });
        if (!strcmp(how, "recursion")) recurse(0);
        if (!strcmp(how, "recursion in a thread")) std::thread(recurse, 0).join();
        if (!strcmp(how, "virtual")) {
          static Derived object;
          shared = &object;
          std::thread(call).detach();
          usleep(20000);
        }
        return 0;
      }`,
      'g++',
    );
  const programs: readonly (readonly [how: string, traced: RegExp, untraced: RegExp])[] = [
    ['abort', /^crash-in-destructor \(in endings, which called abort\(\)\)/, /^crash-in-destructor$/],
    [
      'throw',
      /^crash-in-destructor or uncaught-cxx-exception \(in endings, by an exception: terminate called after throwing an instance of 'std::runtime_error'\)$/,
      /^crash-in-destructor or uncaught-cxx-exception \(by an exception: terminate/,
    ],
    ['terminate', /^joinable-thread-destroyed or aborted/, /^joinable-thread-destroyed or aborted/],
    ['recursion', /^stack-overflow \(recursion of recurse/, /^stack-overflow$/],
    [
      'recursion in a thread',
      /^stack-overflow \(recursion of recurse/,
      /^stack-overflow \(thread "endings"\)/,
    ],
    [
      'virtual',
      /^thread-outlives-exit \(thread "endings" in endings, a virtual/,
      /^thread-outlives-exit \(thread "endings", a virtual/,
    ],
  ];
  const label = ({ kind }: { kind: FailureKind | null }): string =>
    `${kind?.id ?? 'none'}${kind?.or ? ` or ${kind.or.id}` : ''}${kind?.detail ? ` (${kind.detail})` : ''}`;
  test('is said, and what it may be where no debugger may attach', {
    skip: untraced || gccless || pythonless,
  }, async (t) => {
    const program = endings();
    for (const [how, traced, untraced] of programs) {
      await t.test(how, async () => {
        const { failures } = await run({ command: [program, how], runs: 1 });
        assert.match(label(failures[0] ?? { kind: null }), traced, failures[0]?.evidence.stacks ?? '');
        const failure = withoutDebugger([program, how]);
        assert.match(label(failure), untraced);
        assert.match(failure.evidence.stacks ?? '', /^ {2}thread \d+ "endings" \(died here\)/m);
      });
    }
  });

  test('beyond a buffer names the function that did', { skip: untraced || gccless }, async () => {
    const smash = 'volatile char b[8], *q = b; for (int i = 0; i < 64; i++) q[i] = 1;';
    const copy = 'char b[8]; strcpy(b, getenv("PATH")); puts(b);';
    for (const [name, body, options, detail] of [
      ['smashes', smash, ['-fstack-protector-all'], 'as it exits, in broken [smashes]'],
      ['copies', copy, ['-O2', '-D_FORTIFY_SOURCE=2'], 'as it exits, in broken [copies]'],
    ] as const) {
      const source = `#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>
        __attribute__((noinline)) static void broken(void) { ${body} }
        int main(void) { atexit(broken); return 0; }`;
      const program = build(name, source, 'gcc', '-w', ...options);
      const { failures } = await run({ command: [program], runs: 1 });
      assert.equal(failures[0]?.kind?.id, 'buffer-overflow', failures[0]?.evidence.stacks ?? '');
      assert.equal(failures[0].kind.detail, detail);
    }
  });

  test('where no debugger may attach, includes that main had returned', {
    skip: untraced || gccless || pythonless,
  }, () => {
    const source = (end: string): string =>
      `static int *volatile p; static void fini(void) { *p = 1; } int main(void) { atexit(fini); ${end} }`;
    for (const [name, end] of [
      ['returns', 'return 0;'],
      ['exits', 'exit(0);'],
    ] as const) {
      const { kind, evidence } = withoutDebugger([compiled(name, source(end))]);
      assert.equal(evidence.crash?.exiting, true, name);
      assert.deepEqual([kind?.id, kind?.or], ['crash-in-destructor', null], name);
    }
    const { evidence } = withoutDebugger([compiled('works', source('fini();'))]);
    assert.equal(evidence.crash?.exiting, false);
  });

  test('a thread that Python ends by force is known though nothing of that is in its stack', {
    skip: untraced || gccless || pythonless,
  }, async () => {
    // Like a Rust extension: a destructor that runs as the frame is left dies. The library's own destructor makes that
    // come first.
    const library = build(
      'unwound.so',
      `#include <unistd.h>
      extern "C" void* PyEval_SaveThread(); extern "C" void PyEval_RestoreThread(void*);
      struct Cleanup { bool armed = false; ~Cleanup() { if (armed) *(volatile int*)0 = 1; } };
      static struct Linger { ~Linger() { sleep(3); } } linger;
      extern "C" void work() {
        Cleanup cleanup;
        void* state = PyEval_SaveThread();
        usleep(500000);
        cleanup.armed = true;
        PyEval_RestoreThread(state);
        cleanup.armed = false;
      }`,
      ...['g++', '-shared', '-fPIC'],
    );
    const program = [
      'import ctypes, sys, threading',
      'if sys.version_info >= (3, 14): sys.exit(9) # it lets such threads hang',
      `threading.Thread(target=ctypes.PyDLL(${JSON.stringify(library)}).work, daemon=True).start()`,
    ].join('\n');
    const { failures } = await run({ command: ['python3', '-c', program], runs: 1 });
    if (failures[0]?.outcome.kind === 'exit-code') return;
    assert.match(
      label(failures[0] ?? { kind: null }),
      /^python-thread-unwound \(a daemon thread of Python's own, thread ".*" in unwound\.so\)$/,
    );
    assert.doesNotMatch(
      failures[0]?.evidence.threads[0]?.frames.map(({ name }) => name).join(' ') ?? '',
      /nwind_|pthread_exit/,
    );
    const failure = withoutDebugger(['python3', '-c', program]);
    assert.match(label(failure), /^python-thread-unwound \(thread/);
  });

  test('a wait for a child process names it', { skip: untraced || pythonless }, async () => {
    const program =
      'import atexit, subprocess; child = subprocess.Popen(["sleep", "60"]); atexit.register(child.wait)';
    const command = ['python3', '-c', program];
    const { failures } = await run({ command, runs: 1, timeout: '3s' });
    assert.match(
      label(failures[0] ?? { kind: null }),
      /^blocked \(as it exits, for its child process \d+ \(sleep 60\)/,
    );
    // Then the exit isn't seen, so the process may only wait for what it has started.
    const unseen = withoutDebugger(command);
    assert.equal(unseen.evidence.child?.command, 'sleep 60');
    assert.match(label(unseen), /^blocked \(in a sleep/);
  });

  test('a thread that calls Node-API from outside its environment, and in which addon', {
    skip: untraced || gccless,
  }, async () => {
    const addon = build(
      'offthread.node',
      `#include <pthread.h>
      #include <stddef.h>
      #include <unistd.h>
      int napi_create_string_utf8(void*, const char*, size_t, void**);
      static void* work(void* env) {
        void* value;
        for (usleep(100000);;) napi_create_string_utf8(env, "x", 1, &value);
      }
      void* napi_register_module_v1(void* env, void* exports) {
        pthread_t thread;
        pthread_create(&thread, 0, work, env);
        return exports;
      }`,
      ...['gcc', '-shared', '-fPIC'],
    );
    const command = node(`require(${JSON.stringify(addon)}); setInterval(() => {}, 1e3)`);
    const { failures } = await run({ command, runs: 1 });
    assert.match(
      label(failures[0] ?? { kind: null }),
      /^napi-off-thread \(thread ".*" in offthread\.node\)$/,
    );
    assert.match(label(withoutDebugger(command)), /^napi-off-thread or napi-after-teardown/);
  });

  test('a program that aborts itself, in its own language', { skip: untraced || pythonless }, async () => {
    const commands = [
      node('process.abort()'),
      node("process.on('exit', () => process.abort())"),
      ['python3', '-c', 'import atexit, os; atexit.register(os.abort)'],
    ];
    for (const command of commands) {
      const { failures } = await run({ command, runs: 1 });
      assert.equal(label(failures[0] ?? { kind: null }), 'aborted', command.join(' '));
    }
  });

  test('a heap of JavaScript that is full', { skip: unseen }, async () => {
    const command = [
      process.execPath,
      '--max-old-space-size=20',
      '-e',
      'const a = []; for (;;) a.push(Array(999).fill({}))',
    ];
    const { failures } = await run({ command, runs: 1 });
    assert.match(
      label(failures[0] ?? { kind: null }),
      /^out-of-memory \(FATAL ERROR: .*JavaScript heap out of memory\)$/,
    );
  });

  test('a native thread that calls Python without the GIL, which Python does not always notice', {
    skip: untraced || gccless || pythonless,
  }, async () => {
    const library = build(
      'nogil.so',
      `#include <pthread.h>
      extern void* PyDict_New(void); extern int PyRun_SimpleString(const char*);
      static void* work(void* nothing) { PyRun_SimpleString("x = [1]"); return nothing; }
      void start(void) { pthread_t thread; pthread_create(&thread, 0, work, 0); pthread_join(thread, 0); }`,
      ...['gcc', '-shared', '-fPIC'],
    );
    const program = `import ctypes; ctypes.CDLL(${JSON.stringify(library)}).start()`;
    const { failures } = await run({ command: ['python3', '-c', program], runs: 1 });
    assert.match(
      label(failures[0] ?? { kind: null }),
      /^python-without-gil(?: or native-crash)? \(thread ".*" in nogil\.so\)$/,
    );
  });

  test('a library that ctypes calls, and that calls Python without the GIL', {
    skip: untraced || gccless || pythonless,
  }, async () => {
    const library = build(
      'foreign.so',
      'extern void* PyList_New(long); void start(void) { PyList_New(0); }',
      ...['gcc', '-shared', '-fPIC'],
    );
    const program = `import ctypes; ctypes.CDLL(${JSON.stringify(library)}).start()`;
    const { failures } = await run({ command: ['python3', '-c', program], runs: 1 });
    assert.match(
      label(failures[0] ?? { kind: null }),
      /^python-without-gil(?: or native-crash)? \(in foreign\.so\)$/,
    );
  });

  test('a signal that something sent, and by whom', { skip: untraced }, async () => {
    for (const [script, kind] of [
      ['kill -SEGV $$', 'killed (by itself)'],
      ['(kill -BUS $$) & wait', 'killed (by another process)'],
    ] as const) {
      const { failures } = await run({ command: ['sh', '-c', script], runs: 1 });
      assert.equal(label(failures[0] ?? { kind: null }), kind, failures[0]?.evidence.stacks ?? '');
    }
  });
});

describe('a hang', () => {
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

describe('what is left at exit', () => {
  const daemon =
    'import threading,time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()';

  test('threads are listed though the run was clean, and fail it when strict', {
    skip: pythonless,
  }, async () => {
    const command = ['python3', '-c', daemon];
    const lax = await run({ command, runs: 1 });
    assert.equal(lax.ok, true);
    assert.equal(lax.runs[0]?.left.threads?.length, 1);
    assert.match(lax.runs[0]?.left.threads?.[0]?.library ?? '', /python/);
    const strict = await run({ command, runs: 1, strict: true });
    assert.equal(strict.ok, false);
    assert.deepEqual(strict.failures[0]?.outcome, { kind: 'threads-left', threads: 1 });
    assert.equal(strict.failures[0]?.kind?.id, 'thread-left-at-exit');
  });

  test('threads that are allowed do not fail it, by their name or library', {
    skip: pythonless,
  }, async () => {
    const command = ['python3', '-c', daemon];
    for (const [allowed, ok] of [
      ['python*', true],
      ['lib*python3*', true],
      ['other', false],
    ] as const) {
      const result = await run({
        command,
        runs: 1,
        strict: true,
        allowThreads: allowed === 'lib*python3*' ? [allowed, '*python3*'] : [allowed],
      });
      assert.equal(result.ok, ok, `${allowed}: ${JSON.stringify(result.runs[0]?.left)}`);
    }
    const left = { name: 'x', library: '/usr/lib/libgomp.so.1.0.0' };
    assert.equal(isAllowedThread(left, []), true);
    assert.equal(isAllowedThread({ ...left, library: '/usr/lib/libgo.so' }, []), false);
    // As reports name it.
    const named = { ...left, library: '/x/apsw/__init__.cpython-311.so' };
    assert.equal(isAllowedThread(named, ['apsw/__init__.*']), true);
    assert.equal(isAllowedThread(named, ['other/__init__.*']), false);
    // Linked into a library with its own threads, which its users can end.
    const linked = { name: 'jemalloc_bg_thd', library: '/x/libarrow.so.2600' };
    assert.equal(isAllowedThread(linked, []), true);
    assert.equal(isAllowedThread({ ...linked, library: null }, []), true);
    assert.equal(isAllowedThread({ ...linked, name: 'tokio-rt-worker' }, []), false);
    const common = { name: 'ForkJoinPool.co', library: '/jdk/lib/server/libjvm.so' };
    assert.equal(isAllowedThread(common, []), true);
    assert.equal(isAllowedThread({ ...common, name: 'ForkJoinPool-1-' }, []), false);
  });

  // [what a library starts its thread with, the compiler's options, the runtime's file]
  const runtimes: readonly (readonly [source: string, options: string[], runtime?: RegExp])[] = [
    ['thrd_t thread; thrd_create(&thread, [](void*) { pause(); return 7; }, nullptr);', []],
    ['std::thread([] { pause(); }).detach();', [], /\/libstdc\+\+\.so/],
    ['_Pragma("omp parallel num_threads(2)") { usleep(1); }', ['-fopenmp'], /\/libgomp\.so/],
  ];
  for (const [source, options, runtime] of runtimes) {
    test(`a thread is of the library that started it, also by ${runtime?.source.slice(5, 11) ?? 'C11'}`, {
      skip: unseen || gccless,
    }, async () => {
      const dir = temporaryDirectory('left');
      const compile = (name: string, text: string, ...words: string[]): void => {
        writeFileSync(join(dir, 'a.cc'), text);
        execFileSync('g++', [join(dir, 'a.cc'), '-O2', '-o', join(dir, name), ...words, '-lpthread']);
      };
      compile(
        'addon.so',
        `#include <thread>
        #include <threads.h>
        #include <unistd.h>
        extern "C" void start() { ${source} asm volatile(""); }`,
        ...['-shared', '-fPIC', ...options],
      );
      compile(
        'host',
        `#include <unistd.h>
        extern "C" void start();
        int main() { start(); usleep(50000); return 0; }`,
        ...[join(dir, 'addon.so'), `-Wl,-rpath,${dir}`],
      );
      const command = [join(dir, 'host')];
      const { runs } = await run({ command, runs: 2 });
      for (const { left } of runs) {
        assert.equal(left.threads?.length, 1);
        assert.match(left.threads?.[0]?.library ?? '', /\/addon\.so$/);
        assert.match(left.threads?.[0]?.runtime ?? '', runtime ?? /^$/);
      }
      // A thread that its users can't end is tolerated, whatever started it.
      const strict = await run({ command, runs: 1, strict: true });
      assert.equal(strict.ok, options.includes('-fopenmp'));
    });
  }

  test('threads whose work is done, and a sanitizer, are no threads left', {
    skip: unseen || gccless,
  }, async () => {
    const dir = temporaryDirectory('ending');
    const compile = (name: string, text: string, ...words: string[]): string[] => {
      writeFileSync(join(dir, 'a.cc'), text);
      execFileSync('g++', [join(dir, 'a.cc'), '-O2', '-o', join(dir, name), ...words, '-lpthread']);
      return [join(dir, name)];
    };
    // As Rust's `std::thread::scope` does, it waits for the end of the work. The stacks are big, so each takes its time.
    const scope = compile(
      'scope',
      `#include <thread>
      #include <atomic>
      #include <cstring>
      std::atomic<int> working{8};
      int main() {
        for (int i = 0; i < 8; i++) std::thread([] {
          char used[1 << 20];
          memset(used, 1, sizeof used);
          asm volatile("" :: "r"(used) : "memory");
          working--;
        }).detach();
        while (working) std::this_thread::yield();
      }`,
    );
    const ended = await run({ command: scope, runs: 30, strict: true });
    assert.equal(ended.failed, 0, JSON.stringify(ended.failures[0]?.outcome));

    const source = (rest: string): string =>
      `#include <thread>\n#include <unistd.h>\nint main() { std::thread([] {}).join(); ${rest} }`;
    const sanitized = await run({
      command: compile('tsan', source(''), '-fsanitize=thread'),
      ...{ runs: 2, strict: true },
    });
    assert.equal(sanitized.failed, 0, JSON.stringify(sanitized.failures[0]?.outcome));
    // The program's own still count.
    const own = await run({
      command: compile('own', source('std::thread([] { pause(); }).detach();'), '-fsanitize=thread'),
      ...{ runs: 1, strict: true },
    });
    assert.deepEqual(own.failures[0]?.outcome, { kind: 'threads-left', threads: 1 });
  });

  test('a program without any is fine, and the host own threads do not count', { skip: unseen }, async () => {
    const endings = ['', 'process.exit()', 'process.exitCode = 0; setImmediate(() => {})'];
    for (const program of endings) {
      const result = await run({ command: node(program), runs: 1, strict: true });
      assert.equal(result.ok, true, JSON.stringify(result.runs));
      assert.notEqual(result.runs[0]?.left.threads, null);
    }
    const none = await run({ command: ['true'], runs: 1, strict: true });
    assert.deepEqual(none.runs[0]?.left, { threads: [], sockets: [], files: [] });
  });

  test('are seen at quick_exit and _exit, too', { skip: unseen || pythonless }, async () => {
    for (const end of ['quick_exit', '_exit']) {
      const program = `import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); ctypes.CDLL(None).${end}(0)`;
      const result = await run({ command: ['python3', '-c', program], runs: 1 });
      assert.equal(result.runs[0]?.left.threads?.length, 1, end);
    }
  });

  test('are known by their library when they have only just been created', {
    skip: unseen || pythonless,
  }, async () => {
    const program = [
      'import ctypes',
      'libc = ctypes.CDLL(None)',
      'thread = ctypes.c_ulong()',
      'for i in range(8): libc.pthread_create(ctypes.byref(thread), None, libc.pause, None)',
      'libc._exit(0)',
    ].join('\n');
    const { runs } = await run({ command: ['python3', '-c', program], runs: 10 });
    const threads = runs.flatMap(({ left }) => left.threads ?? []);
    assert.equal(threads.length, 80);
    assert.deepEqual(
      threads.filter(({ library }) => library === null),
      [],
    );
  });

  test('are known by their library when they are created while the process ends', {
    skip: unseen || pythonless,
  }, async () => {
    const program = [
      'import ctypes, threading, time',
      'libc = ctypes.CDLL(None)',
      'thread = ctypes.c_ulong()',
      'def create():',
      '    for i in range(60): libc.pthread_create(ctypes.byref(thread), None, libc.pause, None)',
      'threading.Thread(target=create, daemon=True).start()',
      'libc._exit(0)',
    ].join('\n');
    const { runs } = await run({ command: ['python3', '-c', program], runs: 40 });
    const threads = runs.flatMap(({ left }) => left.threads ?? []);
    assert.ok(threads.length > 40, `${threads.length} threads were seen`);
    assert.deepEqual(
      threads.filter(({ library }) => library === null),
      [],
    );
  });

  test('a program whose end nobody saw is reported where it was to be strict', { skip: unseen }, async () => {
    const result = await run({ command: ['env', '-u', 'LD_PRELOAD', 'true'], runs: 2, strict: true });
    assert.equal(result.runs[0]?.left.threads, null);
    assert.match(scenarioText(result), /2 of 2 runs ended without the witness/);
  });

  test('threads that the program’s end can’t list are unknown, and not none', {
    skip: unseen || gccless,
  }, async () => {
    const dir = temporaryDirectory('unknown');
    writeFileSync(
      join(dir, 'a.c'),
      `#include <fcntl.h>
      #include <pthread.h>
      #include <unistd.h>
      static void *stays(void *a) { for (;;) pause(); return a; }
      int main(void) {
        pthread_t thread;
        pthread_create(&thread, 0, stays, 0);
        while (open("/dev/null", 0) >= 0);
        return 0;
      }`,
    );
    execFileSync('gcc', [join(dir, 'a.c'), '-o', join(dir, 'full'), '-lpthread']);
    const result = await run({ command: [join(dir, 'full')], runs: 1, strict: true });
    assert.equal(result.runs[0]?.left.threads, null);
    assert.match(scenarioText(result), /1 of 1 run ended without the witness, so it is unknown/);
  });

  test('without the witness nothing is loaded, and nobody can be strict', { skip: unseen }, async () => {
    const command = ['sh', '-c', '[ -z "$LD_PRELOAD$QUIESCE_WITNESS" ]'];
    const result = await run({ command, runs: 2, witness: false });
    assert.equal(result.ok, true);
    assert.deepEqual(result.runs[0]?.left, { threads: null, sockets: [], files: [] });
    const crash = await run({ command: ['sh', '-c', 'kill -ABRT $$'], runs: 1, witness: false });
    assert.deepEqual(crash.failures[0]?.outcome, { kind: 'signal', signal: 'SIGABRT', exitCode: null });
    await assert.rejects(run({ command, runs: 1, witness: false, strict: true }), UsageError);
    assert.equal((await run({ command, runs: 1 })).ok, false);
  });

  test('listening sockets and temporary files are reported, and the files removed', {
    skip: unseen,
  }, async () => {
    const program =
      "require('fs').writeFileSync(require('os').tmpdir() + '/forgotten', ''); require('net').createServer().listen(0, '127.0.0.1', () => process.exit())";
    const result = await run({ command: node(program), runs: 1 });
    const left = result.runs[0]?.left;
    assert.deepEqual(left?.files, ['forgotten']);
    assert.equal(left?.sockets.length, 1);
    assert.match(left?.sockets[0]?.address ?? '', /^127\.0\.0\.1:\d+$/);
    assert.equal(left?.sockets[0]?.state, 'listening');
  });
});

describe('the witness keeps out of the way', () => {
  test('of a file that took the number of its descriptor', { skip: pythonless }, async () => {
    const program = [
      'import os, tempfile',
      'fd = int(os.environ["QUIESCE_DONE_FD"])',
      'os.close(fd)',
      'assert os.open(os.path.join(tempfile.gettempdir(), "own"), os.O_CREAT | os.O_RDWR) == fd',
      'import atexit; atexit.register(lambda: os.write(fd, b"mine"))',
      'os.fsync(fd)',
    ].join('\n');
    const result = await run({ command: ['python3', '-c', program], runs: 1 });
    assert.equal(result.ok, true);
    // It had no descriptor left to report on, and connected to the tester.
    assert.deepEqual(result.runs[0]?.left.threads, spawned ? [] : null);
    assert.deepEqual(result.runs[0]?.left.files, ['own']);
  });
});

describe('a thread under the witness', () => {
  test('ends by pthread_exit and by cancellation, which unwind it', { skip: pythonless }, async () => {
    const program = [
      'import ctypes',
      'libc = ctypes.CDLL(None)',
      'thread, result = ctypes.c_ulong(), ctypes.c_void_p()',
      'for _ in range(50):',
      '    assert libc.pthread_create(ctypes.byref(thread), None, libc.pthread_exit, ctypes.c_void_p(7)) == 0',
      '    assert libc.pthread_join(thread, ctypes.byref(result)) == 0 and result.value == 7',
      '    assert libc.pthread_create(ctypes.byref(thread), None, libc.pause, None) == 0',
      '    assert libc.pthread_cancel(thread) == 0',
      '    assert libc.pthread_join(thread, ctypes.byref(result)) == 0 and result.value == 2**64 - 1',
    ].join('\n');
    const result = await run({ command: ['python3', '-c', program], runs: 3, strict: true });
    assert.equal(result.ok, true, result.failures[0]?.evidence.stderr);
    assert.deepEqual(result.runs[0]?.left.threads, []);
  });
});

describe('reading', () => {
  test('the lines of the witness', () => {
    assert.deepEqual(parseWitnessLine('done'), { type: 'done' });
    assert.deepEqual(parseWitnessLine('crash\t7\t8\t6\ttokio-runtime-w'), {
      ...{ type: 'crash', pid: 7, tid: 8, thread: 'tokio-runtime-w', signal: 'SIGABRT', states: [] },
    });
    assert.deepEqual(parseWitnessLine('crash\t7\t8\t11\tnode\texiting unwound\t7f00\t/x/addon.node'), {
      ...{ type: 'crash', pid: 7, tid: 8, signal: 'SIGSEGV', thread: 'node' },
      states: ['exiting', 'unwound'],
      unloaded: { address: 0x7f00n, library: '/x/addon.node' },
    });
    const left = { type: 'thread', pid: 7, tid: 8, name: 'pool', library: '/x/addon.so' };
    assert.deepEqual(parseWitnessLine('thread\t7\t8\tpool\t/x/addon.so'), left);
    assert.deepEqual(parseWitnessLine('thread\t7\t8\tpool\t/x/addon.so\t\tunloaded'), {
      ...left,
      unloaded: true,
    });
    assert.deepEqual(parseWitnessLine('thread\t7\t8\tpool\t/x/addon.so\t/lib/libgomp.so.1'), {
      ...left,
      runtime: '/lib/libgomp.so.1',
    });
    for (const odd of [
      '',
      'crash',
      'crash\t-1\t1\t6\tx',
      'crash\t7\t8\t999\tx',
      'socket\t7\t3\todd\tx',
      'x\t7',
    ]) {
      assert.equal(parseWitnessLine(odd), undefined, odd);
    }
  });

  test("gdb's backtraces, with Rust and C++ names", () => {
    const text = [
      'Thread 2 (Thread 0x7f01 (LWP 12) "tokio-runtime-w" (Exiting)):',
      '#0  0x0000000000001010 in nanosleep () from /lib/libc.so.6',
      '#1  0x0000000000002010 in exit_witness::crash::handle ()',
      '#2  <signal handler called>',
      '#3  0x0000000000003010 in PyGILState_Release ()',
      '#4  0x0000000000003020 in pyo3::gil::GILGuard::acquire::h0123456789abcdef ()',
      '#5  0x0000000000003030 in std::vector<int, std::allocator<int> >::at(unsigned long) const (this=..., n=...) at a.cc:7',
      '#6  0x0000000000009999 in ?? ()',
      'Thread 1 (LWP 11 "python3"):',
      '#0  main () at a.c:3',
    ].join('\n');
    const mappings = [
      { from: 0x2000n, to: 0x3000n, file: '/x/exit-witness.linux-x64.so' },
      { from: 0x3000n, to: 0x4000n, file: '/x/client.abi3.so' },
    ];
    const threads = parseStacks(text, 11, mappings, 12);
    assert.deepEqual(
      threads.map(({ tid, main, faulting }) => ({ tid, main, faulting })),
      [
        { tid: 12, main: false, faulting: true },
        { tid: 11, main: true, faulting: false },
      ],
    );
    assert.deepEqual(threads[0]?.frames, [
      { name: 'PyGILState_Release', library: 'client.abi3.so', source: null },
      { name: 'pyo3::gil::GILGuard::acquire', library: 'client.abi3.so', source: null },
      {
        name: 'std::vector<int, std::allocator<int> >::at(unsigned long) const',
        library: 'client.abi3.so',
        source: 'a.cc:7',
      },
      { name: null, library: null, source: null },
    ]);
    assert.match(
      formatStacks(threads),
      /^thread 12 "tokio-runtime-w" \(died here\)\n {2}PyGILState_Release {2}\[client/,
    );
  });
});

describe('a signal that a program sends to itself', () => {
  for (const signal of ['SEGV', 'BUS', 'FPE', 'ABRT']) {
    for (const perturb of ['none', 'amplify']) {
      test(`is named: ${signal}, perturbed by ${perturb}`, { skip: untraced }, async () => {
        const { failures } = await run({ command: ['sh', '-c', `kill -${signal} $$`], runs: 1, perturb });
        const { kind, evidence } = failures[0] ?? {};
        assert.deepEqual([kind?.id, kind?.detail], ['killed', 'by itself'], evidence?.stacks ?? '');
        assert.doesNotMatch(evidence?.stacks ?? '', /exit-amplifier|signal handler called/);
      });
    }
  }
});

describe('frames', () => {
  const frame = (name: string | null, library: string | null = 'a.so') => ({ name, library, source: null });

  test('of Rust lose the hashes of either mangling, those of generated code are named so', () => {
    const text = [
      'Thread 1 (LWP 11 "node"):',
      '#0  0x0000000000001010 in <std[e28293b1aa0f68bd]::sys::thread::unix::Thread>::new::thread_start ()',
      '#1  0x0000000000001020 in pyo3[0123456789abcde]::gil::acquire::<int[12]> ()',
      '#2  0x0000000000002010 in ?? ()',
      '#3  0x0000000000003010 in ?? ()',
      '#4  0x0000000000004010 in ?? ()',
      // gdb before 11 has no demangler for these.
      '#5  0x0000000000001030 in _RNvMs_NtCs9l8k2_4pyo33gilNtB5_8GILGuard7acquire ()',
    ].join('\n');
    const maps = [
      '1000-2000 r-xp 00000000 08:01 1 /lib/a.so',
      '2000-3000 rwxp 00000000 00:00 0 ',
      '3000-4000 rw-p 00000000 00:00 0 [heap]',
    ].join('\n');
    const [thread] = parseStacks(text, 11, parseMappings(maps));
    assert.deepEqual(
      thread?.frames.map(({ name, library }) => [name, library]),
      [
        ['<std::sys::thread::unix::Thread>::new::thread_start', 'a.so'],
        ['pyo3::gil::acquire::<int[12]>', 'a.so'],
        ['[JIT code]', null],
        [null, null],
        [null, null],
        ['pyo3::gil::GILGuard::acquire', 'a.so'],
      ],
    );
  });

  test('of Python are shown with file and line where a tool shows them, and say where a hang is', {
    skip: untraced || pythonless,
  }, async () => {
    const dir = temporaryDirectory('py-spy');
    // Replaces the tool: prints its output for the process that it is asked about. Users install the real one.
    writeFileSync(
      join(dir, 'py-spy'),
      `#!/bin/sh
      for last; do :; done
      case "$*" in 'dump --json --pid '[0-9]*) ;; *) exit 1 ;; esac
      cat <<END
      [{"pid": $last, "thread_name": "MainThread", "os_thread_id": $last, "active": false,
        "frames": [{"name": "accept", "filename": "/usr/lib/python3.11/socket.py", "line": 7, "locals": null},
                   {"name": "<module>", "filename": "/app/hang.py", "line": 9, "locals": null}]},
       {"pid": $last, "thread_name": "gone", "os_thread_id": null, "frames": []}]
END`,
      { mode: 0o755 },
    );
    const python = execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' });
    symlinkSync(python.trim(), join(dir, 'python3'));
    const program = 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); s.accept()';
    const { failures } = await run({
      command: [join(dir, 'python3'), '-c', program],
      runs: 1,
      timeout: '3s',
    });
    const { kind, evidence } = failures[0] ?? {};
    assert.equal(kind?.id, 'blocked');
    assert.equal(
      kind?.detail,
      'at accept (/usr/lib/python3.11/socket.py:7), called in <module> (/app/hang.py:9)',
    );
    assert.match(
      evidence?.stacks ?? '',
      /\n {2}in the program:\n {4}accept \(\S+socket.py:7\)\n {4}<module> \(\/app\/hang.py:9\)/,
    );
  });

  test('alike are folded, and each line keeps its library', () => {
    const frames = [frame(null), frame(null), frame(null), frame('x'.repeat(900)), frame(null, null)];
    const text = formatStacks([{ tid: 1, name: 't', main: true, faulting: false, frames }]);
    const [, folded, long, last, ...more] = text.split('\n');
    assert.equal(folded, '  ??  [a.so]  x3');
    assert.match(long ?? '', /^ {2}x{100,}\.\.\. {2}\[a\.so\]$/);
    assert.ok((long ?? '').length < 290);
    assert.deepEqual([last, more], ['  ??', []]);
  });
});

describe('the likely kind', () => {
  const stack = (main: boolean, faulting: boolean, ...names: string[]): ThreadStack => ({
    ...{ tid: main ? 1 : 2, name: 'thread', main, faulting },
    frames: names.map((name) => ({ name, library: null, source: null })),
  });
  const crash = { kind: 'signal', signal: 'SIGSEGV', exitCode: null } as const;
  const hang = { kind: 'hang' } as const;
  const printed = (id: string, line = ''): SignatureMatch => ({ id, title: id, line });
  const LOCKED = 'Fatal Python error: _enter_buffered_busy: could not acquire lock';
  const exiting = ['Py_FinalizeEx', 'Py_RunMain', 'main'];
  test('of a hang does not name a thread that is never to end as awaited', () => {
    const detail = (name: string): string | null | undefined => {
      const threads = [stack(true, false, 'pthread_join', 'exit'), { ...stack(false, false, 'poll'), name }];
      return failureKind({ outcome: hang, signature: null, threads })?.detail;
    };
    assert.equal(detail('worker'), 'waits for thread "worker"');
    assert.equal(detail('jemalloc_bg_thd'), null);
  });

  const cases: [id: string | undefined, Parameters<typeof failureKind>[0]][] = [
    [
      'python-after-finalization',
      {
        ...{ outcome: crash, signature: null },
        threads: [stack(false, true, 'PyGILState_Ensure', 'run'), stack(true, false, 'main')],
      },
    ],
    [
      'thread-outlives-exit',
      {
        ...{ outcome: crash, signature: null },
        threads: [stack(false, true, 'tokio::run'), stack(true, false, ...exiting)],
      },
    ],
    [
      'crash-in-destructor',
      { outcome: crash, signature: null, threads: [stack(true, true, 'x', '_dl_fini')] },
    ],
    [
      'join-at-exit',
      {
        ...{ outcome: hang, signature: null },
        threads: [stack(true, false, 'pthread_join', 'exit'), stack(false, false, 'poll')],
      },
    ],
    ['blocked', { outcome: hang, signature: null, threads: [stack(true, false, 'pthread_join', 'exit')] }],
    [
      'blocked or join-at-exit',
      {
        ...{ outcome: hang, signature: null },
        threads: [stack(true, false, '__GI___poll', 'exit'), stack(false, false, 'poll')],
      },
    ],
    [
      'library-unloaded',
      {
        ...{ outcome: crash, signature: null },
        threads: [
          {
            ...stack(false, true),
            frames: [null, '__nptl_deallocate_tsd', 'start_thread'].map((name) => ({
              name,
              library: null,
              source: null,
            })),
          },
          stack(true, false, 'uv_run', 'main'),
        ],
      },
    ],
    [
      'addon-load',
      {
        ...{ outcome: crash, signature: printed('heap-corruption') },
        threads: [
          stack(false, true, 'abort', 'free', 'napi_register_module_v1', 'node::binding::DLOpen'),
          stack(true, false, 'uv_run', 'main'),
        ],
      },
    ],
    // The thread that died, and where, comes before printed text.
    [
      'crash-in-destructor',
      {
        ...{ outcome: crash, signature: printed('python-gil'), stderr: 'Python runtime state: initialized' },
        threads: [stack(true, true, 'PyThreadState_Get', '__run_exit_handlers', 'exit', 'main')],
      },
    ],
    [
      'crash-in-destructor or heap-corruption',
      {
        ...{ outcome: crash, signature: printed('heap-corruption') },
        threads: [
          stack(true, true, 'abort', 'free', '__cxa_finalize', '_dl_fini'),
          stack(false, false, 'poll'),
        ],
      },
    ],
    [
      'python-after-finalization',
      {
        ...{ outcome: crash, signature: printed('heap-corruption') },
        threads: [
          stack(true, true, 'abort', 'free', ...exiting),
          stack(false, false, '_PyEval_EvalFrameDefault'),
        ],
      },
    ],
    [
      'crash-in-destructor or heap-corruption',
      {
        ...{ outcome: crash, signature: printed('heap-corruption') },
        threads: [
          stack(true, true, 'abort', 'free', ...exiting),
          stack(false, false, '__futex_abstimed_wait_common', 'PyThread_acquire_lock_timed', 'take_gil'),
        ],
      },
    ],
    [
      'python-after-finalization',
      {
        ...{ outcome: crash, signature: null },
        threads: [
          {
            ...stack(false, true, 'run'),
            frames: [
              { name: '__memmove_avx', library: 'libc.so.6', source: null },
              { name: null, library: 'libpython3.11.so.1.0', source: null },
              { name: 'tokio::run', library: 'client.so', source: null },
            ],
          },
          stack(true, false, ...exiting),
        ],
      },
    ],
    // A Python thread in the code of a library: what failed there is the library's.
    [
      'thread-outlives-exit',
      {
        ...{ outcome: crash, signature: printed('heap-corruption') },
        threads: [
          stack(false, true, 'duckdb::Execute', '_PyEval_EvalFrameDefault'),
          stack(true, false, 'exit', 'main'),
        ],
      },
    ],
    // A running interpreter isn't finalizing.
    [
      'python-without-gil',
      {
        ...{
          outcome: crash,
          signature: printed('python-gil'),
          stderr: 'Python runtime state: initialized\n',
        },
        threads: [
          stack(false, true, 'abort', 'PyThreadState_Get', 'work'),
          stack(true, false, 'poll', 'main'),
        ],
      },
    ],
    [
      'python-thread-unwound',
      {
        ...{
          outcome: crash,
          signature: printed('cxx-terminate', 'terminate called without an active exception'),
        },
        threads: [
          stack(
            false,
            true,
            'abort',
            'std::terminate()',
            '_Unwind_ForcedUnwind',
            '__pthread_unwind',
            'PyThread_exit_thread',
          ),
          stack(true, false, ...exiting),
        ],
      },
    ],
    [
      'thread-unwound',
      {
        ...{ outcome: crash, signature: printed('forced-unwind'), crash: { main: false, python: false } },
        threads: [
          stack(false, true, 'abort', 'unwind_cleanup', 'work'),
          stack(true, false, 'pthread_join', 'main'),
        ],
      },
    ],
    [
      'python-thread-unwound or thread-unwound',
      { outcome: crash, signature: printed('forced-unwind'), threads: [] },
    ],
    [
      'python-thread-unwound',
      {
        ...{ outcome: crash, signature: printed('forced-unwind'), threads: [] },
        crash: { main: false, python: true },
      },
    ],
    // deltalake 1.6.6, a generator written by a daemon thread: unwound from Python's code into Rust's.
    [
      'python-thread-unwound',
      {
        ...{ outcome: crash, signature: null, crash: { main: false, python: true } },
        threads: [
          stack(false, true, '_Unwind_Resume', 'arrow::ExportedArrayStream::StaticGetNext', 'start_thread'),
          stack(true, false, 'gc_collect_main', ...exiting),
        ],
      },
    ],
    // leveldown 5.6.0 in a worker that is terminated while an iterator is open.
    [
      'crash-in-destructor',
      {
        ...{ outcome: crash, signature: printed('assertion') },
        threads: [
          stack(
            false,
            true,
            '__GI___assert_fail',
            'node_napi_env__::CallFinalizer(void (*)(napi_env__*, void*, void*), void*, void*)',
            'v8impl::Reference::Finalize()',
            'node::Environment::RunCleanup()',
            'node::FreeEnvironment(node::Environment*)',
            'node::worker::Worker::Run()',
          ),
          stack(true, false, 'epoll_pwait', 'uv_run', 'main'),
        ],
      },
    ],
    // libsql 0.3.10 in a worker that is terminated within a call; better-sqlite3 13.0.1 there.
    [
      'napi-after-teardown',
      {
        ...{
          outcome: crash,
          signature: printed('rust-panic'),
          stderr: 'left: PendingException\nright: Ok\n',
        },
        threads: [
          stack(false, true, 'abort', 'v8impl::(anonymous namespace)::FunctionCallbackWrapper::Invoke'),
          stack(true, false, 'epoll_pwait', 'uv_run', 'main'),
        ],
      },
    ],
    [
      'napi-after-teardown',
      {
        ...{ outcome: crash, signature: printed('napi-fatal') },
        threads: [
          stack(false, true, 'abort', 'node::OnFatalError', 'napi_fatal_error'),
          stack(true, false, 'epoll_pwait', 'uv_run', 'main'),
        ],
      },
    ],
    // faulthandler prints such a line for every signal.
    [
      'crash-in-destructor',
      {
        ...{
          outcome: crash,
          signature: printed('python-faulthandler', 'Fatal Python error: Segmentation fault'),
        },
        threads: [stack(true, true, 'free', '__run_exit_handlers', 'exit', 'main')],
      },
    ],
    // A lock of stdout that a daemon thread held when it was stopped.
    [
      'thread-outlives-exit',
      {
        ...{
          outcome: crash,
          signature: printed(
            'python-fatal',
            `${LOCKED} for <_io.BufferedWriter name='<stdout>'> at interpreter shutdown`,
          ),
        },
        threads: [
          stack(true, true, 'abort', '_Py_FatalErrorFormat', '_enter_buffered_busy', ...exiting),
          stack(false, false, '__futex_abstimed_wait_common', 'take_gil'),
        ],
      },
    ],
    [
      'joinable-thread-destroyed',
      {
        ...{ outcome: crash, signature: printed('qthread-destroyed') },
        threads: [stack(true, true, 'abort', 'QMessageLogger::fatal', 'QThread::~QThread()', 'main')],
      },
    ],
    // Without a stack, only the thread's name and the program's output are known.
    [
      'thread-outlives-exit or native-crash',
      {
        ...{ outcome: crash, signature: null, threads: [], crash: { main: false, python: false } },
        diedIn: 'tokio-rt-worker',
      },
    ],
    [
      'thread-outlives-exit or native-crash',
      {
        ...{ outcome: crash, signature: null, threads: [], crash: { main: false, python: false } },
        ...{ diedIn: 'unnamed', workDone: true },
      },
    ],
    [
      'native-crash',
      {
        ...{ outcome: crash, signature: null, diedIn: 'tokio-rt-worker' },
        threads: [stack(false, true, 'work', 'start_thread'), stack(true, false, 'poll', 'main')],
      },
    ],
    // Without a stack two kinds fit.
    [
      'python-thread-unwound or joinable-thread-destroyed',
      {
        ...{
          outcome: crash,
          signature: printed('cxx-terminate', 'terminate called without an active exception'),
        },
        ...{ threads: [], crash: { main: false, python: true } },
      },
    ],
    [
      'joinable-thread-destroyed or aborted',
      {
        ...{
          outcome: crash,
          signature: printed('cxx-terminate', 'terminate called without an active exception'),
        },
        ...{ threads: [], crash: { main: true, python: true } },
      },
    ],
    [
      'joinable-thread-destroyed or python-thread-unwound',
      {
        ...{
          outcome: crash,
          signature: printed('cxx-terminate', 'terminate called without an active exception'),
        },
        threads: [],
      },
    ],
    [
      'uncaught-cxx-exception',
      {
        ...{
          outcome: crash,
          signature: printed('cxx-terminate', "terminate called after throwing an instance of 'int'"),
        },
        threads: [],
      },
    ],
    ['blocked', { outcome: hang, signature: null, threads: [stack(true, false, 'pthread_join', 'main')] }],
    ['rust-panic', { outcome: crash, signature: { id: 'rust-panic', title: '', line: '' }, threads: [] }],
    [
      'out-of-memory',
      {
        outcome: crash,
        signature: printed(
          'cxx-terminate',
          "terminate called after throwing an instance of 'std::bad_alloc'",
        ),
        threads: [],
      },
    ],
    [
      'go-panic',
      {
        ...{ outcome: { kind: 'exit-code', code: 2 }, signature: null, threads: [] },
        stderr: 'panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/tmp/g.go:3 +0x25\nexit status 2\n',
      },
    ],
    [
      'go-panic',
      {
        ...{ outcome: { kind: 'signal', signal: 'SIGABRT', exitCode: null }, signature: null, threads: [] },
        stderr: 'panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/tmp/g.go:3 +0x25\nexit status 2\n',
      },
    ],
    [
      'go-panic',
      {
        ...{ outcome: { kind: 'exit-code', code: 2 }, signature: null, threads: [] },
        stderr:
          'SIGSEGV: segmentation violation\nPC=0x47e5c0 m=0 sigcode=1 addr=0x8\nsignal arrived during cgo execution\n\ngoroutine 1 gp=0x32 m=0 mp=0x53 [syscall]:\nruntime.cgocall(0x47e5d0)\n',
      },
    ],
    [
      'go-panic',
      {
        ...{ outcome: { kind: 'exit-code', code: 2 }, signature: null, threads: [] },
        stderr:
          'fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:\nmain.main()\n',
      },
    ],
    [
      undefined,
      {
        ...{ outcome: { kind: 'exit-code', code: 2 }, signature: null, threads: [] },
        stderr: 'panic: a log line of something else\n',
      },
    ],
    [
      'uncaught-cxx-exception',
      {
        outcome: crash,
        signature: printed('cxx-terminate', 'terminate called without an active exception'),
        threads: [stack(true, true, 'raise', 'abort', 'std::terminate', '__cxa_rethrow', 'main')],
      },
    ],
    [undefined, { outcome: { kind: 'exit-code', code: 1 }, signature: null, threads: [] }],
    [undefined, { outcome: crash, signature: null, threads: [] }],
  ];
  for (const [id, traces] of cases) {
    test(`of a failure: ${id ?? 'not stated where the traces say nothing'}`, () => {
      const kind = failureKind(traces);
      assert.equal(kind?.or ? `${kind.id} or ${kind.or.id}` : kind?.id, id);
    });
  }

  test('of a crash between the work and the exit does not contradict the phase', () => {
    const threads = [stack(true, true, 'f', 'main')];
    const kind = failureKind({ outcome: crash, signature: null, threads, workDone: true });
    assert.equal(kind?.id, 'native-crash');
    assert.equal(kind?.detail, 'after it had reported that its work was done, and before exit() was called');
    assert.equal(failureKind({ outcome: crash, signature: null, threads })?.detail, null);
  });

  test('names the threads that Python joins by their Python code', () => {
    const library = '/usr/lib/python3.11/threading.py';
    const inPython = (tid: number, name: string, file: string): ThreadStack => ({
      ...stack(false, false, 'poll'),
      tid,
      interpreted: [{ name, file, line: 7 }],
    });
    const joining = { ...stack(true, false, 'pthread_cond_wait', ...exiting) };
    const main = { ...joining, interpreted: [{ name: '_shutdown', file: library, line: 9 }] };
    const runtime = [3, 4].map((tid) => ({ ...stack(false, false, 'epoll_wait'), tid, name: 'tokio' }));
    const detailOf = (...threads: ThreadStack[]): string | null | undefined => {
      const kind = failureKind({ outcome: hang, signature: null, threads: [main, ...runtime, ...threads] });
      assert.equal(kind?.id, 'join-at-exit');
      return kind.detail;
    };
    const at = `at _shutdown (${library}:9)`;
    const readers = [inPython(5, 'read', '/app/a.py'), inPython(6, 'write', '/app/b.py')];
    assert.equal(
      detailOf(...readers),
      `${at}, waits for one of 2 threads, at read (/app/a.py:7) or at write (/app/b.py:7)`,
    );
    assert.match(detailOf(inPython(5, 'read', '/app/a.py')) ?? '', /waits for .*at read \(\/app\/a\.py:7\)$/);
    // asyncio.run() joins its executor by a thread of its own, while its event loop runs.
    const loop = {
      ...stack(true, false, 'epoll_wait', 'main'),
      interpreted: [
        { name: 'select', file: '/usr/lib/python3.11/selectors.py', line: 1 },
        { name: 'run_until_complete', file: '/usr/lib/python3.11/asyncio/base_events.py', line: 2 },
      ],
    };
    const helper = inPython(7, '_do_shutdown', '/usr/lib/python3.11/asyncio/base_events.py');
    const kind = failureKind({
      outcome: hang,
      signature: null,
      threads: [loop, helper, inPython(8, 'work', '/app/c.py')],
    });
    assert.equal(kind?.id, 'join-at-exit');
    assert.match(
      kind?.detail ?? '',
      /asyncio joins its default executor.*waits for .*at work \(\/app\/c\.py:7\)$/,
    );
  });

  test('names the workers of an executor that Python joins, and no other thread', () => {
    const lib = '/usr/lib/python3.11';
    const futures = `${lib}/concurrent/futures/thread.py`;
    const inPython = (tid: number, ...interpreted: [name: string, file: string][]): ThreadStack => ({
      ...{ ...stack(tid === 1, false, 'futex_wait', ...(tid === 1 ? exiting : [])), tid },
      interpreted: interpreted.map(([name, file]) => ({ name, file, line: 7 })),
    });
    const daemon = { ...inPython(3, ['stats', '/app/a.py'], ['run', `${lib}/threading.py`]), busy: true };
    const worker = inPython(4, ['handle', '/app/b.py'], ['run', futures], ['_worker', futures]);
    const detailOf = (...threads: ThreadStack[]): string => {
      const kind = failureKind({ outcome: hang, signature: null, threads });
      assert.equal(kind?.id, 'join-at-exit');
      return kind.detail ?? '';
    };
    const main = inPython(
      1,
      ['join', `${lib}/threading.py`],
      ['_python_exit', futures],
      ['_shutdown', `${lib}/threading.py`],
    );
    const named = /waits for thread "[^"]*" at handle \(\/app\/b\.py:7\)$/;
    assert.match(detailOf(main, daemon, worker), named);
    const busy = /^thread "[^"]*" burns CPU in futex_wait at handle \(\/app\/b\.py:7\)$/;
    assert.match(detailOf(main, { ...daemon, busy: false }, { ...worker, busy: true }), busy);
    // Its Python frames may be unseen.
    assert.doesNotMatch(detailOf(main, daemon), /stats/);
    const loop = {
      ...stack(true, false, 'epoll_wait', 'main'),
      interpreted: [{ name: 'run_until_complete', file: `${lib}/asyncio/base_events.py`, line: 2 }],
    };
    const helper = inPython(5, ['shutdown', futures], ['_do_shutdown', `${lib}/asyncio/base_events.py`]);
    assert.match(detailOf(loop, helper, daemon, worker), named);
    const processes = `${lib}/concurrent/futures/process.py`;
    const joins = inPython(1, ['join', `${lib}/threading.py`], ['_python_exit', processes]);
    const manager = inPython(6, ['wait', `${lib}/multiprocessing/connection.py`], ['run', processes]);
    assert.match(detailOf(joins, daemon, manager), /waits for thread "[^"]*" at .* \(.*process\.py:7\)/);
  });

  test('of an event loop that makes its own system calls is known by the kernel', () => {
    const main: ThreadStack = {
      ...stack(true, false),
      frames: [{ name: null, library: 'bun', source: null }],
      asleep: true,
      channel: 'do_epoll_wait',
    };
    const kindOf = (thread: ThreadStack): string | undefined =>
      failureKind({ outcome: hang, signature: null, threads: [thread] })?.id;
    assert.equal(kindOf(main), 'event-loop-alive');
    assert.equal(kindOf({ ...main, channel: 'futex_wait_queue' }), 'blocked');
  });

  test('of a Java program whose main has returned is the wait of the JVM for its threads', () => {
    const waits = stack(true, false, '__futex_abstimed_wait', '__pthread_clockjoin_ex');
    const caller = { name: 'CallJavaMainInNewThread', library: 'libjli.so', source: null };
    const unplaced = 'no Java frames: jcmd could not ask it';
    const launcher = { ...waits, frames: [...waits.frames, caller], notInterpreted: unplaced };
    const java = { ...stack(false, false, 'pthread_cond_wait', 'Threads::destroy_vm', 'JavaMain'), tid: 3 };
    const kind = failureKind({ outcome: hang, signature: null, threads: [launcher, java] });
    assert.equal(kind?.id, 'join-at-exit');
    assert.equal(kind?.detail, "Java's main has returned, no Java frames: jcmd could not ask it");
    const inJvm = (tid: number, name: string): ThreadStack => ({
      ...{ tid, name, main: false, faulting: false },
      frames: [{ name: 'JavaThread::sleep(long)', library: 'libjvm.so', source: null }],
    });
    const pool = failureKind({
      outcome: hang,
      signature: null,
      threads: [launcher, java, inJvm(5, 'pool-1')],
    });
    assert.match(
      pool?.detail ?? '',
      /^Java's main has returned, the program's other threads are "pool-1", no Java frames/,
    );
    // gdb can't see through Java's frames, which the wait for a shutdown hook is in.
    const running = {
      ...inJvm(3, 'java'),
      frames: [{ name: 'Object::wait', library: 'libjvm.so', source: null }],
    };
    const waits3 = { ...launcher, joins: 3 };
    const own = inJvm(4, 'GC Thread#0');
    const hooked = failureKind({
      ...{ outcome: hang, signature: null },
      threads: [waits3, running, own, inJvm(5, 'drain-hook')],
    });
    assert.deepEqual([hooked?.id, hooked?.or?.id], ['blocked', 'join-at-exit']);
    assert.match(hooked?.detail ?? '', /^the program's other threads are "drain-hook", no Java frames/);
    const other = failureKind({ outcome: hang, signature: null, threads: [waits3, running, own] });
    assert.deepEqual([other?.id, other?.or], ['blocked', null]);
    assert.equal(other?.detail, unplaced);
  });

  test("of a thread that called Python too late says whether it is Python's own", () => {
    const lines = [
      'take_gil () from /usr/lib/libpython3.11.so.1.0',
      'step () from /x/apsw/__init__.cpython-311.so',
    ];
    const frames = parseFrames(lines.map((line, i) => `#${i}  0x0000000000000001 in ${line}`).join('\n'), []);
    const detailOf = (...more: string[]): string | null | undefined => {
      const own = more.map((name) => ({ name, library: 'libpython3.11.so.1.0', source: null }));
      const died = { ...stack(false, true), name: 'python', frames: [...frames, ...own] };
      const threads = [died, stack(true, false, 'Py_FinalizeEx', 'main')];
      const kind = failureKind({ outcome: crash, signature: null, threads });
      assert.equal(kind?.id, 'python-after-finalization');
      return kind.detail;
    };
    const named = 'thread "python" in apsw/__init__.cpython-311.so';
    assert.equal(detailOf(), named);
    assert.equal(detailOf('thread_run', 'pythread_wrapper'), `a daemon thread of Python's own, ${named}`);
  });

  test('of a crash in an exit handler of Python says where that was, or why it is not known', () => {
    const frames = [
      ['strlen', 'libc.so.6'],
      ['string_at', '_ctypes.cpython-311.so'],
      ['ffi_call', 'libffi.so.8'],
      ['_PyEval_EvalFrameDefault', 'libpython3.11.so.1.0'],
      ['Py_FinalizeEx', 'libpython3.11.so.1.0'],
    ].map(([name = '', library = '']) => ({ name, library, source: null }));
    const detailOf = (more: Partial<ThreadStack>): string | null | undefined => {
      const kind = failureKind({
        ...{ outcome: crash, signature: null },
        threads: [{ ...stack(true, true), frames, ...more }],
      });
      assert.equal(kind?.id, 'crash-in-destructor');
      return kind.detail;
    };
    const interpreted = [{ name: 'boom', file: '/app/p5.py', line: 3 }];
    assert.equal(detailOf({ interpreted }), 'in _ctypes.cpython-311.so, of SIGSEGV, at boom (/app/p5.py:3)');
    assert.equal(
      detailOf({ notInterpreted: 'no py-spy' }),
      'in _ctypes.cpython-311.so, of SIGSEGV, no py-spy',
    );
    const native = frames.filter(({ name }) => !name.startsWith('_PyEval'));
    assert.doesNotMatch(detailOf({ notInterpreted: 'no py-spy', frames: native }) ?? '', /py-spy/);
  });

  test('of a thread that Python ended blames the library that called Python, whatever Python ran', () => {
    const frames = [
      ['pthread_exit', 'libc.so.6'],
      ['PyThread_exit_thread', 'libpython3.13.so.1.0'],
      ['take_gil', 'libpython3.13.so.1.0'],
      ['_PyEval_EvalFrameDefault', 'libpython3.13.so.1.0'],
      ['closure_fcn', '_ctypes.cpython-313.so'],
      ['ffi_closure', 'libffi.so.8'],
      ['operator()', 'ext3.so'],
      ['start_thread', 'libc.so.6'],
    ].map(([name = '', library = '']) => ({ name, library, source: null }));
    const died = { tid: 2, name: 'python', main: false, faulting: true, frames };
    const main = stack(true, false, 'poll', 'Py_FinalizeEx', 'main');
    const kind = failureKind({ outcome: crash, signature: null, threads: [died, main] });
    assert.deepEqual([kind?.id, kind?.detail], ['python-thread-unwound', 'thread "python" in ext3.so']);
    // Python's own thread has no such library.
    const own = [
      ...frames.slice(0, 4),
      { name: 'thread_run', library: 'libpython3.13.so.1.0', source: null },
    ];
    const other = failureKind({ outcome: crash, signature: null, threads: [{ ...died, frames: own }, main] });
    assert.equal(other?.detail, `a daemon thread of Python's own, thread "python"`);
  });

  test('names an addon that loads another by its own name, if that has only a hash', () => {
    const frames = [
      { name: 'napi_register_module_v1', library: `${'0a'.repeat(32)}.node`, source: null },
      { name: 'napi_register_module_v1', library: 'swc.linux-x64-gnu.node', source: null },
    ];
    const threads = [{ tid: 2, name: 'worker', main: false, faulting: true, frames }];
    const kind = failureKind({ outcome: crash, signature: null, threads });
    assert.deepEqual([kind?.id, kind?.detail], ['addon-load', 'swc.linux-x64-gnu.node']);
  });

  test('of a crash says where Python was, as faulthandler printed it', () => {
    const stderr = `Fatal Python error: Segmentation fault\n\nCurrent thread 0x00007f (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "/app/p.py", line 2 in read_header\n  File "/app/p.py", line 3 in <module>\n`;
    const threads = [stack(true, true, 'f', 'main')];
    const kind = failureKind({ outcome: crash, signature: null, threads, stderr });
    assert.deepEqual(
      [kind?.id, kind?.detail],
      [
        'native-crash',
        'at string_at (/usr/lib/python3.11/ctypes/__init__.py:519), called in read_header (/app/p.py:2)',
      ],
    );
  });

  test('of a main thread that loads a library may be a slow disk', () => {
    const of = (...names: string[]) =>
      failureKind({ outcome: hang, signature: null, threads: [stack(true, false, ...names)] });
    const load = ['pread64', 'open_verify', '_dl_map_object', 'dl_open_worker', 'main'];
    assert.deepEqual([of(...load)?.id, of(...load)?.or?.id], ['blocked', 'slow']);
    // What a library's own code waits for as it is loaded is another matter.
    const own = ['read', 'a', 'b', 'c', 'd', 'e', '_dl_open', 'main'];
    assert.deepEqual([of(...own)?.id, of(...own)?.or], ['blocked', null]);
  });

  test('of a signal that the kernel sends says for what', () => {
    for (const [signal, why] of [
      ['SIGPIPE', /nobody can read/],
      ['SIGALRM', /timer/],
      ['SIGXFSZ', /ulimit -f/],
      ['SIGTERM', undefined],
    ] as const) {
      const kind = failureKind({
        outcome: { kind: 'signal', signal, exitCode: null },
        signature: null,
        threads: [],
      });
      assert.equal(kind?.id, 'killed');
      if (why === undefined) assert.equal(kind.detail, null);
      else assert.match(kind.detail ?? '', why);
    }
  });

  test('of a tokio runtime that is dropped is a join, in the function that drops it', () => {
    const frames = [
      'syscall',
      'parking_lot_core::thread_parker::imp::ThreadParker::futex_wait',
      'tokio::runtime::blocking::shutdown::Receiver::wait',
      'tokio::runtime::blocking::pool::BlockingPool::shutdown',
      'core::ptr::drop_in_place<tokio::runtime::blocking::pool::BlockingPool>',
      'app::main',
    ].map((name) => ({ name, library: name === 'syscall' ? 'libc.so.6' : 'app', source: null }));
    const main: ThreadStack = { ...stack(true, false), frames };
    const other = { ...stack(false, false, 'nanosleep'), tid: 3, name: 'tokio-rt-worker' };
    const kind = failureKind({ outcome: hang, signature: null, threads: [main, other] });
    assert.equal(kind?.id, 'join-at-exit');
    assert.match(
      kind.detail ?? '',
      /^a tokio runtime is dropped, .*, in app::main \[app\], waits for thread "tokio-rt-worker"/,
    );
  });

  test('knows a host by any name that its file has', () => {
    for (const file of [
      '/usr/bin/node',
      '/opt/node22',
      '/usr/bin/nodejs',
      'node_modules/bun/bin/bun.exe',
      '/x/bun-profile',
      'deno',
    ])
      assert.notEqual(hostOf(file), undefined, file);
    for (const file of [
      '/usr/lib/libnode.so.115',
      '/app/nodes',
      '/app/addon.node',
      '/app/bundle',
      '/app/my-node',
    ])
      assert.equal(hostOf(file), undefined, file);
    assert.ok(isHostThread('GC Thread#0', '/jvm/libjvm.so') && !isHostThread('Thread-0', '/jvm/libjvm.so'));
  });

  test('names threads as their program does', () => {
    const main = stack(true, false, 'pthread_join', 'exit', 'main');
    const timer: ThreadStack = {
      ...{ tid: 2, name: 'python', ownName: 'Thread-1', main: false, faulting: false },
      frames: [{ name: 'poll', library: 'libc.so.6', source: null }],
      interpreted: [
        ['wait', 363],
        ['Timer.run', 1360],
        ['Thread._bootstrap_inner', 1043],
      ].map(([name, line]) => ({
        ...{ name: String(name), file: '/usr/lib/python3.13/threading.py', line: Number(line) },
      })),
    };
    const kind = failureKind({ outcome: hang, signature: null, threads: [main, timer] });
    const at = '/usr/lib/python3.13/threading.py';
    assert.equal(
      kind?.detail,
      `waits for thread "Thread-1" at wait (${at}:363), called in Timer.run (${at}:1360)`,
    );
  });

  test('of a Node that waits for a worker whose end waits is the wait of the worker', () => {
    const frame = (name: string, library: string | null) => ({ name, library, source: null });
    const ends = [
      ...[frame('node::FreeEnvironment(node::Environment*)', 'node'), frame('start', 'node')],
      frame('node::worker::Worker::Run()', 'node'),
    ];
    const worker = (...inner: StackFrame[]): ThreadStack => ({
      ...{ tid: 2, name: 'node', main: false, faulting: false, joins: 3 },
      frames: [...inner, ...ends],
    });
    const joins = worker(frame('pthread_join', 'libc.so.6'), frame('stop', 'a4.node'));
    const pool: ThreadStack = {
      ...{ tid: 3, name: 'pool', main: false, faulting: false },
      frames: [frame('pthread_cond_wait', 'libc.so.6'), frame('work', 'a4.node')],
    };
    const main = (...keptAliveBy: string[]): ThreadStack => ({
      ...stack(true, false, 'epoll_pwait', 'uv__io_poll', 'uv_run', 'main'),
      keptAliveBy,
    });
    const kindOf = (...threads: ThreadStack[]) => failureKind({ outcome: hang, signature: null, threads });
    const kind = kindOf(main('worker /srv/run.cjs'), joins, pool);
    assert.equal(kind?.id, 'join-at-exit');
    assert.equal(
      kind.detail,
      'worker /srv/run.cjs ends, in stop [a4.node], waits for thread 3 "pool" in a4.node',
    );
    assert.match(kindOf(main('worker'), joins, pool)?.detail ?? '', /^a worker ends, /);
    assert.match(kindOf(main('worker /a.cjs x2'), joins, pool)?.detail ?? '', /^worker \/a\.cjs x2 ends, /);
    // Whatever the worker does, the main thread has its own reason to go on.
    assert.equal(kindOf(main('TCP server', 'worker /srv/run.cjs'), joins, pool)?.id, 'event-loop-alive');
    const spins = { ...worker(frame('stop', 'a4.node')), busy: true };
    const busy = kindOf(main('worker /srv/run.cjs'), spins, pool);
    assert.deepEqual([busy?.id, busy?.detail?.includes('stop [a4.node]')], ['busy', true]);
    const polls = worker(frame('poll', 'libc.so.6'), frame('stop', 'a4.node'));
    assert.equal(kindOf(main('worker /srv/run.cjs'), polls, pool)?.id, 'blocked');
  });

  test('of a busy thread names the library of code without symbols, and no function twice in a row', () => {
    const detailOf = (...frames: (readonly [name: string | null, library: string])[]) => {
      const main = { ...stack(true, false), busy: true };
      const threads = [
        { ...main, frames: frames.map(([name, library]) => ({ name, library, source: null })) },
      ];
      return failureKind({ outcome: hang, signature: null, threads })?.detail;
    };
    // A loop of calls of libsql, under Node.
    const invoke = ['Invoke', 'node'] as const;
    assert.equal(
      detailOf([null, 'index.node'], [null, 'index.node'], invoke, ['main', 'node']),
      'thread "thread" burns CPU in [index.node] < Invoke [node] < main [node]',
    );
    assert.equal(
      detailOf(['read', 'libc.so.6'], ['read', 'libc.so.6'], [null, 'node'], invoke, ['main', 'node']),
      'thread "thread" burns CPU in read [libc.so.6] < Invoke [node] < main [node]',
    );
    assert.equal(detailOf([null, 'node']), 'thread "thread" burns CPU');
  });

  test('of a call of a thread-safe function, which any thread may make, is not that of a wrong thread', () => {
    const kindOf = (call: string, ...main: string[]): string | undefined => {
      const threads = [
        stack(false, true, 'abort', 'uv_mutex_unlock', call, 'work'),
        stack(true, false, ...main),
      ];
      const kind = failureKind({ outcome: { ...crash, signal: 'SIGABRT' }, signature: null, threads });
      return kind?.or ? `${kind.id} or ${kind.or.id}` : kind?.id;
    };
    const running = ['epoll_pwait', 'uv_run', 'main'];
    assert.equal(kindOf('napi_call_threadsafe_function', ...running), 'napi-after-teardown or native-crash');
    assert.equal(kindOf('napi_release_threadsafe_function', 'exit', 'main'), 'napi-after-teardown');
    assert.equal(kindOf('napi_create_threadsafe_function', ...running), 'napi-off-thread');
    assert.equal(kindOf('napi_call_function', ...running), 'napi-off-thread');
  });

  test('of a C++ exception of node-addon-api is that its environment refused the call, where that may be', () => {
    const line = "terminate called after throwing an instance of 'Napi::Error'";
    const thrown = ['abort', 'std::terminate()', '__cxa_throw', 'Napi::Error::ThrowAsJavaScriptException()'];
    const loop = ['uv__work_done', 'uv_run'];
    const worker = ['node::worker::Worker::Run()', 'start_thread'];
    // The stack of bcrypt 6.0 and argon2 0.44 in a worker that was terminated.
    const torn = ['node::Environment::RunCleanup()', 'node::FreeEnvironment(node::Environment*)'];
    const main = stack(true, false, 'epoll_pwait', 'uv_run', 'main');
    const kindOf = (what: string, stacks: ThreadStack[], text = line): string | undefined => {
      const stderr = `${text}\n  what():  ${what}\n`;
      const kind = failureKind({
        ...{ outcome: { ...crash, signal: 'SIGABRT' }, stderr, threads: stacks },
        signature: printed('cxx-terminate', text),
      });
      return kind?.or ? `${kind.id} or ${kind.or.id}` : kind?.id;
    };
    const ending = [stack(false, true, ...thrown, ...loop, ...torn, ...worker), main];
    assert.equal(kindOf('', ending), 'napi-after-teardown');
    assert.equal(kindOf('', [stack(true, true, ...thrown, ...loop, ...torn, 'main')]), 'napi-after-teardown');
    assert.equal(kindOf('busy', ending), 'napi-after-teardown or uncaught-cxx-exception');
    // zeromq 6.8: the worker is terminated while an event runs.
    const running = [stack(false, true, ...thrown, ...loop, ...worker), main];
    assert.equal(kindOf('', running), 'napi-after-teardown or uncaught-cxx-exception');
    assert.equal(kindOf('busy', running), 'uncaught-cxx-exception');
    // zeromq 6.3: so deep in JavaScript that the debugger saw no more of it.
    const cut = [stack(false, true, ...thrown, 'v8::internal::Builtin_HandleApiCall(int)'), main];
    assert.equal(kindOf('', cut), 'napi-after-teardown or uncaught-cxx-exception');
    assert.equal(kindOf('', [stack(true, true, ...thrown, ...loop, 'main')]), 'uncaught-cxx-exception');
    const [died, ...others] = ending;
    assert.equal(kindOf('', [{ ...(died as ThreadStack), frames: [] }, ...others]), kindOf('', running));
    const apple = 'libc++abi: terminating due to uncaught exception of type Napi::TypeError';
    assert.equal(kindOf('', ending, apple), 'napi-after-teardown');
    const other = "terminate called after throwing an instance of 'std::runtime_error'";
    assert.equal(kindOf('', ending, other), 'uncaught-cxx-exception');
  });

  test('of a panic because Node-API failed, while an environment ends, is that the addon called it too late', () => {
    const idOf = (stderr: string, ...functions: string[]): string | undefined => {
      const kind = failureKind({
        ...{ outcome: { ...crash, signal: 'SIGABRT' }, stderr },
        signature: printed('rust-panic', "thread '<unnamed>' panicked at napi/src/deferred.rs:130:3:"),
        threads: [stack(false, true, 'abort', ...functions), stack(true, false, 'epoll_pwait', 'main')],
      });
      return kind?.or ? `${kind.id} or ${kind.or.id}` : kind?.id;
    };
    // lancedb 0.4.20, in a worker that is terminated.
    const freed = ['node::Environment::CleanupHandles()', 'node::FreeEnvironment()'];
    const torn = [
      'napi::js_values::deferred::napi_resolve_deferred',
      ...freed,
      'node::worker::Worker::Run()',
    ];
    const late = 'napi-after-teardown or crash-in-destructor';
    const now = 'assertion `left == right` failed: failed to delete napi ref\n  left: 1\n right: 0\n';
    const formerly =
      'assertion failed: `(left == right)`\n  left: `1`,\n right: `0`: failed to delete napi ref\n';
    assert.equal(idOf(now, ...torn), late);
    assert.equal(idOf(formerly, ...torn), late);
    assert.equal(idOf(now.replace('left: 1', 'left: 0'), ...torn), 'crash-in-destructor');
    assert.equal(idOf(now.replace('napi ref', 'file'), ...torn), 'crash-in-destructor');
  });

  test('of a fault in Node-API that nothing explains names a worker that has ended, too', () => {
    const threads = [
      stack(true, true, 'v8::HandleScope::HandleScope', 'napi_open_handle_scope', 'fire', 'main'),
    ];
    const kind = failureKind({ outcome: crash, signature: null, threads });
    assert.deepEqual([kind?.id, kind?.or?.id], ['native-crash', 'napi-after-teardown']);
  });

  test('says which thread the exit waits for, where there is one', () => {
    const main = stack(true, false, 'pthread_join', 'exit', 'main');
    const other: ThreadStack = {
      ...{ tid: 2, name: 'worker', main: false, faulting: false },
      frames: [
        { name: '__poll', library: 'libc.so.6', source: null },
        { name: 'serve', library: 'addon.so', source: null },
      ],
    };
    const failure = { outcome: hang, signature: null };
    const kind = failureKind({ ...failure, threads: [main, other] });
    assert.equal(kind?.id, 'join-at-exit');
    assert.equal(kind?.detail, 'waits for thread "worker" in addon.so');
    const third = { ...other, tid: 3 };
    const several = failureKind({ ...failure, threads: [main, other, third] });
    assert.equal(several?.detail, 'waits for one of 2 threads in addon.so');
    // It joins the third, which joins the second.
    const joins = [{ ...main, joins: 3 }, other, { ...third, joins: 2 }];
    const joined = failureKind({ ...failure, threads: joins });
    assert.equal(joined?.detail, 'waits for thread 2 "worker" in addon.so');
  });

  test('says how Go shows its own stacks', () => {
    const detailOf = (...frames: readonly (readonly [name: string, library: string])[]) => {
      const main = stack(true, false);
      const threads = [
        { ...main, frames: frames.map(([name, library]) => ({ name, library, source: null })) },
      ];
      const kind = failureKind({
        outcome: hang,
        signature: null,
        threads: [...threads, stack(false, false, 'poll')],
      });
      assert.equal(kind?.id, 'blocked');
      return kind?.detail;
    };
    assert.equal(
      detailOf(
        ['internal/runtime/syscall/linux.Syscall6', 'serve'],
        ['runtime.netpoll (delay=...)', 'serve'],
        ['runtime.mcall', 'serve'],
      ),
      'SIGQUIT makes Go print where its goroutines are',
    );
  });

  test('names the addon that was being loaded', () => {
    const died = {
      ...stack(false, true),
      frames: [
        { name: 'inner', library: 'libother.so', source: null },
        { name: 'napi_register_module_v1', library: 'sl.node', source: null },
      ],
    };
    const kind = failureKind({
      outcome: crash,
      signature: null,
      threads: [died, stack(true, false, 'poll')],
    });
    assert.deepEqual([kind?.id, kind?.detail], ['addon-load', 'sl.node']);
  });

  test('says which thread died, and in which library', () => {
    const died: ThreadStack = {
      ...{ tid: 2, name: 'tokio-rt-worker', main: false, faulting: true },
      frames: [
        { name: 'memmove', library: 'libc.so.6', source: null },
        { name: null, library: 'addon.node', source: null },
      ],
    };
    const threads = [died, stack(true, false, 'exit', 'main')];
    const kind = failureKind({ outcome: crash, signature: null, threads });
    assert.equal(kind?.id, 'thread-outlives-exit');
    assert.equal(kind?.detail, 'thread "tokio-rt-worker" in addon.node');
  });

  test('has a page, each', () => {
    const docs = fileURLToPath(new URL('../../../../docs/diagnosis', import.meta.url));
    const pages = new Set(readdirSync(docs));
    for (const { id, page } of failureKinds) {
      assert.ok(pages.has(`${id}.md`), id);
      assert.ok(page.endsWith(`/docs/diagnosis/${id}.md`));
    }
  });
});
