// @ts-check
// Bills of materials in CycloneDX's format: for the npm packages as npm resolves them, for the crates and the native
// code from cargo's lock file.
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { inRoot } from '../lib/paths.mjs';
import { mustRun } from '../lib/step.mjs';
import { provideCyclonedx } from '../provide/cyclonedx.mjs';

/** Crates whose code is in a published package, and the crates that are published themselves. */
const NATIVE = ['etcd-transport', 'exit-amplifier', 'exit-witness', 'spawner'];

/**
 * Describes an npm package: the dependencies it brings, in the versions that npm would install today. The platforms'
 * packages are described by their crate.
 * @param {string} staged the folder that was packed
 * @param {string} file
 */
export async function npmSbom(staged, file) {
  const dir = mkdtempSync(join(tmpdir(), 'quiesce-sbom-'));
  try {
    const { optionalDependencies: _native, ...manifest } = JSON.parse(
      readFileSync(join(staged, 'package.json'), 'utf8'),
    );
    writeFileSync(join(dir, 'package.json'), JSON.stringify(manifest));
    await mustRun(['npm', 'install', '--package-lock-only', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: dir,
    });
    const what = ['--package-lock-only', '--omit=dev', '--omit=peer', '--sbom-type=library'];
    const sbom = JSON.parse(await mustRun(['npm', 'sbom', '--sbom-format=cyclonedx', ...what], { cwd: dir }));
    // npm names it after its folder.
    sbom.metadata.component.name = manifest.name;
    writeFileSync(file, `${JSON.stringify(sbom, undefined, 2)}\n`);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/**
 * Describes crates, on all platforms.
 * @param {readonly string[]} crates published ones; those of the native code are added
 * @param {string} folder
 */
export async function crateSboms(crates, folder) {
  mkdirSync(folder, { recursive: true });
  const program = await provideCyclonedx();
  /** @type {{ packages: { name: string, manifest_path: string }[] }} */
  const { packages } = JSON.parse(await mustRun(['cargo', 'metadata', '--no-deps', '--format-version', '1']));
  const written = packages.map(({ name, manifest_path }) => join(dirname(manifest_path), `${name}.cdx.json`));
  try {
    // cargo-cyclonedx writes one beside each Cargo.toml of the workspace.
    const flags = ['--format', 'json', '--spec-version', '1.5', '--target', 'all', '--all-features'];
    await mustRun([
      program,
      'cyclonedx',
      ...flags,
      '--manifest-path',
      inRoot('crates/owned-runtime/Cargo.toml'),
    ]);
    for (const name of [...crates, ...NATIVE]) {
      copyFileSync(inRoot('crates', name, `${name}.cdx.json`), join(folder, `${name}.cdx.json`));
    }
  } finally {
    for (const file of written) rmSync(file, { force: true });
  }
}
