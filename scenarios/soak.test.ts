import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { PlanResult } from 'quiesce';
import { cells } from './grid/cells.js';
import { soakCells } from './grid/soak-plan.js';
import { holds, type SoakSummary, soakLines, soakMarkdown, soakSummary } from './grid/soak-summary.js';

const PROGRAM = fileURLToPath(new URL('./soak.js', import.meta.url));

describe('a soak', () => {
  test('spreads its runs evenly, half of them amplified', () => {
    for (const runs of [1, 100, 378, 756, 10_000]) {
      const withClient = soakCells(runs).filter(({ situation }) => situation !== null);
      const sum = (amplified: boolean): number =>
        withClient.reduce((all, cell) => all + (cell.amplified === amplified ? cell.runs : 0), 0);
      assert.equal(sum(true) + sum(false), runs);
      assert.ok(Math.abs(sum(true) - sum(false)) <= 1, `${sum(true)} amplified of ${runs}`);
      const counts = withClient.map((cell) => cell.runs);
      assert.ok(Math.max(...counts) - Math.min(...counts) <= 1);
    }
    assert.equal(new Set(soakCells(1).map(({ name }) => name)).size, soakCells(1).length);
    assert.equal(cells.length, 9 * 7 * 6);
  });

  test('counts what ended otherwise than it should have, and what the client costs', () => {
    const exit = (cell: { runtime: string; ending: string }): boolean =>
      cell.runtime === 'node20' && cell.ending === 'exit';
    const soaked = soakCells(56, exit);
    assert.equal(soaked.length, 7 + 7 + 3);
    const run = (exitMs: number | null, failed = false): object => ({
      ...{ exitMs, failed, workDone: true },
      outcome: failed ? { kind: 'signal', signal: 'SIGABRT', exitCode: null } : { kind: 'clean' },
    });
    const result = {
      ...{ startedAt: new Date(0), durationMs: 90_000, interrupted: false, serviceFailures: [] },
      scenarios: soaked.map((cell) => ({
        scenario: { name: cell.name },
        runs:
          cell.situation === null
            ? [run(8), run(10), run(12)]
            : cell.amplified
              ? [run(200), run(null, cell.situation === 'watch')]
              : [run(11), run(13)],
      })),
    } as unknown as PlanResult;
    const summary = soakSummary(soaked, result);
    assert.equal(summary.all.runs, 28);
    assert.equal(summary.all.abnormal, 1);
    assert.equal(summary.amplified.abnormal, 1);
    assert.equal(summary.plain.abnormal, 0);
    assert.deepEqual(summary.withoutClient.runs, 9);
    // The median without the client is 10 ms; amplified runs don't count.
    assert.deepEqual(summary.exitCost?.cost, { count: 14, median: 1, p99: 3, max: 3 });
    assert.deepEqual(summary.exitCost?.noise, { count: 9, median: 0, p99: 2, max: 2 });
    assert.deepEqual([summary.exitCost?.medianMs, summary.exitCost?.p99Ms], [1, 1]);
    assert.equal(holds(summary), false);
    assert.match(soakLines(summary), /^node20, exit, watch, amplified: 1 of 2: SIGABRT\n/);
    assert.match(soakLines(summary), /amplified +1 of 14 abnormal: below 29\.\d+ %/);
    const early = { ...result, scenarios: structuredClone(result.scenarios) };
    Object.assign(early.scenarios.at(-1)?.runs[0] ?? {}, { workDone: false });
    assert.equal(soakSummary(soaked, early).all.abnormal, 2);
    assert.match(soakMarkdown(summary), /\| exit \| 0 of 4 \| 0 of 4 \| 1 of 4 \| 0 of 4 \|/);
    const clean = { ...summary, all: { ...summary.all, abnormal: 0 } };
    assert.equal(holds(clean), true);
    assert.equal(holds({ ...clean, exitCost: { ...clean.exitCost, p99Ms: 20 } } as SoakSummary), false);
  });

  test('writes its reports', async (t) => {
    const soak = start(t, '--runs', '14', '--only', 'node20, exit, ');
    const code = await soak.code;
    const summary = JSON.parse(readFileSync(join(soak.out, 'summary.json'), 'utf8')) as SoakSummary;
    assert.deepEqual([summary.plain.runs, summary.amplified.runs, summary.all.abnormal], [7, 7, 0]);
    // A test can't judge the cost on a busy machine.
    assert.equal(code, holds(summary) ? 0 : 1, soak.output());
    const { cost } = summary.exitCosts[0] ?? assert.fail('no exit cost');
    assert.equal(cost.count, 7);
    assert.equal(JSON.parse(readFileSync(join(soak.out, 'report.json'), 'utf8')).scenarios.length, 17);
    assert.match(
      readFileSync(join(soak.out, 'report.html'), 'utf8'),
      /node20, exit, frozen server, amplified/,
    );
  });

  test('interrupted, it writes what it has and leaves nothing behind', async (t) => {
    const soak = start(t, '--runs', '500', '--only', 'node20, exit, frozen');
    await soak.says(/^\d+ runs/m);
    // At the worst moment: while the server is frozen.
    const deadline = Date.now() + 60_000;
    let frozen = false;
    while (!frozen && Date.now() < deadline) {
      await pause(2);
      frozen = soak.processes().some(isFrozen);
    }
    assert.ok(frozen, soak.output());
    const processes = soak.processes();
    soak.interrupt();
    assert.equal(await soak.code, 130, soak.output());
    const summary = JSON.parse(readFileSync(join(soak.out, 'summary.json'), 'utf8')) as SoakSummary;
    assert.ok(summary.interrupted && summary.all.runs < 500);
    // An etcd is a child of the service that freezes it. Once the service is gone, the system's first process reaps the
    // etcd, a moment after it has died.
    assert.deepEqual(
      processes.filter((pid) => !['Z', 'X', undefined].includes(stateOf(pid)?.state)),
      [],
    );
  });
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function start(t: TestContext, ...args: string[]) {
  const out = mkdtempSync(join(tmpdir(), 'quiesce-soak-test-'));
  const child = spawn(process.execPath, [PROGRAM, ...args, '--seed', '1', '--out', out], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const code = once(child, 'close').then(([code]) => code as number | null);
  t.after(async () => {
    // If the command were killed outright, it would leave its servers behind.
    child.kill('SIGTERM');
    await code;
    rmSync(out, { recursive: true, force: true });
  });
  return {
    out,
    code,
    output: () => output,
    interrupt: () => child.kill('SIGINT'),
    async says(pattern: RegExp) {
      while (!pattern.test(output) && child.exitCode === null) await pause(5);
    },
    /** Processes of its services and runs. */
    processes: () => descendants(child.pid as number),
  };
}

/** A process's state, as a letter, and its parent. */
function stateOf(pid: number): { state: string; parent: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state = '', parent = ''] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

const isFrozen = (pid: number): boolean => stateOf(pid)?.state === 'T';

function descendants(root: number): number[] {
  const found = [root];
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  for (const parent of found) {
    found.push(...all.map(Number).filter((pid) => stateOf(pid)?.parent === parent));
  }
  return found.slice(1);
}
