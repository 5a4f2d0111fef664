import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { outputOf, run } from '../command.mjs';
import { inCache } from '../paths.mjs';
import { notice, step } from '../step.mjs';

/** The known-bad control of the main job, and the release that cured it. */
const CONTROLS = ['0.4.1', '0.5.1'];

/**
 * Makes a Python environment for each control, where Python is there: the scenarios find its interpreter at
 * .cache/venv/etcd-client-py-<version>/bin/python.
 */
export async function createPythonEnvironments() {
  const missing = CONTROLS.filter((version) => !existsSync(completeMark(version)));
  if (missing.length === 0) return;
  if (outputOf(['python3', '-c', 'import venv, ensurepip']) === undefined) {
    notice('python3 with its venv module is missing: the etcd-client-py controls are left out');
    return;
  }
  for (const version of missing) {
    const problem = await step(`install etcd-client-py ${version} (Python)`, () => create(version));
    if (problem !== undefined) {
      notice(`etcd-client-py ${version} can't be installed, its scenarios are left out: ${problem}`);
    }
  }
}

const folder = (version) => inCache('venv', `etcd-client-py-${version}`);
const completeMark = (version) => `${folder(version)}/.complete`;

/** @returns {Promise<string | undefined>} what went wrong */
async function create(version) {
  const dir = folder(version);
  const commands = [
    ['python3', '-m', 'venv', '--clear', dir],
    [
      `${dir}/bin/python`,
      '-m',
      'pip',
      'install',
      '--quiet',
      '--only-binary',
      ':all:',
      `etcd-client-py==${version}`,
    ],
  ];
  for (const command of commands) {
    const { code, output } = await run(command);
    if (code !== 0) {
      rmSync(dir, { recursive: true, force: true });
      return output.trim().split('\n').at(-1);
    }
  }
  writeFileSync(completeMark(version), '');
  return undefined;
}
