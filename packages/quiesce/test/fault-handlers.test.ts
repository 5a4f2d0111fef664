// Hosts and crash reporters catch the signal of a fault, print a report, and die from that signal or another one. What faulted is
// below their handler.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type FailureGroup, run } from '../src/index.js';
import { WITNESS_FILE } from '../src/run/witness.js';
import { realPython } from './support/python.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('fault-handlers');
const missing = ['gcc', 'gdb'].find((tool) => spawnSync(tool, ['--version']).status !== 0);
const skip =
  process.arch !== 'x64'
    ? 'only the frames of signals on x64 are known'
    : !existsSync(WITNESS_FILE)
      ? 'the witness was not built'
      : missing !== undefined && `${missing} is missing`;

const compile = (name: string, source: string, ...flags: string[]): string => {
  const file = join(dir, name);
  execFileSync('gcc', ['-w', '-g', '-x', 'c', '-', '-o', file, ...flags], { input: source });
  return file;
};

async function failureOf(command: readonly string[]): Promise<FailureGroup> {
  const { failures } = await run({ command: [...command], cwd: dir, runs: 1, timeout: '60s' });
  assert.ok(failures[0] !== undefined);
  return failures[0];
}

describe('a fault whose signal is caught and', { skip }, () => {
  if (skip !== false) return;
  const faulty = compile(
    'libfaulty.so',
    'static void inner(int *where) { *where = 1; }\nvoid fault(void) { inner((int *)8); }',
    ...['-shared', '-fPIC'],
  );
  for (const [name, end, flags] of [
    ['sent again', 'signal(number, SIG_DFL); raise(number);', 0],
    ['sent again, on a stack of its own,', 'signal(number, SIG_DFL); raise(number);', 'SA_ONSTACK'],
    ['turned into an abort', 'abort();', 0],
    ['sent again by returning to the fault', 'signal(number, SIG_DFL);', 0],
  ] as const) {
    // Without unwind information gdb sees nothing below the handler.
    test(`${name} is that of the library which faulted`, async () => {
      const source = `
        #include <signal.h>
        #include <stdlib.h>
        void fault(void);
        static int depth(int n) { volatile char room[300]; room[n % 300] = n; return n ? depth(n - 1) + room[n % 300] : 0; }
        static void handle(int number) { depth(5); ${end} depth(5); }
        int main(void) {
          static char stack[65536];
          stack_t own = { .ss_sp = stack, .ss_size = sizeof stack };
          if (${flags}) sigaltstack(&own, 0);
          struct sigaction action = { .sa_handler = handle, .sa_flags = ${flags} };
          sigaction(SIGSEGV, &action, 0);
          fault();
        }`;
      const program = compile(
        'handles',
        source,
        ...['-fomit-frame-pointer', '-fno-asynchronous-unwind-tables', '-fno-unwind-tables', '-O1'],
        ...['-L', dir, '-lfaulty', `-Wl,-rpath,${dir}`],
      );
      const { kind, evidence } = await failureOf([program]);
      assert.equal(kind?.id, 'native-crash', evidence.stacks ?? '');
      assert.match(kind.detail ?? '', /libfaulty\.so/);
      assert.match(evidence.stacks ?? '', /inner .*libfaulty\.so[^\n]*\n *fault /);
      assert.equal(evidence.threads.filter(({ faulting }) => faulting).length, 1);
    });
  }

  test("by Python's faulthandler is that of the library, too", async () => {
    const source = `import ctypes, faulthandler; faulthandler.enable(); ctypes.CDLL('${faulty}').fault()`;
    const { kind } = await failureOf([realPython(), '-c', source]);
    assert.equal(kind?.id, 'native-crash');
    assert.match(kind.detail ?? '', /^in libfaulty\.so/);
  });

  test('by the JVM is that of the library, too', {
    skip: spawnSync('javac', ['-version']).status !== 0 && 'javac is missing',
  }, async () => {
    const source =
      'static void inner(int *where) { *where = 1; }\nvoid Java_Faults_fault(void) { inner((int *)8); }';
    const library = compile('libjni.so', source, '-shared', '-fPIC');
    const program = `public class Faults { static native void fault(); public static void main(String[] args) { System.load("${library}"); fault(); } }`;
    execFileSync('sh', ['-c', 'cat > Faults.java && javac Faults.java'], { cwd: dir, input: program });
    const { kind } = await failureOf(['java', '-cp', dir, 'Faults']);
    assert.equal(kind?.id, 'native-crash');
    // The JVM's own report has no lines.
    assert.match(
      kind.detail ?? '',
      /in libjni\.so, Java was in Faults\.fault \(frames: hs_err_pid\d+\.log\)$/,
    );
  });

  test('is no fault of its own if nothing faulted before', async () => {
    const program = compile('aborts', '#include <stdlib.h>\nint main(void) { abort(); }');
    const { kind, evidence } = await failureOf([program]);
    assert.equal(kind?.id, 'aborted');
    assert.equal(evidence.threads[0]?.faultedIn, undefined);
  });
});
