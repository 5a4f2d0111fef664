// A slice of npm run cure: every ending on one Python and one Node, some endings on the other hosts, and the controls.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { outcomeLabel, type PlanResult, runPlan, upperBound } from 'quiesce';
import { addonHosts, addons, endingsOf, isBuilt, type Language, SERVER } from './cure/addons.js';
import { type CureCell, cellName, cureCells, curePlan } from './cure/cells.js';
import { cureMarkdown } from './cure/markdown.js';
import { type Speed, slower } from './cure/speed.js';
import { bound, type CureSummary, controlsFail, cureSummary, faults, holds } from './cure/summary.js';

const PROGRAM = fileURLToPath(new URL('./cure.js', import.meta.url));
const skip = SERVER !== '' ? false : 'the addons are not built: is there cargo?';
/** Why a language's cured addon isn't tested. */
const without = (language: Language): string | false =>
  addons.filter((addon) => addon.language === language).every(isBuilt) ? false : 'it is not built';
const pythons = addonHosts().filter(({ language }) => language === 'Python');
const newestPython = pythons.at(-1)?.name;
const noPython = newestPython === undefined && 'there is no Python';

/** One passing run of each of our cells. */
async function allAsExpected(passes: (cell: CureCell) => boolean): Promise<void> {
  const cells = cureCells({ runs: 1, seed: 1 }).filter((cell) => !cell.addon.control && passes(cell));
  assert.ok(cells.length > 0);
  const { scenarios, serviceFailures } = await runPlan(curePlan(cells, { seed: 1, jobs: 3 }));
  assert.deepEqual(serviceFailures, []);
  const bad = scenarios.flatMap(({ ok, reason, scenario, runs, failures }) => {
    const ends = runs.map(({ outcome }) => outcomeLabel(outcome)).join(', ');
    return ok ? [] : [`${scenario.name}: ${reason ?? ends}\n${failures[0]?.evidence.stderr ?? ''}`];
  });
  assert.deepEqual(bad, []);
  assert.equal(scenarios.length, cells.length);
}

describe('addons on owned-runtime end in every way', { skip }, () => {
  test('on the newest Python', { skip: noPython || without('Python') }, () =>
    allAsExpected(({ host }) => host.name === newestPython),
  );

  test(
    'on the other Pythons, amplified, in some',
    { skip: (pythons.length < 2 && 'there is one Python') || without('Python') },
    () =>
      allAsExpected(
        ({ addon, host, ending, mode }) =>
          addon.language === 'Python' &&
          host.name !== newestPython &&
          mode === 'amplified' &&
          ['fall', 'daemons', 'os.fork'].includes(ending),
      ),
  );

  test('on Node 20', { skip: without('JavaScript') }, () =>
    allAsExpected(({ host }) => host.name === 'node20'),
  );

  test('on Node 26, Bun and Deno, amplified, in some', { skip: without('JavaScript') }, () =>
    allAsExpected(
      ({ addon, host, ending, mode }) =>
        addon.words[1] === 'next' &&
        ['node26', 'bun', 'deno'].includes(host.name) &&
        mode === 'amplified' &&
        ['exit', 'terminate', 'exit-with-workers', 'leftover'].includes(ending),
    ),
  );
});

describe('the same addons as authors write them today', { skip }, () => {
  const fail = async (addon: string, host: string | undefined, ending: string): Promise<void> => {
    const wanted = cureCells({ runs: 1, seed: 1 })
      .filter((cell) => cell.addon.name === addon && cell.host.name === host && cell.ending === ending)
      // Of the amplified runs on Node, about half fail.
      .map((cell) => ({ ...cell, runs: cell.mode === 'amplified' ? 16 : 4 }));
    const result = await runPlan(curePlan(wanted, { seed: 1, jobs: 3 }));
    const { cells } = cureSummary(wanted, result);
    const [plain, amplified] = ['plain', 'amplified'].map((mode) => cells.find((cell) => cell.mode === mode));
    assert.ok(plain !== undefined && amplified !== undefined);
    // A run that dies isn't counted among those that left a thread.
    assert.equal(plain.failed + plain.threadsLeft, plain.runs, `${plain.failed} failed`);
    assert.ok(amplified.failed > 0, `${amplified.failed} of ${amplified.runs} failed`);
  };

  test('fail in Python', { skip: noPython }, () => fail('pyo3-async-runtimes', newestPython, 'fall'));

  test('fail in Node', () => fail("napi's own", 'node20', 'exit-with-workers'));
});

