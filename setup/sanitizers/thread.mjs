// @ts-check
// ThreadSanitizer needs a standard library that was built with it, and so the source of this compiler's library. If
// rustup is installed, it has the source; otherwise Debian has it for some versions.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { outputOf, run } from '../lib/command.mjs';
import { SetupError } from '../lib/errors.mjs';
import { mustFetch } from '../lib/fetch.mjs';
import { inCache, inRoot } from '../lib/paths.mjs';
import { mustRun } from '../lib/step.mjs';

const TARGET = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-unknown-linux-gnu`;

/** Debian suites with recent compilers, whose versions differ. */
const SUITES = ['trixie-backports', 'forky', 'sid'];

/** Flags for cargo, which needs a separate target folder. */
export const cargoFlags = ['-Zbuild-std', '--target', TARGET, '--target-dir', inRoot('target', 'tsan')];

/**
 * Nightly flags that the stable compiler accepts.
 * @param {string} library the standard library's source
 */
export const cargoEnvironment = (library) => ({
  RUSTC_BOOTSTRAP: '1',
  RUSTFLAGS: '-Zsanitizer=thread',
  CARGO_PROFILE_DEV_OPT_LEVEL: '1',
  // Where cargo looks for the source instead of the compiler's own folder. cargo's own tests use this variable.
  __CARGO_TESTS_ONLY_SRC_ROOT: library,
});

/** The folder of the standard library's source, which is downloaded if it isn't there. */
export async function standardLibrarySource() {
  const bundled = join(outputOf(['rustc', '--print', 'sysroot']) ?? '', 'lib/rustlib/src/rust/library');
  if (existsSync(bundled)) return bundled;
  const version = outputOf(['rustc', '--version'])?.split(' ')[1] ?? '';
  const cached = inCache('rust-src', version);
  if (!existsSync(cached)) await fetchSource(version, cached);
  return cached;
}

/**
 * @param {string} version
 * @param {string} to
 */
async function fetchSource(version, to) {
  const hint = `rustup component add rust-src, where rustup is there; or use a compiler that Debian has`;
  // The mirror that this machine's apt uses.
  const targets = outputOf(['apt-get', 'indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages']);
  const mirror = targets?.split('\n').find((uri) => /\/debian\/?$/.test(uri));
  if (mirror === undefined) throw new SetupError(`no source of Rust ${version}'s standard library`, { hint });
  mkdirSync(inCache('rust-src'), { recursive: true });
  const work = mkdtempSync(inCache('rust-src', 'fetch-'));
  try {
    for (const suite of SUITES) {
      const package_ = await findPackage(work, mirror, suite, version);
      if (package_ === undefined) continue;
      const { apt, name } = package_;
      await mustFetch(['apt-get', ...apt, 'download', name], { cwd: work, hint });
      const [deb = ''] = readdirSync(work).filter((file) => file.endsWith('.deb'));
      const unpacked = join(work, 'unpacked');
      await mustRun(['dpkg-deb', '-x', join(work, deb), unpacked]);
      renameSync(join(unpacked, 'usr', 'src', `rustc-${version}`, 'library'), to);
      return;
    }
    throw new SetupError(`Debian has no source of Rust ${version} (${SUITES.join(', ')})`, { hint });
  } finally {
    rmSync(work, { recursive: true });
  }
}

/**
 * apt with its own package lists, so that the machine's lists are left alone.
 * @param {string} work
 * @param {string} mirror
 * @param {string} suite
 * @param {string} version
 */
async function findPackage(work, mirror, suite, version) {
  const lists = join(work, suite);
  mkdirSync(join(lists, 'partial'), { recursive: true });
  const sources = join(work, `${suite}.list`);
  writeFileSync(
    sources,
    `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror} ${suite} main\n`,
  );
  const apt = [
    `Dir::Etc::sourcelist=${sources}`,
    'Dir::Etc::sourceparts=/dev/null',
    `Dir::State::lists=${lists}`,
    `Dir::Cache=${lists}`,
    // Otherwise apt drops to a user who may not read this folder.
    'APT::Sandbox::User=root',
  ].flatMap((option) => ['-o', option]);
  // Not every mirror has every suite.
  if ((await run(['apt-get', ...apt, 'update'])).code !== 0) return undefined;
  const rows = (await mustRun(['apt-cache', ...apt, 'madison', 'rust-src'])).split('\n');
  const found = rows
    .map((row) => row.split('|')[1]?.trim())
    .find((known) => known?.startsWith(`${version}+`));
  return found === undefined ? undefined : { apt, name: `rust-src=${found}` };
}
