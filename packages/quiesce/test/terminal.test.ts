// The report for a reader: it fits the terminal, cuts no word, and says how often a failed scenario failed.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { htmlReport, runPlan, terminalReport, witnessProblem } from '../src/index.js';
import { findExecutable } from '../src/process/executable.js';
import { progressView } from '../src/report/progress.js';
import { keepEnd, keepStart, shellLine } from '../src/report/text.js';
import type { ScenarioResult } from '../src/results/result.js';
import type { ProgressEvent } from '../src/session/session.js';
import { cli } from './support/cli.js';
import { realPython } from './support/python.js';

const LONG = 'a rather long name of a scenario [node 22, lightningcss 1.29.1]';
const EVERY_THIRD = 'echo done >&$QUIESCE_DONE_FD; [ $((QUIESCE_RUN % 3)) != 0 ] || kill -ABRT $$';
const plan = {
  defaults: { runs: 40, witness: false },
  scenarios: [
    { name: 'short', command: ['true'] },
    { name: `${LONG} worker`, group: 'some of a group', command: ['sh', '-c', EVERY_THIRD] },
    { name: `${LONG} exit`, group: 'some of a group', command: ['sh', '-c', 'exit $((QUIESCE_RUN % 3))'] },
    { name: 'control', command: ['false'], expect: 'any' as const },
  ],
};

test('fits 60, 80 and 120 columns, with whole words and whole names, and rates with their intervals', async () => {
  const result = await runPlan(plan);
  for (const columns of [60, 80, 120]) {
    const [table = ''] = terminalReport(result, false, columns).split('\n\n');
    const lines = table.split('\n');
    for (const line of lines) assert.ok(line.length <= columns, `${columns}: ${line}`);
    const words = table.replace(/\s+/g, ' ');
    for (const { name } of plan.scenarios) assert.ok(words.includes(name), `${columns}: ${name}\n${table}`);
    assert.doesNotMatch(table, /…/);
    // 13 of 40: R's binom.test(13, 40) gives 0.1857244 and 0.4912949.
    assert.match(words, /13 SIGABRT 32\.5 %, .*18\.6-49\.1/);
    assert.match(words, /short 40 (?:40 )?none below 7\.3 % .*ok/);
    // A failing row has no bound that reads like praise.
    for (const line of lines.filter((one) => one.includes('FAILED'))) assert.doesNotMatch(line, /below/);
  }
});

test('fits a terminal that is narrower, with its rates and verdicts', async () => {
  const result = await runPlan({ ...plan, defaults: { ...plan.defaults, runs: 4 } });
  for (const columns of [40, 44, 50]) {
    const [table = ''] = terminalReport(result, false, columns).split('\n\n');
    for (const line of table.split('\n')) assert.ok(line.length <= columns, `${columns}: ${line}`);
    assert.match(table, /failure rate +verdict[\s\S]*below[\s\S]*ok/);
  }
});

test('texts are cut between words, names keep their end', () => {
  assert.equal(keepEnd('a scenario [node 22] in a worker', 15), '…in a worker');
  assert.equal(keepEnd('short', 15), 'short');
  assert.equal(keepEnd('x'.repeat(20), 5), '…xxxx');
  assert.equal(keepStart('node --flag some-program.js', 20), 'node --flag …');
});

test('the bar fits too', async () => {
  for (const columns of [60, 80, 120]) {
    const written: string[] = [];
    const stream = {
      ...{ isTTY: true, columns },
      write: (text: string) => written.push(text),
      on: () => {},
      once: () => {},
      removeListener: () => {},
    } as unknown as NodeJS.WriteStream;
    const view = progressView(stream);
    const scenario = { name: `${LONG} worker`, runs: 1000 };
    view.onProgress({ type: 'scenario-start', scenario, index: 11, total: 40 } as unknown as ProgressEvent);
    view.stop();
    const bar = written.find((text) => text.includes('eta')) ?? '';
    assert.ok(bar.length > 0 && bar.length <= columns, `${columns}: ${bar.length} ${JSON.stringify(bar)}`);
    assert.match(bar, /worker/);
  }
});

test('a clean strict scenario says that no thread was left', {
  skip: witnessProblem() ?? false,
}, async () => {
  const strict = { name: 'strict', command: [process.execPath, '-e', '0'], runs: 2, strict: true };
  const text = terminalReport(await runPlan({ scenarios: [strict] }), false);
  assert.match(
    text,
    /strict: no thread of the main process was left at exit in any of 2 runs, except for the host's own$/m,
  );
});

test('a strict scenario that left only threads that are allowed says so', {
  skip: witnessProblem() ?? findExecutable('python3', process.cwd()).path === undefined,
}, async () => {
  const program =
    'import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()';
  const command = ['python3', '-c', program];
  const strict = { ...{ name: 'strict', command, runs: 1, strict: true }, allowThreads: ['python*'] };
  const text = terminalReport(await runPlan({ scenarios: [strict] }), false);
  assert.match(
    text,
    /no thread of the main process was left .*, except for the host's own and those that are allowed$/m,
  );
});

