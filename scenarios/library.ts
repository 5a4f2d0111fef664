// The scenarios of several libraries, for the plans: what of them can be run here.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { pythonBinaries, valkeyBinary } from '@quiesce/test-services';
import type { Expect, ScenarioSpec } from 'quiesce';

// Plans are run from source, the programs from dist.
const inRoot = (path: string): string =>
  fileURLToPath(
    new URL(import.meta.url.includes('/dist/') ? `../../${path}` : `../${path}`, import.meta.url),
  );

const GLIDE_MODULE = inRoot(
  '.cache/npm/valkey-glide-2.5.2/node_modules/@valkey/valkey-glide/build-ts/index.js',
);

/** Interpreters of the Python environments that set-up makes. */
export const python = {
  etcdBad: inRoot('.cache/venv/etcd-client-py-0.4.1/bin/python'),
  etcd: inRoot('.cache/venv/etcd-client-py-0.5.1/bin/python'),
  valkey: inRoot('.cache/venv/valkey-glide-2.5.2/bin/python'),
} as const;

/** A Python that imports examples/etcd-python as `etcd_client`; `undefined` where it isn't built. */
export const etcdPython = pythonWith(inRoot('.cache/examples/etcd-python'), 'etcd_client.abi3.so');

function pythonWith(
  folder: string,
  module: string,
): { readonly python: string; readonly env: { readonly PYTHONPATH: string } } | undefined {
  const newest = Object.values(pythonBinaries()).at(-1);
  if (newest === undefined || !existsSync(`${folder}/${module}`)) return undefined;
  return { python: newest, env: { PYTHONPATH: folder } };
}

/** The command of a TypeScript scenario. */
export const typescript = (program: string, ...words: string[]): string[] => [
  process.execPath,
  inRoot(`scenarios/dist/typescript/${program}.js`),
  ...words,
];

/** Where a Python scenario's program is. */
export const pythonProgram = (program: string): string => inRoot(`scenarios/python/${program}.py`);

/** How a program that leaves in this way ends, in Node and in Python. */
export const endings: Readonly<Record<string, { node?: Expect; python?: Expect }>> = {
  exit: { node: 'clean', python: 'clean' },
  natural: { node: 'clean', python: 'clean' },
  exception: { node: { exitCode: 1 }, python: { exitCode: 1 } },
  // Python prints it and exits with 0.
  rejection: { node: { exitCode: 1 }, python: 'clean' },
  SIGTERM: { node: { signal: 'SIGTERM' }, python: { signal: 'SIGTERM' } },
  SIGINT: { node: { signal: 'SIGINT' }, python: { signal: 'SIGINT' } },
};

const valkeyServer = valkeyBinary();

/** Whether scenarios with valkey-glide can be run, in Node and in Python. */
export const valkeyHere = {
  server: valkeyServer,
  node: valkeyServer !== undefined && existsSync(GLIDE_MODULE),
  python: valkeyServer !== undefined && existsSync(python.valkey),
} as const;

/** For scenarios with valkey-glide in Node. */
export const valkeyEnvironment = { VALKEY_GLIDE_MODULE: GLIDE_MODULE } as const;

/** Scenario 6: two native clients in one process. The Node one is ours; both of the Python one are others'. */
export function crossLibrary(runs: number): ScenarioSpec[] {
  const uses = ['etcd', 'valkey'];
  return [
    ...(valkeyHere.node
      ? [
          {
            ...{ name: '6 cross-library, Node', group: 'with valkey-glide', runs, uses },
            command: typescript('cross-library'),
            env: valkeyEnvironment,
          },
        ]
      : []),
    ...(valkeyHere.python
      ? [
          {
            ...{ name: '6 cross-library, Python', group: 'with valkey-glide', runs, uses },
            command: [python.valkey, pythonProgram('cross_library')],
            expect: 'any' as const,
          },
        ]
      : []),
  ];
}
