// @ts-check
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from '../lib/errors.mjs';
import { mustFetch } from '../lib/fetch.mjs';
import { inCache, inRoot } from '../lib/paths.mjs';
import { makeEnvironment } from '../provide/python.mjs';
import { findPythons } from '../provide/pythons.mjs';
import { provideRuntimes } from '../provide/runtimes.mjs';

/**
 * What to install, and what to run there.
 * @typedef {object} Subject
 * @property {string} name
 * @property {'npm' | 'pypi'} registry
 * @property {string} [host] such as `node26` or `python3.13`; default: the host in use
 * @property {string[]} packages the first is the subject; others may state their version
 * @property {string[]} program in scenarios/field/programs, with its arguments
 * @property {string} [timeout] default 20s
 * @property {boolean} [ci] whether CI runs it
 */

/**
 * What a public report of a crash or hang has in addition.
 * @typedef {object} Reported
 * @property {string | null} bad the version that fails; null if the host itself fails
 * @property {string | null} good a version that doesn't fail, if one is known
 * @property {string | null} report address of the public report; null if it was found here
 * @property {string[]} kinds the kinds that the tester may name
 * @property {string} [why] what shows that the kind is right, if that isn't obvious
 * @property {number} [runs] for each way
 */

/** @typedef {Subject & Reported} Case */

/**
 * A popular package, used as its documentation says.
 * @typedef {Subject & { version: string }} Control
 */

/** @returns {Case[]} */
export const cases = () => read('cases.json');
/** @returns {Control[]} */
export const controls = () => read('controls.json');

/** @param {string} name */
const read = (name) => JSON.parse(readFileSync(inRoot('scenarios', 'field', name), 'utf8'));

/** @param {Subject} subject */
const programOf = ({ program: [file = ''] }) => inRoot('scenarios', 'field', 'programs', file);

/**
 * A hash of what a result depends on. A result with another hash is out of date.
 * @param {Case | Control} subject
 */
export function stateOf(subject) {
  const { name, registry, host, packages, program, timeout } = subject;
  const versions = 'version' in subject ? [subject.version] : [subject.bad, subject.good, subject.runs];
  return createHash('sha256')
    .update(JSON.stringify([name, registry, host, packages, program, timeout, versions]))
    .update(readFileSync(programOf(subject)))
    .digest('hex')
    .slice(0, 16);
}

/**
 * The interpreter for a subject.
 * @param {Subject} subject
 */
async function interpreterOf({ registry, host }) {
  if (host === undefined) return registry === 'npm' ? process.execPath : 'python3';
  /** @type {Record<string, string>} */
  const found = registry === 'npm' ? await provideRuntimes() : findPythons();
  const path = found[host];
  if (path === undefined) throw new SetupError(`${host} isn't here`);
  return path;
}

/**
 * Installs a subject in its own folder, and returns how to start its program there.
 * @param {Subject} subject
 * @param {string | null} version of the first package
 * @returns {Promise<{ folder: string, command: string[] }>}
 */
export async function install(subject, version) {
  const { registry, host, packages, program } = subject;
  const [first, ...others] = packages;
  const interpreter = await interpreterOf(subject);
  const name = [first ?? 'none', version, ...others, host].join('-').replace(/[^\w.-]/g, '_');
  const folder = inCache('field', registry, name);
  const command = [
    registry === 'npm' ? interpreter : join(folder, 'bin', 'python'),
    programOf(subject),
    ...program.slice(1),
  ];
  // Written last, so that an interrupted installation is made again. It is made in place, as a Python environment can't
  // be moved.
  const mark = join(folder, 'installed');
  if (existsSync(mark)) return { folder, command };
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  /** @param {string} sign what separates a name from its version */
  const wanted = (sign) => [...(first === undefined ? [] : [`${first}${sign}${version}`]), ...others];
  if (registry === 'npm') {
    // The packages contain binaries; scripts would build or download others.
    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    if (first !== undefined)
      await mustFetch(['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', ...wanted('@')], {
        cwd: folder,
      });
  } else {
    const flags = ['--no-cache-dir', '--disable-pip-version-check'];
    const problem = await makeEnvironment(folder, interpreter, wanted('=='), flags);
    if (problem !== undefined) throw new SetupError(`${wanted('==').join(', ')}: ${problem}`);
  }
  writeFileSync(mark, '');
  return { folder, command };
}
