// A slice of the grid: all cells of Node 20, and on the other runtimes every ending, each in a different situation.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runPlan } from 'quiesce';
import { gridEndings } from './endings.js';
import { type Cell, cellScenario, cells, situations } from './grid/cells.js';
import { gridServices } from './grid/services.js';
import { endLabel, isAbnormal } from './grid/soak-summary.js';

async function allAsExpected(some: readonly Cell[], overrides: { perturb?: string } = {}): Promise<void> {
  const plan = {
    services: await gridServices(),
    defaults: { runs: 1, jobs: 2 },
    scenarios: some.map(cellScenario),
  };
  const { scenarios, serviceFailures } = await runPlan(plan, { interleave: true, ...overrides });
  assert.deepEqual(serviceFailures, []);
  const bad = scenarios.flatMap(({ ok, reason, scenario, runs, failures }) => {
    const said = failures[0]?.evidence.stderr ?? '';
    // A process that dies from a signal reports nothing.
    const watched = runs.every(({ outcome, left }) => left.threads !== null || outcome.kind === 'signal');
    const fine = ok && watched && !runs.some(isAbnormal);
    return fine
      ? []
      : [`${scenario.name}: ${reason ?? runs.map(endLabel).join(', ')}${watched ? '' : ', unseen'}\n${said}`];
  });
  assert.deepEqual(bad, []);
  assert.equal(scenarios.length, some.length);
}

const endingNames = Object.keys(gridEndings);
const situationNames = Object.keys(situations);

/** For each runtime, every ending in one situation. Together, five runtimes have most of the pairs. */
const diagonal = cells.filter(({ runtime, ending, situation }) => {
  const shift = [...runtime].reduce((sum, letter) => sum + letter.charCodeAt(0), 0);
  const wanted = (endingNames.indexOf(ending) + shift) % situationNames.length;
  return runtime !== 'node20' && situation === situationNames[wanted];
});

describe('every ending in every situation', () => {
  test('on Node 20', () => allAsExpected(cells.filter(({ runtime }) => runtime === 'node20')));

  test('on the other runtimes, a situation for each ending', () => allAsExpected(diagonal));

  test('with the exit amplifier, on some', () =>
    allAsExpected(
      diagonal.filter((_cell, i) => i % 4 === 0),
      { perturb: 'amplify' },
    ));
});
