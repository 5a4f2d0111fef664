// @ts-check
// node setup/pack/support.mjs: writes docs/support.md from the platforms that the release workflow builds for.
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { table } from '../lib/markdown.mjs';
import { inRoot } from '../lib/paths.mjs';
import { nativeFiles, platforms } from './platforms.mjs';

/** @typedef {import('./platforms.mjs').Platform} Platform */

/** A platform for which nothing is built: only the TypeScript parts work there. */
const OTHER = 'other systems with Node';

/**
 * What may be said about a part on a platform that has it.
 * @param {Platform} platform
 */
function claim({ ran }) {
  return ran ? 'yes' : 'untested';
}

/** @param {Platform} platform */
function etcdRow(platform) {
  const { name, title, oldest, ran } = platform;
  const built = oldest === undefined ? claim(platform) : `${claim(platform)}, glibc ${oldest} or newer`;
  return [title, `\`@quiesce/etcd-${name}\``, built, claim(platform), ran ? 'yes' : 'never'];
}

/** @param {Platform} platform */
function testerRow(platform) {
  const { title, os, ran } = platform;
  if (os === 'win32') return [title, 'no: WSL 2', 'no', 'no', 'no', 'never'];
  const preloads = 'exit-witness' in nativeFiles(platform);
  return [
    title,
    claim(platform),
    preloads ? claim(platform) : 'refused',
    preloads ? claim(platform) : 'left out',
    preloads ? 'of crashes and hangs' : os === 'linux' ? 'of hangs' : 'no',
    ran ? 'yes' : 'never',
  ];
}

/** The text of docs/support.md. */
export function supportPage() {
  const ran = platforms.filter((platform) => platform.ran).map(({ title }) => title);
  return `# Supported platforms

<!-- Written by \`node setup/pack/support.mjs\` from setup/pack/platforms.mjs, which the release workflow builds from. -->

The column "ever run" matters most. Every test runs on **${ran.join(', ')}**. The other rows say what the
release workflow would build. It would install and try each package on such a machine before it publishes anything, but it
has not run yet. So nobody has run those packages, and "untested" marks what they should do.

## @quiesce/etcd

${table([
  ['platform', 'package', 'native transport', 'fallback on grpc-js', 'ever run'],
  ...platforms.map(etcdRow),
  [OTHER, 'none', 'no', 'untested', 'never'],
])}

npm installs the package of your platform and no other. The fallback needs no native code. It is several times slower:
[transports](guide/README.md#transports). Node 20.19 and newer, Bun and Deno, in the versions of
[Runtimes](measurements/runtimes.md).

Our packages run nothing when they are installed. One of their dependencies has an install script: \`protobufjs\`, which comes
with the fallback's \`@grpc/grpc-js\`. The script compares version numbers and may print a warning. Nothing needs it:
\`npm install --ignore-scripts\` installs the same files. \`@grpc/grpc-js\` is a dependency and not an optional peer,
though it brings all of the more than 30 packages that are installed with the client. Without it a bundler could not resolve the fallback, and a
machine for which npm left the native package out would have no transport at all. While the native transport works, it is never loaded.

## quiesce

${table([
  ['platform', 'runs and outcomes', '\\`--strict\\`', 'exit amplifier', 'stacks', 'ever run'].map((cell) =>
    cell.replaceAll('\\`', '`'),
  ),
  ...platforms.map(testerRow),
])}

\`--strict\` and the amplifier need a preload library for glibc. Where there is none, \`--strict\` is refused with the reason,
\`--perturb all\` leaves the amplifier out and says so, and \`--perturb amplify\` is refused. Where the library is there but the program is
static, and can't load it, \`--strict\` says that the program's end wasn't seen, and \`--asan\` and \`--timeline\` that nothing was loaded. Stacks need gdb.

## The crates

\`owned-runtime\`, \`owned-runtime-pyo3\` and \`owned-runtime-napi\` are source. Their tests run on ${ran.join(', ')}: with Rust 1.63 and
newer, each Python from 3.9 on that the machine has, Node, Bun and Deno. On systems without a bounded join of threads
(macOS, Windows) \`owned-runtime\` waits in a different way. The tests run it on Linux, in a build that is made to wait that way.
`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(inRoot('docs', 'support.md'), supportPage());
}
