// @ts-check
import { dirname } from 'node:path';
import { preparePythonBridge } from '../build/python-bridge.mjs';
import { run } from '../lib/command.mjs';
import { inRoot } from '../lib/paths.mjs';
import { FILES_AT_ONCE, inTurns } from '../lib/turns.mjs';

/**
 * Runs the tests of owned-runtime-pyo3 on each Python of this machine.
 * @returns {Promise<import('./checks.mjs').Result>}
 */
export async function runPythonBridge() {
  const bridge = await preparePythonBridge();
  const pythons = Object.entries(bridge?.pythons ?? {});
  if (bridge === undefined || pythons.length === 0) {
    return { skipped: 1, skipReason: 'skipped, cargo or Python is missing' };
  }
  const total = { passed: 0, failed: 0, skipped: 0, output: '' };
  await inTurns(FILES_AT_ONCE, pythons, async ([name, python]) => {
    const tests = ['-m', 'unittest', 'discover', '-s', inRoot('crates', 'owned-runtime-pyo3', 'tests')];
    const { code, output } = await run([python, ...tests], {
      env: { PYTHONPATH: dirname(bridge.module), PYTHONDONTWRITEBYTECODE: '1' },
    });
    const { passed, failed, skipped } = countUnittest(output, code);
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
    if (failed > 0) total.output += `${name}:\n${output}\n`;
  });
  return total;
}

/**
 * Reads the counts from the last lines of Python's unittest.
 * @param {string} output
 * @param {number} code
 */
export function countUnittest(output, code) {
  const ran = Number(/^Ran (\d+) tests? in /m.exec(output)?.[1] ?? 0);
  const last = /^(?:OK|FAILED)(?: \((.*)\))?$/m.exec(output)?.[1] ?? '';
  const count = (/** @type {string} */ word) => Number(new RegExp(`${word}=(\\d+)`).exec(last)?.[1] ?? 0);
  const skipped = count('skipped');
  let failed = count('failures') + count('errors') + count('unexpected successes');
  if (code !== 0 || ran === 0) failed ||= 1;
  return { passed: Math.max(ran - failed - skipped, 0), failed, skipped };
}
