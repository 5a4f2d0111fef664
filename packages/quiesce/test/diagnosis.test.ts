// What a crash and a clean exit show of their threads: real programs that end in these ways, seen by the witness and gdb.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type FailureKind, run, UsageError } from '../src/index.js';
import { findExecutable } from '../src/process/executable.js';
import { scenarioText } from '../src/report/terminal.js';
import { isAllowedThread } from '../src/run/allowed-threads.js';
import {
  compiled,
  gccless,
  node,
  pythonless,
  spawned,
  unseen,
  untraced,
  withoutDebugger,
} from './support/diagnosis.js';
import { temporaryDirectory } from './support/temporary-directory.js';

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
    // it. In a signal's handler the signal is blocked: so the main thread knows that the other one dies.
    const program = [
      'import ctypes, os, re, threading, time',
      'libc = ctypes.CDLL(None)',
      'def die():',
      '    libc.prctl(15, b"dying", 0, 0, 0)',
      '    libc.abort()',
      'thread = threading.Thread(target=die, daemon=True)',
      'thread.start()',
      'blocked = lambda: int(re.search(r"SigBlk:\\s*(\\w+)", open(f"/proc/self/task/{thread.native_id}/status").read())[1], 16)',
      'while not blocked() & 1 << 5: time.sleep(0.001)',
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
      static volatile bool working = false;
      extern "C" int is_working() { return working; }
      extern "C" void work() {
        Cleanup cleanup;
        void* state = PyEval_SaveThread();
        working = true;
        usleep(500000);
        cleanup.armed = true;
        PyEval_RestoreThread(state);
        cleanup.armed = false;
      }`,
      ...['g++', '-shared', '-fPIC'],
    );
    const program = [
      'import ctypes, sys, threading, time',
      'if sys.version_info >= (3, 14): sys.exit(9) # it lets such threads hang',
      `library = ctypes.PyDLL(${JSON.stringify(library)})`,
      'threading.Thread(target=library.work, daemon=True).start()',
      'while not library.is_working(): time.sleep(0.001)',
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

  test("glibc's helper threads are no threads left", { skip: unseen || gccless }, async () => {
    const dir = temporaryDirectory('helpers');
    const source = `#include <cstring>
      #include <ctime>
      #include <signal.h>
      #include <unistd.h>
      static volatile int calls;
      static void call(sigval) { calls = calls + 1; }
      int main() {
        sigevent event;
        memset(&event, 0, sizeof event);
        event.sigev_notify = SIGEV_THREAD;
        event.sigev_notify_function = call;
        timer_t timer;
        timer_create(CLOCK_MONOTONIC, &event, &timer);
        itimerspec time{{0, 0}, {0, 1000000}};
        timer_settime(timer, 0, &time, nullptr);
        while (!calls) usleep(1000);
        timer_delete(timer);
        usleep(50000);
      }`;
    writeFileSync(join(dir, 'a.cc'), source);
    execFileSync('g++', [join(dir, 'a.cc'), '-O2', '-o', join(dir, 'timer'), '-lpthread', '-lrt']);
    const { failed, failures } = await run({ command: [join(dir, 'timer')], runs: 2, strict: true });
    assert.equal(failed, 0, JSON.stringify(failures[0]?.outcome));
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

describe('a signal that a program sends to itself', () => {
  test('is named by whatever function it sends it', { skip: untraced || gccless }, async () => {
    const sends = `#define _GNU_SOURCE
      #include <pthread.h>
      #include <signal.h>
      #include <stdlib.h>
      #include <string.h>
      #include <sys/syscall.h>
      #include <unistd.h>
      static const char *how;
      static void send_it(void) {
        union sigval value = { 0 };
        if (strstr(how, "sigqueue")) sigqueue(getpid(), SIGABRT, value);
        if (strstr(how, "raise")) raise(SIGABRT);
        if (strstr(how, "pthread_kill")) pthread_kill(pthread_self(), SIGABRT);
        if (strstr(how, "tgkill")) tgkill(getpid(), gettid(), SIGABRT);
        if (strstr(how, "syscall")) syscall(SYS_tgkill, getpid(), gettid(), SIGABRT);
        if (strstr(how, "abort")) abort();
      }
      static void *start(void *x) { send_it(); return x; }
      int main(int argc, char **argv) {
        how = argv[1];
        pthread_t thread;
        if (strstr(how, "in a thread")) return pthread_create(&thread, NULL, start, NULL) + pthread_join(thread, NULL);
        if (strstr(how, "at exit")) return atexit(send_it);
        send_it();
      }`;
    const program = compiled('sends', sends);
    const itself = ['killed', 'by itself'];
    for (const [how, expected] of [
      ['sigqueue', itself],
      ['raise', itself],
      ['raise at exit', itself],
      ['raise in a thread', itself],
      ['pthread_kill', itself],
      ['tgkill', itself],
      ['syscall', itself],
      ['abort', ['aborted', 'in sends']],
      ['abort at exit', ['crash-in-destructor', 'in sends, which called abort()']],
    ] as const) {
      const { failures } = await run({ command: [program, how], runs: 1 });
      const { kind, evidence } = failures[0] ?? {};
      assert.deepEqual([kind?.id, kind?.detail], expected, `${how}\n${evidence?.stacks}`);
    }
  });

  test('in Python, without a tool that shows its frames, says which one would', {
    skip:
      untraced || pythonless || (findExecutable('py-spy', '/').path !== undefined && 'py-spy is installed'),
  }, async () => {
    for (const [program, words] of [
      ['import ctypes; ctypes.string_at(8)', 'faulthandler prints them, if PYTHONFAULTHANDLER=1 or'],
      ['import signal; signal.raise_signal(signal.SIGTRAP)', 'faulthandler prints none for SIGTRAP'],
    ] as const) {
      const { failures } = await run({ command: ['python3', '-c', program], runs: 1 });
      const { stacks } = failures[0]?.evidence ?? {};
      assert.ok(stacks?.includes(`nor in PATH, and would show them; ${words}`), `${stacks}`);
    }
  });

  test('is named in Python, too', { skip: untraced || pythonless }, async () => {
    for (const send of ['os.kill(os.getpid(), signal.SIGABRT)', 'signal.raise_signal(signal.SIGABRT)']) {
      const { failures } = await run({ command: ['python3', '-c', `import os, signal; ${send}`], runs: 1 });
      const { kind, evidence } = failures[0] ?? {};
      assert.deepEqual([kind?.id, kind?.detail], ['killed', 'by itself'], `${send}\n${evidence?.stacks}`);
    }
  });

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
