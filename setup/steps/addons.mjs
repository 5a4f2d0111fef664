import { inCache } from '../paths.mjs';
import { step } from '../step.mjs';
import { buildCrates } from './cargo.mjs';

const addon = (file) => inCache('addons', file);

/** The addons of examples/addons, as their authors write them today and cured, and the server that they talk to. */
const ADDONS = {
  'addon-server': addon('addon-server'),
  'addon-pyo3-usual': addon('addon_pyo3_usual.abi3.so'),
  'addon-pyo3-owned': addon('addon_pyo3_owned.abi3.so'),
  'addon-napi-owned': addon('addon_napi_owned.node'),
  'addon-napi-usual': addon('addon_napi_usual.node'),
};

/** Builds them into .cache/addons, where npm run cure looks for them. Needs cargo. */
export async function buildAddons() {
  await step('build the example addons (Rust, about a minute the first time)', () => buildCrates(ADDONS));
}
