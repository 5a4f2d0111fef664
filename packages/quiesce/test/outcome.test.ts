// How the tester decides each run's end, with real programs that end in these ways.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parseDuration } from '../src/duration.js';
import { outcomeLabel, run, runPlan, type ScenarioResult } from '../src/index.js';
import { startTimer } from '../src/process/timer.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const node = (program: string): string[] => [process.execPath, '-e', program];

/** Runs it a few times; every run must end alike. */
async function ended(command: string[], timeout = '10s'): Promise<{ label: string; result: ScenarioResult }> {
  const result = await run({ command, runs: 2, timeout });
  const labels = new Set(result.runs.map(({ outcome }) => outcomeLabel(outcome)));
  assert.equal(labels.size, 1, [...labels].join(', '));
  return { label: [...labels][0] as string, result };
}

/** Processes whose command line holds the marker. */
function alive(marker: string): string[] {
  return readdirSync('/proc')
    .filter((id) => /^\d+$/.test(id) && id !== String(process.pid))
    .filter((id) => {
      try {
        return readFileSync(`/proc/${id}/cmdline`, 'utf8').includes(marker);
      } catch {
        return false;
      }
    });
}

describe('a run ends', () => {
  test('clean', async () => {
    const { label, result } = await ended(node(''));
    assert.equal(label, 'clean');
    assert.equal(result.ok, true);
  });

  test('with an exit code', async () => {
    const { label, result } = await ended(node('process.exit(7)'));
    assert.match(label, /7/);
    assert.equal(result.ok, false);
  });

  test('by a signal, named', async () => {
    for (const name of ['SIGABRT', 'SIGSEGV', 'SIGTERM']) {
      const { label, result } = await ended(
        node(`process.kill(process.pid, '${name}'); setInterval(() => {}, 1e3)`),
      );
      assert.match(label, new RegExp(name));
      assert.equal(result.ok, false);
    }
  });

  test('by a signal that a shell reported as 128 + n', async () => {
    const { label } = await ended(['sh', '-c', 'exit 139']);
    assert.match(label, /SIGSEGV/);
    assert.equal((await ended(['sh', '-c', 'exit 134'])).label, 'SIGABRT');
  });

  test('as a hang, and its whole process group is killed', async () => {
    const marker = `quiesce-hang-${process.pid}`;
    const program = `require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e3)', '${marker}'], { stdio: 'inherit' }); setInterval(() => {}, 1e3)`;
    const { label, result } = await ended(node(program), '400ms');
    assert.match(label, /hang/i);
    assert.equal(result.ok, false);
    assert.deepEqual(alive(marker), []);
  });

  test('by itself, where the tester is too busy at the timeout to have read of it', async () => {
    const began = join(temporaryDirectory('busy'), 'began');
    const command = ['sh', '-c', `date +%s%3N > ${began}; sleep 0.3`];
    // Until a few moments after the timeout, in which nobody asks why the notice is late.
    const busy = setInterval(() => {
      const at = existsSync(began) ? Number(readFileSync(began, 'utf8')) : 0;
      if (at === 0 || Date.now() < at + 150) return;
      clearInterval(busy);
      while (Date.now() < at + 2_505) {}
    }, 1);
    const { runs } = await run({ command, runs: 1, timeout: '2500ms' });
    assert.equal(outcomeLabel(runs[0]?.outcome ?? { kind: 'hang' }), 'clean');
  });

  test('at its timeout, and not before', async () => {
    for (let ms = 0.1; ms < 12; ms += 0.37) {
      const end = performance.now() + ms;
      await startTimer(ms).passed;
      assert.ok(performance.now() >= end, `${ms}`);
    }
    assert.deepEqual(['0.4ms', '1.1h', '0.0001ms'].map(parseDuration), [0.4, 3_960_000, 0.001]);
  });

  test('dirty, by what a dying runtime prints though it exits with 0', async () => {
    const fatal = [
      'Fatal Python error: PyGILState_Release: thread state 0x55 must be current when releasing',
      'FATAL ERROR: v8::ToLocalChecked Empty MaybeLocal',
      'FATAL ERROR: Error::New napi_get_last_error_info',
      "thread 'tokio-runtime-worker' panicked at src/lib.rs:1:1:",
      'terminate called without an active exception',
      '==123==ERROR: AddressSanitizer: heap-use-after-free on address 0x602',
      'WARNING: ThreadSanitizer: data race (pid=1)',
    ];
    for (const line of fatal) {
      const { label, result } = await ended(node(`process.stderr.write(${JSON.stringify(`${line}\n`)})`));
      assert.notEqual(label, 'clean', line);
      assert.equal(result.ok, false, line);
    }
  });

  test('clean, whatever it says itself of a crash', async () => {
    const says = "retrying: child said 'Fatal Python error: PyGILState_Release' last night, see runbook";
    const fatal = 'Fatal Python error: PyGILState_Release: thread state 0x55 must be current when releasing';
    const programs = [
      `console.log(${JSON.stringify(says)})`,
      `console.error(${JSON.stringify(says)})`,
      `console.log(${JSON.stringify(fatal)})`,
    ];
    for (const program of programs) assert.equal((await ended(node(program))).label, 'clean', program);
  });

  test('clean, when lines that look fatal are to be ignored, or all of them', async () => {
    const fatal = 'Fatal Python error: PyGILState_Release: of a child';
    const command = node(`console.error(${JSON.stringify(fatal)}); process.stderr.write('and the end')`);
    const of = async (options: Partial<Parameters<typeof run>[0]>): Promise<string> => {
      const result = await run({ command, runs: 1, ...options });
      return outcomeLabel(result.runs[0]?.outcome ?? { kind: 'hang' });
    };
    assert.equal(await of({}), 'dirty output');
    assert.equal(await of({ signatures: false }), 'clean');
    assert.equal(await of({ ignoreOutput: ['of another', 'of a child$'] }), 'clean');
    assert.equal(await of({ ignoreOutput: ['of another'] }), 'dirty output');
    const expect = { stderr: 'empty' } as const;
    assert.equal(await of({ expect, ignoreOutput: ['^Fatal'] }), 'dirty output');
    assert.equal(await of({ expect, ignoreOutput: ['^Fatal', '^and the end$'] }), 'clean');
    await assert.rejects(
      run({ command, runs: 1, ignoreOutput: ['('] }),
      /ignoreOutput\[0\]: expected a regular/,
    );
  });

  test('by no pattern that takes too long', async () => {
    const line = `${'a'.repeat(40)}b`;
    const command = node(`console.error(${JSON.stringify(`${line}\n${line}`)})`);
    const message = /^the pattern \/\(a\+\)\+\$\/ takes more than a second to search "a+b"$/;
    const wrong = run({ command, runs: 1, ignoreOutput: ['^$', '(a+)+$'] });
    await assert.rejects(wrong, { name: 'EnvironmentError', message, hint: /repetition/ });
    const services = {
      s: {
        command: [...node(`console.log('${line}'); setTimeout(() => {}, 60_000)`)],
        ready: { log: '(a+)+$' },
      },
    };
    const { serviceFailures } = await runPlan({
      services,
      scenarios: [{ name: 'a', command, runs: 1, uses: ['s'] }],
    });
    assert.match(serviceFailures[0]?.message ?? '', /can't be seen to be ready: the pattern /);
  });

  test('clean with harmless output, unless stderr must be empty', async () => {
    const command = node("console.error('just a warning')");
    assert.equal((await run({ command, runs: 1 })).ok, true);
    assert.equal((await run({ command, runs: 1, expect: { stderr: 'empty' } })).ok, false);
  });

  test('as expected where another end was asked for', async () => {
    assert.equal(
      (await run({ command: node('process.exit(3)'), runs: 1, expect: { exitCode: 3 } })).ok,
      true,
    );
    assert.equal((await run({ command: node(''), runs: 1, expect: { exitCode: 3 } })).ok, false);
    const killed = node("process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1e3)");
    assert.equal((await run({ command: killed, runs: 1, expect: { signal: 'SIGTERM' } })).ok, true);
  });
});

describe('work done', () => {
  const done = "require('fs').writeSync(+process.env.QUIESCE_DONE_FD, 'done\\n');";

  test('parts a failure at work from one at exit', async () => {
    const atExit = await ended(node(`${done} process.abort()`));
    const unsaid = await ended(node('process.abort()'));
    // Prints it in its first run, and dies before it could in the second.
    const flag = join(temporaryDirectory('outcome'), 'ran');
    const once = `if (require('fs').existsSync('${flag}')) process.abort(); require('fs').writeFileSync('${flag}', ''); ${done}`;
    const atWork = await run({ command: node(once), runs: 2 });
    const phases = ({ failures }: ScenarioResult): string[] => failures.map(({ phase }) => phase);
    assert.deepEqual(phases(atExit.result), ['exit']);
    assert.deepEqual(phases(unsaid.result), ['unknown']);
    assert.deepEqual(phases(atWork), ['work']);
  });

  test('starts the clock of the exit', async () => {
    const quick = await run({
      command: node(`setTimeout(() => {}, 2_000); setTimeout(() => { ${done} }, 2_000)`),
      runs: 2,
    });
    const slow = await run({ command: node(`${done} setTimeout(() => {}, 2_000)`), runs: 2 });
    const worst = (result: ScenarioResult): number =>
      Math.max(...result.runs.map((r) => r.exitMs ?? Number.NaN));
    assert.ok(worst(slow) >= 1_990, `${worst(slow)} ms`);
    assert.ok(worst(quick) < 1_990, `${worst(quick)} ms`);
  });
});

describe('a line that the program has only begun when a witness writes its own', () => {
  const sh = (script: string): string[] => ['sh', '-c', script];

  test('is still one line: a child ended meanwhile', async () => {
    // In two parts, in three, and with nothing between them.
    for (const parts of [
      'printf do; sleep 0.02; echo ne',
      'printf d; (:); sleep 0; printf one; sleep 0; echo',
      'echo done',
    ]) {
      const { runs } = await run({ command: sh(`{ ${parts}; } >&$QUIESCE_DONE_FD`), runs: 3 });
      assert.deepEqual(
        runs.map(({ workDone, failed }) => [workDone, failed]),
        Array(3).fill([true, false]),
        parts,
      );
    }
    const { runs } = await run({
      command: sh('{ printf do; sleep 0.02; echo not; } >&$QUIESCE_DONE_FD'),
      runs: 1,
    });
    assert.equal(runs[0]?.workDone, false);
  });

  test('does not hide a crash', async () => {
    const command = sh('printf do >&$QUIESCE_DONE_FD; kill -SEGV $$');
    const { runs } = await run({ command, runs: 1, timeout: '20s' });
    assert.deepEqual(runs[0]?.outcome, { kind: 'signal', signal: 'SIGSEGV', exitCode: null });
  });
});

test('leaves no core file', () => {
  assert.deepEqual(
    readdirSync('.').filter((name) => /^core(\.\d+)?$/.test(name)),
    [],
  );
});
