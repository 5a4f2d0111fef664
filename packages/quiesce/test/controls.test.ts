// The controls: each of the deliberately bad addons in controls/ is caught, and its end gets the right name.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { outcomeLabel, type ScenarioResult } from '../src/index.js';
import { unavailablePerturbations } from '../src/perturb/perturb.js';
import { WITNESS_FILE } from '../src/run/witness.js';
import { run } from '../src/session/session.js';
import { provided } from './support/provided.js';
import { realPython } from './support/python.js';

const here = (path: string): string => fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
const noAmplifier = unavailablePerturbations().find(({ name }) => name === 'amplify')?.reason;

// With stacks of the thread that died, each bad addon gets the right kind.
const hasStacks = existsSync(WITNESS_FILE) && spawnSync('gdb', ['--version']).status === 0;

const hosts = [
  {
    host: 'node',
    command: [process.execPath, here('controls/control.cjs')],
    addon: 'control-napi',
    kinds: { 'static-runtime': 'thread-outlives-exit', 'late-callback': 'napi-after-teardown' },
  },
  {
    host: 'python',
    command: [realPython(), here('controls/control.py')],
    addon: 'control-pyo3',
    kinds: { 'static-runtime': 'python-after-finalization', 'late-callback': 'python-after-finalization' },
  },
] as const;

for (const { host, command, addon, kinds } of hosts) {
  const missing = existsSync(provided('controls')?.[addon] ?? '')
    ? undefined
    : `${addon} was not built (npm test)`;

  const runMode = (mode: string, perturb: string): Promise<ScenarioResult> =>
    run({ command: [...command, mode], runs: 12, jobs: 2, seed: 1, perturb, timeout: '60s', expect: 'any' });

  describe(`a bad addon in ${host}`, () => {
    for (const mode of ['static-runtime', 'late-callback'] as const) {
      test(`${mode}: crashes at exit, amplified`, { skip: missing ?? noAmplifier ?? false }, async () => {
        const { failed, failures, runs } = await runMode(mode, 'amplify');
        // On a quiet machine, all of them do. On a busy one a thread that is held back may not get a CPU in that time.
        assert.ok(failed >= runs.length / 2, `${failed} of ${runs.length} failed`);
        for (const { outcome, phase } of failures) {
          // Dirty output: a thread prints its last words while the process still ends with 0.
          assert.match(outcomeLabel(outcome), /^(SIGSEGV|SIGABRT|SIGBUS|dirty output)$/);
          assert.equal(phase, 'exit');
        }
        // Sometimes the race hits another window: in Python, in a quarter of the runs on a busy machine.
        const named = failures.map(({ kind }) => kind?.id);
        if (hasStacks) assert.ok(named.includes(kinds[mode]), named.join());
      });
    }

    test('hang-at-join: hangs', { skip: missing ?? false }, async () => {
      const result = await run({
        command: [...command, 'hang-at-join'],
        runs: 2,
        jobs: 2,
        timeout: '2s',
        expect: 'any',
      });
      assert.deepEqual(
        result.failures.map(({ outcome, phase, runs }) => [outcome.kind, phase, runs]),
        [['hang', 'exit', [1, 2]]],
      );
      // Whether by gdb or by /proc, the stuck thread is there.
      assert.match(result.failures[0]?.evidence.stacks ?? '', /hang-at-join/);
      if (hasStacks) assert.equal(result.failures[0]?.kind?.id, 'join-at-exit');
    });

    test('leaked-thread: exits clean, and is reported and failed by --strict', {
      skip: missing ?? false,
    }, async () => {
      const options = { command: [...command, 'leaked-thread'], runs: 2, expect: 'any' } as const;
      assert.equal((await run(options)).failed, 0);
      if (!existsSync(WITNESS_FILE)) return;
      const { failed, runs } = await run({ ...options, strict: true });
      assert.equal(failed, 2);
      const names = runs[0]?.left?.threads?.map((thread) => thread.name);
      assert.ok(names?.includes('leaked-thread'), JSON.stringify(names));
    });
  });
}
