import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { outputOf } from '../command.mjs';
import { SetupError } from '../errors.mjs';
import { mustRun } from '../step.mjs';

/** Whether Rust libraries can be built here. */
export const hasCargo = () => outputOf(['cargo', '--version']) !== undefined;

/**
 * Builds shared libraries of the workspace and puts them where they are looked for.
 * @param {Record<string, string>} targets where each package's library goes, by the package's name
 * @param {{ flags?: string[], env?: Record<string, string> }} [options] `flags`: for `cargo build`
 */
export async function buildLibraries(targets, { flags = ['--release'], env } = {}) {
  const packages = Object.keys(targets).flatMap((name) => ['-p', name]);
  const messages = await mustRun(
    ['cargo', 'build', ...flags, ...packages, '--message-format', 'json-render-diagnostics'],
    { env, hint: 'is Rust new enough (`rustup update`), and is there a C compiler?' },
  );
  for (const [name, file] of Object.entries(targets)) install(libraryOf(name, messages), file);
}

/** The shared library that cargo's messages name, wherever its target folder is. */
function libraryOf(name, messages) {
  const library = messages
    .split('\n')
    .filter((line) => line.startsWith('{"reason":"compiler-artifact"'))
    .map((line) => JSON.parse(line))
    .filter(({ target }) => target.kind.includes('cdylib') && target.name === name.replaceAll('-', '_'))
    .flatMap(({ filenames }) => filenames)
    .find((file) => /\.(so|dylib|dll)$/.test(file));
  if (library === undefined) throw new SetupError(`cargo named no shared library of ${name}`);
  return library;
}

function install(library, file) {
  if (existsSync(file) && readFileSync(file).equals(readFileSync(library))) return;
  mkdirSync(dirname(file), { recursive: true });
  // By renaming, as a running process may have the old file mapped.
  const fresh = `${file}.${process.pid}.tmp`;
  copyFileSync(library, fresh);
  renameSync(fresh, file);
}
