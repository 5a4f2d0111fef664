// @ts-check
// The oldest Rust that owned-runtime supports: rustup's if that is installed, otherwise Debian 12's packages, unpacked
// into .cache without root.
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { outputOf } from '../lib/command.mjs';
import { mustFetch } from '../lib/fetch.mjs';
import { inCache } from '../lib/paths.mjs';
import { mustRun, step } from '../lib/step.mjs';

/** As in crates/owned-runtime/Cargo.toml. */
export const OLDEST_RUST = '1.63';

const PACKAGES = [
  'rustc',
  'cargo',
  'libstd-rust-1.63',
  'libstd-rust-dev',
  'libllvm14',
  'libgit2-1.5',
  'libssh2-1',
  'libhttp-parser2.9',
  'libmbedcrypto7',
  'libmbedtls14',
  'libmbedx509-1',
];

/**
 * @typedef {{ cargo: string[], env: Record<string, string> }} Toolchain
 * @returns {Promise<Toolchain | undefined>} undefined if it isn't available
 */
export async function provideOldestRust() {
  const rustup = [`rustup`, 'run', OLDEST_RUST, 'cargo'];
  if (outputOf([...rustup, '--version']) !== undefined) return { cargo: rustup, env: {} };
  if (!outputOf(['apt-cache', 'policy', 'rustc'])?.includes(`Candidate: ${OLDEST_RUST}.`)) return undefined;
  const dir = inCache('oldest-rust');
  const bin = `${dir}/root/usr/bin`;
  if (!existsSync(`${bin}/cargo`)) {
    await step(`unpack Rust ${OLDEST_RUST}`, async () => {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir, { recursive: true });
      await mustFetch(['apt-get', 'download', ...PACKAGES], {
        cwd: dir,
        hint: 'does `apt-get update` help?',
      });
      const unpacked = `${dir}/unpacked`;
      for (const file of readdirSync(dir).filter((name) => name.endsWith('.deb'))) {
        await mustRun(['dpkg', '-x', `${dir}/${file}`, unpacked]);
        rmSync(`${dir}/${file}`);
      }
      await mustRun(['mv', unpacked, `${dir}/root`]);
    });
  }
  const libraries = readdirSync(`${dir}/root/usr/lib`).find((name) => name.endsWith('-linux-gnu'));
  return {
    cargo: [`${bin}/cargo`],
    env: { RUSTC: `${bin}/rustc`, LD_LIBRARY_PATH: `${dir}/root/usr/lib/${libraries}` },
  };
}
