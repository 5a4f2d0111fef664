// How much the exit amplifier finds, and that it finds nothing in correct programs: docs/measurements/sensitivity.md.
import { etcdService } from '@quiesce/test-services';
import { definePlan, type ScenarioSpec } from 'quiesce';
import { pythonProgram } from './in-root.js';
import { python as environments, typescript } from './library.js';

/** The same command, plain and amplified. */
function both(
  group: string,
  name: string,
  command: string[],
  runs: readonly [plain: number, amplified: number],
  expect: 'any' | 'clean' = 'clean',
) {
  const spec = { group, command, expect } as const;
  const [plain, amplified] = runs;
  return [
    { ...spec, name: `${name}, plain`, runs: plain },
    { ...spec, name: `${name}, amplified`, runs: amplified, perturb: 'amplify' },
  ];
}

const { etcdBad, etcd } = environments;
if (etcdBad === undefined || etcd === undefined) {
  console.error('quiesce: etcd-client-py is not installed here; its rows are left out');
}

const python = (
  [
    [etcdBad, 'any', [200, 200]],
    [etcd, 'clean', [50, 500]],
  ] as const
).flatMap(([environment, expect, runs]): ScenarioSpec[] =>
  environment === undefined
    ? []
    : ['basic_put', 'active_watch'].flatMap((program) =>
        both(
          `etcd-client-py ${environment.version}`,
          `${environment.version} ${program}`,
          [environment.python, pythonProgram(program)],
          runs,
          expect,
        ),
      ),
);

const plainPython =
  etcd === undefined
    ? []
    : both('programs without a race', 'python -c pass', [etcd.python, '-c', 'pass'], [50, 500]);

/** Correct programs under all perturbations: the tester itself would have caused any failure. */
const correct: readonly (readonly [name: string, command: readonly string[]])[] = [
  ['node -e 0', [process.execPath, '-e', '0']],
  ['@quiesce/etcd basic-put', typescript('basic-put')],
  ...(etcd === undefined
    ? []
    : ([
        ['python -c pass', [etcd.python, '-c', 'pass']],
        ['joined threads', [etcd.python, pythonProgram('joined_threads')]],
      ] as const)),
];

/** [program, amplified runs] */
const ours = [
  ['basic-put', 500],
  ['active-watch', 500],
  ['concurrent-puts', 60],
  ['rapid-clients', 60],
  ['watches-and-operations', 60],
  ['connect-and-exit', 60],
  ['many-async-tasks', 60],
  ['worker-threads', 60],
  ['mixed', 60],
] as const;

export default definePlan({
  services: { etcd: etcdService() },
  defaults: { uses: ['etcd'], timeout: '20s' },
  scenarios: [
    ...python,
    ...plainPython,
    ...both('programs without a race', 'node -e 0', [process.execPath, '-e', '0'], [50, 500]),
    ...both('programs without a race', '/bin/true', ['/bin/true'], [50, 500]),
    ...correct.map(
      ([name, command]): ScenarioSpec => ({
        name: `${name}, all perturbations`,
        group: 'correct programs, perturbed',
        command,
        runs: 250,
        perturb: 'all',
        expect: { stderr: 'empty' },
      }),
    ),
    ...ours.map(
      ([program, runs]): ScenarioSpec => ({
        name: `${program}, amplified`,
        group: '@quiesce/etcd',
        command: typescript(program),
        runs,
        perturb: 'amplify',
        expect: { stderr: 'empty' },
      }),
    ),
  ],
});
