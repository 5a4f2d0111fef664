// The API, called as JavaScript can call it: each mistake is named where it was made.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as quiesce from '../src/index.js';
import { temporaryDirectory } from './support/temporary-directory.js';

// biome-ignore lint/suspicious/noExplicitAny: these calls have no types
const api: Record<string, (...values: any[]) => unknown> = { ...quiesce } as never;
const service = (spec: object): unknown => api.startService?.('x', { command: ['sleep', '9'], ...spec });

const mistakes: readonly (readonly [string, () => unknown, string, RegExp])[] = [
  [
    'run without options',
    () => api.run?.(),
    'UsageError',
    /^run's options must be an object, not undefined$/,
  ],
  ['run with null', () => api.run?.(null), 'UsageError', /^run's options .* not null$/],
  [
    'run with an empty command',
    () => api.run?.({ command: [] }),
    'UsageError',
    /^(?!.*name)(?!.*\n).*command: /,
  ],
  ['runPlan without a plan', () => api.runPlan?.(), 'UsageError', /^a plan must be/],
  ['bisect without options', () => api.bisect?.({ scenarios: [] }), 'UsageError', /^bisect's options/],
  ['compare without sides', () => api.compare?.({}), 'UsageError', /^before must be/],
  ['comparePlan without a plan', () => api.comparePlan?.(), 'UsageError', /^a plan must be/],
  [
    'expectCleanExit with null',
    () => api.expectCleanExit?.('true', null),
    'UsageError',
    /^expectCleanExit's/,
  ],
  ['loadPlan without a file', () => api.loadPlan?.(), 'UsageError', /^loadPlan's file must be text$/],
  ['mergeReports with null', () => api.mergeReports?.(null), 'UsageError', /^reports must be a list/],
  ['mergeReports of nothing', () => api.mergeReports?.([{}]), 'UsageError', /^a report to merge must be/],
  ['htmlReport of nothing', () => api.htmlReport?.(null), 'UsageError', /^there is neither/],
  ['a misspelt field of a service', () => service({ reedy: {} }), 'ServiceError', /has no field "reedy"$/],
  [
    'a misspelt field of ready',
    () => service({ ready: { prot: 'z' } }),
    'ServiceError',
    /has no field "prot"$/,
  ],
  ['a service without a spec', () => api.startService?.({}), 'ServiceError', /its spec is not an object$/],
  ['a power of impossible rates', () => api.comparisonPower?.(2, 0.2, 10), 'RangeError', /^rate 2 is not/],
  ['an impossible p value', () => api.holm?.([2]), 'RangeError', /^p value 2 is not/],
  ['a measurement that is none', () => api.summarize?.(['a']), 'RangeError', /^a is not a measurement$/],
];

test('the compiler names the field of a plan that is wrong', () => {
  const dir = temporaryDirectory('types');
  const index = fileURLToPath(new URL('../src/index.js', import.meta.url));
  const scenario = "name: 'a', command: ['true']";
  const cases: readonly (readonly [plan: string, message: RegExp | null])[] = [
    [
      `{ scenarios: [{ ${scenario}, timeut: '3s' }] }`,
      /'timeut' does not exist in type 'ScenarioSpec'\. Did you mean to write 'timeout'\?/,
    ],
    [`{ scenarios: [{ ${scenario}, timeout: 3 }] }`, /Type 'number' is not assignable to type 'string'/],
    ["async () => ({ scenarios: [{ name: 'a', command: 'true' }] })", /property 'command' are incompatible/],
    [`{ scenarios: [{ ${scenario} }] }`, null],
    [`async () => ({ scenarios: [{ ${scenario} }] })`, null],
  ];
  for (const [i, [plan]] of cases.entries()) {
    const text = `import { definePlan } from ${JSON.stringify(index)};\nexport default definePlan(${plan});\n`;
    writeFileSync(join(dir, `${i}.mts`), text);
  }
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
  const flags = [
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    '--ignoreConfig',
    '--module',
    'nodenext',
    '--target',
    'es2022',
  ];
  const { stdout } = spawnSync(process.execPath, [tsc, ...flags, ...cases.map((_, i) => `${i}.mts`)], {
    ...{ cwd: dir, encoding: 'utf8' },
  });
  const said = (i: number): string =>
    stdout.split(/^(?=\d+\.mts)/m).find((one) => one.startsWith(`${i}.mts`)) ?? '';
  for (const [i, [plan, message]] of cases.entries()) {
    if (message === null) assert.equal(said(i), '', plan);
    else assert.match(said(i).replaceAll('Types of ', ''), message, `${plan}: ${stdout}`);
  }
});

for (const [what, call, name, message] of mistakes) {
  test(what, async () => {
    await assert.rejects(async () => await call(), { name, message });
  });
}
