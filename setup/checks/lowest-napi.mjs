// @ts-check
// Tests owned-runtime-napi with the lowest versions of napi and napi-derive that it states: builds its examples as
// addons would.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../lib/command.mjs';
import { mustFetch } from '../lib/fetch.mjs';
import { inRoot } from '../lib/paths.mjs';
import { countCargoTests } from './count-cargo-tests.mjs';

const CRATES = ['owned-runtime', 'owned-runtime-napi'];

export async function testLowestNapi() {
  const dir = mkdtempSync(join(tmpdir(), 'quiesce-lowest-napi-'));
  try {
    for (const crate of CRATES) {
      cpSync(inRoot('crates', crate), join(dir, 'crates', crate), { recursive: true });
      // An addon's own dependencies may have other versions than the crate's.
      rmSync(join(dir, 'crates', crate, 'tests'), { recursive: true, force: true });
    }
    const manifest = readFileSync(inRoot('Cargo.toml'), 'utf8');
    const members = CRATES.map((crate) => `"crates/${crate}"`).join(', ');
    writeFileSync(
      join(dir, 'Cargo.toml'),
      manifest.replace(/^members = \[.*?^\]/ms, `members = [${members}]`),
    );
    const stated = readFileSync(inRoot('crates', 'owned-runtime-napi', 'Cargo.toml'), 'utf8');
    for (const dependency of ['napi', 'napi-derive']) {
      const lowest = new RegExp(`^${dependency} = .*?"(\\d+\\.\\d+)"`, 'm').exec(stated)?.[1];
      await mustFetch(['cargo', 'update', dependency, '--precise', `${lowest}.0`], { cwd: dir });
    }
    const test = ['test', '--package', 'owned-runtime-napi', '--all-features', '--doc'];
    const { code, output } = await run(['cargo', ...test], {
      cwd: dir,
      env: { CARGO_TARGET_DIR: inRoot('target', 'lowest-napi') },
    });
    return { ...countCargoTests(output, code), output };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
