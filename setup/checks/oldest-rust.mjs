// @ts-check
// Tests owned-runtime as it is packed for crates.io, with the oldest Rust that it supports and the lowest versions of
// its dependencies.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../lib/command.mjs';
import { mustFetch } from '../lib/fetch.mjs';
import { inRoot } from '../lib/paths.mjs';
import { mustRun } from '../lib/step.mjs';
import { OLDEST_RUST, provideOldestRust } from '../provide/oldest-rust.mjs';
import { countCargoTests } from './count-cargo-tests.mjs';

export async function testOldestRust() {
  const toolchain = await provideOldestRust();
  if (toolchain === undefined) {
    return { skipped: 1, skipReason: `skipped, Rust ${OLDEST_RUST} isn't available here` };
  }
  // Always the same folders, so that the dependencies are built only once.
  const dir = inRoot('target', 'oldest-rust', 'unpacked');
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const crate = await unpackCrate(dir);
  // Today's cargo finds the versions and fetches them: the old one can read neither the registry nor newer manifests.
  const nightly = { cwd: crate, env: { RUSTC_BOOTSTRAP: '1' } };
  await mustFetch(['cargo', 'update', '-Z', 'minimal-versions'], nightly);
  await mustFetch(['cargo', 'vendor', '--versioned-dirs', 'vendor'], { cwd: crate });
  const config = '[source.crates-io]\nreplace-with = "vendored"\n\n[source.vendored]\ndirectory = "vendor"\n';
  mkdirSync(join(crate, '.cargo'));
  writeFileSync(join(crate, '.cargo', 'config.toml'), config);
  const test = ['test', '--offline', '--all-features', '--lib', '--tests'];
  const { code, output } = await run([...toolchain.cargo, ...test], {
    cwd: crate,
    env: {
      ...toolchain.env,
      CARGO_TARGET_DIR: inRoot('target', 'oldest-rust'),
      CARGO_PROFILE_DEV_DEBUG: '0',
    },
  });
  return { ...countCargoTests(output, code), output };
}

/**
 * What `cargo publish` would send, without what only the loom models need.
 * @param {string} dir
 */
async function unpackCrate(dir) {
  const target = join(dir, 'target');
  await mustRun([
    'cargo',
    'package',
    '--package',
    'owned-runtime',
    '--no-verify',
    '--allow-dirty',
    '--target-dir',
    target,
  ]);
  const version = /^version = "(.+)"/m.exec(readFileSync(inRoot('Cargo.toml'), 'utf8'))?.[1];
  const name = `owned-runtime-${version}`;
  // With the current time: times in a packed crate never change, so cargo would not rebuild a changed source.
  await mustRun(['tar', '-xmzf', join(target, 'package', `${name}.crate`), '-C', dir]);
  const crate = join(dir, name);
  // The lock file has a newer format.
  rmSync(join(crate, 'Cargo.lock'));
  // Everything else stays as it is packed: the oldest cargo must be able to read it.
  const manifest = readFileSync(join(crate, 'Cargo.toml'), 'utf8');
  const kept = manifest
    .split(/^(?=\[)/m)
    .filter((section) => !/^\[target\."?'?cfg\(owned_runtime_loom/.test(section));
  writeFileSync(join(crate, 'Cargo.toml'), `${kept.join('')}\n[workspace]\n`);
  return crate;
}
