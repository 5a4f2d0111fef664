// The options of the library's calls: what a plan or a command line would refuse is refused there, too.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  addToHistory,
  bisect,
  compare,
  comparePlan,
  expectCleanExit,
  githubAnnotations,
  githubSummary,
  htmlReport,
  jsonReport,
  junitReport,
  mergeReports,
  type PlanResult,
  run,
  runPlan,
  tapReport,
  terminalReport,
  UsageError,
} from '../src/index.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('call-options');
const command = ['/bin/true'];
const plan = { scenarios: [{ name: 'a', command, runs: 1 }] };

/** As a program without types, or with a variable that isn't what it seems, gives them. */
type Given = Record<string, unknown>;
const untyped = <T>(value: unknown): T => value as T;

const wrong: readonly (readonly [given: Given, message: RegExp])[] = [
  [{ runs: Number.NaN }, /runs: expected a positive integer, got \.nan/],
  [{ runs: 0 }, /runs: expected a positive integer, got 0/],
  [{ runs: 2.5 }, /runs: expected a positive integer, got 2\.5/],
  [{ jobs: 0 }, /jobs: expected/],
  [{ seed: -1 }, /seed: expected/],
  [{ seed: 1.5 }, /seed: expected/],
  [{ strict: 'no' }, /strict: expected true or false, got "no"/],
  [{ perturb: {} }, /perturb: expected text/],
  [{ ignoreOutput: ['('] }, /ignoreOutput\[0\]: expected a regular expression/],
  [{ timeout: 10 }, /timeout: expected a positive duration with its unit/],
  [{ jobz: 4 }, /unknown field "jobz"; did you mean "jobs"\?/],
  [{ stacks: 'no' }, /stacks: expected true or false/],
  [{ signal: {} }, /signal: expected an AbortSignal/],
  [{ onProgress: true }, /onProgress: expected a function/],
];

// bisect says so only with a version installed.
const idle: typeof wrong = [[{ seed: 1 }, /there is a seed, but nothing is perturbed/]];

const ofPlans: typeof wrong = [
  [{ shard: { index: 9, count: 5 } }, /shard: expected \{ index, count \} with index from 1 to count/],
  [{ shard: { index: Number.NaN, count: 5 } }, /shard\.index: expected/],
  [{ shard: '9/5' }, /shard: expected \{ index, count \}/],
  [{ bail: 0 }, /bail: expected a positive integer/],
  [{ bail: Number.NaN }, /bail: expected a positive integer/],
  [{ resume: {} }, /the report to resume is not a result \(give what runPlan or readReport returned\)/],
  [{ resume: 'file.json' }, /the report to resume must be an object/],
];

const calls: readonly (readonly [name: string, call: (given: Given) => Promise<unknown>, typeof wrong])[] = [
  [
    'run',
    (given) => run(untyped({ command, ...given })),
    [...wrong, ...idle, [{ bail: -1 }, /bail: expected/]],
  ],
  [
    'runPlan',
    (given) => runPlan(plan, untyped(given)),
    [
      ...wrong,
      ...idle,
      ...ofPlans,
      [{ only: 'a' }, /only: expected a list of names or patterns/],
      [{ interleave: 1 }, /interleave: expected true or false/],
    ],
  ],
  [
    'compare',
    (given) => compare(untyped({ before: { command }, after: { command: ['true'] }, ...given })),
    [...wrong, ...idle],
  ],
  [
    'comparePlan',
    (given) =>
      comparePlan(
        { scenarios: [...plan.scenarios, { name: 'b', command }] },
        untyped({ before: 'a', after: 'b', ...given }),
      ),
    [...wrong, ...idle, ...ofPlans, [{ only: ['a'] }, /unknown field "only"/]],
  ],
  [
    'bisect',
    (given) => bisect(plan, untyped({ package: { registry: 'npm', name: 'x' }, ...given })),
    [...wrong, [{ onTried: 1 }, /onTried: expected a function/], [{ until: 0.1 }, /unknown field "until"/]],
  ],
  [
    'expectCleanExit',
    (given) => expectCleanExit(command, untyped(given)),
    [...wrong.filter(([given]) => !('stacks' in given)), ...idle, [{ below: 2 }, /below: expected a rate/]],
  ],
];

for (const [name, call, cases] of calls) {
  test(`${name} refuses options that are wrong, and makes no run`, async () => {
    for (const [given, message] of cases) {
      const asked = call({
        onProgress: () => assert.fail(`${name} began with ${Object.keys(given).join()}`),
        ...given,
      });
      await assert.rejects(asked, (error) => {
        assert.ok(error instanceof UsageError, `${name}: ${Object.keys(given).join()}: ${error}`);
        assert.match(`${error.message} (${error.hint})`, message);
        return true;
      });
    }
  });
}

test('what is no result is refused', async () => {
  const takers: readonly ((result: PlanResult) => unknown)[] = [
    (report) => mergeReports([{ name: 'a', report }]),
    (result) => addToHistory(join(dir, 'history.jsonl'), result),
    (result) => terminalReport(result, false),
    ...[githubAnnotations, githubSummary, htmlReport, jsonReport, junitReport, tapReport],
  ];
  const parsed = JSON.parse(JSON.stringify(jsonReport(await runPlan(plan))));
  for (const take of takers) {
    for (const given of [{}, parsed]) {
      await assert.rejects(async () => take(untyped(given)), {
        name: 'UsageError',
        hint: 'give what runPlan or readReport returned',
      });
    }
  }
});

test('a path with a NUL byte is refused', async () => {
  await assert.rejects(run({ command, cwd: 'a\0b' }), { message: /cwd: expected text without NUL bytes/ });
});
