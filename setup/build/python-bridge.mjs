import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { run } from '../lib/command.mjs';
import { inCache } from '../lib/paths.mjs';
import { notice, step } from '../lib/step.mjs';
import { findPythons } from '../provide/pythons.mjs';
import { buildCrates, hasCargo } from './cargo.mjs';

/** Where the tests of owned-runtime-pyo3 find the module that they use. */
export const BRIDGE_ADDON = inCache('python-bridge', 'bridge_addon.abi3.so');

/** The interpreter of an environment with uvloop, for one of findPythons(). */
export const bridgePython = (name) => `${folder(name)}/bin/python`;

/** What the tests of owned-runtime-pyo3 need: their module, and each Python of this machine with uvloop. */
export async function preparePythonBridge() {
  if (!hasCargo()) return;
  await step('build the module that tests of owned-runtime-pyo3 use (Rust)', () =>
    // As the Rust tests are built, with which it shares what it depends on.
    buildCrates({ 'owned-runtime-pyo3-tests': BRIDGE_ADDON }, { flags: ['--lib'] }),
  );
  for (const [name, path] of Object.entries(findPythons())) {
    if (existsSync(completeMark(name))) continue;
    const problem = await step(`install uvloop for ${name}`, () => create(name, path));
    if (problem !== undefined) notice(`uvloop can't be installed for ${name}, which is left out: ${problem}`);
  }
}

const folder = (name) => inCache('venv', `uvloop-${name}`);
const completeMark = (name) => `${folder(name)}/.complete`;

/** @returns {Promise<string | undefined>} what went wrong */
async function create(name, path) {
  for (const command of [
    [path, '-m', 'venv', '--clear', folder(name)],
    [bridgePython(name), '-m', 'pip', 'install', '--quiet', '--only-binary', ':all:', 'uvloop'],
  ]) {
    const { code, output } = await run(command);
    if (code !== 0) {
      rmSync(folder(name), { recursive: true, force: true });
      return output.trim().split('\n').at(-1);
    }
  }
  writeFileSync(completeMark(name), '');
  return undefined;
}
