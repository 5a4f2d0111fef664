import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { outputOf } from '../lib/command.mjs';
import { SetupError } from '../lib/errors.mjs';
import { mustRun } from '../lib/step.mjs';

/** Whether Rust libraries can be built here. */
export const hasCargo = () => outputOf(['cargo', '--version']) !== undefined;

/**
 * Builds shared libraries and programs of the workspace and puts them where they are looked for.
 * @param {Record<string, string>} targets where what each package makes goes, by the package's name
 * @param {{ flags?: string[], env?: Record<string, string> }} [options] `flags`: for `cargo build`
 */
export async function buildCrates(targets, { flags = ['--release'], env } = {}) {
  const packages = Object.keys(targets).flatMap((name) => ['-p', name]);
  const messages = await mustRun(
    ['cargo', 'build', ...flags, ...packages, '--message-format', 'json-render-diagnostics'],
    { env, hint: 'is Rust new enough (`rustup update`), and is there a C compiler?' },
  );
  for (const [name, file] of Object.entries(targets)) install(artifactOf(name, messages), file);
}

/** The shared library or program that cargo's messages name, wherever its target folder is. */
function artifactOf(name, messages) {
  const artifact = messages
    .split('\n')
    .filter((line) => line.startsWith('{"reason":"compiler-artifact"'))
    .map((line) => JSON.parse(line))
    .filter(({ target }) => target.name === name || target.name === name.replaceAll('-', '_'))
    .map(({ executable, target, filenames }) =>
      target.kind.includes('cdylib') ? filenames.find((file) => /\.(so|dylib|dll)$/.test(file)) : executable,
    )
    .find((file) => typeof file === 'string');
  if (artifact === undefined) throw new SetupError(`cargo named no shared library or program of ${name}`);
  return artifact;
}

function install(artifact, file) {
  if (existsSync(file) && readFileSync(file).equals(readFileSync(artifact))) return;
  mkdirSync(dirname(file), { recursive: true });
  // By renaming, as a running process may have the old file mapped.
  const fresh = `${file}.${process.pid}.tmp`;
  copyFileSync(artifact, fresh);
  renameSync(fresh, file);
}
