// Every program of the scenario library in every ending that its host has: quiesce run --plan scenarios/library.plan.ts
import { etcdService, type PythonEnvironment, valkeyService } from '@quiesce/test-services';
import { definePlan, type ScenarioSpec } from 'quiesce';
import { leaveEndings } from './endings.js';
import { pythonProgram } from './in-root.js';
import { crossLibrary, python, typescript, valkeyHere } from './library.js';

const ours = ['basic-put', 'active-watch', 'concurrent-puts', 'rapid-clients', 'watches-and-operations'];
// An open watch keeps the program alive, and so does an open client of valkey-glide: these have no natural end.
const holding = ['active-watch', 'watches-and-operations', 'valkey-basic-set'];
const pythonPrograms = [
  ...['basic_put', 'active_watch', 'concurrent_puts', 'rapid_clients', 'watches_and_operations'],
  ...['connect_and_exit', 'many_async_tasks'],
];
const alone = ['many-async-tasks', 'worker-threads', 'mixed']; // they have endings of their own

const inNode = (program: string, group: string, more: Partial<ScenarioSpec>): ScenarioSpec[] =>
  Object.entries(leaveEndings).flatMap(([ending, { node }]) =>
    ending === 'natural' && holding.includes(program)
      ? []
      : [
          {
            name: `${program}, ${ending}`,
            group,
            command: typescript(program, ending),
            expect: node,
            ...more,
          },
        ],
  );

const inWorkers = (program: string, group: string, more: Partial<ScenarioSpec>): ScenarioSpec[] =>
  ['terminated', 'threads'].map((ending) => ({
    name: `${program}, ${ending}`,
    group,
    command: typescript('in-workers', program, ending),
    ...more,
  }));

// Programs with other clients are shown, not judged.
const inPython = (interpreter: string, program: string, group: string, uses: string[]): ScenarioSpec[] =>
  Object.entries(leaveEndings).map(([ending, { python: expect }]) => ({
    ...{ name: `${group}: ${program}, ${ending}`, group, uses, expect },
    command: [interpreter, pythonProgram(program), ending],
  }));

function etcdClientPy({ python: interpreter, version }: PythonEnvironment): ScenarioSpec[] {
  const group = `etcd-client-py ${version}`;
  return [
    ...pythonPrograms.flatMap((program) => inPython(interpreter, program, group, ['etcd'])),
    ...['threads', 'mixed'].map(
      (program): ScenarioSpec => ({
        ...{ name: `${group}: ${program}`, group, expect: 'any' },
        command: [interpreter, pythonProgram(program)],
      }),
    ),
  ];
}

const { server, node: glideInNode, python: glideInPython } = valkeyHere;
if (server === undefined)
  console.error('quiesce: no Valkey-compatible server here; its scenarios are left out');

export default definePlan({
  services: { etcd: etcdService(), ...(server !== undefined && { valkey: valkeyService(server) }) },
  defaults: { uses: ['etcd'], timeout: '10s', runs: 5 },
  scenarios: [
    ...ours.flatMap((program) => [
      ...inNode(program, '@quiesce/etcd', {}),
      ...inWorkers(program, '@quiesce/etcd', {}),
    ]),
    ...inNode('connect-and-exit', '@quiesce/etcd', {}),
    ...alone.map(
      (program): ScenarioSpec => ({ name: program, group: '@quiesce/etcd', command: typescript(program) }),
    ),
    ...(python.etcd === undefined ? [] : etcdClientPy(python.etcd)),
    ...(glideInNode === undefined
      ? []
      : [
          ...inNode('valkey-basic-set', '@valkey/valkey-glide', { uses: ['valkey'], env: glideInNode }),
          ...inWorkers('valkey-basic-set', '@valkey/valkey-glide', {
            ...{ uses: ['valkey'], env: glideInNode, expect: 'any' },
          }),
        ]),
    ...(glideInPython === undefined
      ? []
      : inPython(glideInPython, 'valkey_basic_set', 'valkey-glide (Python)', ['valkey'])),
    ...crossLibrary(5),
  ],
});
