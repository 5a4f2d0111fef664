// The layers of docs/architecture.md: which folders import which, no cycles, no crowded folder, and a description of
// each folder. Also what the commands import.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, it } from 'node:test';
import { build } from 'esbuild';
import { parseSync } from 'oxc-parser';
import { circlesIn } from '../checks/circles.mjs';
import { inRoot } from '../lib/paths.mjs';

const FILES_IN_A_FOLDER = 15;

/**
 * A source folder's layers according to docs/architecture.md: its folders and files, highest first.
 * @param {string} source
 * @returns {string[][]}
 */
function layersOf(source) {
  const section = readFileSync(inRoot('docs', 'architecture.md'), 'utf8').split(`### \`${source}\`\n`)[1];
  assert.ok(section, `docs/architecture.md has no section on the layers of ${source}`);
  const table = section.split(/^#/m)[0] ?? '';
  return Array.from(table.matchAll(/^\| +(`[^|]+`)/gm), ([, names = '']) =>
    Array.from(names.matchAll(/`([^`]+?)\/?`/g), ([, name = '']) => name),
  );
}

/**
 * @param {string} dir
 * @returns {string[]}
 */
function sources(dir) {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.m?[jt]s$/.test(entry.name))
    .map((entry) => join(entry.path, entry.name))
    .filter((file) => !file.includes('/generated/'));
}

/**
 * What a module imports and re-exports from its own package, including types.
 * @param {string} file
 * @returns {string[]}
 */
function imports(file) {
  const { module, errors } = parseSync(file, readFileSync(file, 'utf8'));
  assert.deepEqual(errors, [], file);
  const words = [
    ...module.staticImports.map(({ moduleRequest }) => moduleRequest.value),
    ...module.staticExports.flatMap(({ entries }) =>
      entries.map((entry) => entry.moduleRequest?.value ?? ''),
    ),
  ];
  return [...new Set(words)]
    .flatMap((word) => (word?.startsWith('.') ? [word] : []))
    .map((word) => join(dirname(file), word.replace(/\.js$/, '.ts')));
}

for (const source of ['packages/quiesce/src', 'packages/etcd/src']) {
  describe(source, () => {
    const top = inRoot(source);
    /** @type {(file: string) => string} */
    const name = (file) => relative(top, file);
    const graph = new Map(sources(top).map((file) => [file, imports(file)]));

    it('has no module that imports from a layer above its own', () => {
      const layers = layersOf(source);
      /** @type {(file: string) => number} */
      const layerOf = (file) => {
        const [first = ''] = name(file).split('/');
        const layer = layers.findIndex((names) => names.includes(first));
        assert.notEqual(layer, -1, `docs/architecture.md says nothing of ${source}/${first}`);
        return layer;
      };
      /** @type {string[]} */
      const upward = [];
      for (const [file, targets] of graph) {
        for (const target of targets) {
          const inGenerated = target.includes('/generated/');
          if (!inGenerated) assert.ok(graph.has(target), `${name(file)} imports ${name(target)}`);
          const [from, to] = [layerOf(file), layerOf(target)];
          const beside = from === to && name(file).split('/')[0] !== name(target).split('/')[0];
          if (to < from || beside) upward.push(`${name(file)} -> ${name(target)}`);
        }
      }
      assert.deepEqual(upward, []);
    });

    it('has no import circle', () => {
      assert.deepEqual(
        circlesIn(graph).map((circle) => circle.map(name).join(' -> ')),
        [],
      );
    });
  });
}

describe('source folders', () => {
  /** @type {Map<string, string[]>} */
  const folders = new Map();
  for (const source of ['packages', 'crates', 'setup']) {
    for (const entry of readdirSync(inRoot(source), { recursive: true, withFileTypes: true })) {
      const dir = relative(inRoot(), entry.path);
      const isSource =
        /^(packages|crates)\/[^/]+\/src(\/|$)|^setup/.test(dir) && !/\/(generated|node_modules)/.test(dir);
      if (!isSource || !entry.isFile() || !/\.(m?[jt]s|rs|py)$/.test(entry.name)) continue;
      folders.set(dir, [...(folders.get(dir) ?? []), entry.name]);
    }
  }

  it(`have at most ${FILES_IN_A_FOLDER} files directly in them`, () => {
    const crowded = [...folders].filter(([, names]) => names.length > FILES_IN_A_FOLDER);
    assert.deepEqual(
      crowded.map(([dir, names]) => `${dir}: ${names.length}`),
      [],
    );
  });

  it('say in their first file, or a README, what lives in them', () => {
    const silent = [...folders]
      .filter(([dir]) => /^packages\/(quiesce|etcd)\/src\/|^setup\/./.test(dir))
      .filter(([dir, names]) => {
        if (existsSync(inRoot(dir, 'README.md'))) return false;
        const first = names.find((name) => /^index\./.test(name)) ?? names.sort()[0] ?? '';
        return !/^(#!.*\n)?\/[/*]/.test(readFileSync(inRoot(dir, first), 'utf8'));
      });
    assert.deepEqual(
      silent.map(([dir]) => dir),
      [],
    );
  });
});

// Each command sets up what it needs, so it must start in a checkout where nothing is installed.
describe('commands of setup/', () => {
  const commands = readdirSync(inRoot('setup', 'commands')).filter((name) => name.endsWith('.mjs'));

  for (const name of commands) {
    it(`${name} starts before anything is installed`, async () => {
      const { metafile } = await build({
        entryPoints: [inRoot('setup', 'commands', name)],
        bundle: true,
        platform: 'node',
        format: 'esm',
        packages: 'external',
        outdir: 'none',
        write: false,
        metafile: true,
        logLevel: 'silent',
      });
      const packages = [];
      const seen = new Set();
      const left = [`setup/commands/${name}`];
      for (let file = left.pop(); file !== undefined; file = left.pop()) {
        if (seen.has(file)) continue;
        seen.add(file);
        for (const { kind, path, external } of metafile.inputs[file]?.imports ?? []) {
          if (kind !== 'import-statement' || path.startsWith('node:')) continue;
          if (external) packages.push(`${file} imports ${path}`);
          else left.push(path);
        }
      }
      assert.deepEqual(packages, [], 'import it where it is used: await import(…)');
    });
  }
});
