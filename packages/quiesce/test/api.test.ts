// The API, called as JavaScript can call it: each mistake is named where it was made.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as quiesce from '../src/index.js';

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

for (const [what, call, name, message] of mistakes) {
  test(what, async () => {
    await assert.rejects(async () => await call(), { name, message });
  });
}
