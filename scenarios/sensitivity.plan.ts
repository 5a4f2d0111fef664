// How much the exit amplifier finds, and that it finds nothing where nothing is: docs/sensitivity.md.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { etcdService } from '@quiesce/test-services';
import { definePlan, type ScenarioSpec } from 'quiesce';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const pythonOf = (version: string): string => here(`../.cache/venv/etcd-client-py-${version}/bin/python`);

/** The same command, left alone and amplified. */
function both(group: string, name: string, command: string[], runs: [plain: number, amplified: number]) {
  const spec = { group, command, expect: group.endsWith('0.4.1') ? 'any' : 'clean' } as const;
  const [plain, amplified] = runs;
  return [
    { ...spec, name: `${name}, plain`, runs: plain },
    { ...spec, name: `${name}, amplified`, runs: amplified, perturb: 'amplify' },
  ];
}

const python = ['0.4.1', '0.5.1'].flatMap((version): ScenarioSpec[] => {
  if (!existsSync(pythonOf(version))) {
    console.error(`quiesce: etcd-client-py ${version} is not installed here; its rows are left out`);
    return [];
  }
  const runs: [number, number] = version === '0.4.1' ? [200, 200] : [50, 500];
  return ['basic_put', 'active_watch'].flatMap((program) =>
    both(
      `etcd-client-py ${version}`,
      `${version} ${program}`,
      [pythonOf(version), here(`python/${program}.py`)],
      runs,
    ),
  );
});

const plainPython = existsSync(pythonOf('0.5.1'))
  ? both('programs without a race', 'python -c pass', [pythonOf('0.5.1'), '-c', 'pass'], [50, 500])
  : [];

/** Correct programs under all perturbations: each failure would be one that the tester made. */
const correct: readonly (readonly [name: string, command: readonly string[]])[] = [
  ['node -e 0', [process.execPath, '-e', '0']],
  ['@quiesce/etcd basic-put', [process.execPath, here('dist/typescript/basic-put.js')]],
  ...(existsSync(pythonOf('0.5.1'))
    ? ([
        ['python -c pass', [pythonOf('0.5.1'), '-c', 'pass']],
        ['joined threads', [pythonOf('0.5.1'), here('python/joined_threads.py')]],
      ] as const)
    : []),
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
        command: [process.execPath, here(`dist/typescript/${program}.js`)],
        runs,
        perturb: 'amplify',
        expect: { stderr: 'empty' },
      }),
    ),
  ],
});
