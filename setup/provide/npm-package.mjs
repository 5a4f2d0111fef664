// @ts-check
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetching } from '../lib/fetch.mjs';
import { inCache } from '../lib/paths.mjs';
import { notice, step } from '../lib/step.mjs';

/**
 * Installs a package of npm into .cache/npm/<folder>, without running its scripts. It is for packages under test, or
 * for tools, which nothing here depends on.
 * @param {string} folder
 * @param {string} spec such as `left-pad@1.3.0`
 * @param {string} otherwise what is missing without it, for the notice
 * @returns {Promise<string | undefined>} the folder that has its `node_modules`
 */
export async function installFromNpm(folder, spec, otherwise) {
  const dir = inCache('npm', folder);
  const mark = join(dir, '.complete');
  if (existsSync(mark)) return dir;
  return await step(`install ${spec} (npm)`, async () => {
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, 'package.json'), '{ "private": true }');
    const flags = ['--no-audit', '--no-fund', '--ignore-scripts'];
    const { code, output } = await fetching(['npm', 'install', ...flags, spec], { cwd: dir });
    if (code !== 0) {
      notice(`${spec} can't be installed, ${otherwise}: ${output.trim().split('\n').at(-1)}`);
      return undefined;
    }
    writeFileSync(mark, '');
    return dir;
  });
}