describe('npm run cure', () => {
  const some = { runs: 300, seed: 0 };

  test('makes as many runs of each ending as it says, over all hosts', () => {
    for (const addon of addons.filter(isBuilt)) {
      const uses = addons.filter(({ words, control }) => !control && words[0] === addon.words[0]).length || 1;
      for (const ending of Object.keys(endingsOf(addon.language))) {
        const cells = cureCells(some).filter((cell) => cell.addon === addon && cell.ending === ending);
        if (cells.length === 0) continue;
        const runs = (mode: string): number =>
          cells.reduce((sum, cell) => sum + (cell.mode === mode ? cell.runs : 0), 0);
        assert.ok(runs('amplified') >= (addon.control ? 30 : 300 / uses), `${addon.name} / ${ending}`);
        assert.ok(runs('plain') >= (addon.control ? 30 : 60 / uses), `${addon.name} / ${ending}`);
      }
    }
    assert.equal(new Set(cureCells(some).map(cellName)).size, cureCells(some).length);
    const chosen = cureCells({ ...some, on: ['bun'], only: ['/ exit /'], modes: ['plain'] });
    assert.ok(
      chosen.every(({ host, ending, mode }) => host.name === 'bun' && ending === 'exit' && mode === 'plain'),
    );
  });

  test('counts what failed, and what left threads', () => {
    const cells = cureCells({ runs: 1, seed: 0, on: ['node20'], only: ['/ exit /'] });
    const run = (kind: string): object => ({
      failed: kind !== 'clean',
      outcome: kind === 'SIGSEGV' ? { kind: 'signal', signal: kind, exitCode: null } : { kind, threads: 2 },
    });
    const ends = ({ addon, mode }: CureCell): object[] =>
      addon.control && mode === 'amplified'
        ? [run('SIGSEGV'), run('SIGSEGV'), run('hang'), run('clean')]
        : addon.control
          ? [run('threads-left'), run('clean')]
          : [run('clean')];
    const result = {
      ...{ startedAt: new Date(0), durationMs: 90_000, interrupted: false, serviceFailures: [] },
      scenarios: cells.map((cell) => ({ scenario: { name: cellName(cell) }, runs: ends(cell) })),
    } as unknown as PlanResult;
    const summary = cureSummary(cells, result);
    const [plain, amplified] = summary.cells.filter(({ addon }) => addon === "napi's own");
    assert.deepEqual([plain?.runs, plain?.failed, plain?.threadsLeft], [2, 0, 1]);
    assert.deepEqual([amplified?.runs, amplified?.failed, amplified?.threadsLeft], [4, 3, 0]);
    assert.deepEqual(amplified?.ends, { SIGSEGV: 2, hang: 1 });
    assert.equal(bound({ runs: 300, failed: 0, threadsLeft: 0, ends: {} }), upperBound(0, 300));
    assert.equal(holds(summary), true);
    assert.equal(controlsFail(summary), true);
    const text = cureMarkdown(summary, [], { commit: 'abc', cores: 2, command: 'npm run cure' });
    assert.match(text, /\| napi's own +\| 0 of 2 +\| 1 of 2 +\| 3 of 4 +\| +\| 2 SIGSEGV, 1 hang +\|/);
    assert.doesNotMatch(text, /## Where ours failed/);

    // One of our runs left a thread, and the controls don't fail.
    const bad: CureSummary = {
      ...summary,
      cells: summary.cells.map((cell) => ({ ...cell, control: !cell.control })),
    };
    assert.equal(holds(bad), false);
    assert.ok(faults(bad).length > 0);
    assert.match(cureMarkdown(bad, [], { commit: 'abc', cores: 2, command: '' }), /## Where ours failed/);
    const calm = { ...summary, cells: summary.cells.map((cell) => ({ ...cell, failed: 0 })) };
    assert.equal(controlsFail(calm), false);
    const few = { ...summary, cells: summary.cells.map((cell) => ({ ...cell, complete: false })) };
    assert.equal(holds(few), false);
  });

  test('says where ours is slower', () => {
    const speed = (control: boolean, wallUs: number, cpuUs: number): Speed => ({
      ...{ addon: 'a', control, host: 'bun', atOnce: 1, perSecond: 1e6 / wallUs, wallUs, cpuUs },
    });
    assert.deepEqual(slower([speed(true, 10, 10), speed(false, 10.4, 9)]), []);
    assert.deepEqual(slower([speed(true, 10, 10), speed(false, 9, 11)]), ['bun, 1 at once: CPU']);
  });

  test('continues where it was interrupted', { skip }, async (t) => {
    const only = ['node20', 'node26'].flatMap((host) => ['--only', `napi's own / ${host} / fall / plain`]);
    const args = ['--runs', '800', '--seed', '7', '--on', 'node20,node26', ...only];
    const out = mkdtempSync(join(tmpdir(), 'quiesce-cure-'));
    t.after(() => rmSync(out, { recursive: true, force: true }));
    const first = start(t, out, args);
    while (!first.output().includes('runs in 2 cells')) await once(first.child.stdout, 'data');
    // By then there may be some runs, or none: both must work.
    setTimeout(() => first.child.kill('SIGTERM'), 1000);
    assert.equal(await first.code, 128 + 15, first.output());
    assert.match(first.output(), /Interrupted/);
    const saved = JSON.parse(readFileSync(join(out, 'checkpoint.json'), 'utf8'));
    const made: number = saved.scenarios.reduce(
      (sum: number, { runs }: { runs: [] }) => sum + runs.length,
      0,
    );
    assert.ok(made < 40 * 2, 'it was through before it was interrupted');

    const second = start(t, out, args);
    assert.equal(await second.code, 0, second.output());
    assert.match(second.output(), /continues from/);
    const summary = JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8')) as CureSummary;
    assert.deepEqual(
      summary.cells.map(({ runs, complete }) => [runs, complete]),
      [
        [40, true],
        [40, true],
      ],
    );
    assert.equal(existsSync(join(out, 'checkpoint.json')), false);
    assert.match(readFileSync(join(out, 'cure.md'), 'utf8'), /\| fall +\|/);
  });

  test('refuses what makes no sense', async (t) => {
    const out = mkdtempSync(join(tmpdir(), 'quiesce-cure-'));
    t.after(() => rmSync(out, { recursive: true, force: true }));
    for (const args of [['--runs', '0'], ['--perturb', 'x'], ['fast'], ['--only', 'nothing of this name']]) {
      const refused = start(t, out, args);
      assert.equal(await refused.code, 2, args.join(' '));
      assert.match(refused.output(), /npm run cure -- /);
    }
  });
});

function start(t: TestContext, out: string, args: readonly string[]) {
  const child = spawn(process.execPath, [PROGRAM, '--jobs', '2', '--quick', '--out', out, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += String(chunk)));
  const code = once(child, 'close').then(([exitCode]) => exitCode as number);
  return { child, code, output: () => text };
}
