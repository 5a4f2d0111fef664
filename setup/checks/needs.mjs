// @ts-check
import { buildAddons } from '../build/addons.mjs';
import { buildGoClient } from '../build/bench.mjs';
import { buildControls } from '../build/controls.mjs';
import { buildEtcdPrograms } from '../build/etcd-programs.mjs';
import { buildEtcdPython } from '../build/etcd-python.mjs';
import { refuseUnknown, SetupError } from '../lib/errors.mjs';
import { provideChromium } from '../provide/chromium.mjs';
import { findPythons } from '../provide/pythons.mjs';
import { provideRuntimes } from '../provide/runtimes.mjs';
import { provideValkey } from '../provide/valkey.mjs';

/**
 * What set-up provides only for some test files, in this order, and the names with which tests request it from
 * provided(). If it `compiles`, that is done while the rest is installed.
 * @typedef {object} Need
 * @property {() => unknown} provide
 * @property {(keyof import('@quiesce/test-services').Provided)[]} names
 * @property {boolean} [compiles]
 */

/** @type {Record<string, Need>} */
const NEEDS = {
  runtimes: { provide: provideRuntimes, names: ['runtimes'] },
  pythons: { provide: findPythons, names: ['pythons'] },
  valkey: { provide: provideValkey, names: ['valkeyServer', 'valkeyGlide', 'valkeyGlidePy'] },
  chromium: { provide: provideChromium, names: ['chromium'] },
  'etcd-programs': { provide: buildEtcdPrograms, compiles: true, names: ['etcdutl', 'clientv3'] },
  'go-client': { provide: buildGoClient, compiles: true, names: ['benchClientv3'] },
  controls: { provide: buildControls, compiles: true, names: ['controls'] },
  addons: { provide: () => buildAddons(), compiles: true, names: ['addons'] },
  'etcd-python': { provide: buildEtcdPython, compiles: true, names: ['etcdPython'] },
};

/**
 * Which Node test files need which of these. The others need what all commands need: npm packages, the native
 * libraries, the compiled TypeScript and etcd.
 * @type {Record<string, string[]>}
 */
const NEEDED_BY = {
  'bench/src/gate/gate.test.ts': ['go-client'],
  'bench/src/pressure/pressure.test.ts': ['go-client'],
  'bench/src/tail/tail.test.ts': ['go-client'],
  'crates/owned-runtime-napi/tests/owned-runtime-napi.test.mjs': ['addons', 'runtimes'],
  'packages/etcd/test/clientv3.test.ts': ['etcd-programs'],
  'packages/etcd/test/maintenance.test.ts': ['etcd-programs'],
  'packages/etcd/test/restored-store.test.ts': ['etcd-programs'],
  'packages/quiesce/test/controls.test.ts': ['controls'],
  'packages/quiesce/test/reports.test.ts': ['chromium'],
  'scenarios/cure.test.ts': ['addons', 'pythons', 'runtimes'],
  // Its plan has the scenarios with valkey-glide as well.
  'scenarios/etcd-python.test.ts': ['etcd-python', 'pythons', 'valkey'],
  'scenarios/grid.test.ts': ['runtimes'],
  'scenarios/library.test.ts': ['etcd-python', 'pythons', 'valkey'],
  'scenarios/soak.test.ts': ['runtimes'],
  'setup/test/cure-your-addon.test.mjs': ['addons', 'pythons', 'runtimes'],
  'setup/test/examples.test.mjs': ['addons'],
};

/**
 * What these files need, in the order in which it is provided.
 * @param {readonly string[]} files sources of test files, from the repository's top
 * @param {Record<string, string[]>} [table]
 * @returns {string[]}
 */
export function needsOf(files, table = NEEDED_BY) {
  const needs = new Set(files.flatMap((file) => table[file] ?? []));
  return Object.keys(NEEDS).filter((need) => needs.has(need));
}

/**
 * Fails if the table names a need that set-up doesn't know, or a file that doesn't exist.
 * @param {readonly string[]} files all test files
 * @param {Record<string, string[]>} [table]
 */
export function checkNeeds(files, table = NEEDED_BY) {
  const inTable = (/** @type {string} */ what) => `${what}: correct NEEDED_BY in setup/checks/needs.mjs`;
  refuseUnknown(Object.values(table).flat(), Object.keys(NEEDS), (need) =>
    inTable(`set-up can't provide '${need}'; it knows ${Object.keys(NEEDS).join(', ')}`),
  );
  refuseUnknown(Object.keys(table), files, (file) => inTable(`there is no test file ${file}`));
}

/**
 * Provides what is needed.
 * @param {readonly string[]} needs
 * @returns {Promise<Record<string, string>>} the environment for the tests, in which provided() refuses what they
 * didn't request
 */
export async function provideNeeds(needs) {
  const known = needs.map((need) => {
    const found = NEEDS[need];
    if (found === undefined) throw new SetupError(`set-up can't provide '${need}'`);
    return found;
  });
  const inOrder = async (/** @type {boolean} */ compiled) => {
    for (const { provide, compiles = false } of known) if (compiles === compiled) await provide();
  };
  // Compilers work while packages are downloaded.
  for (const end of await Promise.allSettled([inOrder(true), inOrder(false)])) {
    if (end.status === 'rejected') throw end.reason;
  }
  const left = Object.entries(NEEDS).filter(([need]) => !needs.includes(need));
  return { SETUP_NOT_PROVIDED: left.flatMap(([, { names }]) => names).join(',') };
}
