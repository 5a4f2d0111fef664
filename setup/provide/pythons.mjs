// @ts-check
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { outputOf } from '../lib/command.mjs';
import { onPath } from '../lib/find-program.mjs';
import { recordProvided } from '../lib/provided.mjs';
import { notice } from '../lib/step.mjs';

/** The versions that the addons' stable ABI is for. */
const NAMES = ['3.9', '3.10', '3.11', '3.12', '3.13', '3.14', '3.15'].map((version) => `python${version}`);

const QUESTION =
  'import sys, platform, sysconfig; gil = not sysconfig.get_config_var("Py_GIL_DISABLED"); ' +
  'print(platform.python_implementation(), gil, "python%d.%d" % sys.version_info[:2], sys.executable)';

/**
 * Looks for the CPythons of this machine, on PATH and in pyenv's folder, and records them for pythonBinaries() of
 * @quiesce/test-services. No registry has interpreters, so only those on the machine can be used.
 * @returns {Record<string, string>} the path of each interpreter, by a name such as `python3.11`
 */
export function findPythons() {
  /** @type {Record<string, string>} */
  const found = {};
  for (const candidate of candidates()) {
    const [implementation, gil, name = '', path = ''] =
      outputOf([candidate, '-c', QUESTION])?.split(' ') ?? [];
    // The stable ABI doesn't work with free-threaded ones.
    if (implementation === 'CPython' && gil === 'True' && NAMES.includes(name)) found[name] ??= path;
  }
  const sorted = Object.fromEntries(NAMES.flatMap((name) => (found[name] ? [[name, found[name]]] : [])));
  recordProvided('pythons', sorted);
  if (Object.keys(sorted).length === 0) notice('there is no Python here: its rows are left out');
  return sorted;
}

function candidates() {
  const pyenv = join(process.env.PYENV_ROOT ?? join(homedir(), '.pyenv'), 'versions');
  const ofPyenv = existsSync(pyenv)
    ? readdirSync(pyenv).map((version) => join(pyenv, version, 'bin', 'python3'))
    : [];
  return [...onPath('python3', ...NAMES), ...ofPyenv].filter((file) => existsSync(file));
}
