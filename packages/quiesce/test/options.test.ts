// The table of scenario options. For each option, these agree: what a plan and a command line give, what a report has,
// and what runs that are counted together share.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import { z } from 'zod';
import { givenOptions, scenarioOptions } from '../src/cli/arguments.js';
import { difference } from '../src/plan/difference.js';
import type { Bearing } from '../src/plan/option.js';
import {
  flagOf,
  flagWords,
  type OptionName,
  optionNames,
  optionOf,
  type ScenarioDefaults,
} from '../src/plan/options.js';
import { readOptions, reportedOptions, writeOptions } from '../src/plan/reported-options.js';
import { resolvePlan } from '../src/plan/resolve.js';
import { optionValue, type Scenario } from '../src/plan/scenario.js';
import { witnessProblem } from '../src/run/witness.js';

/** A value for each option that isn't its default, and the other options that the value needs. */
const others: { readonly [K in OptionName]-?: Pick<Required<ScenarioDefaults>, K> & ScenarioDefaults } = {
  runs: { runs: 7 },
  until: { until: '20%' },
  allowFailures: { allowFailures: 2, until: '20%' },
  perturb: { perturb: 'nice=3,tokio' },
  seed: { seed: 5, perturb: 'tokio' },
  timeout: { timeout: '3s' },
  cwd: { cwd: '/' },
  env: { env: { A: '1' } },
  confidence: { confidence: '99%' },
  jobs: { jobs: 3 },
  expect: { expect: { exitCode: 3 } },
  strict: { strict: true },
  allowThreads: { allowThreads: ['a*', 'b'], strict: true },
  witness: { witness: false },
  signatures: { signatures: false },
  ignoreOutput: { ignoreOutput: ['^a', 'b$'] },
  timeline: { timeline: true },
  valgrind: { valgrind: true },
  asan: { asan: true },
  uses: { uses: ['service'] },
};

const scenarioOf = (given: ScenarioDefaults): Scenario =>
  resolvePlan({
    services: { service: { command: ['true'] } },
    scenarios: [{ name: 'a', command: ['true'], seed: 1, ...given }],
  }).scenarios[0] as Scenario;

const bearings: readonly Bearing[] = ['outcome', 'evidence', 'statement', 'effort'];

for (const name of optionNames) {
  const isOfStrict = name === 'strict' || name === 'allowThreads';
  const unseen = isOfStrict && witnessProblem();
  test(name, { skip: unseen || false }, () => {
    const usual = scenarioOf(name === 'allowThreads' ? { strict: true } : {});
    const other = scenarioOf(others[name]);
    const { flag, bearsOn, noun, report } = optionOf(name);
    const value = optionValue(other, name);

    // The command line gives what the plan does, and the value's words are those of the command line.
    if (flag !== undefined && value !== undefined) {
      assert.notDeepEqual(value, optionValue(usual, name));
      const command = scenarioOptions(new Command()).exitOverride();
      const { [name]: _, ...beside } = others[name];
      if (name !== 'until') {
        command.parse(flagWords(name, value), { from: 'user' });
        assert.deepEqual(optionValue(scenarioOf({ ...beside, ...givenOptions(command) }), name), value);
      }
      assert.match(command.helpInformation(), new RegExp(`${flagOf(name)}\\b`));
    }

    // A report contains it, and returns it.
    if (report !== undefined) {
      const written = JSON.parse(JSON.stringify(writeOptions(other)));
      const read = readOptions(z.looseObject({ ...reportedOptions }).parse(written));
      assert.deepEqual((read as Partial<Scenario>)[(optionOf(name).field ?? name) as keyof Scenario], value);
    }

    // Runs with another value are kept apart if that matters for them.
    for (const bearing of bearings) {
      const found = difference(usual, other, [bearing]);
      if (value !== undefined && bearing === bearsOn) assert.equal(found?.noun, noun);
      else if (bearing === 'outcome' && name !== 'seed') assert.equal(found, undefined);
    }
  });
}

test('the same perturbations in another order, or from another seed, are no difference', () => {
  const [one, other] = ['nice=3,tokio', 'tokio,nice=3'].map((perturb, seed) => scenarioOf({ perturb, seed }));
  assert.equal(difference(one as Scenario, other as Scenario, ['outcome']), undefined);
});
