// @ts-check
import { outputOf } from '../lib/command.mjs';
import { inCache } from '../lib/paths.mjs';
import { recordFiles } from '../lib/provided.mjs';
import { notice, step } from '../lib/step.mjs';
import { buildCrates, hasCargo } from './cargo.mjs';

/** Builds the deliberately bad addons in controls/, which the tester's tests run. Without cargo nothing is built. */
export async function buildControls() {
  if (!hasCargo()) return;
  const hasPython = outputOf(['python3', '--version']) !== undefined;
  if (!hasPython) notice('python3 is missing: the tests of the bad Python module are left out');
  /** @type {Record<string, string>} */
  const files = {
    'control-napi': inCache('controls', 'control.node'),
    ...(hasPython && { 'control-pyo3': inCache('controls', 'control_pyo3.abi3.so') }),
  };
  await step('build the bad addons that tests need (Rust)', () =>
    // Built like the Rust tests, so that both share their dependencies.
    buildCrates(files, { flags: [] }),
  );
  recordFiles('controls', files);
}
