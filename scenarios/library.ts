// The scenarios of several libraries, for the plans: what of them can be run here.
import { dirname } from 'node:path';
import { provided, pythonBinaries, valkeyBinary } from '@quiesce/test-services';
import type { ScenarioSpec } from 'quiesce';
import { pythonProgram, typescriptProgram } from './in-root.js';

/** The Python environments that set-up makes, those of them that are there. */
export const python = {
  etcdBad: provided('etcdClientPyBad'),
  etcd: provided('etcdClientPy'),
  valkey: provided('valkeyGlidePy'),
} as const;

/** A Python that imports examples/etcd-python as `etcd_client`; `undefined` where it isn't built. */
export const etcdPython = pythonWith(provided('etcdPython'));

function pythonWith(
  module: string | undefined,
): { readonly python: string; readonly env: { readonly PYTHONPATH: string } } | undefined {
  const newest = Object.values(pythonBinaries()).at(-1);
  if (newest === undefined || module === undefined) return undefined;
  return { python: newest, env: { PYTHONPATH: dirname(module) } };
}

/** The command of a TypeScript scenario. */
export const typescript = (program: string, ...words: string[]): string[] => [
  process.execPath,
  typescriptProgram(program),
  ...words,
];

const server = valkeyBinary();
const glide = provided('valkeyGlide');

/** What scenarios with valkey-glide need; those of them can be run of which all is there. */
export const valkeyHere = {
  server,
  /** The environment of programs in Node. */
  node: server === undefined || glide === undefined ? undefined : { VALKEY_GLIDE_MODULE: glide },
  /** The interpreter of programs in Python. */
  python: server === undefined ? undefined : python.valkey?.python,
} as const;

/** Scenario 6: two native clients in one process. The Node one is ours; both of the Python one are others'. */
export function crossLibrary(runs: number): ScenarioSpec[] {
  const uses = ['etcd', 'valkey'];
  return [
    ...(valkeyHere.node
      ? [
          {
            ...{ name: '6 cross-library, Node', group: 'with valkey-glide', runs, uses },
            command: typescript('cross-library'),
            env: valkeyHere.node,
          },
        ]
      : []),
    ...(valkeyHere.python
      ? [
          {
            ...{ name: '6 cross-library, Python', group: 'with valkey-glide', runs, uses },
            command: [valkeyHere.python, pythonProgram('cross_library')],
            expect: 'any' as const,
          },
        ]
      : []),
  ];
}
