import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { outputOf } from '../command.mjs';
import { SetupError } from '../errors.mjs';
import { inRoot } from '../paths.mjs';
import { mustRun, notice, step } from '../step.mjs';

const PACKAGE = 'etcd-transport';
const ADDON = inRoot('packages', 'etcd', 'native', `etcd-transport.${process.platform}-${process.arch}.node`);

/** Builds the native transport and puts it where @quiesce/etcd looks for it. Without cargo there is none. */
export async function buildNativeAddon() {
  if (outputOf(['cargo', '--version']) === undefined) {
    notice(
      'cargo is missing: @quiesce/etcd uses its fallback transport (@grpc/grpc-js). For the native one install ' +
        'Rust, from https://rustup.rs',
    );
    return;
  }
  const title = `build the native transport (Rust${existsSync(ADDON) ? '' : ', about a minute the first time'})`;
  await step(title, async () => {
    const messages = await mustRun(
      ['cargo', 'build', '--release', '-p', PACKAGE, '--message-format', 'json-render-diagnostics'],
      { hint: 'is Rust new enough (`rustup update`), and is there a C compiler?' },
    );
    install(libraryIn(messages));
  });
}

/** The shared library that cargo's messages name, wherever its target folder is. */
function libraryIn(messages) {
  const library = messages
    .split('\n')
    .filter((line) => line.startsWith('{"reason":"compiler-artifact"'))
    .map((line) => JSON.parse(line))
    .filter(({ target }) => target.kind.includes('cdylib') && target.name === PACKAGE.replace('-', '_'))
    .flatMap(({ filenames }) => filenames)
    .find((name) => /\.(so|dylib|dll)$/.test(name));
  if (library === undefined) throw new SetupError('cargo named no shared library of the native transport');
  return library;
}

function install(library) {
  if (existsSync(ADDON) && readFileSync(ADDON).equals(readFileSync(library))) return;
  mkdirSync(dirname(ADDON), { recursive: true });
  // By renaming, as a running process may have the old file mapped.
  const fresh = `${ADDON}.${process.pid}.tmp`;
  copyFileSync(library, fresh);
  renameSync(fresh, ADDON);
}
