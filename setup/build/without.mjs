// @ts-check
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { SetupError } from '../lib/errors.mjs';
import { inCache, inRoot } from '../lib/paths.mjs';
import { mustRun } from '../lib/step.mjs';

const dir = inRoot('scenarios', 'nemesis', 'without');

/**
 * The cures that can be taken out of the client, from `scenarios/nemesis/without/`. Each is a patch. Its first lines
 * say what is wrong without the cure, and which check, with which arguments, finds that.
 * @returns {{ name: string, file: string, wrong: string, check: string, args: string[] }[]}
 */
export function cures() {
  return readdirSync(dir)
    .filter((name) => name.endsWith('.patch'))
    .sort()
    .map((name) => {
      const file = join(dir, name);
      const [wrong = '', check = '', args = ''] = readFileSync(file, 'utf8').split('\n');
      return {
        name: name.slice(0, -'.patch'.length),
        file,
        wrong,
        check: check.slice('Check: '.length),
        args: args.slice('Arguments: '.length).split(' '),
      };
    });
}

/**
 * Copies the client, takes a cure out of the copy, and puts a copy of the nemesis beside it.
 * @param {{ name: string, file: string }} cure
 * @returns {Promise<{ dir: string, program: string }>} where the copy is, for the caller to remove, and its main program
 */
export async function buildWithout({ name, file }) {
  const to = inCache('nemesis', 'without', `${name}-${process.pid}`);
  const client = join(to, 'packages', 'etcd');
  rmSync(to, { recursive: true, force: true });
  for (const part of ['package.json', 'src', 'dist/src', 'native']) {
    cpSync(inRoot('packages', 'etcd', part), join(client, part), { recursive: true });
  }
  // As in a folder outside any repository: this repository ignores the folder.
  const env = { GIT_CEILING_DIRECTORIES: dirname(client) };
  const hint = `the client has changed since: make ${relative(inRoot(), file)} again`;
  await mustRun(['git', 'apply', '-p1', file], { cwd: client, env, hint });
  const { buildSync } = await import('esbuild');
  for (const path of changedBy(file)) {
    const { errors } = buildSync({
      entryPoints: [join(client, path)],
      outfile: join(client, 'dist', path.replace(/\.ts$/, '.js')),
      format: 'esm',
      target: 'es2022',
      logLevel: 'silent',
    });
    if (errors.length > 0) throw new SetupError(`${path} without ${name} does not compile`);
  }
  mkdirSync(join(to, 'node_modules', '@quiesce'), { recursive: true });
  symlinkSync(client, join(to, 'node_modules', '@quiesce', 'etcd'));
  const scenarios = join(to, 'scenarios');
  cpSync(inRoot('scenarios', 'package.json'), join(scenarios, 'package.json'));
  cpSync(inRoot('scenarios', 'dist', 'nemesis'), join(scenarios, 'dist', 'nemesis'), { recursive: true });
  return { dir: to, program: join(scenarios, 'dist', 'nemesis', 'main.js') };
}

const changedBy = (/** @type {string} */ file) =>
  Array.from(readFileSync(file, 'utf8').matchAll(/^\+\+\+ b\/(.+)$/gm), ([, path = '']) => path);
