// Each command of this repository sets up what it needs, so it must start in a checkout where nothing is installed.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { build } from 'esbuild';
import { inRoot } from '../lib/paths.mjs';

const commands = readdirSync(inRoot('setup', 'commands')).filter((name) => name.endsWith('.mjs'));

for (const name of commands) {
  test(`${name} starts before anything is installed`, async () => {
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
