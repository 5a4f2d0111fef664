// The scenarios with several libraries, for the plans: which of them can be run here.
import { dirname } from 'node:path';
import { provided, pythonBinaries, valkeyBinary } from '@quiesce/test-services';
import type { ScenarioSpec } from 'quiesce';
import { pythonProgram, typescriptProgram } from './in-root.js';

/** The Python environments that set-up makes, as far as they exist. */
export const python = {
  etcdBad: provided('etcdClientPyBad'),
  etcd: provided('etcdClientPy'),
  valkey: provided('valkeyGlidePy'),
} as const;

/** A Python that can import examples/etcd-python as `etcd_client`; `undefined` if it isn't built. */
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

/** What scenarios with valkey-glide need. A scenario can be run if everything that it needs is available. */
export const valkeyHere = {
  server,
  /** The environment of Node programs. */
  node: server === undefined || glide === undefined ? undefined : { VALKEY_GLIDE_MODULE: glide },
  /** The interpreter of Python programs. */
  python: server === undefined ? undefined : python.valkey?.python,
} as const;

/**
 * Scenario 6: two native clients in one process. In the Node scenario, one of them is ours; in the Python scenario,
 * neither is.
 */
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
