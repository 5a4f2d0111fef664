// Every program of the scenario library in every ending that its host has: quiesce run --plan scenarios/library.plan.ts
import { existsSync } from 'node:fs';
import { etcdService, valkeyService } from '@quiesce/test-services';
import { definePlan, type ScenarioSpec } from 'quiesce';
import {
  crossLibrary,
  endings,
  python,
  pythonProgram,
  typescript,
  valkeyEnvironment,
  valkeyHere,
} from './library.js';

const ours = ['basic-put', 'active-watch', 'concurrent-puts', 'rapid-clients', 'watches-and-operations'];
// An open watch keeps the program alive, and so does an open client of valkey-glide: they have no natural end.
const holding = ['active-watch', 'watches-and-operations', 'valkey-basic-set'];
const pythonPrograms = [
  ...['basic_put', 'active_watch', 'concurrent_puts', 'rapid_clients', 'watches_and_operations'],
  ...['connect_and_exit', 'many_async_tasks'],
];
const alone = ['many-async-tasks', 'worker-threads', 'mixed']; // they have endings of their own

const inNode = (program: string, group: string, more: Partial<ScenarioSpec>): ScenarioSpec[] =>
  Object.entries(endings).flatMap(([ending, { node }]) =>
    node === undefined || (ending === 'natural' && holding.includes(program))
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

// Others' programs are shown, not judged.
const inPython = (interpreter: string, program: string, group: string, uses: string[]): ScenarioSpec[] =>
  Object.entries(endings).flatMap(([ending, { python: expect }]) =>
    expect === undefined
      ? []
      : [
          {
            ...{ name: `${group}: ${program}, ${ending}`, group, uses, expect },
            command: [interpreter, pythonProgram(program), ending],
          },
        ],
  );

const { server } = valkeyHere;
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
    ...(existsSync(python.etcd)
      ? [
          ...pythonPrograms.flatMap((program) =>
            inPython(python.etcd, program, 'etcd-client-py 0.5.1', ['etcd']),
          ),
          ...['threads', 'mixed'].map(
            (program): ScenarioSpec => ({
              ...{ name: `etcd-client-py 0.5.1: ${program}`, group: 'etcd-client-py 0.5.1', expect: 'any' },
              command: [python.etcd, pythonProgram(program)],
            }),
          ),
        ]
      : []),
    ...(valkeyHere.node
      ? [
          ...inNode('valkey-basic-set', '@valkey/valkey-glide', { uses: ['valkey'], env: valkeyEnvironment }),
          ...inWorkers('valkey-basic-set', '@valkey/valkey-glide', {
            ...{ uses: ['valkey'], env: valkeyEnvironment, expect: 'any' },
          }),
        ]
      : []),
    ...(valkeyHere.python
      ? inPython(python.valkey, 'valkey_basic_set', 'valkey-glide (Python)', ['valkey'])
      : []),
    ...crossLibrary(5),
  ],
});