test('threads that were left are counted for each run, also those that are not listed', {
  skip: process.platform !== 'linux' && 'the witness needs Linux',
}, async () => {
  const program = `import threading, time
for _ in range(100): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()`;
  const scenario = { name: 'threads', command: [realPython(), '-c', program], runs: 2, strict: true };
  const result = await runPlan({ scenarios: [scenario] });
  const [first] = result.scenarios[0]?.runs ?? [];
  assert.deepEqual(first?.outcome, { kind: 'threads-left', threads: 100 });
  assert.deepEqual([first?.left.threads?.length, first?.left.moreThreads], [64, 36]);
  assert.match(
    terminalReport(result, false).replace(/\s+/g, ' '),
    /2 of 2 runs left threads running at exit: python\S* \(.*\) x64, not listed x36/,
  );
  const many = result.scenarios.map((one) => ({
    ...one,
    runs: one.runs.map((each) => ({ ...each, left: { ...each.left, moreThreads: 2 ** 33 } })),
  }));
  assert.match(
    terminalReport({ ...result, scenarios: many }, false).replace(/\s+/g, ' '),
    /not listed x8589934592, python\S* \(.*\) x64/,
  );
  // Of threads that are not listed, nobody knows whether they are allowed. They are taken to be like the others.
  const allowed = await runPlan({ scenarios: [{ ...scenario, allowThreads: ['python*'] }] });
  assert.equal(allowed.ok, true);
});

test('sentences are wrapped between words, what is copied is not', async () => {
  const hang = {
    name: 'hangs',
    command: ['sh', '-c', 'sleep 60; echo "a rather long command, to be copied"'],
  };
  const result = await runPlan({ scenarios: [{ ...hang, runs: 1, timeout: '300ms', witness: false }] });
  for (const columns of [60, 80, 120]) {
    const lines = terminalReport(result, false, columns).split('\n');
    const copied = lines.filter((line) => /^ {4}|https:|command: |to repeat: /.test(line));
    for (const line of lines) {
      assert.ok(line.length <= columns || copied.includes(line), `${columns}: ${line}`);
    }
    const words = lines.join(' ').replace(/\s+/g, ' ');
    assert.match(
      words,
      /Not as expected: 1 of 1 scenario \(.*; rates: Clopper-Pearson, at 95 %; quiesce \S+\)/,
    );
    assert.match(words, /likely: the main thread waits for something that never happens/);
    assert.ok(lines.some((line) => line.includes('to repeat: ') && line.includes('to be copied')));
  }
});

test('names and words of programs neither act on the terminal nor shift the columns', async () => {
  const wild = '\u001b[31mred\u001b[0m \u001b]0;title\u0007\nnext';
  const result = await runPlan({
    defaults: { runs: 1, witness: false },
    scenarios: [
      { name: wild, command: ['false'] },
      { name: '日本語の名前', command: ['false'] },
    ],
  });
  const lines: string[] = [];
  const stream = { isTTY: false, write: (text: string) => lines.push(text) } as unknown as NodeJS.WriteStream;
  const { onProgress, stop } = progressView(stream);
  onProgress({ type: 'scenario-end', result: result.scenarios[0] as ScenarioResult });
  stop();
  const report = terminalReport(result, false, 120);
  assert.doesNotMatch(report + lines.join(''), /[^\P{Cc}\n]/u);
  assert.match(lines.join(''), /^red next: 1 run,/);
  assert.match(report, /^red next: 1 of 1 exit code 1$/m);
  // 12 columns wide, in 6 characters.
  const [table = ''] = report.split('\n\n');
  const [ascii = '', wide = ''] = table.split('\n').filter((line) => line.includes('FAILED'));
  assert.equal(ascii.indexOf('FAILED'), wide.indexOf('FAILED') + 6);
});

test('output that is only white space is shown as what it is', async () => {
  const plan = { scenarios: [{ name: 'a', command: ['sh', '-c', "printf ' \\n' >&2"], runs: 1 }] };
  const result = await runPlan({ ...plan, defaults: { expect: { stderr: 'empty' } } });
  assert.match(terminalReport(result, false, 120), /^ {2}stderr: only white space, " \\n"$/m);
  assert.match(htmlReport(result), /only white space, &#34; \\n&#34;/);
});

test('a command to repeat has the very words, whatever is in them', () => {
  const words = ['printf', '%s|', "it's", 'two\nlines', "\u001b[31m\\n'\u0007", '日本語'];
  const line = shellLine(words);
  assert.doesNotMatch(line, /[^\P{Cc}\n]/u);
  const printed = execFileSync('bash', ['-c', line], { encoding: 'utf8', env: { LC_ALL: 'C.UTF-8' } });
  assert.deepEqual(printed.split('|').slice(0, -1), words.slice(2));
});

test('the bar gives the cursor back where SIGQUIT (Ctrl-\\) ends the tester at once', async () => {
  const onTerminal = `import os, pty, signal, sys
pid, terminal = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
seen = b''
while True:
    try: part = os.read(terminal, 4096)
    except OSError: break
    if not part: break
    if b'\\x1b[?25l' in part: os.kill(pid, signal.SIGQUIT)
    seen += part
assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGQUIT
sys.stdout.buffer.write(seen)`;
  const command = ['-c', onTerminal, process.execPath, cli, 'run', '-n', '5', '--', 'sleep', '33'];
  const { stdout } = spawnSync(realPython(), command, { encoding: 'utf8', timeout: 240_000 });
  const hidden = stdout.lastIndexOf('\x1b[?25l');
  assert.ok(hidden >= 0, JSON.stringify(stdout));
  assert.ok(stdout.lastIndexOf('\x1b[?25h') > hidden, JSON.stringify(stdout));
});
