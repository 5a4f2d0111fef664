// @ts-check
import { outputOf } from '../lib/command.mjs';
import { inCache } from '../lib/paths.mjs';
import { recordFiles } from '../lib/provided.mjs';
import { notice, step } from '../lib/step.mjs';
import { buildCrates, hasCargo } from './cargo.mjs';

/** Builds the deliberately bad addons of controls/, which tests of the tester run. Without cargo there are none. */
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
    // As the Rust tests are built, with which they share what they depend on.
    buildCrates(files, { flags: [] }),
  );
  recordFiles('controls', files);
}
