// The servers of the grid, shared by all of its runs.
import { fileURLToPath } from 'node:url';
import { createCertificates, etcdBinary, etcdService } from '@quiesce/test-services';
import type { ServiceSpec } from 'quiesce';

const here = import.meta.url.includes('/dist/') ? './' : '../dist/grid/';
const program = (name: string): string => fileURLToPath(new URL(`${here}${name}.js`, import.meta.url));

// Hundreds of thousands of puts would fill the store.
const COMPACTING = ['--auto-compaction-mode=revision', '--auto-compaction-retention=10000'];

/** An etcd, one that each run may freeze, and a server that never answers. */
export async function gridServices(): Promise<Record<'etcd' | 'freezable' | 'unanswering', ServiceSpec>> {
  const etcd = etcdService({ extraArgs: COMPACTING });
  const { ca } = await createCertificates();
  return {
    etcd,
    freezable: {
      command: [
        process.execPath,
        program('freezer'),
        ...['control', 'client', 'peer'].map((name) => `\${port:${name}}`),
        etcdBinary(),
        ...COMPACTING,
      ],
      ports: ['control', 'client', 'peer'],
      ready: { port: 'control' },
      provides: {
        GRID_FREEZABLE: `http://127.0.0.1:\${port:client}`,
        GRID_FREEZER: `\${port:control}`,
      },
    },
    unanswering: {
      command: [
        process.execPath,
        program('unanswering'),
        ...['silent', 'full', 'control'].map((name) => `\${port:${name}}`),
      ],
      ports: ['silent', 'full', 'control'],
      ready: { port: 'control' },
      provides: {
        GRID_SILENT: `https://127.0.0.1:\${port:silent}`,
        GRID_FULL: `http://127.0.0.1:\${port:full}`,
        GRID_UNANSWERING: `\${port:control}`,
        GRID_CA: ca,
      },
    },
  };
}
