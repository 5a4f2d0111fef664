// @ts-check
/**
 * The platforms that the native transport is published for, one package each: its name's ending, what npm matches it by,
 * and Rust's name of it. packages/etcd/src/transport/native/addon.ts looks for these names.
 *
 * @typedef {{ name: string, os: string, cpu: string, libc?: string, target: string }} Platform
 * @type {Platform[]}
 */
export const platforms = [
  { name: 'linux-x64-gnu', os: 'linux', cpu: 'x64', libc: 'glibc', target: 'x86_64-unknown-linux-gnu' },
  { name: 'linux-arm64-gnu', os: 'linux', cpu: 'arm64', libc: 'glibc', target: 'aarch64-unknown-linux-gnu' },
  { name: 'linux-x64-musl', os: 'linux', cpu: 'x64', libc: 'musl', target: 'x86_64-unknown-linux-musl' },
  { name: 'linux-arm64-musl', os: 'linux', cpu: 'arm64', libc: 'musl', target: 'aarch64-unknown-linux-musl' },
  { name: 'darwin-x64', os: 'darwin', cpu: 'x64', target: 'x86_64-apple-darwin' },
  { name: 'darwin-arm64', os: 'darwin', cpu: 'arm64', target: 'aarch64-apple-darwin' },
  { name: 'win32-x64-msvc', os: 'win32', cpu: 'x64', target: 'x86_64-pc-windows-msvc' },
];

/** The one that this process runs on; `undefined` where there is none. */
export function hostPlatform() {
  const report = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (process.report?.getReport());
  const { glibcVersionRuntime } = report.header;
  const libc = process.platform !== 'linux' ? undefined : glibcVersionRuntime ? 'glibc' : 'musl';
  return platforms.find(
    ({ os, cpu, ...platform }) => os === process.platform && cpu === process.arch && platform.libc === libc,
  );
}
