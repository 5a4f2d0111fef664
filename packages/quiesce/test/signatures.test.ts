// What dying runtimes print, exactly as they print it, and text that only looks like it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findSignature, SignatureScanner } from '../src/run/signatures.js';

const fatal: readonly (readonly [id: string, line: string])[] = [
  ['python-gil', 'Fatal Python error: PyGILState_Release: thread state 0x55 must be current when releasing'],
  ['python-gil', 'Fatal Python error: take_gil: PyMUTEX_LOCK(gil->mutex) failed'],
  ['python-fatal', 'Fatal Python error: init_sys_streams: can not initialize sys standard streams'],
  ['python-faulthandler', 'Fatal Python error: Segmentation fault'],
  ['python-faulthandler', 'Fatal Python error: Aborted'],
  ['napi-fatal', 'FATAL ERROR: Error::New napi_get_last_error_info'],
  ['v8-fatal', 'FATAL ERROR: v8::ToLocalChecked Empty MaybeLocal'],
  ['v8-fatal', '# Fatal error in , line 0'],
  ['node-abort', ' 1: 0xca5580 node::Abort() [node]'],
  ['node-abort', "node[2181]: ../src/env.cc:810: void node::Environment::Exit(): Assertion `!x' failed."],
  ['node-abort', "/usr/bin/node[77]: ../deps/uv/src/uv.c:12: Assertion `ok' failed."],
  ['node-abort', '  #  /usr/local/bin/node[2181]: void Stop(Env*) at ../src/api.cc:12'],
  ['rust-panic', "thread 'tokio-runtime-worker' (4711) panicked at src/lib.rs:1:1:"],
  ['out-of-memory', 'memory allocation of 4096 bytes failed'],
  ['stack-overflow', "thread 'main' (7) has overflowed its stack"],
  ['stack-overflow', 'fatal runtime error: stack overflow, aborting'],
  ['pure-virtual', 'pure virtual method called'],
  [
    'python-gil',
    'Fatal Python error: _PyMem_DebugMalloc: Python memory allocator called without holding the GIL',
  ],
  ['python-gil', "app: src/a.cc:12: void work(): Assertion `PyGILState_Check()' failed."],
  ['python-gil', '  what():  pybind11::handle::dec_ref() PyGILState_Check() failure.'],
  ['rust-panic', "thread 'main' panicked at 'no entry', src/main.rs:2:5"],
  ['rust-foreign-exception', 'fatal runtime error: Rust cannot catch foreign exceptions'],
  ['rust-foreign-exception', 'fatal runtime error: Rust cannot catch foreign exceptions, aborting'],
  ['rust-abort', 'fatal runtime error: thread result panicked on drop'],
  ['rust-abort', 'thread caused non-unwinding panic. aborting.'],
  [
    'python-gil',
    'Fatal Python error: _PyInterpreterState_GET: the function must be called with the GIL held, after Python initialization',
  ],
  ['napi-fatal', 'FATAL ERROR: napi_release_threadsafe_function failed'],
  ['out-of-memory', 'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory'],
  ['cxx-terminate', "terminate called after throwing an instance of 'std::runtime_error'"],
  ['forced-unwind', "terminate called after throwing an instance of ''"],
  ['cxx-terminate', 'libc++abi: terminating due to uncaught exception of type int'],
  ['heap-corruption', 'malloc(): unaligned tcache chunk detected'],
  ['cxx-terminate', 'terminate called without an active exception'],
  ['forced-unwind', 'FATAL: exception not rethrown'],
  ['qthread-destroyed', 'QThread: Destroyed while thread is still running'],
  ['qthread-destroyed', "QThread: Destroyed while thread 'reader' is still running"],
  ['address-sanitizer', '==123==ERROR: AddressSanitizer: heap-use-after-free on address 0x602'],
  ['thread-sanitizer', 'WARNING: ThreadSanitizer: data race (pid=1)'],
  ['leak-sanitizer', '==9==ERROR: LeakSanitizer: detected memory leaks'],
  ['memory-sanitizer', '==9==WARNING: MemorySanitizer: use-of-uninitialized-value'],
  ['undefined-behaviour', 'src/a.c:10:20: runtime error: signed integer overflow'],
  ['valgrind', '==77== Invalid read of size 4'],
  ['heap-corruption', 'double free or corruption (fasttop)'],
  ['heap-corruption', 'free(): invalid pointer'],
  ['stack-smashing', '*** stack smashing detected ***: terminated'],
  ['buffer-overflow', '*** buffer overflow detected ***: terminated'],
  ['assertion', "app: src/main.c:12: int main(void): Assertion `x == 1' failed."],
  ['deno-panic', 'Deno has panicked. This is a bug in Deno.'],
  ['bun-panic', 'panic(main thread): Segmentation fault at address 0x10'],
  ['bun-panic', 'oh no: Bun has crashed. This indicates a bug in Bun, not your code.'],
];

