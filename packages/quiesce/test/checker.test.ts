// Programs under valgrind and AddressSanitizer: real ones, with and without an error.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type FailureGroup, runPlan, type ScenarioResult } from '../src/index.js';
import { resolvePlan } from '../src/plan/resolve.js';
import { reproduceCommand } from '../src/report/reproduce.js';
import { scenarioRemarks } from '../src/report/terminal.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const has = (command: string): boolean => spawnSync(command, ['--version']).status === 0;
const withoutCompiler = !has('cc') && 'there is no C compiler';

const dir = temporaryDirectory('checker');

/** Builds a program whose exit handler reads memory that was freed, or doesn't. */
function build(name: string, flags: readonly string[], harm: boolean): string {
  const source = join(dir, `${name}.c`);
  writeFileSync(
    source,
    `#include <stdlib.h>
     static volatile char *p;
     static void leave(void) { ${harm ? 'if (p[3]) abort();' : ''} }
     int main(void) { p = calloc(1, 16); atexit(leave); free((void *)p); return 0; }`,
  );
  const program = join(dir, name);
  const { status, stderr } = spawnSync('cc', ['-g', '-w', ...flags, '-o', program, source], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  return program;
}

async function check(checker: 'valgrind' | 'asan', program: string) {
  const { scenarios } = await runPlan(
    { scenarios: [{ name: 'program', command: [program], runs: 1 }] },
    { [checker]: true },
  );
  return scenarios[0];
}

describe('under valgrind', { skip: withoutCompiler || (!has('valgrind') && 'there is no valgrind') }, () => {
  test('a program without an error is clean', async () => {
    const result = await check('valgrind', build('sound', [], false));
    assert.equal(result?.failed, 0, JSON.stringify(result?.failures));
  });

  test('what valgrind finds makes the run fail, and is named', async () => {
    const program = build('unsound', [], true);
    const result = await check('valgrind', program);
    const [failure] = result?.failures ?? [];
    assert.deepEqual(failure?.outcome, { kind: 'exit-code', code: 99 });
    assert.equal(failure?.signature?.id, 'valgrind');
    assert.match(failure?.evidence.stderr ?? '', /Invalid read of size 1/);
    assert.match(failure?.kind?.title ?? '', /valgrind/);
    // What a reader would type, not what it was expanded to.
    assert.deepEqual(result?.scenario.command, [program]);
    assert.equal(
      reproduceCommand(result as ScenarioResult, failure as FailureGroup, null),
      `quiesce run -n 1 --valgrind --timeout 500000ms -- ${program}`,
    );
  });
});

const asan = spawnSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).stdout?.trim() ?? '';
describe('with AddressSanitizer', {
  skip: withoutCompiler || (!existsSync(asan) && 'there is no ASan'),
}, () => {
  test('a host that was built without it loads a library that was built with it, and its error is named', async () => {
    const library = join(dir, 'libaddon.so');
    const source = join(dir, 'addon.c');
    writeFileSync(
      source,
      `#include <stdlib.h>
       __attribute__((destructor)) static void leave(void) { char *p = malloc(8); free(p); *(volatile char *)p = 1; }`,
    );
    const flags = ['-g', '-w', '-shared', '-fPIC', '-fsanitize=address', '-o', library, source];
    const { status, stderr } = spawnSync('gcc', flags, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const host = join(dir, 'host.c');
    writeFileSync(host, `#include <dlfcn.h>\nint main(void) { return dlopen("${library}", RTLD_NOW) == 0; }`);
    const program = join(dir, 'host');
    assert.equal(spawnSync('gcc', ['-w', '-o', program, host, '-ldl']).status, 0);

    const result = await check('asan', program);
    const [failure] = result?.failures ?? [];
    assert.equal(failure?.signature?.id, 'address-sanitizer', JSON.stringify(result));
    assert.match(failure?.evidence.stderr ?? '', /heap-use-after-free/);
    assert.match(
      reproduceCommand(result as ScenarioResult, failure as FailureGroup, null) ?? '',
      /^quiesce run -n 1 --asan --timeout 30000ms -- /,
    );
  });
});

test('a timeout on the command line is kept, one of the plan is raised', { skip: !has('valgrind') }, () => {
  const plan = { scenarios: [{ name: 'a', command: ['true'], timeout: '1s' }] };
  assert.equal(resolvePlan(plan, { valgrind: true }).scenarios[0]?.timeoutMs, 50_000);
  assert.equal(resolvePlan(plan, { valgrind: true, timeout: '3s' }).scenarios[0]?.timeoutMs, 3_000);
});

test('a program that loads no preload library is not called checked', {
  skip: withoutCompiler || (!existsSync(asan) && 'there is no ASan'),
}, async () => {
  const source = join(dir, 'static.c');
  writeFileSync(source, 'int main(void) { return 0; }');
  const remarks = [];
  for (const flags of [['-static'], []]) {
    const program = join(dir, `linked${flags.join('')}`);
    assert.equal(spawnSync('cc', [...flags, '-o', program, source]).status, 0);
    const { scenarios } = await runPlan(
      { scenarios: [{ name: 'program', command: [program], runs: 2 }] },
      { asan: true, timeline: true },
    );
    remarks.push(scenarios.flatMap(scenarioRemarks));
  }
  const [unchecked = [], checked] = remarks;
  assert.match(
    unchecked[0] ?? '',
    /^2 of 2 runs .* unknown whether AddressSanitizer's library was loaded \(/,
  );
  assert.match(unchecked[1] ?? '', /^there is no timeline: the preload library was not loaded/);
  assert.deepEqual(checked, []);
});

test('only one of the two', () => {
  const plan = { scenarios: [{ name: 'a', command: ['true'], asan: true }] };
  assert.throws(() => resolvePlan(plan, { valgrind: true }), /exclude each other/);
});
