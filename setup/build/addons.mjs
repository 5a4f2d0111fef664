// @ts-check
import { inCache } from '../lib/paths.mjs';
import { recordFiles } from '../lib/provided.mjs';
import { step } from '../lib/step.mjs';
import { buildCrates, hasCargo } from './cargo.mjs';

const addon = (/** @type {string} */ file) => inCache('addons', file);

/**
 * The addons of examples/addons, as their authors write them today and cured, and the server that they talk to. Each
 * cargo command applies one crate's features to everything that it builds, and only one napi addon should have napi's
 * own runtime.
 * @type {Record<string, string>[]}
 */
const ADDONS = [
  {
    'addon-server': addon('addon-server'),
    'addon-pyo3-usual': addon('addon_pyo3_usual.abi3.so'),
    'addon-pyo3-owned': addon('addon_pyo3_owned.abi3.so'),
    'addon-napi-usual': addon('addon_napi_usual.node'),
  },
  {
    'addon-napi-owned': addon('addon_napi_owned.node'),
    'owned-runtime-napi-tests': addon('owned_runtime_napi_tests.node'),
  },
];

/**
 * Builds them into .cache/addons. Without cargo nothing is built.
 * @param {{ release?: boolean }} [options] `release`: optimized, for measurements of speed. By default they are built
 * like the Rust tests, so that both share their dependencies
 */
export async function buildAddons({ release = false } = {}) {
  if (!hasCargo()) return;
  const flags = release ? ['--release'] : [];
  await step('build the example addons (Rust, about a minute the first time)', async () => {
    for (const together of ADDONS) {
      await buildCrates(together, { flags });
      recordFiles('addons', together);
    }
  });
}