const harmless: readonly string[] = [
  'see what a Fatal Python error is',
  "retrying: child said 'Fatal Python error: PyGILState_Release' last night, see runbook",
  '2026-11-28 08:00:00 WARNING Fatal Python error: PyGILState_Release in the worker, restarted',
  'PyGILState_Release was called 3 times, PyThreadState_Get never',
  'the function must be called with the GIL held (docs)',
  'the log of yesterday has node::Abort() and double free or corruption (out)',
  'FATAL ERROR: the disk is full, giving up on this file',
  'Fatal error in the third file, line 12: skipped',
  'terminate called by the operator, draining',
  'libc++abi: version 17',
  'free(): 12 objects in 3 ms',
  'malloc(): hook installed',
  'fatal runtime error: no connection to db1, trying db2',
  "thread 'worker-3' panicked at midnight, and was started again",
  'ERROR: AddressSanitizer is not available for this compiler',
  'WARNING: built without ThreadSanitizer: races are not looked for',
  'config.yaml:3:1: runtime error: unknown key',
  'Bun has crashed twice this week',
  'Deno has panicked. Restarting it.',
  '[2181]: everything at hand',
  'worker[2181]: Assertion of rights',
  'note: runtime error: see the manual',
  'src/a.c:10: runtime error: without a column',
  "the test: Assertion `x' failed.",
  "a thread 'x' panicked at noon",
  'it was terminate called',
  'the memory allocation of 12 bytes failed once',
  "what(): the thread 'main' has overflowed its stack, see above",
  'a pure virtual method called twice',
  'see QThread: Destroyed while thread is still running',
  'ERROR: no sanitizer here',
];

test('is known in colours', () => {
  assert.equal(
    findSignature('\x1b[0;31moh no\x1b[0m\x1b[2m:\x1b[0m Bun has crashed. This indicates')?.id,
    'bun-panic',
  );
});

test('is known by its line, alone and within a long output', () => {
  const filler = '12:34:56 [INFO] request=/a/b/c.js:10:20: done in 3ms\n'.repeat(3_000);
  for (const [id, line] of fatal) {
    assert.equal(findSignature(`${line}\n`)?.id, id, line);
    const match = findSignature(`${filler}${line}\n${filler}`);
    assert.deepEqual([match?.id, match?.line], [id, line.trim().slice(0, 300)], line);
  }
});

test('is known across chunks, wherever they are parted', () => {
  for (const [id, line] of fatal) {
    const bytes = Buffer.from(`something before\n${line}\nand after\n`);
    for (let cut = 1; cut < bytes.length; cut += 3) {
      const scanner = new SignatureScanner();
      scanner.push(bytes.subarray(0, cut));
      scanner.push(bytes.subarray(cut));
      assert.equal(scanner.match?.id, id, `${line}, cut at ${cut}`);
    }
  }
});

test('is not seen in what only looks like it', () => {
  for (const line of harmless) assert.equal(findSignature(`x\n${line}\n`), undefined, line);
});

test('is found without the end of its line, and once only', () => {
  for (const text of ['Fatal Python error: x', 'Fatal Python error: x: y', 'text\nFatal Python error: x']) {
    assert.equal(findSignature(text)?.id, 'python-fatal', text);
    assert.equal(findSignature(text)?.line, text.split('\n').at(-1));
  }
  // Read before its end, a line that continues otherwise isn't taken for one.
  const scanner = new SignatureScanner();
  const matches = ['Fatal Python', ' error: Abor', 'ted\n'].map((part) => {
    scanner.push(Buffer.from(part));
    return scanner.match?.id;
  });
  assert.deepEqual(matches, [undefined, undefined, 'python-faulthandler']);
});

test('is looked for where its runtime prints it', () => {
  for (const [id, line] of fatal) assert.equal(findSignature(line, 'stdout'), undefined, id);
  const full = 'Aborting due to java.lang.OutOfMemoryError: Java heap space\n';
  assert.equal(findSignature(full, 'stdout')?.id, 'out-of-memory');
  assert.equal(findSignature(full, 'stderr'), undefined);
  const java = '#\n# A fatal error has been detected by the Java Runtime Environment:\n#\n';
  assert.equal(findSignature(java, 'stdout')?.id, 'jvm-fatal');
  assert.equal(findSignature(java), undefined);
});

test('is looked for in time that grows with the output, however long its lines', () => {
  for (const text of ['x', 'node[1]: ', ': runtime error: ', "a: b:1: Assertion `'", '1:1:1']) {
    const chunk = Buffer.from(text.repeat(Math.ceil(65_536 / text.length)));
    const scan = (chunks: number): number => {
      const scanner = new SignatureScanner();
      const start = process.cpuUsage();
      for (let i = 0; i < chunks; i++) scanner.push(chunk);
      return process.cpuUsage(start).user / 1000;
    };
    scan(10); // the first ones are interpreted
    const ms = scan(160);
    assert.ok(ms < 10_000, `10 MB of ${JSON.stringify(text)} took ${ms} ms of CPU`);
  }
});

test("what faulthandler prints doesn't hide what was printed before, whatever the chunks", () => {
  const before = 'double free or corruption (!prev)';
  const text = `${before}\nFatal Python error: Aborted\n\nCurrent thread 0x00007f (most recent call first):\n`;
  for (let cut = 1; cut < text.length; cut++) {
    const scanner = new SignatureScanner();
    scanner.push(Buffer.from(text.slice(0, cut)));
    scanner.push(Buffer.from(text.slice(cut)));
    assert.deepEqual([scanner.match?.id, scanner.match?.line], ['heap-corruption', before], `cut at ${cut}`);
  }
});
