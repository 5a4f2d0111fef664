// @ts-check
import { availableParallelism } from 'node:os';
import { inCache } from '../lib/paths.mjs';
import { step } from '../lib/step.mjs';
import { inTurns } from '../lib/turns.mjs';
import { createUvloopEnvironment } from '../provide/python.mjs';
import { findPythons } from '../provide/pythons.mjs';
import { buildCrates, hasCargo } from './cargo.mjs';

/** Where the tests of owned-runtime-pyo3 find their module. */
const MODULE = inCache('python-bridge', 'bridge_addon.abi3.so');

/**
 * What the tests of owned-runtime-pyo3 need.
 * @typedef {object} PythonBridge
 * @property {string} module
 * @property {Record<string, string>} pythons interpreters with uvloop, by names such as `python3.11`
 */

/**
 * Builds their module, and makes an environment with uvloop for each Python of this machine.
 * @returns {Promise<PythonBridge | undefined>} `undefined` without cargo
 */
export async function preparePythonBridge() {
  if (!hasCargo()) return undefined;
  const built = step('build the module that tests of owned-runtime-pyo3 use (Rust)', () =>
    // Built like the Rust tests, so that both share their dependencies.
    buildCrates({ 'owned-runtime-pyo3-tests': MODULE }, { flags: ['--lib'] }),
  );
  /** @type {Record<string, string>} */
  const pythons = {};
  const installed = inTurns(availableParallelism(), Object.entries(findPythons()), async ([name, path]) => {
    const python = await createUvloopEnvironment(name, path);
    if (python !== undefined) pythons[name] = python;
  });
  for (const end of await Promise.allSettled([built, installed]))
    if (end.status === 'rejected') throw end.reason;
  return { module: MODULE, pythons };
}
