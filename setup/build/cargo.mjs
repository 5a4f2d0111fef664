// @ts-check
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { outputOf } from '../lib/command.mjs';
import { SetupError } from '../lib/errors.mjs';
import { mustRun } from '../lib/step.mjs';

/** Whether Rust libraries can be built here. */
export const hasCargo = () => outputOf(['cargo', '--version']) !== undefined;

/**
 * What cargo's messages say about one artifact.
 * @typedef {object} Artifact
 * @property {{ name: string, kind: string[] }} target
 * @property {string | null} executable
 * @property {string[]} filenames
 */

/**
 * The artifacts in the output of `cargo build --message-format json-render-diagnostics`.
 * @param {string} messages
 * @returns {Artifact[]}
 */
export function artifactsIn(messages) {
  return messages
    .split('\n')
    .filter((line) => line.startsWith('{"reason":"compiler-artifact"'))
    .map((line) => JSON.parse(line));
}

/**
 * Builds shared libraries and programs of the workspace and puts them where they are expected.
 * @param {Record<string, string>} targets where each package's artifact goes, by the package's name
 * @param {{ flags?: string[], env?: Record<string, string> }} [options] `flags`: for `cargo build`
 */
export async function buildCrates(targets, { flags = ['--release'], env = {} } = {}) {
  const packages = Object.keys(targets).flatMap((name) => ['-p', name]);
  const messages = await mustRun(
    ['cargo', 'build', ...flags, ...packages, '--message-format', 'json-render-diagnostics'],
    { env, hint: 'is Rust new enough (`rustup update`), and is there a C compiler?' },
  );
  const artifacts = artifactsIn(messages);
  for (const [name, file] of Object.entries(targets)) install(fileOf(name, artifacts), file);
}

/**
 * The shared library or program of that package, in whatever folder cargo uses as its target.
 * @param {string} name
 * @param {Artifact[]} artifacts
 */
export function fileOf(name, artifacts) {
  const found = artifacts
    .filter(({ target }) => target.name === name || target.name === name.replaceAll('-', '_'))
    .map(({ executable, target, filenames }) =>
      target.kind.includes('cdylib') ? filenames.find((file) => /\.(so|dylib|dll)$/.test(file)) : executable,
    )
    .find((file) => typeof file === 'string');
  if (typeof found !== 'string') throw new SetupError(`cargo named no shared library or program of ${name}`);
  return found;
}

/**
 * @param {string} artifact
 * @param {string} file
 */
function install(artifact, file) {
  if (existsSync(file) && readFileSync(file).equals(readFileSync(artifact))) return;
  mkdirSync(dirname(file), { recursive: true });
  // Replaced by renaming, as a running process may have the old file mapped.
  const fresh = `${file}.${process.pid}.tmp`;
  copyFileSync(artifact, fresh);
  renameSync(fresh, file);
}
