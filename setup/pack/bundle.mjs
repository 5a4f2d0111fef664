// @ts-check
// A package's compiled modules in a few files: a program that imports it reads and links those, rather than a hundred.
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Puts the modules that the entries import into the entries' own files, and what several of them or a dynamic import need
 * into `chunks/` beside them. The types stay where they are.
 * @param {string} dir where the compiled modules are; those in no entry go
 * @param {readonly string[]} entries their paths there, without `.js`
 */
export async function bundle(dir, entries) {
  const { rolldown } = await import('rolldown');
  const out = mkdtempSync(`${dir}-bundled-`);
  try {
    const build = await rolldown({
      input: Object.fromEntries(entries.map((entry) => [entry, join(dir, `${entry}.js`)])),
      external: /^[^./]/,
      platform: 'node',
    });
    await build.write({ dir: out, format: 'esm', chunkFileNames: 'chunks/[name].js' });
    await build.close();
    for (const module of scripts(dir)) rmSync(join(dir, module));
    for (const file of scripts(out)) {
      mkdirSync(dirname(join(dir, file)), { recursive: true });
      renameSync(join(out, file), join(dir, file));
    }
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

/** @param {string} dir */
function scripts(dir) {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js'));
}
