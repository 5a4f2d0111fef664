import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { BRIDGE_ADDON, bridgePython } from '../build/python-bridge.mjs';
import { run } from '../lib/command.mjs';
import { inRoot } from '../lib/paths.mjs';
import { findPythons } from '../provide/pythons.mjs';

/**
 * The tests of owned-runtime-pyo3, on each Python of this machine.
 * @returns {Promise<import('./checks.mjs').Result>}
 */
export async function runPythonBridge() {
  const names = Object.keys(findPythons()).filter((name) => existsSync(bridgePython(name)));
  if (!existsSync(BRIDGE_ADDON) || names.length === 0) {
    return { skipped: 1, skipReason: 'skipped, cargo or Python is missing' };
  }
  const total = { passed: 0, failed: 0, skipped: 0 };
  let outputOfFailed = '';
  for (const name of names) {
    const tests = ['-m', 'unittest', 'discover', '-s', inRoot('crates', 'owned-runtime-pyo3', 'tests')];
    const { code, output } = await run([bridgePython(name), ...tests], {
      env: { PYTHONPATH: dirname(BRIDGE_ADDON), PYTHONDONTWRITEBYTECODE: '1' },
    });
    const counts = countUnittest(output, code);
    for (const key of Object.keys(total)) total[key] += counts[key];
    if (counts.failed > 0) outputOfFailed += `${name}:\n${output}\n`;
  }
  return { ...total, output: outputOfFailed };
}

/** From the last lines of Python's unittest. */
export function countUnittest(output, code) {
  const ran = Number(/^Ran (\d+) tests? in /m.exec(output)?.[1] ?? 0);
  const last = /^(?:OK|FAILED)(?: \((.*)\))?$/m.exec(output)?.[1] ?? '';
  const count = (word) => Number(new RegExp(`${word}=(\\d+)`).exec(last)?.[1] ?? 0);
  const skipped = count('skipped');
  let failed = count('failures') + count('errors') + count('unexpected successes');
  if (code !== 0 || ran === 0) failed ||= 1;
  return { passed: Math.max(ran - failed - skipped, 0), failed, skipped };
}
