// The likely kind of a failure, by recorded stacks and output, and how gdb's stacks are read.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { hostOf, isHostThread } from '../src/hosts.js';
import { run, type ThreadStack } from '../src/index.js';
import { failureKind, failureKinds } from '../src/results/failure-kinds.js';
import { errorOf, faultHandlerAdvice } from '../src/run/languages/python-frames.js';
import type { SignatureMatch } from '../src/run/signatures.js';
import {
  formatStacks,
  libraryName,
  parseFrames,
  parseMappings,
  parseStacks,
  type StackFrame,
} from '../src/run/stack-trace.js';
import { parseWitnessLine } from '../src/run/witness.js';
import { pythonless, untraced } from './support/diagnosis.js';
import { temporaryDirectory } from './support/temporary-directory.js';

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

  test('the name of a library says which package it is of', () => {
    const names = {
      '/app/node_modules/zeromq/build/linux/x64/node/131/addon.node': 'zeromq/addon.node',
      '/app/node_modules/a/node_modules/@b/c/build/Release/binding.node': '@b/c/binding.node',
      '/app/node_modules/.pnpm/zeromq@6.0.0/node_modules/zeromq/addon.node': 'zeromq/addon.node',
      '/app/node_modules/lightningcss-linux-x64-gnu/lightningcss.linux-x64-gnu.node':
        'lightningcss.linux-x64-gnu.node',
      '/app/node_modules/better-sqlite3/build/Release/better_sqlite3.node': 'better_sqlite3.node',
      '/app/node_modules/quiesce/native/exit-witness.linux-x64.so': 'exit-witness.linux-x64.so',
      '/app/node_modules/bun/bin/bun.exe': 'bun.exe',
      '/app/node_modules/@oven/bun-linux-x64/bin/bun': 'bun',
      '/app/node_modules/sharp/vendor/libvips.so': 'libvips.so',
      '/app/build/Release/addon.node': 'addon.node',
      '/v/lib/python3.11/site-packages/usearch/compiled.cpython-311-x86_64-linux-gnu.so':
        'usearch/compiled.cpython-311-x86_64-linux-gnu.so',
      '/v/lib/python3.11/site-packages/apsw/__init__.cpython-311.so': 'apsw/__init__.cpython-311.so',
      '/v/lib/python3.11/site-packages/polars/polars.abi3.so': 'polars.abi3.so',
      '/v/lib/python3.11/site-packages/_brotli.abi3.so': '_brotli.abi3.so',
      '/v/lib/python3.11/site-packages/pyzmq.libs/libzmq-1.so.5': 'libzmq-1.so.5',
      '/usr/lib/libc.so.6': 'libc.so.6',
    };
    for (const [path, name] of Object.entries(names)) assert.equal(libraryName(path), name);
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
      `${at}, waits for one of 2 threads, not a daemon, at read (/app/a.py:7) or at write (/app/b.py:7)`,
    );
    const named = { ...inPython(6, 'write', '/app/b.py'), ownName: 'guilty' };
    const zenoh = {
      ...inPython(5, 'run', '/app/a.py'),
      frames: [{ name: 'recv', library: 'zenoh.abi3.so', source: null }],
    };
    assert.equal(
      detailOf(zenoh, named),
      `${at}, waits for one of 2 threads, not a daemon, in zenoh.abi3.so at run (/app/a.py:7) or thread "guilty" at write (/app/b.py:7)`,
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
    // py-spy has the classes' names, too.
    for (const name of ['_do_shutdown', 'BaseEventLoop._do_shutdown']) {
      const helper = inPython(7, name, '/usr/lib/python3.11/asyncio/base_events.py');
      const kind = failureKind({
        outcome: hang,
        signature: null,
        threads: [loop, helper, inPython(8, 'work', '/app/c.py')],
      });
      assert.equal(kind?.id, 'join-at-exit');
      assert.match(
        kind.detail ?? '',
        /asyncio joins its default executor.*waits for .*at work \(\/app\/c\.py:7\)$/,
      );
    }
  });

  test('does not blame a thread for the wait of an exit handler for an event', () => {
    const lib = '/usr/lib/python3.11/threading.py';
    const frames = ['futex_wait', 'PyThread_acquire_lock_timed', '_PyEval_EvalFrameDefault', ...exiting];
    const main: ThreadStack = {
      ...stack(true, false, ...frames),
      interpreted: [
        { name: 'Condition.wait', file: lib, line: 327 },
        { name: 'Event.wait', file: lib, line: 629 },
      ],
    };
    const unrelated: ThreadStack = {
      ...stack(false, false, 'futex_wait'),
      ownName: 'unrelated',
      interpreted: [{ name: 'Queue.get', file: '/usr/lib/python3.11/queue.py', line: 171 }],
    };
    for (const threads of [
      [main, unrelated],
      [main, { ...unrelated, busy: true }],
      [{ ...main, frames: [], asleep: true, channel: 'futex_wait_queue' }, unrelated],
    ]) {
      const kind = failureKind({ outcome: hang, signature: null, threads, workDone: true });
      assert.equal(kind?.id, 'blocked');
      assert.match(kind.detail ?? '', /at Condition\.wait \(.*:327\), called in Event\.wait/);
      assert.doesNotMatch(kind.detail ?? '', /waits for thread/);
      assert.equal(kind.or?.id, 'join-at-exit');
    }
    // Here the wait isn't known to be for the end of a thread.
    const finish = stack(true, false, 'pthread_cond_wait', 'finish', 'exit', 'main');
    const worker = { ...stack(false, false, 'poll'), name: 'worker' };
    const kind = failureKind({ outcome: hang, signature: null, threads: [finish, worker] });
    assert.match(kind?.detail ?? '', /perhaps waits for thread "worker"$/);
    assert.equal(kind?.or?.id, 'blocked');
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

  test('of a thread of Python names the library that called Python again in it', () => {
    const frame = (name: string, library: string) => ({ name, library, source: null });
    const python = (name: string) => frame(name, 'libpython3.11.so.1.0');
    const unwinds = [
      frame('__GI___pthread_unwind', 'libc.so.6'),
      python('PyThread_exit_thread'),
      python('take_gil'),
    ];
    const thread = [python('_PyEval_EvalFrameDefault'), python('thread_run')];
    const detailOf = (...between: StackFrame[]): string | null | undefined => {
      const died = { ...stack(false, true), name: 'python', frames: [...unwinds, ...between, ...thread] };
      const threads = [died, stack(true, false, 'Py_FinalizeEx', 'main')];
      const kind = failureKind({ outcome: { ...crash, signal: 'SIGABRT' }, signature: null, threads });
      assert.equal(kind?.id, 'python-thread-unwound');
      return kind.detail;
    };
    const polars = frame('polars_python::python_function_caller_series', '_polars_runtime.abi3.so');
    const own = 'a daemon thread of Python\'s own, thread "python"';
    assert.equal(detailOf(polars), `${own} in _polars_runtime.abi3.so`);
    // Here the thread runs Python code that the library called.
    assert.equal(detailOf(python('_PyEval_EvalFrameDefault'), polars), `${own} in _polars_runtime.abi3.so`);
    const loop = frame('task_step', '_asyncio.cpython-311-x86_64-linux-gnu.so');
    assert.equal(detailOf(python('_PyEval_EvalFrameDefault'), loop), own);
    assert.equal(detailOf(), own);
  });

  test('of a fork that lost the threads of OpenMP is known by its barrier, also while that spins', () => {
    const frames = ['gomp_team_barrier_wait_end', 'gomp_team_end', 'faiss::fvec_norms_L2sqr', 'main'];
    for (const names of [frames, ['__kmp_wait_template', '__kmp_hyper_barrier_gather', 'main']]) {
      const main: ThreadStack = { ...stack(true, false, ...names), forkedFrom: 2 };
      for (const thread of [main, { ...main, busy: true }]) {
        const kind = failureKind({ outcome: hang, signature: null, threads: [thread] });
        assert.equal(kind?.id, 'threads-lost-in-fork');
      }
    }
    const busy = { ...stack(true, false, ...frames), busy: true };
    const other = { ...stack(false, false, 'work'), tid: 3 };
    assert.equal(failureKind({ outcome: hang, signature: null, threads: [busy, other] })?.id, 'busy');
  });

  test('of py-spy is its error, without the backtrace that follows', () => {
    const error =
      'Error: Failed to suspend\n\nCaused by:\n    EPERM: not permitted\n\nStack backtrace:\n   0: anyhow\n  11: main';
    assert.equal(errorOf(error), 'Error: Failed to suspend Caused by: EPERM: not permitted');
    assert.equal(errorOf('Error: gone\n'), 'Error: gone');
    assert.equal(errorOf(''), '');
  });

  test('of a crash in Python names the tools that would show its frames', () => {
    const advice = (command: string, signal?: NodeJS.Signals): string =>
      faultHandlerAdvice(command.split(' '), signal);
    const on = (how: string): string =>
      `faulthandler prints them, if ${how} or the program has switched it on`;
    assert.equal(advice('python3 -u p.py -I', 'SIGSEGV'), on('PYTHONFAULTHANDLER=1'));
    assert.equal(advice('python3 -mInstall', 'SIGABRT'), on('PYTHONFAULTHANDLER=1'));
    assert.equal(advice('app'), on('PYTHONFAULTHANDLER=1'));
    assert.equal(advice('python3 -sI p.py', 'SIGBUS'), on('-X faulthandler'));
    for (const signal of ['SIGTRAP', 'SIGSYS'] as const)
      assert.equal(advice('python3 p.py', signal), `faulthandler prints none for ${signal}`);
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
      // Node of Debian is a small program that has all of Node in its library.
      '/usr/lib/x86_64-linux-gnu/libnode.so.115',
      'libnode.so',
    ])
      assert.notEqual(hostOf(file), undefined, file);
    for (const file of [
      '/usr/lib/libnodes.so',
      '/app/nodes',
      '/app/addon.node',
      '/app/bundle',
      '/app/my-node',
    ])
      assert.equal(hostOf(file), undefined, file);
    assert.ok(isHostThread('node', '/usr/lib/x86_64-linux-gnu/libnode.so.115'));
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
