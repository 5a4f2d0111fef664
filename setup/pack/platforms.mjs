// @ts-check
import { UsageError } from '../lib/errors.mjs';

/**
 * The platforms that native code is published for, in the order of the support table. The release workflow takes its
 * jobs from here, and docs/support.md its rows. packages/etcd/src/transport/native/addon.ts looks for these names.
 *
 * @typedef {object} Platform
 * @property {string} name the end of the platform's package name
 * @property {string} title
 * @property {NodeJS.Platform} os what npm matches, together with `cpu` and `libc`
 * @property {NodeJS.Architecture} cpu
 * @property {'glibc' | 'musl'} [libc]
 * @property {string} target Rust's name for it
 * @property {string} [oldest] the C library version that it is linked against
 * @property {string} builds the runner that builds it
 * @property {string} tries the runner that installs and tries the packages before they are published
 * @property {string} [image] the container in which that runner does so
 * @property {boolean} [ran] whether its packages have ever been installed and run
 */

/** @type {Platform[]} */
export const platforms = [
  {
    name: 'linux-x64-gnu',
    title: 'Linux x64, glibc',
    ...{ os: 'linux', cpu: 'x64', libc: 'glibc', target: 'x86_64-unknown-linux-gnu', oldest: '2.17' },
    ...{ builds: 'ubuntu-latest', tries: 'ubuntu-latest', ran: true },
  },
  {
    name: 'linux-arm64-gnu',
    title: 'Linux arm64, glibc',
    ...{ os: 'linux', cpu: 'arm64', libc: 'glibc', target: 'aarch64-unknown-linux-gnu', oldest: '2.17' },
    ...{ builds: 'ubuntu-latest', tries: 'ubuntu-24.04-arm' },
  },
  {
    name: 'linux-x64-musl',
    title: 'Linux x64, musl (Alpine)',
    ...{ os: 'linux', cpu: 'x64', libc: 'musl', target: 'x86_64-unknown-linux-musl' },
    ...{ builds: 'ubuntu-latest', tries: 'ubuntu-latest', image: 'node:22-alpine' },
  },
  {
    name: 'linux-arm64-musl',
    title: 'Linux arm64, musl (Alpine)',
    ...{ os: 'linux', cpu: 'arm64', libc: 'musl', target: 'aarch64-unknown-linux-musl' },
    ...{ builds: 'ubuntu-latest', tries: 'ubuntu-24.04-arm', image: 'node:22-alpine' },
  },
  {
    name: 'darwin-x64',
    title: 'macOS x64',
    ...{ os: 'darwin', cpu: 'x64', target: 'x86_64-apple-darwin' },
    ...{ builds: 'macos-latest', tries: 'macos-15-intel' },
  },
  {
    name: 'darwin-arm64',
    title: 'macOS arm64',
    ...{ os: 'darwin', cpu: 'arm64', target: 'aarch64-apple-darwin' },
    ...{ builds: 'macos-latest', tries: 'macos-latest' },
  },
  {
    name: 'win32-x64-msvc',
    title: 'Windows x64',
    ...{ os: 'win32', cpu: 'x64', target: 'x86_64-pc-windows-msvc' },
    ...{ builds: 'windows-latest', tries: 'windows-latest' },
  },
];

/** What is built for a platform, by crate: the file name in that platform's folder. */
export const nativeFiles = (/** @type {Platform} */ { libc }) => ({
  'etcd-transport': 'etcd-transport.node',
  // The preload libraries replace functions of glibc. musl has some of them under other names, and lacks others.
  ...(libc === 'glibc' && {
    'exit-amplifier': 'exit-amplifier.so',
    'exit-witness': 'exit-witness.so',
    spawner: 'spawner',
  }),
});

/** The C library of this machine's Linux; `undefined` elsewhere. */
export function hostLibc() {
  if (process.platform !== 'linux') return undefined;
  const report = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (process.report?.getReport());
  return report.header.glibcVersionRuntime ? 'glibc' : 'musl';
}

/** The platform that this process runs on; `undefined` if nothing is published for it. */
export function hostPlatform() {
  const libc = hostLibc();
  return platforms.find(
    ({ os, cpu, ...platform }) => os === process.platform && cpu === process.arch && platform.libc === libc,
  );
}

/**
 * The platform of that name.
 * @param {string} name
 * @throws UsageError if there is none
 */
export function platformNamed(name) {
  const found = platforms.find((platform) => platform.name === name);
  if (found !== undefined) return found;
  throw new UsageError(
    `no platform is named ${name}`,
    `they are ${platforms.map(({ name: known }) => known).join(', ')}`,
  );
}
