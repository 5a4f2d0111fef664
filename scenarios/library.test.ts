// A slice of the scenario library. It checks that its programs end as the plan says: all endings, with a run or two
// each.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { outcomeLabel, type PlanExport, runPlan, witnessProblem } from 'quiesce';
import { valkeyHere } from './library.js';
import exported from './library.plan.js';

const plan = typeof exported === 'function' ? undefined : (exported as Exclude<PlanExport, () => unknown>);

async function allAsExpected(only: string[], runs: number, of = plan): Promise<string[]> {
  assert.ok(of !== undefined);
  const result = await runPlan(of, { only, runs });
  const bad = result.scenarios
    .filter(({ ok }) => !ok)
    .map(({ scenario, runs: records, reason, failures }) => {
      const ends = records.map(({ outcome }) => outcomeLabel(outcome)).join(', ');
      return `${scenario.name}: ${reason ?? ends}\n${failures[0]?.evidence.stderr ?? ''}`;
    });
  assert.deepEqual(bad, []);
  return result.scenarios.map(({ scenario }) => scenario.name);
}

describe('the scenario library', () => {
  test('ends as each ending says, on this client', async () => {
    const names = await allAsExpected(['basic-put, *', 'active-watch, *'], 2);
    assert.equal(names.length, 15);
  });

  test('exits without a thread left, on this client', { skip: witnessProblem() ?? false }, async () => {
    assert.ok(plan !== undefined);
    const only = ['basic-put, exit', 'basic-put, natural', 'active-watch, exit', 'worker-threads'];
    const { scenarios } = await runPlan(plan, { only, runs: 2, strict: true });
    assert.deepEqual(
      scenarios.map(({ ok }) => ok),
      [true, true, true, true],
    );
  });

  test('runs two native clients in one process', {
    skip:
      valkeyHere.node !== undefined
        ? false
        : 'no Valkey-compatible server, or valkey-glide could not be installed',
  }, async (t) => {
    assert.ok(plan !== undefined);
    const folder = mkdtempSync(join(tmpdir(), 'quiesce-library-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const ids = join(folder, 'ids');
    const scenarios = plan.scenarios.map((scenario) => ({
      ...scenario,
      command: ['sh', '-c', `echo $$ >> '${ids}'; exec "$@"`, 'sh', ...scenario.command],
    }));
    const only = ['6 cross-library*', 'valkey-basic-set, exit', 'valkey-basic-set, threads'];
    await allAsExpected(only, 2, { ...plan, scenarios });
    const sockets = readdirSync('/tmp').filter((name) => name.startsWith('glide-socket-'));
    const ours = readFileSync(ids, 'utf8').trim().split('\n');
    assert.equal(ours.length, 2 * (valkeyHere.python === undefined ? 3 : 4));
    const left = sockets.filter((name) => ours.some((id) => name.startsWith(`glide-socket-${id}-`)));
    assert.deepEqual(left, [], 'sockets of valkey-glide');
  });
});
