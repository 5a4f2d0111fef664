// @ts-check
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from '../lib/errors.mjs';
import { inCache, inRoot } from '../lib/paths.mjs';
import { mustRun } from '../lib/step.mjs';
import { makeEnvironment } from '../provide/python.mjs';
import { findPythons } from '../provide/pythons.mjs';
import { provideRuntimes } from '../provide/runtimes.mjs';

/**
 * What is installed, and what is run there.
 * @typedef {object} Subject
 * @property {string} name
 * @property {'npm' | 'pypi'} registry
 * @property {string} [host] such as `node26` or `python3.13`; the one that is in use where it is left out
 * @property {string[]} packages the first is the one that it is about; others may say their version
 * @property {string[]} program in scenarios/field/programs, with its arguments
 * @property {string} [timeout] default 20s
 * @property {boolean} [ci] CI runs it
 */

/**
 * What a public report of a crash or hang has beside that.
 * @typedef {object} Reported
 * @property {string | null} bad its version that fails; null where it is the host itself
 * @property {string | null} good one that doesn't, where that is known
 * @property {string | null} report where the public said so; null where it was found here
 * @property {string[]} kinds what the tester may name
 * @property {string} [why] what shows that it is that, where it isn't plain
 * @property {number} [runs] of each way
 */

/** @typedef {Subject & Reported} Case */

/**
 * A popular package that is used as its documentation says.
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
 * What a result depends on, in short: one of another state is out of date.
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
 * The interpreter that a subject wants.
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
 * Installs a subject in a folder of its own, and says how its program is started there.
 * @param {Subject} subject
 * @param {string | null} version of its first package
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
  // Written last: an interrupted installation is made again, where it was, as an environment of Python can't be moved.
  const mark = join(folder, 'installed');
  if (existsSync(mark)) return { folder, command };
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  /** @param {string} sign between a name and its version */
  const wanted = (sign) => [...(first === undefined ? [] : [`${first}${sign}${version}`]), ...others];
  if (registry === 'npm') {
    // Binaries are in the packages; scripts would build or download others.
    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    if (first !== undefined)
      await mustRun(['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', ...wanted('@')], {
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
