// examples/etcd-python: the programs that were written for etcd-client-py run on it and exit cleanly, also with threads.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { outcomeLabel, type Plan, runPlan } from 'quiesce';
import { etcdPython } from './library.js';
import exported from './main.plan.js';

describe('examples/etcd-python', {
  skip: etcdPython === undefined && 'it is not built: is there cargo, and Python with venv?',
}, () => {
  for (const perturb of ['none', 'amplify']) {
    test(`runs etcd-client-py's programs to a clean exit, perturbed by ${perturb}`, async () => {
      const only = ['*, cured'];
      const { scenarios } = await runPlan(exported as Plan, {
        only,
        perturb,
        runs: 3,
        jobs: 2,
        timeout: '30s',
      });
      const bad = scenarios.flatMap(({ ok, reason, scenario, runs, failures }) => {
        const ends = runs.map(({ outcome }) => outcomeLabel(outcome)).join(', ');
        return ok ? [] : [`${scenario.name}: ${reason ?? ends}\n${failures[0]?.evidence.stderr ?? ''}`];
      });
      assert.deepEqual(bad, []);
      assert.equal(scenarios.length, 9);
    });
  }
});
